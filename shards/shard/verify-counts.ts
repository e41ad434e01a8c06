// Verifies counts against a full walk of a shard's slots, lanes and requests in flight.
// Thread: shard, between two turns. Memory: reads what the parts own.
// Never: changes anything, or runs in production: only under VERIFY, in the predecessor and the
// successor of a handover.

import { assert } from '../base/assert.ts'
import {
  type JobSlot, type LaneSlot, type Location, NONE, type UpstreamSlot,
} from '../base/units.ts'
import { ATTEMPT_JOB, UNCOUNTED } from '../job/attempts.ts'
import { HeldCounts } from '../memory/held-counts.ts'
import type { ShardViews } from '../memory/layout.ts'
import { LOG_USERS_COUNTED } from '../memory/limits.ts'
import { keyOf } from '../memory/owner.ts'
import { BODY_GIVEN_UP_BYTES_MIN } from '../memory/result-limits.ts'
import { LANE_ACTIVE } from '../pace/lanes.ts'
import {
  JOB_FREE, JOB_HOLDS_KEY, JOB_IN_FLIGHT, JOB_QUEUED, JOB_RETRYING, JOB_WATCHED,
  JOB_WEBHOOK_PENDING,
} from '../store/job-slots.ts'
import { recordBytes } from '../store/log-record.ts'
import { USER_BITS } from '../store/log-shares.ts'
import type { ShardParts } from './assembly.ts'

/** Asserts that the shard's counts, lists and indexes agree with its facts. O(slots). */
export function verifyCounts(parts: ShardParts, views: ShardViews): void {
  const walk = new Walk(parts, views)
  walk.lanes()
  walk.shares()
  walk.attempts()
  walk.jobs()
  walk.sums()
}

class Walk {
  readonly #parts: ShardParts
  readonly #views: ShardViews
  readonly #laneReferences = new Map<number, number>()
  readonly #references = new Map<number, number>()
  #states = { queued: 0, inFlight: 0, retrying: 0, undelivered: 0, finished: 0 }
  #used = 0
  #logUnits = 0
  readonly #userCounts = HeldCounts.make(LOG_USERS_COUNTED)
  readonly #users = new HeldCounts(this.#userCounts)
  readonly #keyJobs = new Map<number, number>()
  #watched = 0
  #resultBytes = 0
  readonly #undeliveredBytes = new Map<number, number>()
  #queuedInLane = 0
  #undeliveredInLane = 0
  #lanes = 0

  constructor(parts: ShardParts, views: ShardViews) {
    this.#parts = parts
    this.#views = views
  }

  lanes(): void {
    const { lanes, pacer } = this.#parts
    const { limits, upstreams } = this.#views
    const queued = new Map<number, number>()
    let active = 0
    for (let lane = 0; lane < limits.lanesMax; lane++) {
      if (lanes.at.flags[lane] === 0) continue
      this.#lanes++
      const count = this.#laneCount(lane as LaneSlot)
      assert(count === lanes.count(lane as LaneSlot), 'the jobs of a lane miscounted')
      const isActive = ((lanes.at.flags[lane] as number) & LANE_ACTIVE) !== 0
      assert(isActive === count > 0, 'an active lane has no jobs, or an inactive one has some')
      if (isActive) active++
      add(queued, lanes.at.upstream[lane] as number, count)
    }
    assert(active === pacer.activeLanes, 'active lanes miscounted')
    for (let upstream = 0; upstream < limits.upstreamsMax; upstream++) {
      assert(upstreams.queued[upstream] === (queued.get(upstream) ?? 0), 'queued jobs miscounted')
    }
  }

  shares(): void {
    const { lanes } = this.#parts
    const { limits } = this.#views
    const own = new Map<number, number>()
    const shared = new Map<number, number>()
    let used = 0
    for (let lane = limits.upstreamsMax; lane < limits.lanesMax; lane++) {
      if (lanes.at.flags[lane] === 0) continue
      used++
      add(lanes.isShared(lane as LaneSlot) ? shared : own, lanes.at.upstream[lane] as number, 1)
    }
    const { shares } = lanes.handOver()
    assert(shares.pool.used === used, 'lanes in use miscounted')
    for (let upstream = 0; upstream < limits.upstreamsMax; upstream++) {
      assert(shares.own[upstream] === (own.get(upstream) ?? 0), 'lanes of accounts miscounted')
      assert(shares.shared[upstream] === (shared.get(upstream) ?? 0), 'shared lanes miscounted')
    }
  }

