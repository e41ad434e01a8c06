// The limit on connections to all destinations: a bounded pool in which each has a share.
// Thread: shard. Memory: an entry for each destination that has connections or waits for one.
// Never: opens or closes a connection; decides who may, and whose idle one is evicted.

import type { Micros } from '../base/units.ts'
import { SHARD_POOLS } from '../memory/pools.ts'
import { Share, type ShareCounts } from '../memory/share.ts'
import {
  CONNECTIONS_MINIMUM, CONNECTS_PER_TURN_MAX, IDLE_ORIGINS_LOOKED_AT_MAX,
} from '../memory/socket-limits.ts'
import { ConnectQueue, type RoomTaker } from './connect-queue.ts'
import { ConnectTurns, type ConnectTurnsOptions } from './connect-turns.ts'

/** Options of a ConnectionRoom. */
export interface ConnectionRoomOptions extends Omit<ConnectTurnsOptions, 'onTurn'> {
  readonly connectionsMax: number
}

/** The pool of one transport. */
export class ConnectionRoom {
  readonly #share: Share
  readonly #turns: ConnectTurns
  readonly #soon: (run: () => void) => void
  /** Destinations with connections. */
  readonly #holding = new Set<RoomTaker>()
  readonly #short = new ConnectQueue()

  constructor({ connectionsMax, ...options }: ConnectionRoomOptions) {
    this.#share = new Share({
      name: SHARD_POOLS.connections.name, bound: connectionsMax,
      alpha: SHARD_POOLS.connections.alpha, minimum: CONNECTIONS_MINIMUM,
    })
    this.#soon = options.soon
    this.#turns = new ConnectTurns({ ...options, onTurn: () => this.#serveShort() })
  }

  get counts(): Readonly<ShareCounts> {
    return this.#share.counts
  }

  /**
   * Takes room for a connection, evicting an idle one if necessary; if false, retry() follows.
   * @param account the route of the account that wants it.
   */
  take(taker: RoomTaker, account: number, nowUs: Micros): boolean {
    // A destination at its share waits; if only the pool is full, an idle connection is evicted.
    if (this.#isFullFor(taker)) this.#endAnIdleOne(taker)
    if (!this.#turns.mayBegin || !this.#share.take(taker.connectionCount, 1, nowUs)) {
      this.#short.add(taker, account)
      return false
    }
    this.#turns.begin()
    this.#holding.add(taker)
    return true
  }

  /** The system call of an admitted connection, or of several, follows now; see ConnectTurns. */
  calling(): void {
    this.#turns.calling()
  }

  /** One of the destination's connections has ended; connectionCount excludes it already. */
  give(taker: RoomTaker): void {
    this.#share.give(1)
    if (taker.connectionCount === 0) this.#holding.delete(taker)
    if (this.#short.size > 0) this.#soon(this.#serveShort)
  }

  /** The destination no longer waits for room. */
  leave(taker: RoomTaker): void {
    this.#short.delete(taker)
  }

  /** Evicts connections that have become idle, for destinations that wait. */
  look(): void {
    let left = CONNECTS_PER_TURN_MAX
    for (const taker of this.#short.takers()) {
      if (left-- === 0 || !this.#isFullFor(taker)) return
      this.#endAnIdleOne(taker)
    }
  }

  #isFullFor(taker: RoomTaker): boolean {
    return this.#share.refusal(taker.connectionCount, 1) === 'bound'
  }

  /** Evicts an idle connection of another destination. */
  #endAnIdleOne(taker: RoomTaker): void {
    let left = IDLE_ORIGINS_LOOKED_AT_MAX
    for (const other of this.#holding) {
      if (left-- === 0 || (other !== taker && other.endLongestIdle())) return
      this.#holding.delete(other)
      this.#holding.add(other) // the next search starts after it
    }
  }

  readonly #serveShort = (): void => {
    const hasShare = (taker: RoomTaker): boolean =>
      this.#share.refusal(taker.connectionCount, 1) === 'share'
    while (this.#turns.mayBegin) {
      const taker = this.#short.next(hasShare)
      if (taker === undefined || this.#isFullFor(taker)) return
      this.#short.delete(taker)
      taker.retry()
    }
  }
}
