// Finds queued jobs whose latest start (execute_before) has passed, wherever they are in a lane.
// Thread: shard. Memory: reads jobs.state and jobs.timeUs.
// Never: keeps an entry per job. A job in a lane has no link left for a wheel, so a sweep examines
// the slots, SLOTS_PER_LOOK each LOOK_EVERY_US: 3 million slots a second. It stops once a whole
// round has found no such job. The times are wall-clock times, and the clock may be set meanwhile:
// each step uses its current time.

import { type JobSlot, type Micros, type Millis, US_PER_MS } from '../base/units.ts'
import { EXPIRED_PER_TURN_MAX } from '../memory/limits.ts'
import { JOB_QUEUED, JOB_UNWRITTEN, type JobSlots } from '../store/job-slots.ts'

const LOOK_EVERY_US = 20_000
const SLOTS_PER_LOOK = 65_536

/** The sweep's position, whether this round has found a job with a time, and the next step. */
export interface OverdueBaton {
  readonly hand: number
  readonly isAwaited: boolean
  readonly nextUs: number
}

/** The sweep of one shard. */
export class Overdue {
  readonly #jobs: JobSlots
  readonly #wallMs: (atUs: Micros) => Millis
  #hand = 0
  #isAwaited = false
  #nextUs = Infinity

  constructor(jobs: JobSlots, wallMs: (atUs: Micros) => Millis) {
    this.#jobs = jobs
    this.#wallMs = wallMs
  }

  /** The state that a successor on the same memory starts from. */
  handOver(): OverdueBaton {
    return { hand: this.#hand, isAwaited: this.#isAwaited, nextUs: this.#nextUs }
  }

  takeOver(baton: OverdueBaton): void {
    this.#hand = baton.hand
    this.#isAwaited = baton.isAwaited
    this.#nextUs = baton.nextUs
  }

  /** Starts the sweep if it is stopped: there is a job with a latest start in its slot. */
  expect(nowUs: Micros): void {
    this.#isAwaited = true
    if (this.#nextUs !== Infinity) return
    this.#hand = 0
    this.#nextUs = nowUs + LOOK_EVERY_US
  }

  /** Whether a queued job's latest start has passed. */
  isOverdue(slot: JobSlot, nowUs: Micros): boolean {
    return this.#hasTime(slot) && !this.#jobs.hasFlag(slot, JOB_UNWRITTEN) &&
      this.#hasPassed(slot, this.#wallMs(nowUs))
  }

  nextUs(): Micros {
    return this.#nextUs as Micros
  }

  /**
   * Advances the sweep. `drop` removes the job from its lane and returns true, or returns false,
   * and the sweep stays at the job until the next step.
   */
  advance(nowUs: Micros, drop: (slot: JobSlot) => boolean): void {
    if (nowUs < this.#nextUs) return
    this.#nextUs = nowUs + LOOK_EVERY_US
    const end = Math.min(this.#hand + SLOTS_PER_LOOK, this.#jobs.highWater)
    const wallMs = this.#wallMs(nowUs)
    let dropped = 0
    for (let slot = this.#hand; slot < end; slot++) {
      this.#hand = slot
      if (!this.#hasTime(slot)) continue
      if (this.#jobs.hasFlag(slot as JobSlot, JOB_UNWRITTEN) || !this.#hasPassed(slot, wallMs)) {
        this.#isAwaited = true
        continue
      }
      if (dropped === EXPIRED_PER_TURN_MAX) {
        this.#nextUs = nowUs
        return
      }
      if (!drop(slot as JobSlot)) return
      dropped++
    }
    this.#hand = end
    if (end < this.#jobs.highWater) return
    if (!this.#isAwaited) this.#nextUs = Infinity
    this.#isAwaited = false
    this.#hand = 0
  }

  #hasTime(slot: number): boolean {
    return this.#jobs.at.timeUs[slot] !== Infinity &&
      this.#jobs.state(slot as JobSlot) === JOB_QUEUED
  }

  #hasPassed(slot: number, wallMs: number): boolean {
    return (this.#jobs.at.timeUs[slot] as number) <= wallMs * US_PER_MS
  }
}
