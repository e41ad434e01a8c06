// Handles requests of the ingress ring: new jobs, queries, cancellations.
// Thread: shard. Memory: reads the ingress ring; makes slots, records and lanes of new jobs.
// Never: accepts what it has not stored: the answer "accepted" follows the write of the slot's
// state, and a refused job leaves no trace. A request whose answer has no space in the answer
// ring stays in the ingress ring, unchanged. One that a crashed thread was handling is handled
// completely, and answered once; one that crashes its thread repeatedly is dropped.

import { assert } from '../base/assert.ts'
import {
  type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot, msToUs,
} from '../base/units.ts'
import type { CrashNotes } from '../memory/crash-notes.ts'
import type { KeyCounts } from '../memory/key-counts.ts'
import type { ShardViews } from '../memory/layout.ts'
import {
  IDLE_KEEP_MS_MIN, QUESTIONS_PER_TURN_MAX, QUEUED_KEY_TTL_MS, SUSPECT_DEATHS_MAX,
} from '../memory/limits.ts'
import { keyOf, tenantOf } from '../memory/owner.ts'
import type { RingReader } from '../memory/ring.ts'
import type { StatsWriter } from '../memory/stats.ts'
import { LANE_TENANT, type Lanes } from '../pace/lanes.ts'
import type { Pacer } from '../pace/pacer.ts'
import type { SharedBudgets } from '../pace/shared-budget.ts'
import type { JobLog } from '../store/job-log.ts'
import type { JobRecords } from '../store/job-records.ts'
import {
  JOB_CANCELLED, JOB_COMPLETED, JOB_WEBHOOK_PENDING, JOB_QUEUED, JOB_RETRYING, JOB_UNWRITTEN,
  type JobSlots,
} from '../store/job-slots.ts'
import type { LogShares } from '../store/log-shares.ts'
import type { Transport } from '../transport/transport.ts'
import * as contract from '../wire/contract.ts'
import type { AnswerWriter } from './answer-writer.ts'
import type { Arrivals } from './arrivals.ts'
import { fingerprintOf } from './fingerprint.ts'
import type { Finished } from './finished.ts'
import type { JobSnapshots } from './job-snapshot.ts'
import type { ResultRoom } from './result-room.ts'
import type { Settlement } from './settlement.ts'
import type { Watchers } from './watchers.ts'

/** The parts that a request passes through. */
export interface IntakeParts {
  readonly ring: RingReader
  readonly answers: AnswerWriter
  readonly jobs: JobSlots
  readonly lanes: Lanes
  readonly log: JobLog
  readonly logShares: LogShares
  readonly keyCounts: KeyCounts
  readonly records: JobRecords
  readonly snapshots: JobSnapshots
  readonly pacer: Pacer
  readonly budgets: SharedBudgets
  readonly settlement: Settlement
  readonly finished: Finished
  readonly room: ResultRoom
  readonly watchers: Watchers
  readonly arrivals: Arrivals
  readonly notes: CrashNotes
  readonly stats: StatsWriter
  readonly transport: Transport
  /** Whether a known key must come with the same request. */
  readonly refusesReuse: boolean
}

/** Handles requests of the ring, one by one. */
export class Intake {
  readonly #parts: IntakeParts
  readonly #references: Uint32Array
  readonly #lastSendUs: Float64Array
  /** Crashes at the next request, while it is this thread's first; otherwise -1. */
  #crashesOfNext = -1
  /** Queries that this turn may still answer. */
  #questionsLeft = 0

  constructor(views: ShardViews, parts: IntakeParts) {
    this.#parts = parts
    this.#references = views.upstreams.references
    this.#lastSendUs = views.upstreams.lastSendUs
  }

  /**
   * After a crash: the thread may have been handling the next request.
   * @param crashes how many threads it has crashed.
   */
  recover(crashes: number): void {
    this.#crashesOfNext = crashes
  }

  /** The state that a successor starts from: crashes at the next request, or -1. */
  handOver(): number {
    return this.#crashesOfNext
  }

