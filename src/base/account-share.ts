// A pool of the front door that is shared fairly between accounts. An account is identified by its
// route, the first word of its jobs' ids: a keyed hash, so that no caller can choose a route that
// collides with another account's. In the ids that callers ask about, the route is theirs to
// choose; so what a tenant takes with such an id is counted as the tenant's (accountOf), and in
// tenant 0 it has another limit besides.

import type { Clock } from '../../shards/base/clock.ts'
import { HeldCounts } from '../../shards/memory/held-counts.ts'
import type { SharedPool } from '../../shards/memory/pools.ts'
import {
  makeShareCounts, Share, type ShareCounts, type ShareRefusal, type ShareWarning,
} from '../../shards/memory/share.ts'

/** Spreads tenants over the counts of accounts: odd, so different tenants stay different. */
const TENANT_SPREAD = 0x9e3779b1

/**
 * Whose share is taken by who asks about a job: the asker's, so that nobody uses up the share of
 * another tenant.
 * @param route of the job's id.
 */
export const accountOf = (tenant: number, route: number): number =>
  tenant === 0 ? route : Math.imul(tenant, TENANT_SPREAD) >>> 0

/** How much of a pool is in use, and by which accounts, as plain data. */
export interface HeldTable {
  readonly counts: ShareCounts
  readonly held: Uint32Array
}

/** An unused pool of `units`. */
export const makeHeldTable = (units: number): HeldTable =>
  ({ counts: makeShareCounts(), held: HeldCounts.make(units) })

/** What pools need of their context. */
export interface PoolContext {
  /** Only read. */
  readonly clock: Clock
  readonly warn: ShareWarning
}

/** What a refused caller is told about its share. */
export interface ShareFacts {
  readonly limit: number
  readonly current: number
}

/**
 * One pool. Several instances may use the same table: they admit differently, but count the same
 * usage.
 */
export class AccountShare {
  readonly #share: Share
  readonly #held: HeldCounts
  readonly #clock: Clock

  /** @param reserve part of the bound that this instance must leave free. */
  constructor(
    pool: SharedPool, bound: number, table: HeldTable, { clock, warn }: PoolContext,
    reserve = 0,
  ) {
    this.#share = new Share(
      { name: pool.name, bound, alpha: pool.alpha, reserve }, warn, table.counts)
    this.#held = new HeldCounts(table.held)
    this.#clock = clock
  }

  /** Why an account may not take one more, or undefined; a refusal is counted. */
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

  /** The account's limit, and how much it holds. */
  facts(route: number): ShareFacts {
    return {
      limit: Math.max(0, Math.ceil(this.#share.threshold)),
      current: this.#held.of(spread(route), route),
    }
  }
}

/** The second probe position: other bits of the same word (Knuth's multiplicative hash). */
const spread = (route: number): number => Math.imul(route, 0x9e3779b1) >>> 8
