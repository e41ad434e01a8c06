// A whole shard whose lanes run short: who has one of its own, who shares one, and that nobody's
// many jobs or accounts are in another's way.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KIB } from '../../../../shards/base/units.ts'
import {
  laneGroupOf, laneGroups, SHARED_LANE_LOOKS_MAX,
} from '../../../../shards/memory/lane-limits.ts'
import { LANE_SHARED } from '../../../../shards/pace/lanes.ts'
import { EngineBench, OTHER_UPSTREAM } from '../../../support/engine-bench.ts'
import { smallLimits } from '../../../support/shard-memory.ts'

const LANES = 128
const LIMITS = smallLimits({
  jobsMax: 2048, lanesMax: 8 + LANES, ringBytes: 1024 * KIB, segmentBytes: 64 * KIB,
})
/** As hashes are. */
const userOf = (number: number): number => Math.imul(number + 1, 0x9e3779b1) >>> 0
const groupOf = (user: number): number => laneGroupOf(user, laneGroups(LIMITS))

/** One request at a time, so that turns can be followed. */
const makeBench = (): EngineBench =>
  new EngineBench({ pacePerSecond: 1_000_000, concurrentMax: 1, limits: LIMITS })

/** A user that invents accounts, or that many users are: each with one job. */
function submitEach(bench: EngineBench, users: Iterable<number>, upstream?: number): void {
  for (const user of users) {
    bench.submit({
      user, account: `account of ${user}`, url: 'http://api.test/attack',
      ...(upstream !== undefined && { upstream }),
    })
  }
}

const usersFrom = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, at) => userOf(first + at))

/** Sends until one is for this path. @returns how many were for others. */
function sendsBefore(bench: EngineBench, path: string): number {
  for (let others = 0; ; others++) {
    assert.ok(others < LIMITS.jobsMax, 'it is never sent')
    const sent = bench.inFlight
    bench.respond(sent)
    bench.advance(1)
    if (sent.request.path === path) return others
  }
}

describe('an account whose upstream has its share of the lanes', () => {
  it('shares a lane with the users of its group, and its jobs are all done', () => {
    const bench = makeBench()
    submitEach(bench, usersFrom(0, LANES))
    const { flags, upstream } = bench.views.lanes
    const used = [...flags.keys()].filter((lane) => flags[lane] !== 0)
    const shared = used.filter((lane) => ((flags[lane] as number) & LANE_SHARED) !== 0)
    // Three quarters are for accounts' own, and two thirds of these for one upstream alone.
    assert.equal(used.length - shared.length, LANES / 2)
    assert.equal(shared.length, laneGroups(LIMITS))
    assert.ok(shared.every((lane) => lane >= LIMITS.upstreamsMax && upstream[lane] === 0))
    assert.equal(bench.stats.overflowJobs, LANES / 2)
    // Who finds a shared lane in use does not ask for another.
    assert.equal(bench.stats.lanesRefusedByShare, laneGroups(LIMITS))
    while (bench.stats.completed < LANES) {
      bench.respond(bench.inFlight)
      bench.advance(1)
    }
  })

  it('is told of in a warning, behind the answers', () => {
    const bench = makeBench()
    submitEach(bench, usersFrom(0, LANES))
    const warnings = bench.answers.filter(({ kind }) => kind === 'warning')
    assert.deepEqual(warnings, [{ kind: 'warning', upstream: 0, warning: {
      pool: 'lanes by upstream', refusal: 'share', bound: LANES, used: LANES / 2,
    } }])
    const at = bench.answers.findIndex(({ kind }) => kind === 'warning')
    assert.equal(bench.answers[at - 1]?.kind, 'accepted')
  })

  it('leaves lanes to the accounts of other upstreams', () => {
    const bench = makeBench()
    submitEach(bench, usersFrom(0, 1000))
    const before = bench.stats.overflowJobs
    submitEach(bench, usersFrom(5000, 15), OTHER_UPSTREAM)
    assert.equal(bench.stats.overflowJobs, before)
  })

  it('has its turn though another that shares has many jobs', () => {
    for (const isSameGroup of [true, false]) {
      const bench = makeBench()
      submitEach(bench, usersFrom(0, LANES / 2))
      const attacker = userOf(7000)
      const many = isSameGroup ? SHARED_LANE_LOOKS_MAX - 1 : 1000
      for (let job = 0; job < many; job++) {
        bench.submit({ user: attacker, account: 'many jobs', url: 'http://api.test/attack' })
      }
      const victim = usersFrom(8000, 100)
        .find((user) => (groupOf(user) === groupOf(attacker)) === isSameGroup) as number
      bench.submit({ user: victim, account: 'victim', url: 'http://api.test/victim' })
      const others = sendsBefore(bench, '/victim')
      // Each that has a lane of its own, and each that shares, at most twice.
      assert.ok(others <= 2 * (LANES / 2 + 2), `${others} sends went before`)
    }
  })

  it('stays where it is until its jobs are done, though lanes are free again', () => {
    const bench = makeBench()
    submitEach(bench, usersFrom(0, LANES / 2))
    const user = userOf(9000)
    const submit = (path: string): void => {
      bench.submit({ user, account: 'x', url: `http://api.test/${path}` })
    }
    for (let job = 0; job < 5; job++) submit(`${job}`)
    sendsBefore(bench, '/2')
    submit('5')
    assert.equal(bench.stats.overflowJobs, 6)
    sendsBefore(bench, '/5')
    const paths = bench.sent.map(({ request }) => request.path).filter((path) => path.length === 2)
    assert.deepEqual(paths, ['/0', '/1', '/2', '/3', '/4', '/5'])
  })
})

describe('a user with many accounts', () => {
  it('has half of the lanes at most, and other users of the upstream have the rest', () => {
    const bench = makeBench()
    for (let account = 0; account < LANES; account++) {
      bench.submit({ user: userOf(1), account: `account ${account}` })
    }
    const own = (LANES * 3) / 4 / 2
    assert.equal(bench.stats.overflowJobs, LANES - own)
    // The accounts beyond it are one user in one lane.
    assert.equal(bench.stats.lanesUsed, own + 1)
    const before = bench.stats.overflowJobs
    const others = usersFrom(10, 50).filter((user) => groupOf(user) !== groupOf(userOf(1)))
    submitEach(bench, others.slice(0, 15))
    assert.equal(bench.stats.overflowJobs, before)
  })
})

describe('a thread that takes over', () => {
  it('knows whose the lanes are, and whose turn it is', () => {
    const bench = makeBench()
    submitEach(bench, usersFrom(0, LANES))
    const before = bench.stats
    bench.replace()
    submitEach(bench, usersFrom(0, LANES))
    assert.equal(bench.stats.lanesUsed, before.lanesUsed)
    assert.equal(bench.stats.overflowJobs, 2 * before.overflowJobs)
    submitEach(bench, usersFrom(3000, 50))
    assert.equal(bench.stats.lanesUsed, before.lanesUsed)
  })
})
