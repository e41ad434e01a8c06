// Recovery, after a shard's thread has crashed or its memory was restored from a journal: rebuilds
// lists, wheels, indexes and counts from the facts, and completes half-done changes.
// Thread: shard, before its first turn. Memory: what the parts own; temporarily 24 bytes per job.
// Never: decodes a job's record or allocates for a job, except for the few that were half finished,
// are watched, or are the crash suspect. May itself be interrupted at any store: the next recovery
// starts over. The table in docs/ARCHITECTURE.md says which store decides each change; this file
// implements its last column.

import type { Clock } from '../base/clock.ts'
import { radixSort, sortByTime } from '../base/radix-sort.ts'
import {
  type JobSlot, type LaneSlot, type Location, type Micros, NONE, US_PER_MS, type UpstreamSlot,
} from '../base/units.ts'
import { finishGivingBack } from '../job/arrivals.ts'
import type { CrashSuspect } from '../memory/crash-notes.ts'
import type { ShardViews } from '../memory/layout.ts'
import { SUSPECT_DEATHS_MAX } from '../memory/limits.ts'
import { LOG_TEMPLATE } from '../store/job-log.ts'
import {
  JOB_CANCELLED, JOB_FAILED, JOB_FREE, JOB_HOLDS_KEY, JOB_IN_FLIGHT, JOB_QUEUED, JOB_RETRYING,
  JOB_UNWRITTEN, JOB_WATCHED, JOB_WEBHOOK_PENDING,
} from '../store/job-slots.ts'
import type { Recovered } from '../wire/contract.ts'
import { jobIdText } from '../wire/job-id.ts'
import type { ShardParts } from './assembly.ts'

/** Orders wrap: all jobs of a lane are within half of the range around its next order. */
const ORDER_MIDDLE = 2 ** 31

/** Rebuilds the parts' state, after assembly and before any other use. */
export function recoverShard(
  parts: ShardParts, views: ShardViews, nowUs: Micros, clock: Clock,
): Recovered {
  const { ingress, answers, notes } = parts
  const suspect = notes.crashSuspect(ingress.position)
  notes.begin()
  answers.recover()
  finishGivingBack(views, parts.jobs, parts.giveBack)
  if (suspect.kind === 'job') setAsideUnread(parts, suspect)
  const recovery = new Recovery(parts, views, nowUs)
  recovery.run()
  const setAside = recovery.setAside(suspect)
  return { ...recovery.counts, setAside, ms: (clock.nowUs() - nowUs) / US_PER_MS }
}

/** Fails a job whose record crashes its readers, by its slot alone, without reading the record. */
function setAsideUnread(
  { jobs }: ShardParts, { slot, deaths }: CrashSuspect & { kind: 'job' },
): void {
  const state = jobs.state(slot)
  if (deaths <= SUSPECT_DEATHS_MAX || state === JOB_FREE) return
  jobs.touch(slot)
  jobs.at.location[slot] = NONE
  jobs.at.timeUs[slot] = Infinity
  if (jobs.hasFlag(slot, JOB_WEBHOOK_PENDING)) jobs.setWebhookDone(slot, 0)
  if (state > JOB_RETRYING) return
  jobs.setResponseStatus(slot, 0)
  jobs.setReason(slot, 'shard_crash')
  jobs.setState(slot, JOB_FAILED)
}

class Recovery {
  readonly counts = { jobs: 0, inFlight: 0, webhooks: 0, finished: 0 }
  readonly #parts: ShardParts
  readonly #references: Uint32Array
  readonly #nowUs: Micros
  /** Slots of queued jobs, from the end down, with their places; finished jobs from the start. */
  readonly #slots: Uint32Array
  readonly #places: Uint32Array
  #queuedFrom: number
  #finishedCount = 0
  /** Jobs in flight, or between a retry's wait and its lane. */
  readonly #recalled: JobSlot[] = []
  /** Jobs with a result, or cancelled without one, whose state does not say so yet. */
  readonly #finalized = new Set<JobSlot>()
  /** Finished jobs without an expiry yet. */
  readonly #untimed: JobSlot[] = []
  readonly #watched: JobSlot[] = []
  readonly #watchedInFlight = new Set<JobSlot>()

  constructor(parts: ShardParts, views: ShardViews, nowUs: Micros) {
    this.#parts = parts
    this.#references = views.upstreams.references
    this.#nowUs = nowUs
    parts.jobs.recover()
    this.#queuedFrom = parts.jobs.highWater
    this.#slots = new Uint32Array(this.#queuedFrom)
    this.#places = new Uint32Array(this.#queuedFrom)
  }

