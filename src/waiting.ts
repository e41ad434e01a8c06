// Who waits for which answer of a shard: an array indexed by the request's number, not a Map, since
// every job passes through. A number is a slot and the slot's generation, so that an answer which
// comes after its request was given up finds nobody.

import { assert } from '../shards/assert.ts'
import { NONE } from '../shards/units.ts'

const SLOT_BITS = 16
const SLOT_MASK = 2 ** SLOT_BITS - 1
const GENERATION_MASK = 0xffff

/** A bounded table of those who wait. */
export class Waiting<T extends object> {
  readonly #entries: (T | undefined)[]
  readonly #generation: Uint16Array
  readonly #free: Uint32Array
  #freeCount: number

  /** @param slotsMax 1 to 65,536. */
  constructor(slotsMax: number) {
    assert(slotsMax > 0 && slotsMax <= SLOT_MASK + 1, 'more waiting slots than numbers')
    this.#entries = Array.from({ length: slotsMax }, () => undefined)
    this.#generation = new Uint16Array(slotsMax)
    this.#free = Uint32Array.from({ length: slotsMax }, (_, at) => slotsMax - 1 - at)
    this.#freeCount = slotsMax
  }

  get size(): number {
    return this.#entries.length - this.#freeCount
  }

  get isFull(): boolean {
    return this.#freeCount === 0
  }

  /** The number under which the answer will come, or NONE when the table is full. */
  add(entry: T): number {
    if (this.#freeCount === 0) return NONE
    const slot = this.#free[--this.#freeCount] as number
    // The last generation is left out: with the last slot it would be NONE.
    const generation = ((this.#generation[slot] as number) + 1) % GENERATION_MASK
    this.#generation[slot] = generation
    this.#entries[slot] = entry
    return (generation << SLOT_BITS | slot) >>> 0
  }

  /** Takes who waits for `request` out of the table; undefined when nobody does any more. */
  take(request: number): T | undefined {
    const slot = request & SLOT_MASK
    if (this.#generation[slot] !== request >>> SLOT_BITS) return undefined
    const entry = this.#entries[slot]
    if (entry === undefined) return undefined
    this.#entries[slot] = undefined
    this.#free[this.#freeCount++] = slot
    return entry
  }

  /** Takes out all that `matches` says; a walk over the whole table. */
  takeWhere(matches: (entry: T) => boolean): T[] {
    const taken: T[] = []
    for (let slot = 0; slot < this.#entries.length; slot++) {
      const entry = this.#entries[slot]
      if (entry === undefined || !matches(entry)) continue
      this.#entries[slot] = undefined
      this.#free[this.#freeCount++] = slot
      taken.push(entry)
    }
    return taken
  }
}
