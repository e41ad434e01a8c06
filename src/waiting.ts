// Who waits for which answer of a shard: an array indexed by the request's number, not a Map, since
// every job passes through. A number is a slot and the slot's generation, so that an answer which
// comes after its request was given up finds nobody.

import { assert } from '../shards/assert.ts'
import { NONE } from '../shards/units.ts'

const SLOT_BITS = 16
const SLOT_MASK = 2 ** SLOT_BITS - 1
const GENERATIONS = 0x7fff
/** The first bit of the numbers of one table of two, so that no number is in both. */
const SECOND_TABLE = 0x8000

/** The slot of a request's number, for columns beside the table. */
export const slotOf = (request: number): number => request & SLOT_MASK

/** A bounded table of those who wait. */
export class Waiting<T extends object> {
  readonly #entries: (T | undefined)[]
  readonly #mark: number
  /** The upper half of a slot's number: the mark and the slot's generation. */
  readonly #generation: Uint16Array
  readonly #shard: Uint8Array
  readonly #free: Uint32Array
  #freeCount: number

  /**
   * @param slotsMax 1 to 65,536.
   * @param isSecond gives numbers that a table which is not the second never does.
   */
  constructor(slotsMax: number, isSecond = false) {
    assert(slotsMax > 0 && slotsMax <= SLOT_MASK + 1, 'more waiting slots than numbers')
    this.#entries = Array.from({ length: slotsMax }, () => undefined)
    this.#mark = isSecond ? SECOND_TABLE : 0
    this.#generation = new Uint16Array(slotsMax).fill(this.#mark)
    this.#shard = new Uint8Array(slotsMax)
    this.#free = Uint32Array.from({ length: slotsMax }, (_, at) => slotsMax - 1 - at)
    this.#freeCount = slotsMax
  }

  get size(): number {
    return this.#entries.length - this.#freeCount
  }

  get isFull(): boolean {
    return this.#freeCount === 0
  }

  /** The number under which the shard's answer will come, or NONE when the table is full. */
  add(entry: T, shard: number): number {
    if (this.#freeCount === 0) return NONE
    const slot = this.#free[--this.#freeCount] as number
    // The last generation is left out: with the last slot it would be NONE.
    const before = (this.#generation[slot] as number) - this.#mark
    const generation = this.#mark + (before + 1) % GENERATIONS
    this.#generation[slot] = generation
    this.#entries[slot] = entry
    this.#shard[slot] = shard
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

  /** The shard that is waited for in a slot. */
  shardAt(slot: number): number {
    return this.#shard[slot] as number
  }

  /** The numbers of all who wait for a shard; a walk over the whole table. */
  requestsOf(shard: number): number[] {
    const requests: number[] = []
    for (let slot = 0; slot < this.#entries.length; slot++) {
      if (this.#entries[slot] === undefined || this.#shard[slot] !== shard) continue
      requests.push(((this.#generation[slot] as number) << SLOT_BITS | slot) >>> 0)
    }
    return requests
  }
}
