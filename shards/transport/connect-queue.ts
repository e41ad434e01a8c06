// Destinations that wait until they may open a connection. Accounts are served by round robin, so
// that one that wants connections to a thousand hosts delays no connection of another.
// Thread: shard. Memory: an entry for each destination that waits.
// Never: says when a connection may be opened.

/** The connections to one destination, as far as they take others' room. */
export interface RoomTaker {
  /** Idle, at work and being made. */
  readonly connectionCount: number
  /** Ends the one that has been idle longest; false when none is. */
  endLongestIdle(): boolean
  /** There may be room for what was refused. */
  retry(): void
}

/** The queue of one transport. */
export class ConnectQueue {
  /** By the route of the account that was the first to want the connection, in their turns. */
  readonly #queues = new Map<number, Set<RoomTaker>>()
  readonly #accounts = new Map<RoomTaker, number>()

  get size(): number {
    return this.#accounts.size
  }

  /** Adds one behind the others of its account; one that waits already keeps its place. */
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
   * The first of the next account's, past those that are to be skipped; that account has the last
   * turn from now on. Undefined when nobody is left.
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

  /** All of them, account by account. */
  * takers(): Iterable<RoomTaker> {
    for (const queue of this.#queues.values()) yield* queue
  }
}
