// The queue of destinations that wait to open a connection. Accounts are served round robin, so
// that an account that needs connections to a thousand hosts does not delay other accounts.
// Thread: shard. Memory: an entry for each destination that waits.
// Never: decides when a connection may be opened.

/** A holder of the connection pool: the connections to one destination. */
export interface RoomTaker {
  /** Idle, in use and opening. */
  readonly connectionCount: number
  /** Closes the one that has been idle longest; false when none is idle. */
  endLongestIdle(): boolean
  /** There may be room now for a connection that was refused. */
  retry(): void
}

/** The queue of one transport. */
export class ConnectQueue {
  /** By the route of the account that first wanted the connection, in round-robin order. */
  readonly #queues = new Map<number, Set<RoomTaker>>()
  readonly #accounts = new Map<RoomTaker, number>()

  get size(): number {
    return this.#accounts.size
  }

  /** Appends a destination to its account's queue; one that waits already keeps its place. */
  add(taker: RoomTaker, account: number): void {
    if (this.#accounts.has(taker)) return
    this.#accounts.set(taker, account)
    const queue = this.#queues.get(account)
    if (queue === undefined) this.#queues.set(account, new Set([taker]))
    else queue.add(taker)
  }

  delete(taker: RoomTaker): void {
    const account = this.#accounts.get(taker)
    if (account === undefined) return
    this.#accounts.delete(taker)
    const queue = this.#queues.get(account)
    queue?.delete(taker)
    if (queue?.size === 0) this.#queues.delete(account)
  }

  /**
   * The first destination of the next account that is not to be skipped; that account is then the
   * last in the round. Undefined when there is none.
   */
  next(isSkipped: (taker: RoomTaker) => boolean): RoomTaker | undefined {
    let accountsLeft = this.#queues.size
    for (const [account, queue] of this.#queues) {
      if (accountsLeft-- === 0) return undefined
      this.#queues.delete(account)
      this.#queues.set(account, queue)
      for (const taker of queue) if (!isSkipped(taker)) return taker
    }
    return undefined
  }

  /** All waiting destinations, account by account. */
  * takers(): Iterable<RoomTaker> {
    for (const queue of this.#queues.values()) yield* queue
  }
}