  takeOver(crashesOfNext: number): void {
    this.#crashesOfNext = crashesOfNext
  }

  /**
   * Handles up to `recordsMax` requests; fewer when the answer ring is full, or when
   * QUESTIONS_PER_TURN_MAX of them are queries and cancellations, which cost many times what a new
   * job does and would delay sends.
   */
  read(recordsMax: number, nowUs: Micros): number {
    this.#questionsLeft = QUESTIONS_PER_TURN_MAX
    return this.#parts.ring.read(
      (kind, offset, length) => this.#serve(kind, offset, length, nowUs), recordsMax)
  }

  /** True when the request is handled; false leaves it in the ring. */
  #serve(kind: number, offset: number, length: number, nowUs: Micros): boolean {
    const { notes, answers, ring } = this.#parts
    if (isQuestion(kind) && this.#questionsLeft-- === 0) return false
    notes.serveRequest()
    answers.beginRequest(ring.position, false)
    const isDone = this.#crashesOfNext < 0
      ? this.#handle(kind, offset, length, nowUs)
      : this.#handleAgain(kind, offset, length, nowUs)
    if (isDone) this.#crashesOfNext = -1
    notes.serveNone()
    return isDone
  }

  /** Handles a request that may have been handled before, up to any point. */
  #handleAgain(kind: number, offset: number, length: number, nowUs: Micros): boolean {
    const { answers, ring } = this.#parts
    const at = offset / 4
    const isEnqueue = kind === contract.INGRESS_ENQUEUE
    if (answers.hasAnswered(ring.position)) {
      // The same query may have another answer now, so only promised work is done.
      if (!answers.hasPromised(ring.position)) return true
      answers.beginRequest(ring.position, true)
      return this.#handle(kind, offset, length, nowUs)
    }
    if (isEnqueue && this.#find(at) !== NONE) {
      return answers.acceptedBefore(this.#word(at, contract.WORD_REQUEST))
    }
    if (this.#crashesOfNext < SUSPECT_DEATHS_MAX) return this.#handle(kind, offset, length, nowUs)
    if (kind === contract.INGRESS_UNWATCH) return true
    const request = this.#word(at, contract.WORD_REQUEST)
    return kind === contract.INGRESS_RELEASE_UPSTREAM
      ? answers.released(request, false)
      : answers.dropped(request)
  }

  #handle(kind: number, offset: number, length: number, nowUs: Micros): boolean {
    const at = offset / 4
    switch (kind) {
      case contract.INGRESS_ENQUEUE: return this.#enqueue(offset, length, nowUs)
      case contract.INGRESS_GET: return this.#get(at)
      case contract.INGRESS_CANCEL: return this.#cancel(at, nowUs)
      case contract.INGRESS_WATCH: return this.#watch(at, nowUs)
      case contract.INGRESS_UNWATCH: return this.#unwatch(at)
      case contract.INGRESS_RELEASE_UPSTREAM: return this.#releaseUpstream(at, nowUs)
      default: assert(false, `an ingress record of kind ${kind}`)
    }
  }

  // --- new jobs ---

