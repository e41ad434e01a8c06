// A FIFO queue of waiters, from which any waiter can be removed at any time.
// Thread: shard. Memory: an array; at most half of it, or PASSED_MAX places, is consumed entries
// before the head.
// Never: knows what is waited for.
// Not a Set: when V8 grows or compacts a Set, the old table keeps a reference to the new one. Once
// one table is in the old generation, it keeps all later tables, and every entry that was ever in
// them, alive until the next full collection.

/** Consumed entries before the head below which compaction is not worth its cost. */
const PASSED_MAX = 32

/** A queue of waiters. No waiter is in it twice. */
export class Fifo<Waiter> {
  #queue: (Waiter | undefined)[] = []
  #head = 0

  /** Number of waiters. */
  get length(): number {
    return this.#queue.length - this.#head
  }

  /** The longest waiting; undefined when the queue is empty. */
  get first(): Waiter | undefined {
    return this.#queue[this.#head]
  }

  /** Appends a waiter. */
  join(waiter: Waiter): void {
    this.#queue.push(waiter)
  }

  /** Removes and returns the longest waiting; undefined when the queue is empty. */
  next(): Waiter | undefined {
    if (this.length === 0) return undefined
    const waiter = this.#queue[this.#head]
    this.#queue[this.#head++] = undefined
    if (this.#head > PASSED_MAX && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    return waiter
  }

  /**
   * Removes a waiter; false when it is not queued. Searches from the head, which is near for the
   * usual case: a waiter that has waited so long that it timed out.
   */
  leave(waiter: Waiter): boolean {
    const at = this.#queue.indexOf(waiter, this.#head)
    if (at === -1) return false
    if (at === this.#head) this.next()
    else this.#queue.splice(at, 1)
    return true
  }

  /** Removes all waiters. */
  clear(): void {
    this.#queue = []
    this.#head = 0
  }
}
