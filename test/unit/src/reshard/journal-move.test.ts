// Moving the jobs of one shard's memory to shards of another size: each job's facts, record and
// template are compared, and the order in the lines that all accounts share.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KIB, type Location } from '../../../../shards/base/units.ts'
import { JOBS_FRESH } from '../../../../shards/memory/crash-notes.ts'
import type { ShardViews } from '../../../../shards/memory/layout.ts'
import { LOG_RECORD_HEADER_BYTES } from '../../../../shards/memory/limits.ts'
import type { Limits } from '../../../../shards/memory/plan.ts'
import { LANE_SHARED, LANE_TENANT } from '../../../../shards/pace/lanes.ts'
import { LOG_JOB_SHARED } from '../../../../shards/store/job-log.ts'
import { JOB_FREE } from '../../../../shards/store/job-slots.ts'
import { RECORD_KIND, wordAt, segmentAt } from '../../../../shards/store/log-record.ts'
import { shardOf } from '../../../../src/base/hash.ts'
import { Move } from '../../../../src/reshard/move.ts'
import { recordAt } from '../../../../src/reshard/moved-shard.ts'
import { EngineBench, OTHER_UPSTREAM, UPSTREAM } from '../../../support/engine-bench.ts'

const JOBS = 300
/** Enough for two groups of accounts that share, and less than one for each account. */
const LANES = 8 + 40

/** As hashes are: no bit says whether the number is even. */
function userOf(number: number): number {
  const spread = Math.imul(number + 1, 0x9e3779b1) >>> 0
  return (spread ^ spread >>> 15) >>> 0
}

/** A shard with jobs of many accounts, more than it has lanes for, and shared templates. */
function filledBench(): EngineBench {
  const bench = new EngineBench({
    pacePerSecond: 1,
    limits: { jobsMax: JOBS, lanesMax: LANES, segmentBytes: 16 * KIB, segmentsMax: 32 },
  })
  for (let job = 0; job < JOBS; job++) {
    bench.submit({
      account: `account ${job % 50}`, user: userOf(job % 50),
      tenant: job % 50 % 3, keyNumber: job % 4,
      url: `http://a.example/${job % 7}`,
      body: 'b'.repeat(job % 90), webhook: job % 3 === 0,
      upstream: job % 2 === 0 ? UPSTREAM : OTHER_UPSTREAM,
    })
  }
  bench.turn()
  return bench
}

const payload = (views: ShardViews, at: number): string => {
  const { bytes, end, start } = recordAt(views, at)
  return bytes.toString('latin1', start, end)
}

/** All that a job is, but for the places of things. */
function describeJob(views: ShardViews, job: number): object {
  const { jobs, lanes, templates } = views
  const at = jobs.location[job] as number
  const kind = views.segments[segmentAt(at as Location)]
    ?.u32[wordAt(at as Location) + RECORD_KIND]
  const { word } = recordAt(views, at)
  const lane = jobs.lane[job] as number
  return {
    owner: jobs.owner[job], route: jobs.route[job],
    idHigh: jobs.idHigh[job], keyHigh: jobs.keyHigh[job],
    state: jobs.state[job], outcome: jobs.resultWord[job], timeUs: jobs.timeUs[job],
    kind, record: payload(views, at),
    template: kind === LOG_JOB_SHARED ? payload(views, templates.location[word] as number) : word,
    upstream: lanes.upstream[lane], tenants: (lanes.flags[lane] as number) & LANE_TENANT,
    lane: [lanes.keyHigh[lane], lanes.keyLow[lane]],
  }
}

function jobsOf(views: ShardViews): Map<number, object> {
  const found = new Map<number, object>()
  for (let job = 0; job < (views.progress[JOBS_FRESH] as number); job++) {
    if (((views.jobs.state[job] as number) & 0xff) === JOB_FREE) continue
    found.set(views.jobs.idLow[job] as number, describeJob(views, job))
  }
  return found
}

