// Finds the largest of many holders, within a factor of two, in O(1).
// Thread: shard. Memory: a weight and two links for each holder, private.
// Never: searches, sorts, or knows what a holder or a unit is.
// Source: push-out of the longest queue (a full shared memory evicts from the largest holder): Wei,
// Coyle, Hsiao, An optimal buffer management policy for high-performance packet switching, IEEE
// Globecom 1991. So a single holder may use everything, and a newcomer never evicts from small
// holders.
// Holders are in one list for each power of two of their weight, so most changes of weight move
// no holder between lists. The bits of one word say which lists are not empty.

import { assert } from '../base/assert.ts'
import { type JobSlot, NONE } from '../base/units.ts'
import { JobLists } from './job-list.ts'

/** One class for each power of two of a 32-bit word, and one for weight 0. */
const CLASSES = 33
const UNITS_MAX = 2 ** 32 - 1

/** The weights; the lists are derived from them. */
export type HeaviestBaton = Float64Array

/** The class of a weight in units of `grain`: 0 → 0; up to 1 → 1; up to 3 → 2; up to 7 → 3. */
const classOf = (weight: number, grain: number): number =>
  weight === 0 ? 0 : 32 - Math.clz32(Math.min(Math.ceil(weight / grain), UNITS_MAX))

/** The weights of holders, which are numbered from 0. */
export class Heaviest {
  readonly #grain: number
  readonly #weights: Float64Array
  readonly #lists: JobLists
  /** Bit c - 1: the list of class c is not empty. */
  #classes = 0

  /**
   * @param grain weights that differ by less than this need not be distinguished; weights above
   *   2^32 times it are not.
   */
  constructor(holders: number, grain: number) {
    this.#grain = grain
    this.#weights = new Float64Array(holders)
    const links = { next: new Uint32Array(holders), prev: new Uint32Array(holders) }
    this.#lists = new JobLists(links, new Uint32Array(CLASSES).fill(NONE),
      new Uint32Array(CLASSES).fill(NONE))
  }

  /** The state that a successor starts from. */
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

  /** A holder such that no other has twice its weight; NONE while all weights are 0. */
  get first(): number {
    return this.#classes === 0 ? NONE : this.#lists.first(32 - Math.clz32(this.#classes))
  }

  /** That holder's weight; 0 while all weights are 0. */
  get most(): number {
    const { first } = this
    return first === NONE ? 0 : this.weightOf(first)
  }

  /** Changes a holder's weight. @param amount negative to reduce it. */
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
