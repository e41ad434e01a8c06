// A bounded pool in which each holder may have only a share, so that none can use up all of it.
// Thread: any (an instance belongs to one). Memory: a few numbers; the caller counts what each
// holder has, in its own arrays (held-counts.ts where holders are identified by a hash).
// Never: knows what a unit or a holder is, reads a clock, allocates on a take.
// Source: Choudhury and Hahne, Dynamic queue length thresholds for shared-memory packet switches,
// IEEE/ACM Transactions on Networking 6(2), 1998.
// Intuition: a holder may take more while it holds less than alpha times what is free. A single
// holder stops at alpha / (1 + alpha) of the pool, since what is free shrinks as its part grows; n
// holders stop at alpha / (1 + n * alpha) each. So something is always left for the next holder,
// and no limit per holder has to be guessed. The threshold is checked before a take, so a take of
// many units may end above it, by less than its own size.

import { assert } from '../base/assert.ts'
import { type Micros, msToUs } from '../base/units.ts'
import { WARNING_PAUSE_MS } from './limits.ts'

/** Why a take is refused: the holder has its share, or the pool is used up. */
export type ShareRefusal = 'share' | 'bound'

/** A pool's parameters, in its own unit: bytes, permits, slots. */
export interface ShareRules {
  readonly name: string
  readonly bound: number
  /** A holder stops at this times what is free. 1: a single one may have half; 4: four fifths. */
  readonly alpha: number
  /** What a holder may have regardless of its share, while the pool has room. */
  readonly minimum?: number
  /** The part of the bound that is reserved for holders below their minimum. */
  readonly reserve?: number
}

/** A pool's counts: plain data, which several Share instances on one thread may have in common. */
export interface ShareCounts {
  used: number
  peak: number
  refusedByShare: number
  refusedByBound: number
}

/** Counts of an unused pool. */
export const makeShareCounts = (): ShareCounts =>
  ({ used: 0, peak: 0, refusedByShare: 0, refusedByBound: 0 })

/** Called on a refusal, at most once in WARNING_PAUSE_MS. */
export type ShareWarning = (pool: Share, refusal: ShareRefusal) => void

/** One shared pool. */
export class Share {
  readonly name: string
  readonly bound: number
  readonly alpha: number
  readonly minimum: number
  readonly reserve: number
  readonly #warn: ShareWarning | undefined
  readonly #counts: ShareCounts
  #silentUntilUs = -Infinity

  constructor(rules: ShareRules, warn?: ShareWarning, counts = makeShareCounts()) {
    const { minimum = 0, reserve = 0 } = rules
    assert(rules.bound > 0 && rules.alpha > 0, 'a pool of nothing')
    assert(minimum >= 0 && reserve >= 0 && reserve < rules.bound, 'a reserve beyond the pool')
    this.name = rules.name
    this.bound = rules.bound
    this.alpha = rules.alpha
    this.minimum = minimum
    this.reserve = reserve
    this.#warn = warn
    this.#counts = counts
  }

  get used(): number {
    return this.#counts.used
  }

  get counts(): Readonly<ShareCounts> {
    return this.#counts
  }

  /** A holder below this may take more, beyond its minimum; negative when no holder may. */
  get threshold(): number {
    return this.alpha * (this.bound - this.reserve - this.#counts.used)
  }

  /** Why a holder of `held` units may not have `amount` more; undefined when it may. */
  refusal(held: number, amount: number): ShareRefusal | undefined {
    const used = this.#counts.used + amount
    if (used > this.bound) return 'bound'
    if (held + amount <= this.minimum) return undefined
    if (used > this.bound - this.reserve) return 'bound'
    return held < this.threshold ? undefined : 'share'
  }

  /** Whether a holder of `held` units may have `amount` more. Counts nothing. */
  mayTake(held: number, amount: number): boolean {
    return this.refusal(held, amount) === undefined
  }

  /** Takes `amount` for a holder of `held`, or counts the refusal and warns of it. */
  take(held: number, amount: number, nowUs: Micros): boolean {
    const refusal = this.refusal(held, amount)
    if (refusal === undefined) {
      this.adopt(amount)
      return true
    }
    this.refuse(refusal, nowUs)
    return false
  }

  /** Counts a refusal, for a caller that has called refusal() itself. */
  refuse(refusal: ShareRefusal, nowUs: Micros): void {
    if (refusal === 'share') this.#counts.refusedByShare++
    else this.#counts.refusedByBound++
    if (this.#warn === undefined || nowUs < this.#silentUntilUs) return
    this.#silentUntilUs = nowUs + msToUs(WARNING_PAUSE_MS)
    this.#warn(this, refusal)
  }

  /**
   * Counts units that are held already, without admission: facts found in a recovery, or bytes that
   * are in memory in any case. Only this can exceed the bound.
   */
  adopt(amount: number): void {
    const counts = this.#counts
    counts.used += amount
    if (counts.used > counts.peak) counts.peak = counts.used
  }

  /** Gives `amount` back. */
  give(amount: number): void {
    assert(amount <= this.#counts.used, 'a pool was given back more than was taken of it')
    this.#counts.used -= amount
  }
}
