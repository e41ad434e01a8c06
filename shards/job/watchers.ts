// Jobs that streams and sockets watch: reports their events to the front door.
// Thread: shard. Memory: writes events into the answer ring; a set of watched slots, bounded.
// Never: delays a job: if the ring is full, events wait here, only the latest of each job, since a
// watcher needs its current state.

import { type JobSlot, type Micros, msToUs } from '../base/units.ts'
import { POSITION_EVERY_MS, POSITIONS_PER_TURN_MAX, WATCHED_JOBS_MAX } from '../memory/limits.ts'
import {
  JOB_CANCELLED, JOB_COMPLETED, JOB_FAILED, JOB_QUEUED, JOB_WATCHED, type JobSlots,
} from '../store/job-slots.ts'
import {
  EVENT_CANCELLED, EVENT_COMPLETED, EVENT_DISPATCHING, EVENT_FAILED, EVENT_POSITION,
  EVENT_RETRYING,
} from '../wire/contract.ts'
import type { AnswerWriter } from './answer-writer.ts'
import type { JobSnapshots } from './job-snapshot.ts'

/** The watched jobs, and the events that are not reported yet. */
export interface WatchersBaton {
  readonly watched: readonly JobSlot[]
  readonly unreported: ReadonlyMap<JobSlot, { event: number; data: object }>
  readonly nextPositionsUs: number
}

/** The watched jobs of one shard. */
export class Watchers {
  readonly #jobs: JobSlots
  readonly #snapshots: JobSnapshots
  readonly #answers: AnswerWriter
  readonly #watched = new Set<JobSlot>()
  readonly #unreported = new Map<JobSlot, { event: number; data: object }>()
  #nextPositionsUs = Infinity
  /** The jobs whose position is still to be reported in this round; null between rounds. */
  #round: Iterator<JobSlot> | null = null

  constructor(jobs: JobSlots, snapshots: JobSnapshots, answers: AnswerWriter) {
    this.#jobs = jobs
    this.#snapshots = snapshots
    this.#answers = answers
  }

  /** The state that a successor on the same memory starts from. */
  handOver(): WatchersBaton {
    return {
      watched: [...this.#watched], unreported: this.#unreported,
      nextPositionsUs: this.#nextPositionsUs,
    }
  }

  takeOver(baton: WatchersBaton): void {
    for (const slot of baton.watched) this.#watched.add(slot)
    for (const [slot, event] of baton.unreported) this.#unreported.set(slot, event)
    this.#nextPositionsUs = baton.nextPositionsUs
  }

  get count(): number {
    return this.#watched.size
  }

  /** Watches a job from now on; false when WATCHED_JOBS_MAX are watched already. */
  watch(slot: JobSlot, nowUs: Micros): boolean {
    if (this.#watched.has(slot)) return true
    if (this.#watched.size >= WATCHED_JOBS_MAX) return false
    this.#watched.add(slot)
    this.#jobs.setFlag(slot, JOB_WATCHED, true)
    if (this.#nextPositionsUs === Infinity) {
      this.#nextPositionsUs = nowUs + msToUs(POSITION_EVERY_MS)
    }
    return true
  }

  /**
   * After a crash: continues to watch a job. A job that was in flight is reported as retrying; one
   * that is finished is reported as such, perhaps for a second time.
   */
  adopt(slot: JobSlot, wasInFlight: boolean, nowUs: Micros): void {
    if (!this.watch(slot, nowUs)) return this.#jobs.setFlag(slot, JOB_WATCHED, false)
    if (wasInFlight) this.retrying(slot, 0, 'shard_restart', 0)
    if (TERMINAL_EVENT_OF_STATE.has(this.#jobs.state(slot))) this.finished(slot)
  }

  /** Ends the watch of a job. */
  unwatch(slot: JobSlot): void {
    this.#unreported.delete(slot)
    if (!this.#watched.delete(slot)) return
    this.#jobs.setFlag(slot, JOB_WATCHED, false)
    if (this.#watched.size === 0) this.#nextPositionsUs = Infinity
  }

  dispatching(slot: JobSlot): void {
    if (!this.#jobs.hasFlag(slot, JOB_WATCHED)) return
    this.#report(slot, EVENT_DISPATCHING, { attempt: this.#jobs.attempts(slot) })
  }

  /** @param responseStatus 0 when there was no response. */
  retrying(slot: JobSlot, delayMs: number, reason: string, responseStatus: number): void {
    if (!this.#jobs.hasFlag(slot, JOB_WATCHED)) return
    const data = { attempt: this.#jobs.attempts(slot), retry_in_ms: Math.round(delayMs), reason }
    this.#report(slot, EVENT_RETRYING,
      responseStatus === 0 ? data : { ...data, response_status: responseStatus })
  }

  /** The job is finished and its result stored: reports it and ends the watch. */
  finished(slot: JobSlot): void {
    if (!this.#jobs.hasFlag(slot, JOB_WATCHED)) return
    const event = TERMINAL_EVENT_OF_STATE.get(this.#jobs.state(slot)) ?? EVENT_FAILED
    this.#report(slot, event, this.#snapshots.result(slot) ?? {})
    if (!this.#unreported.has(slot)) this.unwatch(slot)
  }

  /** Reports positions every two seconds, some in each turn, and events that the ring refused. */
  advance(nowUs: Micros): void {
    this.#reportRest()
    if (nowUs >= this.#nextPositionsUs) {
      this.#nextPositionsUs = nowUs + msToUs(POSITION_EVERY_MS)
      this.#round ??= this.#watched.values()
    }
    for (let left = POSITIONS_PER_TURN_MAX; this.#round !== null && left > 0; left--) {
      const { done, value: slot } = this.#round.next()
      if (done === true) {
        this.#round = null
        return
      }
      if (this.#jobs.state(slot) !== JOB_QUEUED || this.#unreported.has(slot)) continue
      this.#report(slot, EVENT_POSITION, { position: this.#snapshots.position(slot) })
    }
  }

  /** In the past while positions are left to report. */
  nextUs(): Micros {
    return (this.#round === null ? this.#nextPositionsUs : 0) as Micros
  }

  #report(slot: JobSlot, event: number, data: object): void {
    if (this.#unreported.size === 0 && this.#answers.event(slot, event, data)) return
    this.#unreported.set(slot, { event, data })
  }

  #reportRest(): void {
    for (const [slot, { event, data }] of this.#unreported) {
      if (!this.#answers.event(slot, event, data)) return
      this.#unreported.delete(slot)
      if (event >= EVENT_COMPLETED) this.unwatch(slot)
    }
  }
}

const TERMINAL_EVENT_OF_STATE: ReadonlyMap<number, number> = new Map([
  [JOB_COMPLETED, EVENT_COMPLETED], [JOB_FAILED, EVENT_FAILED],
  [JOB_CANCELLED, EVENT_CANCELLED],
])
