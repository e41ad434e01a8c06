// The callers that wait for answers of shards, by request number: arrays, not a Map, since every
// job passes through. A number consists of a slot and the slot's generation, so that an answer that
// arrives after its request was dropped finds no caller.

import { assert } from '../../shards/base/assert.ts'
import { NONE } from '../../shards/base/units.ts'

const SLOT_BITS = 16
const SLOT_MASK = 2 ** SLOT_BITS - 1
const GENERATIONS = 0x7fff
/** The top bit of the numbers of the second table, so that no number is in both. */
const SECOND_TABLE = 0x8000

/** The slot in a request's number, for columns beside the table. */
export const slotOf = (request: number): number => request & SLOT_MASK

/** The waiting callers, as plain data: columns by slot. */
export interface WaitingTable<T extends object> {
  readonly entries: (T | undefined)[]
  /** The bits that all numbers of this table have in their upper half. */
  readonly mark: number
  /** The upper half of a slot's number: the mark and the slot's generation. */
  readonly generation: Uint16Array
  readonly shard: Uint8Array
  /** The request's position in the shard's ingress ring. */
  readonly position: Int32Array
  readonly free: Uint32Array
  freeCount: number
}

/**
 * An empty table.
 * @param slotsMax 1 to 65,536.
 * @param isSecond makes its numbers differ from those of a table that is not the second.
 */
export function makeWaitingTable<T extends object>(
  slotsMax: number, isSecond = false,
): WaitingTable<T> {
  assert(slotsMax > 0 && slotsMax <= SLOT_MASK + 1, 'more waiting slots than numbers')
  const mark = isSecond ? SECOND_TABLE : 0
  return {
    entries: Array.from({ length: slotsMax }, () => undefined),
    mark, generation: new Uint16Array(slotsMax).fill(mark),
    shard: new Uint8Array(slotsMax), position: new Int32Array(slotsMax),
    free: Uint32Array.from({ length: slotsMax }, (_, at) => slotsMax - 1 - at),
    freeCount: slotsMax,
  }
}

/** A bounded table of waiting callers. */
export class Waiting<T extends object> {
  readonly #table: WaitingTable<T>
  readonly #entries: (T | undefined)[]
  readonly #mark: number
  readonly #generation: Uint16Array
  readonly #shard: Uint8Array
  readonly #position: Int32Array
  readonly #free: Uint32Array

  constructor(table: WaitingTable<T>) {
    this.#table = table
    this.#entries = table.entries
    this.#mark = table.mark
    this.#generation = table.generation
    this.#shard = table.shard
    this.#position = table.position
    this.#free = table.free
  }

  get size(): number {
    return this.#entries.length - this.#table.freeCount
  }

  get isFull(): boolean {
    return this.#table.freeCount === 0
  }

  /** Adds a caller; returns its request number, or NONE when the table is full. */
  add(entry: T, shard: number): number {
    const table = this.#table
    if (table.freeCount === 0) return NONE
    const slot = this.#free[--table.freeCount] as number
    // The last generation is not used: with the last slot, the number would be NONE.
    const before = (this.#generation[slot] as number) - this.#mark
    const generation = this.#mark + (before + 1) % GENERATIONS
    this.#generation[slot] = generation
    this.#entries[slot] = entry
    this.#shard[slot] = shard
    return (generation << SLOT_BITS | slot) >>> 0
  }

  /** The request number of an occupied slot. */
  requestAt(slot: number): number {
    return ((this.#generation[slot] as number) << SLOT_BITS | slot) >>> 0
  }

  /** Records the request's position in its shard's ring. */
  sentAt(request: number, position: number): void {
    this.#position[request & SLOT_MASK] = position
  }

  positionOf(request: number): number {
    return this.#position[request & SLOT_MASK] as number
  }

  /** Removes and returns the caller of `request`; undefined when it is gone already. */
  take(request: number): T | undefined {
    const slot = request & SLOT_MASK
    if (this.#generation[slot] !== request >>> SLOT_BITS) return undefined
    const entry = this.#entries[slot]
    if (entry === undefined) return undefined
    this.#entries[slot] = undefined
    this.#free[this.#table.freeCount++] = slot
    return entry
  }

  /** The shard that the caller in a slot waits for. */
  shardAt(slot: number): number {
    return this.#shard[slot] as number
  }

  /** The numbers of all requests that wait for a shard; scans the whole table. */
  requestsOf(shard: number): number[] {
    const requests: number[] = []
    for (let slot = 0; slot < this.#entries.length; slot++) {
      if (this.#entries[slot] === undefined || this.#shard[slot] !== shard) continue
      requests.push(this.requestAt(slot))
    }
    return requests
  }
}