  #enqueue(offset: number, length: number, nowUs: Micros): boolean {
    const { answers, jobs, keyCounts, logShares } = this.#parts
    if (!answers.hasRoom()) return false
    const at = offset / 4
    const request = this.#word(at, contract.WORD_REQUEST)
    const user = this.#word(at, contract.WORD_ROUTE)
    const holder = jobs.findByKey(tenantOf(this.#word(at, contract.WORD_OWNER)), user,
      this.#word(at, contract.WORD_KEY_HIGH), this.#word(at, contract.WORD_KEY_LOW))
    const start = offset + contract.ENQUEUE_HEADER_BYTES
    const fingerprint = fingerprintOf(this.#parts.ring, start,
      start + this.#word(at, contract.WORD_TEMPLATE_BYTES), offset + length)
    if (holder !== NONE && !this.#keyIsFree(holder as JobSlot, nowUs)) {
      return this.#answerKnown(request, holder as JobSlot, fingerprint)
    }
    // Both are checked before results are evicted for this job.
    const keyJobsMax = this.#word(at, contract.WORD_KEY_JOBS_MAX)
    if (keyJobsMax > 0) {
      const current = keyCounts.total(keyOf(this.#word(at, contract.WORD_OWNER)))
      if (current >= keyJobsMax) {
        return answers.refused(request, contract.REFUSED_KEY_JOBS, keyJobsMax, current)
      }
    }
    if (logShares.hasShare(user)) return this.#refuseMore(at, user, nowUs)
    const bytes = length - contract.ENQUEUE_HEADER_BYTES
    if (!this.#makeRoom(bytes, nowUs)) return this.#refuse(request)
    const slot = this.#store(offset, length)
    if (slot === NONE) return this.#refuse(request)
    jobs.at.fingerprint[slot] = fingerprint
    this.#enterLane(at, slot as JobSlot, nowUs)
    if (!answers.accepted(request)) return false
    this.#warn(at)
    return true
  }

  /** Called after the job's answer, whose space in the ring a warning must not take. */
  #warn(at: number): void {
    const { lanes, logShares, answers } = this.#parts
    const warning = lanes.takeWarning() ?? logShares.takeWarning()
    if (warning === undefined) return
    answers.warning(this.#word(at, contract.WORD_UPSTREAM) as UpstreamSlot, warning)
  }

  /** A key may be reused once it has expired; a queued job then keeps its place without it. */
  #keyIsFree(holder: JobSlot, nowUs: Micros): boolean {
    const { jobs, finished } = this.#parts
    const state = jobs.state(holder)
    if (state === JOB_QUEUED) {
      if (jobs.ageMs(holder, nowUs) < QUEUED_KEY_TTL_MS) return false
      jobs.freeKey(holder)
      return true
    }
    // While the webhook is pending, the slot's time is not yet the job's expiry.
    if (state !== JOB_COMPLETED || jobs.hasFlag(holder, JOB_WEBHOOK_PENDING)) return false
    if (!finished.isExpired(holder, nowUs)) return false
    jobs.freeKey(holder)
    return true
  }

  /** Answers a key that a job holds, for the same request or for another one. */
  #answerKnown(request: number, holder: JobSlot, fingerprint: number): boolean {
    const { jobs, answers, refusesReuse, stats, snapshots } = this.#parts
    if (refusesReuse && jobs.at.fingerprint[holder] !== fingerprint) {
      if (!answers.reused(request, holder)) return false
      stats.add('reusedKeys')
      return true
    }
    if (!answers.duplicate(request, holder, snapshots.result(holder))) return false
    stats.add('duplicates')
    return true
  }

  /** Ensures a slot and space in the log, evicting from the largest holders if necessary. */
  #makeRoom(bytes: number, nowUs: Micros): boolean {
    const { jobs, finished, room } = this.#parts
    return (!jobs.isFull || finished.giveUpOldest(nowUs)) && room.admitJob(bytes, nowUs)
  }

  #refuse(request: number): boolean {
    const { answers, jobs, log, stats } = this.#parts
    if (jobs.isFull) {
      stats.add('refusedJobs')
      return answers.refused(request, contract.REFUSED_JOBS, jobs.slotsMax, jobs.used)
    }
    stats.add('refusedMemory')
    return answers.refused(request, contract.REFUSED_MEMORY, log.usableBytes, log.heldBytes)
  }

  /** Refuses since the user has used up its share; if all slots are used, that is the reason. */
  #refuseMore(at: number, user: number, nowUs: Micros): boolean {
    const { finished, jobs, logShares, answers, stats } = this.#parts
    const request = this.#word(at, contract.WORD_REQUEST)
    if (jobs.isFull && finished.count === 0) return this.#refuse(request)
    const { current, limit } = logShares.facts(user)
    if (!answers.refused(request, contract.REFUSED_MEMORY_SHARE, limit, current)) return false
    stats.add('refusedMemoryShare')
    logShares.refuse(nowUs)
    this.#warn(at)
    return true
  }

