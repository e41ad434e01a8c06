// Jobs that must begin by a certain time: found when it has passed, wherever they wait in line.
// Thread: shard. Memory: reads jobs.state and jobs.timeUs.
// Never: keeps an entry per job. A job in a line has no link left for a wheel, so a hand sweeps
// over the slots, SLOTS_PER_LOOK each LOOK_EVERY_US: 3 million slots a second. It rests once a
// whole round has found no such job. The times are the wall clock's, which may be set meanwhile:
// each look judges by what it says then.

import { type JobSlot, type Micros, type Millis, US_PER_MS } from '../base/units.ts'
import { EXPIRED_PER_TURN_MAX } from '../memory/limits.ts'
import { JOB_QUEUED, JOB_UNWRITTEN, type JobSlots } from '../store/job-slots.ts'

const LOOK_EVERY_US = 20_000
const SLOTS_PER_LOOK = 65_536

/** Where the hand is, whether this round has met a job with a time, and the next look. */
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

  /** What a successor on the same memory begins with. */
  handOver(): OverdueBaton {
    return { hand: this.#hand, isAwaited: this.#isAwaited, nextUs: this.#nextUs }
  }

  takeOver(baton: OverdueBaton): void {
    this.#hand = baton.hand
    this.#isAwaited = baton.isAwaited
    this.#nextUs = baton.nextUs
  }

  /** There is a job that must begin by a certain time, which its slot says. */
  expect(nowUs: Micros): void {
    this.#isAwaited = true
    if (this.#nextUs !== Infinity) return
    this.#hand = 0
    this.#nextUs = nowUs + LOOK_EVERY_US
  }

  /** Whether a job that waits in line should have begun by now. */
  isOverdue(slot: JobSlot, nowUs: Micros): boolean {
    return this.#hasTime(slot) && !this.#jobs.hasFlag(slot, JOB_UNWRITTEN) &&
      this.#hasPassed(slot, this.#wallMs(nowUs))
  }

  nextUs(): Micros {
    return this.#nextUs as Micros
  }

  /**
   * Moves the hand on. `drop` takes the job out of its line and returns true, or it returns false
   * and the hand stays at the job until the next look.
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
