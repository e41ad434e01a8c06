// How much of its time a shard spends on reading responses, in one turn of the event loop.
// Thread: shard. Memory: an entry for each destination and response that is paused.
// Never: reads a socket; it says who may go on reading, and when.
// What a response costs is not its size alone: a chunk of one byte costs as much as one of a KiB.
// Beyond the bound responses are paused, and go on when the next turn begins, the destinations in
// turn, before anybody reads what has come meanwhile. A destination that has cost little is not
// paused at once, so that small answers never wait behind large ones.

import { WaitingLine } from '../base/fifo.ts'
import {
  READERS_PER_TURN_MAX, READ_COST_BYTES, READ_COST_EXTRA, READ_COST_MAX, READ_COST_SMALL,
} from '../memory/socket-limits.ts'

/** Who reads a response, and can be told to go on in a turn of its own. */
export interface Reader {
  goOn(): void
}

/** What the responses of one destination have cost, and those of them that are paused. */
export class Reading {
  turn = 0
  cost = 0
  readonly paused = new WaitingLine<Reader>()
}

/** The turns of one shard. */
export class ReadScheduler {
  readonly #nextTurn: (run: () => void) => void
  readonly #waiting = new WaitingLine<Reading>()
  #turn = 1
  /** What may still be spent: of several turns of the event loop, until half of it is gone. */
  #left = READ_COST_MAX
  #isEnding = false

  /** @param nextTurn runs something when the present turn of the event loop is over. */
  constructor(nextTurn: (run: () => void) => void) {
    this.#nextTurn = nextTurn
  }

  /**
   * So many bytes of a response have been read at once, and count whatever becomes of it. Whether
   * it may go on; if not it is to be paused, and to await() its turn.
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

  /** A response is paused, and goOn() follows. */
  await(reading: Reading, reader: Reader): void {
    this.#end()
    if (reading.paused.length === 0) this.#waiting.join(reading)
    reading.paused.join(reader)
  }

  /** A response that is paused has ended. */
  leave(reading: Reading, reader: Reader): void {
    if (reading.paused.leave(reader) && reading.paused.length === 0) this.#waiting.leave(reading)
  }

  /** Each goes on until it is paused again; whoever has no turn now comes first the next time. */
  readonly #begin = (): void => {
    this.#isEnding = false
    this.#turn++
    this.#left = READ_COST_MAX
    // What goes on may have nothing to read yet, and all that comes for it comes at once.
    for (let left = READERS_PER_TURN_MAX; left > 0 && this.#left > 0; left--) {
      const reading = this.#waiting.next()
      if (reading === undefined) return
      const reader = reading.paused.next()
      if (reading.paused.length > 0) this.#waiting.join(reading)
      reader?.goOn()
    }
    if (this.#waiting.length > 0) this.#end()
  }

  /** The next turn is to begin, as soon as it may. */
  #end(): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#nextTurn(this.#begin)
  }
}
