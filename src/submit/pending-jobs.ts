// Jobs that were sent to a shard and have no answer yet, in columns: a socket may have thousands of
// them, and one object each would cost too much.

import { assert } from '../../shards/base/assert.ts'
import { NONE } from '../../shards/base/units.ts'
import type { ShareRefusal } from '../../shards/memory/share.ts'
import {
  AccountShare, type HeldTable, makeHeldTable, type PoolContext, type ShareFacts,
} from '../base/account-share.ts'
import { REQUESTS_PENDING_BULK_MAX, REQUESTS_PENDING_MAX } from '../base/limits.ts'
import { DOOR_POOLS } from '../base/pools.ts'
import { makeWaitingTable, slotOf, Waiting, type WaitingTable } from '../engine/waiting.ts'
import type { Asker, Ref, Ticket } from '../job/asker.ts'

/** The columns, as plain data. */
export interface PendingTable {
  readonly waiting: WaitingTable<Asker>
  readonly held: HeldTable
  readonly refs: Ref[]
  readonly watched: Uint8Array
  readonly route: Uint32Array
  readonly idHigh: Uint32Array
  readonly idLow: Uint32Array
}

/** An empty table. */
export const makePendingTable = (): PendingTable => ({
  waiting: makeWaitingTable(REQUESTS_PENDING_MAX),
  held: makeHeldTable(REQUESTS_PENDING_MAX),
  refs: Array.from({ length: REQUESTS_PENDING_MAX }, () => 0),
  watched: new Uint8Array(REQUESTS_PENDING_MAX),
  route: new Uint32Array(REQUESTS_PENDING_MAX),
  idHigh: new Uint32Array(REQUESTS_PENDING_MAX),
  idLow: new Uint32Array(REQUESTS_PENDING_MAX),
})

/** All pending jobs. */
export class PendingJobs {
  /** Filled by take(). */
  readonly ticket: Ticket
  readonly #ticket = { ref: 0 as Ref, shard: 0, isWatched: false, route: 0, idHigh: 0, idLow: 0 }
  readonly #waiting: Waiting<Asker>
  readonly #single: AccountShare
  /** For sockets and batches: the same pool, less what is reserved for single posts. */
  readonly #bulk: AccountShare
  readonly #refs: Ref[]
  readonly #watched: Uint8Array
  readonly #route: Uint32Array
  readonly #idHigh: Uint32Array
  readonly #idLow: Uint32Array

  constructor(
    { waiting, held, refs, watched, route, idHigh, idLow }: PendingTable,
    context: PoolContext,
  ) {
    this.ticket = this.#ticket
    this.#waiting = new Waiting(waiting)
    this.#single = new AccountShare(DOOR_POOLS.requests, REQUESTS_PENDING_MAX, held, context)
    this.#bulk = new AccountShare(DOOR_POOLS.requests, REQUESTS_PENDING_MAX, held, context,
      REQUESTS_PENDING_MAX - REQUESTS_PENDING_BULK_MAX)
    this.#refs = refs
    this.#watched = watched
    this.#route = route
    this.#idHigh = idHigh
    this.#idLow = idLow
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Whether there is no room for another job of this kind of asker. */
  isFullFor(asker: { readonly isBulk: boolean }): boolean {
    return asker.isBulk ? this.size >= REQUESTS_PENDING_BULK_MAX : this.#waiting.isFull
  }

  /** Why an account may have no further pending job from this asker; undefined when it may. */
  refusal(asker: { readonly isBulk: boolean }, route: number): ShareRefusal | undefined {
    return (asker.isBulk ? this.#bulk : this.#single).refusal(route)
  }

  /** The account's limit, and how much it holds. */
  share(asker: { readonly isBulk: boolean }, route: number): ShareFacts {
    return (asker.isBulk ? this.#bulk : this.#single).facts(route)
  }

  /** Adds a job that refusal() has allowed; returns its request number. */
  add(asker: Asker, ref: Ref, shard: number, route: number, isWatched: boolean): number {
    const request = this.#waiting.add(asker, shard)
    assert(request !== NONE, 'the jobs under way were miscounted')
    this.#single.take(route)
    const slot = slotOf(request)
    this.#refs[slot] = ref
    this.#watched[slot] = isWatched ? 1 : 0
    this.#route[slot] = route
    return request
  }

  /** Records the job's id, and its position in its shard's ring. */
  sent(request: number, idHigh: number, idLow: number, position: number): void {
    const slot = slotOf(request)
    this.#waiting.sentAt(request, position)
    this.#idHigh[slot] = idHigh
    this.#idLow[slot] = idLow
  }

  /** Removes a job, fills the ticket, returns the asker; undefined when it is gone already. */
  take(request: number): Asker | undefined {
    const asker = this.#waiting.take(request)
    if (asker === undefined) return undefined
    const slot = slotOf(request)
    const ticket = this.#ticket
    ticket.ref = this.#refs[slot] as Ref
    ticket.shard = this.#waiting.shardAt(slot)
    ticket.isWatched = this.#watched[slot] === 1
    ticket.route = this.#route[slot] as number
    ticket.idHigh = this.#idHigh[slot] as number
    ticket.idLow = this.#idLow[slot] as number
    this.#single.give(ticket.route)
    this.#refs[slot] = 0
    return asker
  }

  /** The job's position in its shard's ring. */
  positionOf(request: number): number {
    return this.#waiting.positionOf(request)
  }

  /** All requests that wait for a shard. */
  requestsOf(shard: number): number[] {
    return this.#waiting.requestsOf(shard)
  }
}
