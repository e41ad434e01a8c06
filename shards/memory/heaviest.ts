// Which of many holders has about the most: within a factor of two, and found at once.
// Thread: shard. Memory: a weight and two links for each holder, of its own.
// Never: searches, sorts, or knows what a holder or a unit is.
// Source: who must give way when a shared memory is full is whoever holds most of it, the pushing
// out of the longest queue: Wei, Coyle, Hsiao, An optimal buffer management policy for
// high-performance packet switching, IEEE Globecom 1991. So one holder alone may have everything,
// and a newcomer takes from nobody who has little.
// Holders stand in one list for each power of two of their weight, so a change of weight mostly
// moves nobody, and the bits of one word say which lists have anybody in them.

import { assert } from '../base/assert.ts'
import { type JobSlot, NONE } from '../base/units.ts'
import { JobLists } from './job-list.ts'

/** One for each power of two of a word, and one for nothing. */
const CLASSES = 33
const UNITS_MAX = 2 ** 32 - 1

/** The weights; the lists follow from them. */
export type HeaviestBaton = Float64Array

/** The class of a weight in units of `grain`: 0 → 0; up to 1 → 1; up to 3 → 2; up to 7 → 3. */
const classOf = (weight: number, grain: number): number =>
  weight === 0 ? 0 : 32 - Math.clz32(Math.min(Math.ceil(weight / grain), UNITS_MAX))

/** Weights of holders, each a number from 0 on. */
export class Heaviest {
  readonly #grain: number
  readonly #weights: Float64Array
  readonly #lists: JobLists
  /** Bit c - 1: somebody is of class c. */
  #classes = 0

  /**
   * @param grain weights that differ by less than this need not be told apart; nor are those above
   *   2^32 times it.
   */
  constructor(holders: number, grain: number) {
    this.#grain = grain
    this.#weights = new Float64Array(holders)
    const links = { next: new Uint32Array(holders), prev: new Uint32Array(holders) }
    this.#lists = new JobLists(links, new Uint32Array(CLASSES).fill(NONE),
      new Uint32Array(CLASSES).fill(NONE))
  }

  /** What a successor begins with. */
  handOver(): HeaviestBaton {
    return this.#weights
  }

  takeOver(baton: HeaviestBaton): void {
    for (let holder = 0; holder < baton.length; holder++) {
      this.add(holder, baton[holder] as number)
    }
  }

  weightOf(holder: number): number {
    return this.#weights[holder] as number
  }

  /** A holder that no other has twice the weight of; NONE while nobody has any. */
  get first(): number {
    return this.#classes === 0 ? NONE : this.#lists.first(32 - Math.clz32(this.#classes))
  }

  /** The weight of that one; 0 while nobody has any. */
  get most(): number {
    const { first } = this
    return first === NONE ? 0 : this.weightOf(first)
  }

  /** @param amount below 0 to take from the holder what it had. */
  add(holder: number, amount: number): void {
    const before = this.weightOf(holder)
    const after = before + amount
    assert(after >= 0, 'a holder lost more than it had')
    this.#weights[holder] = after
    const from = classOf(before, this.#grain)
    const to = classOf(after, this.#grain)
    if (from === to) return
    if (from > 0) {
      this.#lists.remove(from, holder as JobSlot)
      if (this.#lists.first(from) === NONE) this.#classes &= ~(1 << (from - 1))
    }
    if (to > 0) {
      this.#lists.pushBack(to, holder as JobSlot)
      this.#classes |= 1 << (to - 1)
    }
  }
}