  #laneCount(lane: LaneSlot): number {
    const { jobs, lanes } = this.#parts
    let count = 0
    for (let slot = lanes.first(lane); slot !== NONE; slot = jobs.at.next[slot] as JobSlot) {
      assert(jobs.at.lane[slot] === lane, 'a job is in the list of another lane')
      if (jobs.state(slot as JobSlot) === JOB_QUEUED) this.#queuedInLane++
      else if (jobs.hasFlag(slot as JobSlot, JOB_WEBHOOK_PENDING)) this.#undeliveredInLane++
      else assert(false, 'a job that does not wait is in a lane')
      count++
    }
    return count
  }

  attempts(): void {
    const { attempts, jobs, lanes } = this.#parts
    const { limits, upstreams } = this.#views
    const ofLane = new Map<number, number>()
    const ofUpstream = new Map<number, number>()
    const unwrittenNs = new Map<number, number>()
    for (const [attemptId, slot] of attempts.slot.entries()) {
      if (slot === NONE) continue
      add(ofLane, attempts.lane[attemptId] as number, 1)
      add(ofUpstream, attempts.upstream[attemptId] as number, 1)
      const counts = attempts.writing[attemptId] !== UNCOUNTED &&
        attempts.accountQueue[attemptId] === 0
      const intervalNs = counts ? attempts.intervalNs[attemptId] as number : 0
      add(unwrittenNs, attempts.upstream[attemptId] as number, intervalNs)
      const isJob = attempts.kind[attemptId] === ATTEMPT_JOB
      assert(isJob ? jobs.state(slot as JobSlot) === JOB_IN_FLIGHT
        : jobs.hasFlag(slot as JobSlot, JOB_WEBHOOK_PENDING), 'a request in flight without a job')
    }
    for (let lane = 0; lane < limits.lanesMax; lane++) {
      if (lanes.at.flags[lane] === 0) continue
      assert(lanes.at.inFlight[lane] === (ofLane.get(lane) ?? 0), 'a lane\'s requests miscounted')
    }
    for (let upstream = 0; upstream < limits.upstreamsMax; upstream++) {
      const held = ofUpstream.get(upstream) ?? 0
      assert(upstreams.inFlight[upstream] === held, 'attempts of an upstream miscounted')
      const about = unwrittenNs.get(upstream) ?? 0
      assert(upstreams.unwritten[upstream] === about, 'requests about to be written miscounted')
    }
  }

  jobs(): void {
    const { jobs, lanes, records } = this.#parts
    for (let index = 0; index < jobs.highWater; index++) {
      const slot = index as JobSlot
      const state = jobs.state(slot)
      if (state === JOB_FREE) continue
      this.#used++
      const { route, idHigh, idLow, keyHigh, keyLow } = jobs.at
      const words = [route, idHigh, idLow, keyHigh, keyLow].map((word) => word[slot] as number)
      const [of = 0, high = 0, low = 0, keyOne = 0, keyTwo = 0] = words
      assert(jobs.findById(of, high, low) === slot, 'a job is not found by its id')
      const holds = jobs.hasFlag(slot, JOB_HOLDS_KEY)
      assert((jobs.findByKey(jobs.tenant(slot), of, keyOne, keyTwo) === slot) === holds,
        'a key leads elsewhere')
      if (jobs.hasFlag(slot, JOB_WATCHED)) this.#watched++
      if (state <= JOB_RETRYING) this.#unfinished(slot, state)
      else if (jobs.hasFlag(slot, JOB_WEBHOOK_PENDING)) {
        this.#states.undelivered++
        this.#count(slot, this.#parts.logShares.unitsPending)
        this.#referTo(slot)
        const bytes = records.bodyBytesOf(slot)
        const receiver = lanes.at.upstream[jobs.at.lane[slot] as number] as number
        if (bytes >= BODY_GIVEN_UP_BYTES_MIN) add(this.#undeliveredBytes, receiver, bytes)
      } else {
        this.#states.finished++
        this.#resultBytes += records.bytesOf(slot)
      }
    }
  }

  #unfinished(slot: JobSlot, state: number): void {
    if (state === JOB_QUEUED) this.#states.queued++
    else if (state === JOB_RETRYING) this.#states.retrying++
    else this.#states.inFlight++
    this.#count(slot, this.#parts.logShares.unitsOf(slot))
    this.#referTo(slot)
    add(this.#keyJobs, keyOf(this.#parts.jobs.at.owner[slot] as number), 1)
    const receiver = this.#parts.jobs.receiver(slot)
    if (receiver !== NONE) add(this.#references, receiver, 1)
  }

  #count(slot: JobSlot, units: number): void {
    const user = this.#parts.jobs.at.route[slot] as number
    this.#logUnits += units
    this.#users.add(user >>> USER_BITS, user, units)
  }

  #referTo(slot: JobSlot): void {
    const lane = this.#parts.jobs.at.lane[slot] as LaneSlot
    add(this.#laneReferences, lane, 1)
    add(this.#references, this.#parts.lanes.at.upstream[lane] as UpstreamSlot, 1)
  }

  sums(): void {
    const {
      attempts, finished, jobs, lanes, logShares, undelivered: bodies, settlement, watchers,
    } = this.#parts
    const { limits, upstreams } = this.#views
    const { queued, inFlight, retrying, undelivered, finished: done } = this.#states
    assert(jobs.used === this.#used, 'job slots miscounted')
    assert(lanes.used === this.#lanes, 'lanes miscounted')
    assert(queued === this.#queuedInLane, 'a queued job is in no lane')
    assert(undelivered === settlement.webhooksPending, 'webhooks miscounted')
    const delivering = attempts.inFlight - attempts.jobsInFlight
    assert(settlement.retrying === retrying + undelivered - this.#undeliveredInLane - delivering,
      'waiting retries miscounted')
    const unstored = inFlight - attempts.jobsInFlight
    assert(unstored >= 0 && (unstored > 0) === settlement.isBlocked, 'jobs in flight miscounted')
    assert(finished.count === done, 'finished jobs miscounted')
    assert(finished.resultBytes === this.#resultBytes, 'bytes of results miscounted')
    assert(watchers.count === this.#watched, 'watched jobs miscounted')
    this.#templates()
    const { pool, users } = logShares.handOver()
    assert(pool.used === this.#logUnits, 'log space miscounted')
    assert(users.every((units, at) => units === this.#userCounts[at]), 'a user\'s log miscounted')
    for (const [key, count] of this.#views.keyJobs.entries()) {
      assert(key === 0 || count === (this.#keyJobs.get(key) ?? 0), 'jobs of a key miscounted')
    }
    for (let lane = 0; lane < limits.lanesMax; lane++) {
      if (lanes.at.flags[lane] === 0) continue
      const named = this.#laneReferences.get(lane) ?? 0
      assert(lanes.at.references[lane] === named, 'references of a lane miscounted')
    }
    for (let upstream = 0; upstream < limits.upstreamsMax; upstream++) {
      const named = this.#references.get(upstream) ?? 0
      assert(upstreams.references[upstream] === named, 'references of an upstream miscounted')
      const held = this.#undeliveredBytes.get(upstream) ?? 0
      assert(bodies.bytesOf(upstream as UpstreamSlot) === held, 'bodies of a receiver miscounted')
    }
  }

  #templates(): void {
    const { log, templates } = this.#parts
    let used = 0
    let bytes = 0
    for (const at of this.#views.templates.location) {
      if (at === NONE) continue
      used++
      bytes += recordBytes(log.lengthOf(at as Location))
    }
    assert(templates.used === used, 'templates miscounted')
    assert(templates.bytes === bytes, 'bytes of templates miscounted')
  }
}

function add(counts: Map<number, number>, of: number, amount: number): void {
  counts.set(of, (counts.get(of) ?? 0) + amount)
}
