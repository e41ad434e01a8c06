// The order in which questions go to a shard. A limited number is in its ring at once, since new
// jobs wait behind them there; the others are queued here, and accounts are served round robin, so
// that an account with ten thousand questions does not delay one with a single question.
// Source: McKenney, Stochastic fairness queueing, INFOCOM 1990: FIFO queues by a keyed hash, served
// round robin, one question each.

import { NONE } from '../../shards/base/units.ts'
import { QUESTION_LINES } from '../base/client-limits.ts'

/** The FIFO queues of one shard, as plain data. Those that are not empty form a ring. */
export interface FairQueueTable {
  /** By line; NONE for an empty one. */
  readonly head: Uint32Array
  readonly tail: Uint32Array
  readonly nextLine: Uint32Array
  /** The queue that was served last: it precedes the next one in the ring. */
  lastLine: number
}

/** Empty queues. */
export const makeFairQueueTable = (): FairQueueTable => ({
  head: new Uint32Array(QUESTION_LINES).fill(NONE),
  tail: new Uint32Array(QUESTION_LINES),
  nextLine: new Uint32Array(QUESTION_LINES),
  lastLine: NONE,
})

/** The FIFO queues of one shard. */
export class FairQueue {
  readonly #table: FairQueueTable
  /** By slot: the next slot in its queue. */
  readonly #next: Uint32Array

  /** @param next one element for each slot; shards may share it. */
  constructor(table: FairQueueTable, next: Uint32Array) {
    this.#table = table
    this.#next = next
  }

  get isEmpty(): boolean {
    return this.#table.lastLine === NONE
  }

  /** The slot to be served next; there must be one. */
  get first(): number {
    const { head, lastLine, nextLine } = this.#table
    return head[nextLine[lastLine] as number] as number
  }

  /** Appends a slot to the queue of its account. */
  add(slot: number, route: number): void {
    const { head, nextLine, tail } = this.#table
    const line = route & (QUESTION_LINES - 1)
    this.#next[slot] = NONE
    if (head[line] === NONE) {
      head[line] = slot
      const { lastLine } = this.#table
      nextLine[line] = lastLine === NONE ? line : nextLine[lastLine] as number
      if (lastLine !== NONE) nextLine[lastLine] = line
      this.#table.lastLine = line
    } else {
      this.#next[tail[line] as number] = slot
    }
    tail[line] = slot
  }

  /** Removes the first slot and advances to the next queue. */
  shift(): void {
    const { head, lastLine, nextLine } = this.#table
    const line = nextLine[lastLine] as number
    const next = this.#next[head[line] as number] as number
    head[line] = next
    if (next !== NONE) this.#table.lastLine = line
    else if (line === lastLine) this.#table.lastLine = NONE
    else nextLine[lastLine] = nextLine[line] as number
  }

  /** Empties all queues. */
  clear(): void {
    this.#table.head.fill(NONE)
    this.#table.lastLine = NONE
  }
}
