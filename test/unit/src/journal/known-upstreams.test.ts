// What the journals of several shards say of upstream slots, and what the table makes of it.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Micros, PerSecond } from '../../../../shards/base/units.ts'
import { JOBS_FRESH } from '../../../../shards/memory/crash-notes.ts'
import {
  KIND_RECEIVER, KIND_UPSTREAM, UPSTREAM_ACCOUNT_QUEUES, UPSTREAM_BASE_F64,
  UPSTREAM_CONCURRENT_MAX, UPSTREAM_INTERVAL_NS, UPSTREAM_RECORD_WORDS, UPSTREAM_TIMEOUT_MS,
  type ShardViews, allocateShard, allocateShared, attachShard, attachShared,
} from '../../../../shards/memory/layout.ts'
import { LANE_ACCOUNT_QUEUE, LANE_USED } from '../../../../shards/pace/lanes.ts'
import { JOB_QUEUED } from '../../../../shards/store/job-slots.ts'
import type { UpstreamFacts } from '../../../../shards/wire/contract.ts'
import type { HolderHash } from '../../../../src/base/hash.ts'
import { mergeUpstreams, settleUpstreams } from '../../../../src/journal/known-upstreams.ts'
import { Upstreams } from '../../../../src/submit/upstream-slots.ts'
import { MODEL_LIMITS } from '../../../support/journal-model.ts'

const facts = (origin: string, asOfUs: number, parts: Partial<UpstreamFacts> = {}): UpstreamFacts =>
  ({
    origin, kind: KIND_UPSTREAM, asOfUs: asOfUs as Micros, baseUs: 0 as Micros, intervalNs: 1e6,
    concurrentMax: 7, accountQueues: 0, ...parts,
  })

const memory = (): ShardViews => attachShard(allocateShard(MODEL_LIMITS), MODEL_LIMITS)

/** A lane of the upstream, with a waiting job in it or without. */
function addLane(views: ShardViews, lane: number, upstream: number, hasJob: boolean): void {
  views.lanes.flags[lane] = LANE_USED | LANE_ACCOUNT_QUEUE
  views.lanes.upstream[lane] = upstream
  if (!hasJob) return
  const job = views.progress[JOBS_FRESH] as number
  views.progress[JOBS_FRESH] = job + 1
  views.jobs.state[job] = JOB_QUEUED
  views.jobs.lane[job] = lane
}

describe('what shards know of upstreams', () => {
  it('is the later word, with the latest send of all', () => {
    const { agreed, disputed } = mergeUpstreams([
      new Map([[3, facts('http://a', 10, { baseUs: 90 as Micros, intervalNs: 5 })]]),
      new Map([[3, facts('http://a', 20, { baseUs: 80 as Micros, intervalNs: 6 })],
        [4, facts('http://a', 5, { kind: KIND_RECEIVER })]]),
    ])
    assert.equal(disputed.size, 0)
    assert.deepEqual([...agreed.keys()], [3, 4])
    assert.deepEqual(agreed.get(3), facts('http://a', 20, { baseUs: 90 as Micros, intervalNs: 6 }))
  })

  it('is disputed where a slot has two names, and then jobs decide, or the time', () => {
    for (const jobAt of [0, 1, undefined]) {
      const shards = [memory(), memory()]
      const known = [facts('http://old', 10), facts('http://new', 20)]
        .map((its) => new Map([[3, its]]))
      for (const [shard, views] of shards.entries()) addLane(views, 20, 3, shard === jobAt)
      const { disputed } = mergeUpstreams(known)
      assert.deepEqual([...disputed], [3])
      const settled = settleUpstreams(known, disputed, shards)
      assert.equal(settled.get(3)?.origin, jobAt === 0 ? 'http://old' : 'http://new')
      const loser = jobAt === 0 ? 1 : 0
      assert.equal(shards[loser]?.lanes.flags[20], 0)
      assert.notEqual(shards[1 - loser]?.lanes.flags[20], 0)
    }
  })

  it('is disputed where an origin has two slots: the one without jobs is free', () => {
    const views = memory()
    addLane(views, 20, 3, false)
    addLane(views, 21, 5, true)
    const known = [new Map([[3, facts('http://a', 10)], [5, facts('http://a', 20)]])]
    const { disputed } = mergeUpstreams(known)
    assert.deepEqual([...disputed].sort(), [3, 5])
    const settled = settleUpstreams(known, disputed, [views])
    assert.deepEqual([...settled.keys()], [5])
    assert.deepEqual([views.lanes.flags[20], views.lanes.flags[21] !== 0], [0, true])
  })
})

const user = (high: number): HolderHash => ({ route: high, high })

describe('a table that takes slots over', () => {
  it('finds each origin at its slot, with what was learned, and gives the others out', () => {
    const shared = attachShared(allocateShared(MODEL_LIMITS), MODEL_LIMITS)
    const upstreams = new Upstreams({
      shared, slotsMax: MODEL_LIMITS.upstreamsMax, shards: 1, release: () => true,
      isUnused: () => false,
      settingsOf: () => ({
        pacePerSecond: 2 as PerSecond, concurrentMax: 100, accountQueues: false, timeoutMs: 1234,
      }),
    })
    const now = 1000 as Micros
    upstreams.adopt(new Map([
      [5, facts('http://a', 1, { baseUs: 77 as Micros, accountQueues: 3 })],
      [2, facts('http://a', 1, { kind: KIND_RECEIVER })],
    ]), now)
    assert.equal(upstreams.size, 2)
    assert.equal(upstreams.claim('http://a', KIND_UPSTREAM, user(0), now), 5)
    assert.equal(upstreams.claim('http://a', KIND_RECEIVER, user(0), now), 2)
    const at = 5 * UPSTREAM_RECORD_WORDS
    assert.equal(shared.upstreamTimesF64[at / 2 + UPSTREAM_BASE_F64], 77)
    assert.deepEqual([UPSTREAM_INTERVAL_NS, UPSTREAM_CONCURRENT_MAX, UPSTREAM_ACCOUNT_QUEUES,
      UPSTREAM_TIMEOUT_MS].map((word) => shared.upstreams[at + word]), [1e6, 7, 3, 1234])
    const others = Array.from({ length: MODEL_LIMITS.upstreamsMax - 2 },
      (_, other) => upstreams.claim(`http://${other}`, KIND_UPSTREAM, user(other), now))
    assert.deepEqual(others.sort(), [0, 1, 3, 4, 6, 7])
  })
})
