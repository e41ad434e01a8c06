// Settles a job after an attempt: schedules a retry, or stores and reports its result.
// Thread: shard. Memory: the retry wheel (through the slots' own links); job state.
// Never: loses a result: one that does not fit into the full log waits here, and meanwhile nothing
// new is sent or found overdue, so that only results of requests in flight can wait. Never delivers
// a webhook before the journal has its result: a killed process would execute the job again.

import { type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot } from '../base/units.ts'
import type { KeyCounts } from '../memory/key-counts.ts'
import type { ShardViews } from '../memory/layout.ts'
import { EXPIRED_PER_TURN_MAX } from '../memory/limits.ts'
import type { StatsWriter } from '../memory/stats.ts'
import { Wheel, type WheelBaton } from '../memory/wheel.ts'
import type { Lanes } from '../pace/lanes.ts'
import type { Pacer } from '../pace/pacer.ts'
import type { DecodedTemplate } from '../store/decoded-templates.ts'
import type { JobRecords } from '../store/job-records.ts'
import {
  JOB_CANCELLED, JOB_COMPLETED, JOB_FAILED, JOB_IN_FLIGHT, JOB_WEBHOOK_PENDING, JOB_QUEUED,
  JOB_RETRYING, type JobSlots,
} from '../store/job-slots.ts'
import type { LogShares } from '../store/log-shares.ts'
import type { StoredResult } from '../store/stored-result.ts'
import type { UndeliveredResults } from '../store/undelivered-results.ts'
import type { Reason } from '../wire/reasons.ts'
import type { Finished } from './finished.ts'
import type { ResultRoom } from './result-room.ts'
import type { Watchers } from './watchers.ts'

/** The parts that a result passes through. */
export interface SettlementParts {
  readonly jobs: JobSlots
  readonly lanes: Lanes
  readonly logShares: LogShares
  readonly keyCounts: KeyCounts
  readonly records: JobRecords
  readonly finished: Finished
  readonly undelivered: UndeliveredResults
  readonly room: ResultRoom
  readonly watchers: Watchers
  readonly stats: StatsWriter
  readonly pacer: Pacer
}

const STATE_OF = {
  completed: JOB_COMPLETED, failed: JOB_FAILED, cancelled: JOB_CANCELLED,
} as const

/** A result that waits for space in the log. */
interface Unstored {
  readonly template: DecodedTemplate
  readonly result: StoredResult
}

/** The retry wheel, counts, and the results that wait for space. */
export interface SettlementBaton {
  readonly retries: WheelBaton
  readonly retrying: number
  readonly webhooksPending: number
  readonly unstored: ReadonlyMap<JobSlot, Unstored>
}

/** Retries and results of one shard. */
export class Settlement {
  readonly #parts: SettlementParts
  readonly #references: Uint32Array
  readonly #retries: Wheel
  readonly #unstored = new Map<JobSlot, Unstored>()
  readonly #isJournalled: boolean
  /** Jobs with a pending webhook whose result is not journalled yet: not in a lane until it is. */
  readonly #unjournalled: JobSlot[] = []
  #retrying = 0
  #webhooksPending = 0