/** By its id, a job's place among all that were submitted. */
function placesOf({ jobs }: ShardViews): Map<number, number> {
  return new Map(Array.from({ length: JOBS }, (_, job) => [jobs.idLow[job] as number, job]))
}

function moveTo(limits: Limits, from: readonly ShardViews[]): ShardViews[] {
  const move = new Move(limits)
  for (const views of from) assert.equal(move.take(views, [UPSTREAM, OTHER_UPSTREAM]), undefined)
  move.finish()
  return move.shards.map(({ views }) => views)
}

/**
 * By user and upstream, the places of the jobs in shared lines, in the order of the line, which
 * must be one. @param places see placesOf(); empty where jobs are in the order of their slots.
 */
function orderOfUsers(
  shards: readonly ShardViews[], places: ReadonlyMap<number, number>,
): [Record<string, number[]>, Set<number>] {
  const lines: Record<string, number[]> = {}
  const laneOf = new Map<string, number>()
  for (const { jobs, lanes, progress } of shards) {
    const inLines = Array.from({ length: progress[JOBS_FRESH] as number }, (_, job) => job)
      .filter((job) => ((lanes.flags[jobs.lane[job] as number] as number) & LANE_SHARED) !== 0)
      .toSorted((one, other) => (jobs.order[one] as number) - (jobs.order[other] as number))
    for (const job of inLines) {
      const lane = jobs.lane[job] as number
      const line = `user ${jobs.route[job]} at ${lanes.upstream[lane]}`
      assert.equal(laneOf.get(line) ?? lane, lane, 'a user has two lines')
      assert.ok((jobs.order[job] as number) < (lanes.nextOrder[lane] as number))
      laneOf.set(line, lane)
      lines[line] ??= []
      lines[line].push(places.get(jobs.idLow[job] as number) ?? job)
    }
  }
  return [lines, new Set(laneOf.values())]
}

describe('jobs that are moved', () => {
  for (const shards of [1, 3]) {
    it(`to ${shards} are all there, each where its user belongs`, () => {
      const { views } = filledBench()
      const before = jobsOf(views)
      assert.equal(before.size, JOBS)
      const move = new Move({ ...views.limits, shards, jobsMax: 2 * JOBS })
      assert.equal(move.take(views, [UPSTREAM, OTHER_UPSTREAM]), undefined)
      move.finish()
      assert.equal(move.jobs, JOBS)
      for (const [shard, moved] of move.shards.entries()) {
        for (const [id, job] of jobsOf(moved.views)) {
          assert.deepEqual(job, before.get(id))
          assert.equal(shardOf((job as { route: number }).route, shards), shard)
          before.delete(id)
        }
      }
      assert.equal(before.size, 0)
    })
  }

  it('keep their order where accounts share a line, whatever shards and groups there are', () => {
    const { views } = filledBench()
    const [before] = orderOfUsers([views], new Map())
    const places = placesOf(views)
    const apart = moveTo({ ...views.limits, shards: 3 }, [views])
    // So few lanes that some are the upstream's last, and so many that there are more groups.
    for (const lanesMax of [8 + 60, 8 + 200]) {
      const together = moveTo({ ...views.limits, shards: 1, lanesMax }, apart)
      const [after, lanes] = orderOfUsers(together, places)
      assert.deepEqual(after, before)
      assert.ok(lanes.size > 2, 'too few lines are shared')
    }
  })

  it('are refused when there are fewer slots, or records would not fit, with numbers', () => {
    const { views } = filledBench()
    const few = new Move({ ...views.limits, jobsMax: 100 }).take(views, [])
    assert.deepEqual(few, { what: 'job slots', have: 100, shard: 0, jobs: 100 })
    const recordBytesMax = LOG_RECORD_HEADER_BYTES + 64
    const small = new Move({ ...views.limits, recordBytesMax }).take(views, [])
    assert.equal(small?.have, recordBytesMax)
  })
})
