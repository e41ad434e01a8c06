// Whose question goes to a shard next. Only so many lie in its ring at once, where new jobs wait
// behind them; the others wait in here, and accounts take turns, so that one who asks ten thousand
// things holds up nobody who asks one.
// Source: McKenney, Stochastic fairness queueing, INFOCOM 1990: lines by a keyed hash, and one
// question of each in turn.

import { NONE } from '../../shards/base/units.ts'
import { QUESTION_LINES } from '../base/client-limits.ts'

/** The lines of one shard, as plain data. Those with somebody in them form a ring. */
export interface FairQueueTable {
  /** By line; NONE for an empty one. */
  readonly head: Uint32Array
  readonly tail: Uint32Array
  readonly nextLine: Uint32Array
  /** The line that had its turn last: it stands before that which has the next. */
  lastLine: number
}

/** Empty lines. */
export const makeFairQueueTable = (): FairQueueTable => ({
  head: new Uint32Array(QUESTION_LINES).fill(NONE),
  tail: new Uint32Array(QUESTION_LINES),
  nextLine: new Uint32Array(QUESTION_LINES),
  lastLine: NONE,
})

/** The lines of one shard. */
export class FairQueue {
  readonly #table: FairQueueTable
  /** By slot: who stands behind it in its line. */
  readonly #next: Uint32Array

  /** @param next one place for each slot; shards may share it. */
  constructor(table: FairQueueTable, next: Uint32Array) {
    this.#table = table
    this.#next = next
  }

  get isEmpty(): boolean {
    return this.#table.lastLine === NONE
  }

  /** The slot whose turn it is; not to be asked of empty lines. */
  get first(): number {
    const { head, lastLine, nextLine } = this.#table
    return head[nextLine[lastLine] as number] as number
  }

  /** Lets a slot wait behind the others of its account. */
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

  /** The first has had its turn: it waits no longer, and the next line has the next. */
  shift(): void {
    const { head, lastLine, nextLine } = this.#table
    const line = nextLine[lastLine] as number
    const next = this.#next[head[line] as number] as number
    head[line] = next
    if (next !== NONE) this.#table.lastLine = line
    else if (line === lastLine) this.#table.lastLine = NONE
    else nextLine[lastLine] = nextLine[line] as number
  }

  /** Nobody waits any more. */
  clear(): void {
    this.#table.head.fill(NONE)
    this.#table.lastLine = NONE
  }
}