  /** @param isJournalled whether webhooks wait for releaseWebhooks(). */
  constructor(
    views: ShardViews, parts: SettlementParts, isJournalled: boolean, nowUs: Micros,
  ) {
    this.#parts = parts
    this.#isJournalled = isJournalled
    this.#references = views.upstreams.references
    this.#retries = new Wheel(
      { next: views.jobs.next, prev: views.jobs.prev, dueUs: views.jobs.timeUs }, nowUs)
  }

  /** The state a successor on the same memory starts from. Not to be used after it. */
  handOver(): SettlementBaton {
    const unstored = new Map<JobSlot, Unstored>()
    for (const [slot, { template, result }] of this.#unstored) {
      // A body may be a view of a larger buffer, which need not be cloned with it.
      const body = result.body === null ? null : Uint8Array.from(result.body)
      unstored.set(slot, { template, result: { ...result, body } })
    }
    return {
      retries: this.#retries.handOver(), retrying: this.#retrying,
      webhooksPending: this.#webhooksPending, unstored,
    }
  }

  takeOver(baton: SettlementBaton): void {
    this.#retries.takeOver(baton.retries)
    this.#retrying = baton.retrying
    this.#webhooksPending = baton.webhooksPending
    for (const [slot, result] of baton.unstored) this.#unstored.set(slot, result)
  }

  /** Jobs and webhooks that wait for their next attempt's time. */
  get retrying(): number {
    return this.#retrying
  }

  /** Finished jobs with a pending webhook. */
  get webhooksPending(): number {
    return this.#webhooksPending
  }

  /** Of those, jobs whose result waits for its journal batch. */
  get unjournalled(): number {
    return this.#unjournalled.length
  }

  /** The journal has the results of the first so many: their webhooks enter their lanes. */
  releaseWebhooks(count: number, nowUs: Micros): void {
    const { jobs, pacer } = this.#parts
    for (const slot of this.#unjournalled.splice(0, count)) {
      pacer.enqueue(jobs.at.lane[slot] as LaneSlot, slot, false, nowUs)
    }
  }

  /** Whether a result waits for space; nothing new may be sent meanwhile. */
  get isBlocked(): boolean {
    return this.#unstored.size > 0
  }

  /** After a crash: a job or a webhook waits for the time in its slot. */
  adoptWait(slot: JobSlot): void {
    this.#schedule(slot, this.#parts.jobs.at.timeUs[slot] as Micros)
  }

  /** After a crash: a finished job has a pending webhook. */
  adoptPending(slot: JobSlot): void {
    const { jobs, lanes, logShares, undelivered } = this.#parts
    this.#webhooksPending++
    logShares.add(slot, logShares.unitsPending)
    const lane = jobs.at.lane[slot] as LaneSlot
    undelivered.add(slot, lanes.at.upstream[lane] as UpstreamSlot)
  }

  /** The job waits until `dueUs`, then is queued at the front of its lane. */
  retryAt(slot: JobSlot, dueUs: Micros): void {
    const { jobs, stats } = this.#parts
    stats.add('retries')
    jobs.touch(slot)
    jobs.at.timeUs[slot] = dueUs
    jobs.setState(slot, JOB_RETRYING)
    this.#schedule(slot, dueUs)
  }

  /** A finished job's webhook waits until `dueUs` for its next delivery attempt. */
  redeliverAt(slot: JobSlot, dueUs: Micros): void {
    this.#schedule(slot, dueUs)
  }

  /** Removes a job that waits for its retry from the wheel. */
  withdraw(slot: JobSlot): void {
    this.#retrying--
    this.#retries.cancel(slot)
  }

  /** Moves retries that are due back to their lanes. */
  advance(nowUs: Micros): boolean {
    this.#storeWaiting(nowUs)
    return this.#retries.advance(nowUs, (item) => {
      this.#retrying--
      const slot = item as JobSlot
      const { jobs, lanes, pacer } = this.#parts
      const lane = jobs.at.lane[slot] as LaneSlot
      jobs.touch(slot)
      jobs.at.timeUs[slot] = Infinity
      lanes.place(lane, slot, true)
      if (jobs.state(slot) === JOB_RETRYING) jobs.setState(slot, JOB_QUEUED)
      pacer.enqueue(lane, slot, true, nowUs)
    }, EXPIRED_PER_TURN_MAX) > 0
  }

  nextUs(): Micros {
    return this.#retries.nextUs()
  }

  /** Finishes a job that was waiting and is removed from its lane or wheel; see finish(). */
  finishWaiting(
    slot: JobSlot, status: 'failed' | 'cancelled', reason: Reason | null, nowUs: Micros,
  ): void {
    const { records } = this.#parts
    this.finish(slot, records.readTemplate(slot), {
      createdAtMs: records.createdAtMs(slot), status, responseStatus: 0, reason, body: null,
      truncated: false,
    }, nowUs)
  }

  /**
   * Stores the job's result, reports it to watchers and sends it to its webhook. The job must be in
   * no lane and no wheel. A cancelled job's result is not sent to its webhook.
   * @param template the job's, as returned by JobRecords.readTemplate().
   */
  finish(
    slot: JobSlot, template: DecodedTemplate, result: StoredResult, nowUs: Micros,
  ): void {
    const { jobs, keyCounts, lanes, logShares, records, room } = this.#parts
    const units = logShares.unitsOf(slot)
    if (!room.store(slot, template, result, nowUs)) {
      if (result.status !== 'cancelled') return this.#keepUnstored(slot, { template, result })
      records.free(slot) // for a cancelled job the slot alone is enough
    }
    logShares.drop(slot, units)
    keyCounts.drop(slot)
    const lane = jobs.at.lane[slot] as LaneSlot
    lanes.dropReference(lane)
    this.#addReference(lanes.at.upstream[lane] as UpstreamSlot, -1)
    if (template.receiver !== NONE) this.#addReference(template.receiver as UpstreamSlot, -1)
    this.finalize(slot, result, template.receiver, nowUs)
  }

  /**
   * Finalizes a job once its result is stored; also called by recovery for a thread that crashed at
   * this point. The job refers to no lane and no upstream yet. All facts that belong to its new
   * state are written before the state.
   */
  finalize(
    slot: JobSlot, result: Pick<StoredResult, 'status' | 'responseStatus' | 'reason'>,
    receiver: number, nowUs: Micros,
  ): void {
    const { jobs, lanes, finished, logShares, undelivered, watchers, stats, pacer } = this.#parts
    const isPending = receiver !== NONE && result.status !== 'cancelled'
    const lane = isPending ? lanes.ofReceiver(receiver as UpstreamSlot) : NONE as LaneSlot
    jobs.touch(slot)
    jobs.at.timeUs[slot] = Infinity
    jobs.setResponseStatus(slot, result.responseStatus)
    if (result.reason !== null) jobs.setReason(slot, result.reason)
    if (isPending) {
      jobs.setFlag(slot, JOB_WEBHOOK_PENDING, true)
      jobs.at.lane[slot] = lane
      lanes.place(lane, slot, false)
    }
    jobs.setState(slot, STATE_OF[result.status])
    stats.add(result.status)
    if (result.status !== 'completed') jobs.freeKey(slot)
    watchers.finished(slot)
    if (!isPending) return finished.add(slot, nowUs)
    lanes.addReference(lane)
    this.#addReference(receiver as UpstreamSlot, 1)
    this.#webhooksPending++
    logShares.add(slot, logShares.unitsPending)
    undelivered.add(slot, receiver as UpstreamSlot)
    if (this.#isJournalled) this.#unjournalled.push(slot)
    else pacer.enqueue(lane, slot, false, nowUs)
  }

  /**
   * The webhook was delivered, or has failed for the last time; the job is kept for polls.
   * @param status of the receiver's last response, 0 for none.
   */
  webhookDone(slot: JobSlot, status: number, nowUs: Micros): void {
    const { jobs, lanes, finished, logShares, undelivered } = this.#parts
    const lane = jobs.at.lane[slot] as LaneSlot
    const receiver = lanes.at.upstream[lane] as UpstreamSlot
    jobs.setWebhookDone(slot, status)
    this.#webhooksPending--
    logShares.drop(slot, logShares.unitsPending)
    undelivered.remove(slot, receiver)
    this.#addReference(receiver, -1)
    lanes.dropReference(lane)
    finished.add(slot, nowUs)
  }

  /** The job is in no lane and no wheel; with this state nothing tries to remove it from one. */
  #keepUnstored(slot: JobSlot, result: Unstored): void {
    this.#parts.jobs.setState(slot, JOB_IN_FLIGHT)
    this.#unstored.set(slot, result)
  }

  #schedule(slot: JobSlot, dueUs: Micros): void {
    this.#retrying++
    this.#parts.jobs.touch(slot)
    this.#retries.schedule(slot, dueUs)
  }

  #storeWaiting(nowUs: Micros): void {
    for (const [slot, { template, result }] of this.#unstored) {
      this.#unstored.delete(slot)
      this.finish(slot, template, result, nowUs)
      if (this.#unstored.has(slot)) return
    }
  }

  #addReference(upstream: UpstreamSlot, amount: number): void {
    this.#references[upstream] = (this.#references[upstream] as number) + amount
  }
}
