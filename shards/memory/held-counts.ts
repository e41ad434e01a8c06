// Counts the units of each of very many holders, each identified by a hash of its name.
// Thread: any (an instance belongs to one). Memory: two rows of counts, given by the caller.
// Never: too low for any holder; one whose two places are both shared is counted too high.
// Source: Cormode and Muthukrishnan, An improved data stream summary: the count-min sketch, 2005.
// Not a Map: see fifo.ts. With two places for each holder and rows twice as wide as the pool has
// units, at most one holder in four is counted too high, and very few by much. The hash must be
// keyed, so that no caller can choose a name that shares another's places.

import { assert } from '../base/assert.ts'
import { powerOfTwoAtLeast } from '../base/units.ts'

/** Places in a row for each unit of the pool. */
const PLACES_PER_UNIT = 2

/** Counts by 64 bits of a hash, in two words. */
export class HeldCounts {
  readonly #counts: Uint32Array
  readonly #width: number

  /** @param counts made by HeldCounts.make(), possibly by a predecessor. */
  constructor(counts: Uint32Array) {
    this.#counts = counts
    this.#width = counts.length / 2
  }

  /** Zero counts for a pool of so many units. */
  static make(units: number): Uint32Array {
    return new Uint32Array(2 * powerOfTwoAtLeast(units * PLACES_PER_UNIT))
  }

  /** The holder's units: exact, or too high. */
  of(high: number, low: number): number {
    return Math.min(this.#counts[this.#first(low)] as number,
      this.#counts[this.#second(high)] as number)
  }

  add(high: number, low: number, amount: number): void {
    const first = this.#first(low)
    const second = this.#second(high)
    this.#counts[first] = (this.#counts[first] as number) + amount
    this.#counts[second] = (this.#counts[second] as number) + amount
  }

  drop(high: number, low: number, amount: number): void {
    const first = this.#first(low)
    const second = this.#second(high)
    assert(amount <= this.of(high, low), 'a holder gave back more than it had')
    this.#counts[first] = (this.#counts[first] as number) - amount
    this.#counts[second] = (this.#counts[second] as number) - amount
  }

  clear(): void {
    this.#counts.fill(0)
  }

  #first(low: number): number {
    return (low >>> 0) & (this.#width - 1)
  }

  #second(high: number): number {
    return this.#width + ((high >>> 0) & (this.#width - 1))
  }
}