  run(): void {
    const {
      budgets, finished, jobs, keyCounts, lanes, logShares, pacer, templates, watchers, unwritten,
    } = this.#parts
    this.#recoverLog()
    templates.finishRecovery()
    budgets.recover()
    unwritten.clear()
    lanes.recover()
    logShares.recover()
    keyCounts.recover()
    this.#references.fill(0)
    for (let slot = jobs.highWater - 1; slot >= 0; slot--) this.#recoverJob(slot as JobSlot)
    jobs.index()
    this.#linkLanes()
    this.#keepFinished()
    lanes.settleIdle()
    pacer.recover(this.#nowUs)
    for (const slot of this.#watched) {
      watchers.adopt(slot, this.#watchedInFlight.has(slot), this.#nowUs)
    }
    for (const slot of this.#finalized) this.#finalize(slot)
    for (const slot of this.#untimed) finished.add(slot, this.#nowUs)
  }

  /**
   * Sets the crash suspect aside if it has crashed its shard too often: fails a job, or ends its
   * webhook; a request will be dropped. @returns the job's id, or 'request'; null for none.
   */
  setAside(suspect: CrashSuspect): string | null {
    const { intake, jobs, pacer, notes, settlement, stats } = this.#parts
    intake.recover(suspect.kind === 'request' ? suspect.deaths : 0)
    if (suspect.kind === 'nobody' || suspect.deaths < SUSPECT_DEATHS_MAX) return null
    if (suspect.kind === 'request') return suspect.kind
    const { slot } = suspect
    const state = jobs.state(slot)
    const isPending = jobs.hasFlag(slot, JOB_WEBHOOK_PENDING)
    if (state === JOB_FREE || this.#finalized.has(slot)) return null
    if (state > JOB_RETRYING && !isPending) return null
    notes.serve(slot)
    const isInWheel = state !== JOB_QUEUED && jobs.at.timeUs[slot] !== Infinity
    if (isInWheel) settlement.withdraw(slot)
    else pacer.withdraw(jobs.at.lane[slot] as LaneSlot, slot)
    if (isPending) {
      stats.add('webhooksFailed')
      settlement.webhookDone(slot, 0, this.#nowUs)
    } else {
      settlement.finishWaiting(slot, 'failed', 'shard_crash', this.#nowUs)
    }
    notes.serveNone()
    return jobIdText(jobs.at, slot)
  }

  /** Recovers the log by the owners' facts, and counts references to templates on the way. */
  #recoverLog(): void {
    const { jobs, log, records } = this.#parts
    log.recover({
      isLive: (kind: number, owner: number, at: Location): boolean => {
        if (!records.isLive(kind, owner, at)) return false
        if (kind === LOG_TEMPLATE) return true
        const slot = owner as JobSlot
        records.recoverReference(slot)
        if (jobs.state(slot) <= JOB_RETRYING && records.hasResult(slot)) this.#finalized.add(slot)
        return true
      },
      moved: () => {},
    })
  }

  #recoverJob(slot: JobSlot): void {
    const { jobs } = this.#parts
    const state = jobs.state(slot)
    if (state === JOB_FREE) return jobs.adoptFree(slot)
    if (jobs.hasFlag(slot, JOB_UNWRITTEN)) this.#adoptArrival(slot)
    if (state === JOB_FAILED || state === JOB_CANCELLED) jobs.setFlag(slot, JOB_HOLDS_KEY, false)
    if (jobs.hasFlag(slot, JOB_WATCHED)) this.#watched.push(slot)
    if (state > JOB_RETRYING) return this.#recoverFinished(slot)
    if (jobs.at.location[slot] === NONE) this.#finalized.add(slot)
    const isFinalized = this.#finalized.size > 0 && this.#finalized.has(slot)
    if (!isFinalized) this.#recoverUnfinished(slot, state)
  }

  /** A job that is not journalled may be queued: nothing is sent before everything is written. */
  #adoptArrival(slot: JobSlot): void {
    const { jobs, stats } = this.#parts
    jobs.noteWritten(slot)
    stats.add('accepted')
  }

  #recoverUnfinished(slot: JobSlot, state: number): void {
    const { jobs, keyCounts, logShares, overdue, settlement } = this.#parts
    const timeUs = jobs.at.timeUs[slot] as Micros
    this.#referToLane(jobs.at.lane[slot] as LaneSlot)
    const receiver = jobs.receiver(slot)
    if (receiver !== NONE) this.#referTo(receiver as UpstreamSlot)
    logShares.add(slot, logShares.unitsOf(slot))
    keyCounts.add(slot)
    this.counts.jobs++
    if (state === JOB_QUEUED) {
      this.#addQueued(slot)
      if (timeUs !== Infinity) overdue.expect(this.#nowUs)
    } else if (state === JOB_RETRYING && timeUs !== Infinity) {
      settlement.adoptWait(slot)
    } else {
      this.#recalled.push(slot)
      if (state !== JOB_IN_FLIGHT) return
      this.counts.inFlight++
      if (jobs.hasFlag(slot, JOB_WATCHED)) this.#watchedInFlight.add(slot)
    }
  }

  #recoverFinished(slot: JobSlot): void {
    const { jobs, settlement } = this.#parts
    const hasTime = jobs.at.timeUs[slot] !== Infinity
    if (!jobs.hasFlag(slot, JOB_WEBHOOK_PENDING)) {
      this.counts.finished++
      if (hasTime) this.#slots[this.#finishedCount++] = slot
      else this.#untimed.push(slot)
      return
    }
    this.counts.webhooks++
    this.#referToLane(jobs.at.lane[slot] as LaneSlot)
    settlement.adoptPending(slot)
    // A webhook in flight and a queued one are treated alike: the place is the same.
    if (hasTime) settlement.adoptWait(slot)
    else this.#addQueued(slot)
  }

  #addQueued(slot: JobSlot): void {
    this.#slots[--this.#queuedFrom] = slot
    this.#places[this.#queuedFrom] = this.#placeOf(slot)
  }

  /** A job's order, shifted so that orders of one lane can be compared although they wrap. */
  #placeOf(slot: JobSlot): number {
    const { jobs, lanes } = this.#parts
    const nextOrder = lanes.at.nextOrder[jobs.at.lane[slot] as number] as number
    return ((jobs.at.order[slot] as number) - nextOrder + ORDER_MIDDLE) >>> 0
  }

  #linkLanes(): void {
    const { jobs, lanes } = this.#parts
    const items = this.#slots.subarray(this.#queuedFrom)
    const keys = this.#places.subarray(this.#queuedFrom)
    const sorted = radixSort({ items, keys }, items.length).items
    for (const slot of sorted) {
      lanes.link(jobs.at.lane[slot] as LaneSlot, slot as JobSlot, false)
    }
    // From the last to the first, each placed in front of the previous one.
    const recalled = this.#recalled.map((slot) => ({ slot, place: this.#placeOf(slot) }))
    recalled.sort((one, other) => other.place - one.place)
    for (const { slot } of recalled) this.#recall(slot)
  }

