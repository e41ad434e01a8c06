// Who waits for something, in the order in which they came; anybody may leave at any time.
// Thread: shard. Memory: an array as long as the line was; at most half of it is behind its head.
// Never: knows what is waited for.
// Not a Set: each time that one grows or sheds what was deleted, its old table keeps a reference to
// the new one. Once a single table has grown old, all that come after it live on until the next
// full collection, with everybody who ever stood in them.

/** So many places behind the head are not worth tidying up. */
const PASSED_MAX = 32

/** A line of those who wait. Nobody stands in it twice. */
export class WaitingLine<Who> {
  #line: (Who | undefined)[] = []
  #head = 0

  /** How many wait. */
  get length(): number {
    return this.#line.length - this.#head
  }

  /** Who has waited longest; undefined when nobody waits. */
  get first(): Who | undefined {
    return this.#line[this.#head]
  }

  /** Joins at the end. */
  join(who: Who): void {
    this.#line.push(who)
  }

  /** Who has waited longest, and waits no more; undefined when nobody waits. */
  next(): Who | undefined {
    if (this.length === 0) return undefined
    const who = this.#line[this.#head]
    this.#line[this.#head++] = undefined
    if (this.#head > PASSED_MAX && this.#head * 2 > this.#line.length) {
      this.#line = this.#line.slice(this.#head)
      this.#head = 0
    }
    return who
  }

  /**
   * Leaves; false when not in the line. Costs a search from the head, where those stand who have
   * waited so long that their time is up.
   */
  leave(who: Who): boolean {
    const at = this.#line.indexOf(who, this.#head)
    if (at === -1) return false
    if (at === this.#head) this.next()
    else this.#line.splice(at, 1)
    return true
  }

  /** Sends everybody away. */
  clear(): void {
    this.#line = []
    this.#head = 0
  }
}
