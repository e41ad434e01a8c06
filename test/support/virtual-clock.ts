// A clock that stands still until a test advances it; due wake-ups run in the order of their times.

import type { Clock } from '../../shards/base/clock.ts'
import type { Micros, Millis } from '../../shards/base/units.ts'

/** Shared virtual time: each party gets a clock of its own, since a clock has one wake-up. */
export class VirtualTime {
  #nowUs = 1_000_000 as Micros
  readonly #wakes: { atUs: Micros; order: number; wake: () => void; owner: object }[] = []
  #order = 0
  #wallStepMs = 0

  nowUs(): Micros {
    return this.#nowUs
  }

  /** A clock on this time, with one wake-up of its own. */
  clock(): Clock {
    const owner = {}
    return {
      nowUs: () => this.#nowUs,
      wakeAt: (atUs, wake) => {
        this.cancel(owner)
        if (atUs !== Infinity) this.at(atUs, wake, owner)
      },
      wallMs: (atUs) =>
        (1_700_000_000_000 + this.#wallStepMs + Math.floor(atUs / 1000)) as Millis,
    }
  }

  /** Runs `wake` when time reaches `atUs` (at the next advance if that is past). */
  at(atUs: Micros, wake: () => void, owner: object = {}): void {
    this.#wakes.push({ atUs, order: this.#order++, wake, owner })
  }

  /** Cancels the wake-ups that `owner` has set. */
  cancel(owner: object): void {
    for (let at = this.#wakes.length - 1; at >= 0; at--) {
      if (this.#wakes[at]?.owner === owner) this.#wakes.splice(at, 1)
    }
  }

  /** The time of the next wake-up, Infinity when there is none. */
  nextUs(): Micros {
    let next = Infinity
    for (const wake of this.#wakes) next = Math.min(next, wake.atUs)
    return next as Micros
  }

  /** Runs the next wake-up, advancing time to it; false when there is none up to `untilUs`. */
  step(untilUs: Micros): boolean {
    let first = -1
    for (let at = 0; at < this.#wakes.length; at++) {
      const wake = this.#wakes[at]
      const best = this.#wakes[first]
      if (wake === undefined || wake.atUs > untilUs) continue
      if (best === undefined || wake.atUs < best.atUs ||
        (wake.atUs === best.atUs && wake.order < best.order)) first = at
    }
    if (first < 0) return false
    const [due] = this.#wakes.splice(first, 1)
    if (due === undefined) return false
    this.#nowUs = Math.max(this.#nowUs, due.atUs) as Micros
    due.wake()
    return true
  }

  /** Changes the wall clock. */
  stepWall(byMs: number): void {
    this.#wallStepMs += byMs
  }

  /** Time passes and nothing runs, as for a thread without a core; wake-ups come late. */
  holdUp(byUs: number): void {
    this.#nowUs = (this.#nowUs + byUs) as Micros
  }

  /** Advances time to `untilUs`, running every wake-up on the way, in order. */
  advanceTo(untilUs: Micros): void {
    while (this.step(untilUs)) { /* each step runs one wake */ }
    this.#nowUs = Math.max(this.#nowUs, untilUs) as Micros
  }
}
