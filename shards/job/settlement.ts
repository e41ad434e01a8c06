// What becomes of a job after an attempt: a retry that waits, or a result stored and reported.
// Thread: shard. Memory: the retry wheel (through the slots' own links); job state.
// Never: loses a result: one that the full log cannot take waits here, and while any does
// nothing new is sent or found overdue, so that what is in flight is all that can ever wait. Nor
// tells a receiver what the journal has not heard: a killed process would execute the job again.

import { type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot } from '../base/units.ts'
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

/** A result that waits for room. */
interface Unstored {
  readonly template: DecodedTemplate
  readonly result: StoredResult
}

/** Who waits for a retry, and the results that found no room. */
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
  /** Owe a webhook, and the journal does not have their result yet: in no line until it has. */
  readonly #unjournalled: JobSlot[] = []
  #retrying = 0
  #webhooksPending = 0

  /** @param isJournalled whether webhooks wait until releaseWebhooks() says that they may go. */
  constructor(
    views: ShardViews, parts: SettlementParts, isJournalled: boolean, nowUs: Micros,
  ) {
    this.#parts = parts
    this.#isJournalled = isJournalled
    this.#references = views.upstreams.references
    this.#retries = new Wheel(
      { next: views.jobs.next, prev: views.jobs.prev, dueUs: views.jobs.timeUs }, nowUs)
  }

  /** What a successor on the same memory begins with. Not to be used after it. */
  handOver(): SettlementBaton {
    const unstored = new Map<JobSlot, Unstored>()
    for (const [slot, { template, result }] of this.#unstored) {
      // A body may be a part of something larger, which need not be copied with it.
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

  /** Finished jobs whose webhook is not done with. */
  get webhooksPending(): number {
    return this.#webhooksPending
  }

  /** Of those, they whose result the journal had not been given when last asked. */
  get unjournalled(): number {
    return this.#unjournalled.length
  }

  /** The journal has the results of the first so many: their webhooks stand in line from now. */
  releaseWebhooks(count: number, nowUs: Micros): void {
    const { jobs, pacer } = this.#parts
    for (const slot of this.#unjournalled.splice(0, count)) {
      pacer.enqueue(jobs.at.lane[slot] as LaneSlot, slot, false, nowUs)
    }
  }

  /** Whether a result waits for room; nothing new may be sent until none does. */
  get isBlocked(): boolean {
    return this.#unstored.size > 0
  }

  /** After another thread's death: a job or a webhook waits for the time that its slot names. */
  adoptWait(slot: JobSlot): void {
    this.#schedule(slot, this.#parts.jobs.at.timeUs[slot] as Micros)
  }

  /** And a finished job owes its webhook. */
  adoptPending(slot: JobSlot): void {
    const { jobs, lanes, logShares, undelivered } = this.#parts
    this.#webhooksPending++
    logShares.add(slot, logShares.unitsPending)
    const lane = jobs.at.lane[slot] as LaneSlot
    undelivered.add(slot, lanes.at.upstream[lane] as UpstreamSlot)
  }

  /** The job waits until `dueUs`, then goes to the front of its lane and waits for its turn. */
  retryAt(slot: JobSlot, dueUs: Micros): void {
    const { jobs, stats } = this.#parts
    stats.add('retries')
    jobs.touch(slot)
    jobs.at.timeUs[slot] = dueUs
    jobs.setState(slot, JOB_RETRYING)
    this.#schedule(slot, dueUs)
  }

  /** A finished job's webhook waits until `dueUs` for its next delivery. */
  redeliverAt(slot: JobSlot, dueUs: Micros): void {
    this.#schedule(slot, dueUs)
  }

  /** Takes a job out of the wheel that waits for its retry. */
  withdraw(slot: JobSlot): void {
    this.#retrying--
    this.#retries.cancel(slot)
  }

  /** Sends the retries that are due back to their lanes. */
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

  /** The result of a job that was waiting, and waits no more; see finish(). */
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
   * The job's result: stored, told to who watches, and sent to its webhook. The job must be in
   * no lane and no wheel. A job that was cancelled has nobody to report to but who asks.
   * @param template the job's, as JobRecords.readTemplate() gives it.
   */
  finish(
    slot: JobSlot, template: DecodedTemplate, result: StoredResult, nowUs: Micros,
  ): void {
    const { jobs, lanes, logShares, records, room } = this.#parts
    const units = logShares.unitsOf(slot)
    if (!room.store(slot, template, result, nowUs)) {
      if (result.status !== 'cancelled') return this.#keepUnstored(slot, { template, result })
      records.free(slot) // the slot alone says that a job was cancelled
    }
    logShares.drop(slot, units)
    const lane = jobs.at.lane[slot] as LaneSlot
    lanes.dropReference(lane)
    this.#addReference(lanes.at.upstream[lane] as UpstreamSlot, -1)
    if (template.receiver !== NONE) this.#addReference(template.receiver as UpstreamSlot, -1)
    this.conclude(slot, result, template.receiver, nowUs)
  }

  /**
   * What follows once the result is stored: also for a thread that has taken over from one which
   * had come so far. The job names no lane and no upstream yet. All that its state will say is
   * written before the state.
   */
  conclude(
    slot: JobSlot, result: Pick<StoredResult, 'status' | 'responseStatus' | 'reason'>,
    receiver: number, nowUs: Micros,
  ): void {
    const { jobs, lanes, finished, logShares, undelivered, watchers, stats, pacer } = this.#parts
    const owes = receiver !== NONE && result.status !== 'cancelled'
    const lane = owes ? lanes.ofReceiver(receiver as UpstreamSlot) : NONE as LaneSlot
    jobs.touch(slot)
    jobs.at.timeUs[slot] = Infinity
    jobs.setResponseStatus(slot, result.responseStatus)
    if (result.reason !== null) jobs.setReason(slot, result.reason)
    if (owes) {
      jobs.setFlag(slot, JOB_WEBHOOK_PENDING, true)
      jobs.at.lane[slot] = lane
      lanes.place(lane, slot, false)
    }
    jobs.setState(slot, STATE_OF[result.status])
    stats.add(result.status)
    if (result.status !== 'completed') jobs.freeKey(slot)
    watchers.finished(slot)
    if (!owes) return finished.add(slot, nowUs)
    lanes.addReference(lane)
    this.#addReference(receiver as UpstreamSlot, 1)
    this.#webhooksPending++
    logShares.add(slot, logShares.unitsPending)
    undelivered.add(slot, receiver as UpstreamSlot)
    if (this.#isJournalled) this.#unjournalled.push(slot)
    else pacer.enqueue(lane, slot, false, nowUs)
  }

  /**
   * The webhook was delivered or given up; the job is kept for polls.
   * @param status of the receiver's last answer, 0 for none.
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

  /** In no line and no wheel any more, the job must not look as if it could be taken out of one. */
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