  /** Stores a new job's slot and record; NONE when the log has no space after all. */
  #store(offset: number, length: number): JobSlot | typeof NONE {
    const { ring, jobs, records } = this.#parts
    const at = offset / 4
    const slot = jobs.take({
      route: this.#word(at, contract.WORD_ROUTE),
      idHigh: this.#word(at, contract.WORD_ID_HIGH), idLow: this.#word(at, contract.WORD_ID_LOW),
      keyHigh: this.#word(at, contract.WORD_KEY_HIGH),
      keyLow: this.#word(at, contract.WORD_KEY_LOW),
      owner: this.#word(at, contract.WORD_OWNER),
    })
    const start = offset + contract.ENQUEUE_HEADER_BYTES
    const bodyStart = start + this.#word(at, contract.WORD_TEMPLATE_BYTES)
    const hash = this.#word(at, contract.WORD_TEMPLATE_HASH)
    if (records.storeJob(slot, ring, start, bodyStart, offset + length, hash)) return slot
    jobs.abandon(slot)
    return NONE
  }

  /**
   * Gives a stored job its place in its lane. It becomes a job when its state is written: all facts
   * are written before that, all links and counts after it.
   */
  #enterLane(at: number, slot: JobSlot, nowUs: Micros): void {
    const {
      arrivals, jobs, keyCounts, lanes, logShares, pacer, records, watchers, stats,
    } = this.#parts
    const upstream = this.#word(at, contract.WORD_UPSTREAM) as UpstreamSlot
    const receiver = this.#word(at, contract.WORD_RECEIVER)
    const flags = this.#word(at, contract.WORD_FLAGS)
    const lane = lanes.find(this.#word(at, contract.WORD_LANE_HIGH),
      this.#word(at, contract.WORD_LANE_LOW), upstream, this.#word(at, contract.WORD_ROUTE), nowUs,
      jobs.tenant(slot) === 0 ? 0 : LANE_TENANT)
    if (lanes.isShared(lane)) stats.add('overflowJobs')
    jobs.at.lane[slot] = lane
    jobs.setAccepted(slot, nowUs)
    jobs.setRetriesMax(slot, flags >> contract.FLAG_RETRIES_SHIFT)
    jobs.setReceiver(slot, receiver as UpstreamSlot)
    if ((flags & contract.FLAG_BEGIN_BY) !== 0) {
      jobs.at.timeUs[slot] = msToUs(records.readJob(slot).executeBeforeMs)
    }
    if ((flags & contract.FLAG_WATCH) !== 0) watchers.watch(slot, nowUs)
    if ((flags & contract.FLAG_ACCOUNT_QUEUE) !== 0) pacer.setAccountQueues(upstream, true, nowUs)
    lanes.place(lane, slot, false)
    jobs.beginState(slot, JOB_QUEUED)
    logShares.add(slot, logShares.unitsOf(slot))
    keyCounts.add(slot)
    lanes.addReference(lane)
    this.#addReference(upstream)
    if (receiver !== NONE) this.#addReference(receiver as UpstreamSlot)
    arrivals.add(slot, nowUs)
  }

  // --- queries ---

  #get(at: number): boolean {
    const { answers, snapshots } = this.#parts
    const request = this.#word(at, contract.WORD_REQUEST)
    const slot = this.#findOwn(at)
    if (slot === NONE) return answers.job(request, contract.CODE_NOT_FOUND, null)
    return answers.job(request, contract.CODE_OK, snapshots.show(slot as JobSlot))
  }

  #cancel(at: number, nowUs: Micros): boolean {
    const { answers, snapshots, jobs } = this.#parts
    const request = this.#word(at, contract.WORD_REQUEST)
    const found = this.#findOwn(at)
    if (found === NONE) return answers.job(request, contract.CODE_NOT_FOUND, null)
    const slot = found as JobSlot
    // The job's id is not published yet: a caller that has guessed it waits until it is.
    if (jobs.hasFlag(slot, JOB_UNWRITTEN)) return false
    const state = jobs.state(slot)
    const waiting = state === JOB_QUEUED || state === JOB_RETRYING
    const code = waiting || state === JOB_CANCELLED
      ? contract.CODE_OK : contract.CODE_NOT_CANCELLABLE
    const snapshot = snapshots.show(slot)
    if (waiting) {
      delete snapshot.position
      delete snapshot.retry_at
      snapshot.status = 'cancelled'
    }
    if (!answers.job(request, code, snapshot, waiting)) return false
    if (waiting) this.#cancelWaiting(slot, state, nowUs)
    return true
  }

  #cancelWaiting(slot: JobSlot, state: number, nowUs: Micros): void {
    const { jobs, pacer, settlement } = this.#parts
    if (state === JOB_RETRYING) settlement.withdraw(slot)
    else pacer.withdraw(jobs.at.lane[slot] as LaneSlot, slot)
    settlement.finishWaiting(slot, 'cancelled', null, nowUs)
  }

  #watch(at: number, nowUs: Micros): boolean {
    const { answers, snapshots, watchers } = this.#parts
    const request = this.#word(at, contract.WORD_REQUEST)
    const found = this.#findOwn(at)
    if (found === NONE) return answers.job(request, contract.CODE_NOT_FOUND, null)
    const slot = found as JobSlot
    const snapshot = snapshots.show(slot)
    const over = snapshot.result !== undefined
    if (!over && !watchers.watch(slot, nowUs)) {
      return answers.job(request, contract.CODE_TOO_MANY_WATCHED, null)
    }
    return answers.job(request, contract.CODE_OK, snapshot)
  }

  #unwatch(at: number): boolean {
    const slot = this.#find(at)
    if (slot !== NONE) this.#parts.watchers.unwatch(slot as JobSlot)
    return true
  }

  /** An upstream's pace and limit are kept as long after its last send as a lane's. */
  #releaseUpstream(at: number, nowUs: Micros): boolean {
    const { answers, lanes, transport } = this.#parts
    const upstream = this.#word(at, contract.WORD_ROUTE) as UpstreamSlot
    const lastSendUs = this.#lastSendUs[upstream] as number
    const idle = lastSendUs === 0 || nowUs - lastSendUs >= msToUs(IDLE_KEEP_MS_MIN)
    const free = idle && this.#references[upstream] === 0
    if (!answers.released(this.#word(at, contract.WORD_REQUEST), free)) return false
    if (!free) return true
    lanes.releaseAllOf(upstream)
    transport.forget(upstream) // the slot may stand for another origin next
    this.#parts.budgets.touch(upstream)
    this.#lastSendUs[upstream] = 0
    return true
  }

  #find(at: number): JobSlot | typeof NONE {
    return this.#parts.jobs.findById(this.#word(at, contract.WORD_ROUTE),
      this.#word(at, contract.WORD_ID_HIGH), this.#word(at, contract.WORD_ID_LOW))
  }

  /** The job that a question is about, if it is the asking tenant's. */
  #findOwn(at: number): JobSlot | typeof NONE {
    const slot = this.#find(at)
    if (slot === NONE) return NONE
    const tenant = this.#parts.jobs.tenant(slot as JobSlot)
    return tenant === this.#word(at, contract.WORD_TENANT) ? slot : NONE
  }

  #word(at: number, word: number): number {
    return this.#parts.ring.u32[at + word] as number
  }

  #addReference(upstream: UpstreamSlot): void {
    const references = this.#references[upstream] as number
    // The journal must have the slot's origin before it has a job that refers to it.
    if (references === 0) this.#parts.budgets.touch(upstream)
    this.#references[upstream] = references + 1
  }
}

/** Whether a request costs many times what a new job does; the end of a watch does not. */
const isQuestion = (kind: number): boolean =>
  kind !== contract.INGRESS_ENQUEUE && kind !== contract.INGRESS_UNWATCH
