// Limits the connections begun in one event-loop turn, by the time that this takes.
// Thread: shard. Memory: a few numbers.
// Never: opens a connection, or waits for one.
// Beginning a connection is a system call, usually of about 0.1 ms. It takes several ms if most of
// the local ports for an address are in use, since the system tries one after the other; a caller
// with enough names for one address can cause that. Then fewer are begun per turn, with a pause
// after each: due sends are late by at most one such call, and the scheduler of the system does not
// hold the thread back for having run too long.

import type { Clock } from '../base/clock.ts'
import type { Micros } from '../base/units.ts'
import {
  CONNECTS_PAUSE, CONNECTS_PER_TURN_MAX, CONNECTS_PER_TURN_US,
} from '../memory/socket-limits.ts'

/** Options of ConnectTurns. */
export interface ConnectTurnsOptions {
  /** A clock with the system's time; not shared, since it has only one wake-up. */
  readonly clock: Pick<Clock, 'nowUs' | 'wakeAt'>
  /** Calls a function after the call in which connections are begun. */
  readonly soon: (run: () => void) => void
  /** Calls a function in the next event-loop turn. */
  readonly nextTurn: (run: () => void) => void
  /** Called when connections may be begun again. */
  readonly onTurn: () => void
}

/** The limit of one shard. */
export class ConnectTurns {
  readonly #options: ConnectTurnsOptions
  /** Connections that may be begun in a turn, and how many are left in this one. */
  #most = CONNECTS_PER_TURN_MAX
  #left = CONNECTS_PER_TURN_MAX
  /** When the current calls began; undefined outside of them. */
  #fromUs: Micros | undefined
  /** Total time of this turn's calls. */
  #tookUs = 0

  constructor(options: ConnectTurnsOptions) {
    this.#options = options
  }

  /** Whether another connection may be begun in this turn; if not, onTurn() follows. */
  get mayBegin(): boolean {
    return this.#left > 0
  }

  /** Counts a connection; its system call may follow later, after the look-up. */
  begin(): void {
    if (this.#left-- === this.#most) this.#options.nextTurn(this.#next)
  }

  /** The system call follows now. */
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