  /** Puts a job back to the front of its lane; one that has begun has no latest start any more. */
  #recall(slot: JobSlot): void {
    const { jobs, lanes, overdue } = this.#parts
    const lane = jobs.at.lane[slot] as LaneSlot
    jobs.touch(slot)
    if (jobs.attempts(slot) > 0) jobs.at.timeUs[slot] = Infinity
    if (jobs.at.timeUs[slot] !== Infinity) overdue.expect(this.#nowUs)
    lanes.place(lane, slot, true)
    jobs.setState(slot, JOB_QUEUED)
    lanes.link(lane, slot, true)
  }

  #keepFinished(): void {
    const { jobs, finished } = this.#parts
    const slots = this.#slots.subarray(0, this.#finishedCount)
    const timesUs = Float64Array.from(slots, (slot) => jobs.at.timeUs[slot] as number)
    for (const slot of sortByTime(slots, timesUs, slots.length)) finished.adopt(slot as JobSlot)
  }

  #finalize(slot: JobSlot): void {
    const { jobs, notes, records, settlement } = this.#parts
    notes.serve(slot)
    if (jobs.at.location[slot] === NONE) {
      settlement.finalize(slot, { status: 'cancelled', responseStatus: 0, reason: null }, NONE,
        this.#nowUs)
    } else {
      const { receiver } = records.readTemplate(slot)
      settlement.finalize(slot, records.readResult(slot), receiver, this.#nowUs)
    }
    notes.serveNone()
  }

  #referToLane(lane: LaneSlot): void {
    this.#parts.lanes.adoptReference(lane)
    this.#referTo(this.#parts.lanes.at.upstream[lane] as UpstreamSlot)
  }

  #referTo(upstream: UpstreamSlot): void {
    this.#references[upstream] = (this.#references[upstream] as number) + 1
  }
}
