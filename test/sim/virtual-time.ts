// Virtual time for whole shards: a binary heap of events, ordered by time and, at the same time, by
// the order in which they were scheduled. (The clock in test/support scans all of its wake-ups at
// each step, which is too slow for thousands of them.)

import type { Clock } from '../../shards/base/clock.ts'
import type { Micros, Millis } from '../../shards/base/units.ts'

const START_US = 1_000_000
const WALL_OFFSET_MS = 1_700_000_000_000

interface Entry {
  readonly atUs: number
  readonly order: number
  readonly run: () => void
}

const isBefore = (a: Entry, b: Entry): boolean =>
  a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order)

/** The time of a whole world; nothing in it takes time unless it is scheduled for later. */
export class VirtualTime {
  #nowUs = START_US
  #order = 0
  readonly #heap: Entry[] = []

  nowUs(): Micros {
    return this.#nowUs as Micros
  }

  wallMs(atUs: number): Millis {
    return (WALL_OFFSET_MS + Math.floor(atUs / 1000)) as Millis
  }

  /** A shard's clock, without wake-ups: a simulated shard schedules its own. */
  clock(): Clock {
    return {
      nowUs: () => this.nowUs(),
      wakeAt: () => {},
      wallMs: (atUs) => this.wallMs(atUs),
    }
  }

  /** Runs `run` when time reaches `atUs`, at the next step if that is past. */
  at(atUs: number, run: () => void): void {
    const entry = { atUs: Math.max(atUs, this.#nowUs), order: this.#order++, run }
    let place = this.#heap.length
    this.#heap.push(entry)
    while (place > 0) {
      const parent = (place - 1) >>> 1
      if (!isBefore(entry, this.#heap[parent] as Entry)) break
      this.#heap[place] = this.#heap[parent] as Entry
      place = parent
    }
    this.#heap[place] = entry
  }

  after(delayUs: number, run: () => void): void {
    this.at(this.#nowUs + delayUs, run)
  }

  /** The time of the next event; Infinity when there is none. */
  nextUs(): number {
    return this.#heap[0]?.atUs ?? Infinity
  }

  /** Runs the next event if it is at or before `untilUs`; false when there is none. */
  step(untilUs: number): boolean {
    const first = this.#heap[0]
    if (first === undefined || first.atUs > untilUs) return false
    this.#removeFirst()
    this.#nowUs = first.atUs
    first.run()
    return true
  }

  #removeFirst(): void {
    const entry = this.#heap.pop()
    const { length } = this.#heap
    if (entry === undefined || length === 0) return
    let place = 0
    for (let child = 1; child < length; child = 2 * place + 1) {
      const right = child + 1
      const isRight = right < length &&
        isBefore(this.#heap[right] as Entry, this.#heap[child] as Entry)
      const least = isRight ? right : child
      if (!isBefore(this.#heap[least] as Entry, entry)) break
      this.#heap[place] = this.#heap[least] as Entry
      place = least
    }
    this.#heap[place] = entry
  }
}
