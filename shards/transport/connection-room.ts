// The connections of all destinations together: a bounded pool, of which each has a share.
// Thread: shard. Memory: an entry for each destination that has connections or waits for one.
// Never: opens or closes a connection; it says who may, and whose idle one has to go.

import type { Micros } from '../base/units.ts'
import { SHARD_POOLS } from '../memory/pools.ts'
import { Share, type ShareCounts } from '../memory/share.ts'
import {
  CONNECTIONS_MINIMUM, CONNECTS_PER_TURN_MAX, IDLE_ORIGINS_LOOKED_AT_MAX,
} from '../memory/socket-limits.ts'

/** The connections to one destination, as far as they take others' room. */
export interface RoomTaker {
  /** Idle, at work and being made. */
  readonly connectionCount: number
  /** Ends the one that has been idle longest; false when none is. */
  endLongestIdle(): boolean
  /** There may be room for what was refused. */
  retry(): void
}

/** The room of one transport. */
export class ConnectionRoom {
  readonly #share: Share
  readonly #soon: (run: () => void) => void
  readonly #nextTurn: (run: () => void) => void
  /** Connections that may still be begun in this turn of the event loop. */
  #left = CONNECTS_PER_TURN_MAX
  /** Those that have connections. */
  readonly #holding = new Set<RoomTaker>()
  /** Those that found no room, in their order. */
  readonly #short = new Set<RoomTaker>()

  /**
   * @param soon runs something once the call is over in which a connection has ended.
   * @param nextTurn runs something in the next turn of the event loop.
   */
  constructor(
    connectionsMax: number, soon: (run: () => void) => void, nextTurn: (run: () => void) => void,
  ) {
    this.#share = new Share({
      name: SHARD_POOLS.connections.name, bound: connectionsMax,
      alpha: SHARD_POOLS.connections.alpha, minimum: CONNECTIONS_MINIMUM,
    })
    this.#soon = soon
    this.#nextTurn = nextTurn
  }

  get counts(): Readonly<ShareCounts> {
    return this.#share.counts
  }

  /** Room for one more of these, if need be that of an idle one elsewhere; else retry() follows. */
  take(taker: RoomTaker, nowUs: Micros): boolean {
    // Who has its share waits for it; who has none yet finds room at the cost of an idle one.
    if (this.#isFullFor(taker)) this.#endAnIdleOne(taker)
    if (this.#left === 0 || !this.#share.take(taker.connectionCount, 1, nowUs)) {
      this.#short.add(taker)
      return false
    }
    if (this.#left-- === CONNECTS_PER_TURN_MAX) this.#nextTurn(this.#beginTurn)
    this.#holding.add(taker)
    return true
  }

  /** One of these has ended, and is not among them any more. */
  give(taker: RoomTaker): void {
    this.#share.give(1)
    if (taker.connectionCount === 0) this.#holding.delete(taker)
    if (this.#short.size > 0) this.#soon(this.#serveShort)
  }

  /** Nobody waits for room for these any more. */
  leave(taker: RoomTaker): void {
    this.#short.delete(taker)
  }

  /** Makes room for those who wait, where connections have become idle meanwhile. */
  look(): void {
    let left = CONNECTS_PER_TURN_MAX
    for (const taker of this.#short) {
      if (left-- === 0 || !this.#isFullFor(taker)) return
      this.#endAnIdleOne(taker)
    }
  }

  #isFullFor(taker: RoomTaker): boolean {
    return this.#share.refusal(taker.connectionCount, 1) === 'bound'
  }

  /** A connection that idles elsewhere makes room for one that is needed. */
  #endAnIdleOne(taker: RoomTaker): void {
    let left = IDLE_ORIGINS_LOOKED_AT_MAX
    for (const other of this.#holding) {
      if (left-- === 0 || (other !== taker && other.endLongestIdle())) return
      this.#holding.delete(other)
      this.#holding.add(other) // the next search begins behind it
    }
  }

  readonly #beginTurn = (): void => {
    this.#left = CONNECTS_PER_TURN_MAX
    this.#serveShort()
  }

  readonly #serveShort = (): void => {
    for (const taker of this.#short) {
      if (this.#left === 0) return
      const refusal = this.#share.refusal(taker.connectionCount, 1)
      if (refusal === 'bound') return
      if (refusal === 'share') continue
      this.#short.delete(taker)
      taker.retry()
    }
  }
}
