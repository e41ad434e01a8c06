// Limits the time that a shard spends on reading responses in one event-loop turn.
// Thread: shard. Memory: an entry for each destination and response that is paused.
// Never: reads a socket; decides which response may continue, and when.
// The cost of a response is not its size alone: each chunk has an overhead (READ_COST_BYTES).
// Above the limit, responses are paused. They continue when the next turn begins, round robin over
// the destinations, before newly received data is read. A destination with a low cost is not paused
// at first, so that small responses never wait behind large ones.

import { Fifo } from '../base/fifo.ts'
import {
  READERS_PER_TURN_MAX, READ_COST_BYTES, READ_COST_EXTRA, READ_COST_MAX, READ_COST_SMALL,
} from '../memory/socket-limits.ts'

/** The reader of a response, which can be told to continue. */
export interface Reader {
  goOn(): void
}

/** The cost of one destination's responses in a turn, and those that are paused. */
export class Reading {
  turn = 0
  cost = 0
  readonly paused = new Fifo<Reader>()
}

/** The scheduler of one shard. */
export class ReadScheduler {
  readonly #nextTurn: (run: () => void) => void
  readonly #waiting = new Fifo<Reading>()
  #turn = 1
  /** The cost left; it is renewed once half of it is used, so it may span several turns. */
  #left = READ_COST_MAX
  #isEnding = false

  /** @param nextTurn calls a function after the current event-loop turn. */
  constructor(nextTurn: (run: () => void) => void) {
    this.#nextTurn = nextTurn
  }

  /**
   * Charges bytes of a response that were read at once. @returns whether it may continue; if not,
   * it must pause and call await().
   */
  spend(reading: Reading, bytes: number): boolean {
    const cost = 1 + Math.floor(bytes / READ_COST_BYTES)
    if (reading.turn !== this.#turn) {
      reading.turn = this.#turn
      reading.cost = 0
    }
    reading.cost += cost
    this.#left -= cost
    if (this.#left * 2 > READ_COST_MAX) return true
    this.#end()
    const least = reading.cost > READ_COST_SMALL ? 0 : -READ_COST_EXTRA
    return this.#left > least
  }

  /** Queues a paused response; goOn() follows. */
  await(reading: Reading, reader: Reader): void {
    this.#end()
    if (reading.paused.length === 0) this.#waiting.join(reading)
    reading.paused.join(reader)
  }

  /** A response that is paused has ended. */
  leave(reading: Reading, reader: Reader): void {
    if (reading.paused.leave(reader) && reading.paused.length === 0) this.#waiting.leave(reading)
  }

  /** Each continues until it is paused again; those not reached now are first the next time. */
  readonly #begin = (): void => {
    this.#isEnding = false
    this.#turn++
    this.#left = READ_COST_MAX
    // Limited in number, too: a continued response may have nothing to read yet, and later get much
    // at once.
    for (let left = READERS_PER_TURN_MAX; left > 0 && this.#left > 0; left--) {
      const reading = this.#waiting.next()
      if (reading === undefined) return
      const reader = reading.paused.next()
      if (reading.paused.length > 0) this.#waiting.join(reading)
      reader?.goOn()
    }
    if (this.#waiting.length > 0) this.#end()
  }

  /** Schedules #begin for the next turn. */
  #end(): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#nextTurn(this.#begin)
  }
}
