// An index from a 32-bit hash to the slot that has it: open addressing in one array.
// Thread: shard. Memory: `entries` (slot + 1, 0 is empty), derived from the slots' own hashes.
// Never: stores a key, allocates, or grows; plan.ts sizes it so that it is at most 80 % full.
// Source: linear probing with backward-shift deletion (Knuth, TAOCP 3, 6.4, algorithm R), so
// there are no tombstones and lookups do not degrade over time. Any number of entries: the hash is
// reduced to the range by multiplication (Lemire 2019), which needs no power of two.

import { VERIFY, assert } from '../base/assert.ts'
import { NONE } from '../base/units.ts'

/** With fewer than one slot per this many entries, recover() clears only the slots' entries. */
const FEW_SLOTS = 64

/** Finds slots by hash; several slots may have the same hash. */
export class SlotIndex {
  readonly #entries: Uint32Array
  readonly #hashOf: (slot: number) => number
  /** Entries per unit of hash; a power of two divides it, so it is exact. */
  readonly #scale: number
  #size = 0

  /**
   * @param entries all zero; on used memory, call clear(), recover() or takeOver() first.
   * @param hashOf the uint32 hash of a slot that is in the index; the same each time.
   */
  constructor(entries: Uint32Array, hashOf: (slot: number) => number) {
    assert(entries.length > 1, 'an index needs two entries at least')
    this.#entries = entries
    this.#hashOf = hashOf
    this.#scale = entries.length / 2 ** 32
  }

  /** Slots in the index. */
  get size(): number {
    return this.#size
  }

  /**
   * The slot under `hash` that `matches` accepts, or NONE. @param hash uint32.
   * @param matches compares the whole key: it is also called for neighbours of other hashes.
   */
  find(hash: number, matches: (slot: number) => boolean): number {
    const entries = this.#entries
    let at = this.#home(hash)
    for (;;) {
      const entry = entries[at] as number
      if (entry === 0) return NONE
      if (matches(entry - 1)) return entry - 1
      if (++at === entries.length) at = 0
    }
  }

  /** Adds a slot, which must not be in the index yet. @param hash uint32, what hashOf returns. */
  insert(hash: number, slot: number): void {
    const entries = this.#entries
    // One entry always stays empty: it ends a search.
    assert(this.#size + 1 < entries.length, 'the index is full')
    if (VERIFY) assert(this.find(hash, (other) => other === slot) === NONE, 'indexed twice')
    let at = this.#home(hash)
    while (entries[at] !== 0) if (++at === entries.length) at = 0
    entries[at] = slot + 1
    this.#size++
  }

  /** Removes a slot; false if it is not there under this hash. Its hash may change afterwards. */
  remove(hash: number, slot: number): boolean {
    const entries = this.#entries
    let at = this.#home(hash)
    for (;;) {
      const entry = entries[at] as number
      if (entry === 0) return false
      if (entry === slot + 1) break
      if (++at === entries.length) at = 0
    }
    this.#closeGap(at)
    this.#size--
    return true
  }

  /** Continues with entries that the predecessor left in a valid state, with so many slots. */
  takeOver(size: number): void {
    this.#size = size
  }

  /** Empties the index. O(entries). */
  clear(): void {
    this.#entries.fill(0)
    this.#size = 0
  }

  /**
   * Empties an index that a crashed thread has left, of slots below `slotsUsed`. If these are few,
   * only the entries that they can have filled are cleared: from each slot's home to the end of its
   * run. This goes backward from the end of the run, so that if this thread crashes here, too, the
   * next can still find the rest.
   */
  recover(slotsUsed: number): void {
    const entries = this.#entries
    if (slotsUsed * FEW_SLOTS > entries.length) return this.clear()
    this.#size = 0
    for (let slot = 0; slot < slotsUsed; slot++) {
      const home = this.#home(this.#hashOf(slot))
      let length = 0
      while (entries[(home + length) % entries.length] !== 0) length++
      while (length-- > 0) entries[(home + length) % entries.length] = 0
    }
  }

  #home(hash: number): number {
    return (hash * this.#scale) >>> 0
  }

  /** Moves later entries of the run into the gap, where that brings them closer to their home. */
  #closeGap(gap: number): void {
    const entries = this.#entries
    const length = entries.length
    let at = gap
    for (;;) {
      if (++at === length) at = 0
      const entry = entries[at] as number
      if (entry === 0) break
      const home = this.#home(this.#hashOf(entry - 1))
      const fromHome = at >= home ? at - home : at - home + length
      const fromGap = at >= gap ? at - gap : at - gap + length
      if (fromHome >= fromGap) {
        entries[gap] = entry
        gap = at
      }
    }
    entries[gap] = 0
  }
}
