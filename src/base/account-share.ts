// A pool of the front door of which each account has a share. An account is known by its route, the
// first word of its jobs' ids: a keyed hash, so that nobody can choose one that another has. Routes
// in the ids that callers ask about are theirs to choose, so whatever can be taken with such an id
// has another bound besides.

import type { Clock } from '../../shards/base/clock.ts'
import { HeldCounts } from '../../shards/memory/held-counts.ts'
import type { SharedPool } from '../../shards/memory/pools.ts'
import {
  makeShareCounts, Share, type ShareCounts, type ShareRefusal, type ShareWarning,
} from '../../shards/memory/share.ts'

/** What of a pool is in use, and by whom, as plain data. */
export interface HeldTable {
  readonly counts: ShareCounts
  readonly held: Uint32Array
}

/** A pool of so many units, of which nothing is in use. */
export const makeHeldTable = (units: number): HeldTable =>
  ({ counts: makeShareCounts(), held: HeldCounts.make(units) })

/** What pools need of their context. */
export interface PoolContext {
  /** Only read. */
  readonly clock: Clock
  readonly warn: ShareWarning
}

/** What is said of a share to who has been refused more. */
export interface ShareFacts {
  readonly limit: number
  readonly current: number
}

/** One pool. Several may stand on one table: who may take how much differs, what is in use not. */
export class AccountShare {
  readonly #share: Share
  readonly #held: HeldCounts
  readonly #clock: Clock

  /** @param reserve of the bound: not for those who take by this one. */
  constructor(
    pool: SharedPool, bound: number, table: HeldTable, { clock, warn }: PoolContext,
    reserve = 0,
  ) {
    this.#share = new Share(
      { name: pool.name, bound, alpha: pool.alpha, reserve }, warn, table.counts)
    this.#held = new HeldCounts(table.held)
    this.#clock = clock
  }

  /** Why an account may have no more; a refusal is counted. */
  refusal(route: number): ShareRefusal | undefined {
    const refusal = this.#share.refusal(this.#held.of(spread(route), route), 1)
    if (refusal !== undefined) this.#share.refuse(refusal, this.#clock.nowUs())
    return refusal
  }

  /** Takes one more, which refusal() has allowed. */
  take(route: number): void {
    this.#share.adopt(1)
    this.#held.add(spread(route), route, 1)
  }

  give(route: number): void {
    this.#share.give(1)
    this.#held.drop(spread(route), route, 1)
  }

  /** The account's share, and what it has of it. */
  facts(route: number): ShareFacts {
    return {
      limit: Math.max(0, Math.ceil(this.#share.threshold)),
      current: this.#held.of(spread(route), route),
    }
  }
}

/** Other bits of the same word for the second place (Knuth's multiplicative hash). */
const spread = (route: number): number => Math.imul(route, 0x9e3779b1) >>> 8
