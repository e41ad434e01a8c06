// How many connections are begun in one turn of the event loop, by how long that takes.
// Thread: shard. Memory: none but a few numbers.
// Never: opens a connection, or waits for one.
// To begin one is a call of the system, of some 0.1 ms as a rule. It takes several ms where most of
// the ports are taken from which an address can be reached, since the system tries one after the
// other; whoever has enough names for one address can bring that about. Then fewer are begun at
// once, and none for a while after that: sends that are due are late by one of them at most, and
// the thread is not one that the system makes wait because it has run for so long.

import type { Clock } from '../base/clock.ts'
import type { Micros } from '../base/units.ts'
import {
  CONNECTS_PAUSE, CONNECTS_PER_TURN_MAX, CONNECTS_PER_TURN_US,
} from '../memory/socket-limits.ts'

/** What a ConnectTurns is made with. */
export interface ConnectTurnsOptions {
  /** Of the system's time; nobody else is woken by it. */
  readonly clock: Pick<Clock, 'nowUs' | 'wakeAt'>
  /** Runs something once the call is over in which connections are begun. */
  readonly soon: (run: () => void) => void
  /** Runs something in the next turn of the event loop. */
  readonly nextTurn: (run: () => void) => void
  /** Some may be begun again. */
  readonly onTurn: () => void
}

/** The turns of one shard. */
export class ConnectTurns {
  readonly #options: ConnectTurnsOptions
  /** Connections that may be begun in a turn, and those of them that are left in this one. */
  #most = CONNECTS_PER_TURN_MAX
  #left = CONNECTS_PER_TURN_MAX
  /** Since when the calls take that are not over. */
  #fromUs: Micros | undefined
  /** How long those of this turn took. */
  #tookUs = 0

  constructor(options: ConnectTurnsOptions) {
    this.#options = options
  }

  /** Whether one more may be begun in this turn; if not, onTurn() follows. */
  get mayBegin(): boolean {
    return this.#left > 0
  }

  /** One is begun; its call may follow later, when its host has been found. */
  begin(): void {
    if (this.#left-- === this.#most) this.#options.nextTurn(this.#next)
  }

  /** The call comes now. */
  calling(): void {
    if (this.#fromUs !== undefined) return
    this.#fromUs = this.#options.clock.nowUs()
    this.#options.soon(this.#called)
  }

  readonly #called = (): void => {
    this.#tookUs += this.#options.clock.nowUs() - (this.#fromUs ?? 0)
    this.#fromUs = undefined
  }

  readonly #next = (): void => {
    const { clock } = this.#options
    const tookUs = this.#tookUs
    this.#tookUs = 0
    if (tookUs <= CONNECTS_PER_TURN_US) {
      this.#most = Math.min(CONNECTS_PER_TURN_MAX, this.#most + 1)
      return this.#begin()
    }
    this.#most = Math.max(1, this.#most >> 1)
    this.#left = 0
    clock.wakeAt((clock.nowUs() + CONNECTS_PAUSE * tookUs) as Micros, this.#begin)
  }

  readonly #begin = (): void => {
    this.#left = this.#most
    this.#options.onTurn()
  }
}
