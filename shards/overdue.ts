// Jobs that must begin by a certain time: found when it has passed, wherever they wait in line.
// Thread: shard. Memory: reads jobs.state and jobs.timeUs.
// Never: keeps an entry per job. A job in a line has no link left for a wheel, so a hand sweeps
// over the slots, SLOTS_PER_LOOK each LOOK_EVERY_US: 3 million slots a second. It rests once a
// whole round has passed after the latest such time.

import { JOB_QUEUED, JOB_UNWRITTEN, type JobSlots } from './job-slots.ts'
import { EXPIRED_PER_TURN_MAX } from './limits.ts'
import type { JobSlot, Micros } from './units.ts'

const LOOK_EVERY_US = 20_000
const SLOTS_PER_LOOK = 65_536

/** Where the hand is, and until when it moves. */
export interface OverdueBaton {
  readonly hand: number
  readonly latestUs: number
  readonly roundBeganUs: number
  readonly nextUs: number
}

/** The sweep of one shard. */
export class Overdue {
  readonly #jobs: JobSlots
  #hand = 0
  #latestUs = -Infinity
  #roundBeganUs = 0
  #nextUs = Infinity

  constructor(jobs: JobSlots) {
    this.#jobs = jobs
  }

  /** What a successor on the same memory begins with. */
  handOver(): OverdueBaton {
    return {
      hand: this.#hand, latestUs: this.#latestUs, roundBeganUs: this.#roundBeganUs,
      nextUs: this.#nextUs,
    }
  }

  takeOver(baton: OverdueBaton): void {
    this.#hand = baton.hand
    this.#latestUs = baton.latestUs
    this.#roundBeganUs = baton.roundBeganUs
    this.#nextUs = baton.nextUs
  }

  /** A job must begin by `atUs`; its slot's time says so too. */
  expect(atUs: Micros, nowUs: Micros): void {
    this.#latestUs = Math.max(this.#latestUs, atUs)
    if (this.#nextUs !== Infinity) return
    this.#hand = 0
    this.#roundBeganUs = nowUs
    this.#nextUs = nowUs + LOOK_EVERY_US
  }

  /** Whether a job that waits in line should have begun by now. */
  isOverdue(slot: JobSlot, nowUs: Micros): boolean {
    const jobs = this.#jobs
    return (jobs.at.timeUs[slot] as number) <= nowUs && jobs.state(slot) === JOB_QUEUED &&
      !jobs.hasFlag(slot, JOB_UNWRITTEN)
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
    let dropped = 0
    for (let slot = this.#hand; slot < end; slot++) {
      this.#hand = slot
      if (!this.isOverdue(slot as JobSlot, nowUs)) continue
      if (dropped === EXPIRED_PER_TURN_MAX) {
        this.#nextUs = nowUs
        return
      }
      if (!drop(slot as JobSlot)) return
      dropped++
    }
    this.#hand = end
    if (end < this.#jobs.highWater) return
    if (this.#roundBeganUs > this.#latestUs) this.#nextUs = Infinity
    this.#hand = 0
    this.#roundBeganUs = nowUs
  }
}
