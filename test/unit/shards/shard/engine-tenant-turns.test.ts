// A whole shard whose tenants share the pace of an upstream: each has one turn, and its users take
// turns inside of it.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KIB } from '../../../../shards/base/units.ts'
import { EngineBench, UPSTREAM, twoShards } from '../../../support/engine-bench.ts'

const PACE = 100
/** One at once, and then 200 more. */
const SENDS = 201
const LIMITS = { jobsMax: 4096, lanesMax: 1024, segmentsMax: 64, ringBytes: 256 * KIB }

/** A tenant\'s hash, or a user\'s in tenant 0. */
const routeOf = (tenant: number): number => Math.imul(tenant + 1, 0x9e3779b1) >>> 0

/** Submits so many jobs for each user of a tenant. */
function submitFor(bench: EngineBench, tenant: number, users: number, jobs: number): void {
  for (let user = 0; user < users; user++) {
    for (let job = 0; job < jobs; job++) {
      const name = `${tenant}/${user}`
      bench.put({ tenant, user: routeOf(tenant), account: name, url: `http://api0.test/${name}` })
    }
    bench.turn()
  }
}

/** How many of the sends were each tenant\'s, and how many each of its users\'. */
function sharesOf(benches: readonly EngineBench[]): Record<string, number[]> {
  const counts: Record<string, number[]> = {}
  for (const { request } of benches.flatMap(({ sent }) => sent)) {
    const [, tenant = '', user = ''] = request.path.split('/')
    const users = counts[tenant] ??= []
    users[Number(user)] = (users[Number(user)] ?? 0) + 1
  }
  return counts
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0)

/** Asserts that the tenants had equal parts of the sends, and in each its users. */
function assertEqualParts(benches: readonly EngineBench[], tenants: number, slack = 1): void {
  const shares = sharesOf(benches)
  const part = SENDS / tenants
  assert.equal(Object.keys(shares).length, tenants)
  for (const [tenant, users] of Object.entries(shares)) {
    const all = sum(users)
    assert.ok(Math.abs(all - part) <= slack, `tenant ${tenant} had ${all} of ${SENDS}`)
    const [least, most] = [Math.min(...users), Math.max(...users)]
    assert.ok(most - least <= 1, `users of tenant ${tenant} had ${least} to ${most}`)
  }
}

const makeBench = (): EngineBench =>
  new EngineBench({ pacePerSecond: PACE, concurrentMax: 1000, limits: LIMITS })

function run(bench: EngineBench): void {
  bench.advance((SENDS - 1) * 1000 / PACE + 1)
  bench.engine.verify()
}

describe('lanes of tenants', () => {
  it('with 50 users have half of the pace beside one account without a tenant', () => {
    const bench = makeBench()
    submitFor(bench, 7, 50, 8)
    submitFor(bench, 0, 1, 300)
    run(bench)
    assertEqualParts([bench], 2)
  })

  it('have the same pace with one user and with 100', () => {
    const bench = makeBench()
    submitFor(bench, 7, 1, 300)
    submitFor(bench, 8, 100, 4)
    run(bench)
    assertEqualParts([bench], 2)
  })

  it('have their turns after a recovery', () => {
    const bench = makeBench()
    submitFor(bench, 7, 40, 10)
    submitFor(bench, 8, 2, 200)
    submitFor(bench, 0, 1, 300)
    bench.replace()
    run(bench)
    assert.equal(bench.views.upstreams.waiting[UPSTREAM], 3)
    const shares = Object.values(sharesOf([bench])).map(sum)
    assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, `${shares}`)
  })

  it('count once among those of two shards', () => {
    const [one, other] = twoShards({ pacePerSecond: PACE, concurrentMax: 1000 }, LIMITS)
    submitFor(one, 7, 25, 8)
    submitFor(other, 0, 1, 200)
    one.advance((SENDS - 1) * 1000 / PACE + 1)
    assert.equal(one.views.upstreams.waiting[UPSTREAM], 1)
    assertEqualParts([one, other], 2, 20)
  })
})
