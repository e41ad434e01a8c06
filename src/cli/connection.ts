// A client's connection to a server that may go away and come back: opened again, with pauses that
// grow, until it has failed too often in a row.

import type { Prng } from '../../shards/base/prng.ts'
import type { Ending, Link, Listener, ServerMessage } from './client-socket.ts'
import type { Pauses } from './pauses.ts'

/** What a connection stands on. */
export interface ConnectionParts {
  /** Opens a socket, or says why that cannot be done. */
  readonly open: (listener: Listener) => Promise<Link | string>
  /** The server, as it is shown. */
  readonly shown: string
  readonly pauses: Pauses
  readonly prng: Prng
  readonly say: (text: string) => void
}

/** Who uses a connection. */
export interface ConnectionUser {
  /** There is a socket, perhaps not the first. */
  onOpen(link: Link): void
  onMessage(message: ServerMessage): void
  /** There is none for now. */
  onLost(ending: Ending): void
  /** There will be none. */
  onFailed(reason: string): void
}

const ATTEMPTS_MAX = 16
const PAUSE_MS_MIN = 100
const PAUSE_MS_MAX = 5000
/** A server that is loading its journal or is about to end lets those who connect wait. */
const CONNECT_MS_MAX = 60_000
/** One that lived so long is no sign of a server that cannot keep any. */
const STABLE_US = 10_000_000

/**
 * Before an attempt to connect, milliseconds: of the first one from 50 on and less than 100, of the
 * second from 100 on and less than 200, of the seventh and all later ones from 2500 to 5000.
 */
export const reconnectPauseMs = (attempt: number, unit: number): number =>
  Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** (attempt - 1)) * (0.5 + unit / 2)

/** Keeps a connection open. */
export class Connection implements Listener {
  readonly #parts: ConnectionParts
  readonly #user: ConnectionUser
  #link: Link | undefined
  #openedUs = 0
  /** In a row, none of which brought an answer. */
  #attempts = 0
  #isOver = false
  /** Of the pause or the deadline that there is. */
  #cancel: () => void = () => {}

  constructor(parts: ConnectionParts, user: ConnectionUser) {
    this.#parts = parts
    this.#user = user
  }

  /** The socket, while there is one. */
  get link(): Link | undefined {
    return this.#link
  }

  /** The first attempt; a server that was never there is not waited for. */
  async start(): Promise<void> {
    const reason = await this.#attempt()
    if (reason !== undefined) this.#fail(reason)
  }

  /** The server has done something that it was asked for. */
  noteProgress(): void {
    this.#attempts = 0
  }

  close(): void {
    this.#isOver = true
    this.#cancel()
    this.#link?.close()
    this.#link = undefined
  }

  onMessage(message: ServerMessage): void {
    if (!this.#isOver) this.#user.onMessage(message)
  }

  onClose(ending: Ending): void {
    this.#link = undefined
    if (this.#isOver) return
    const { pauses, say } = this.#parts
    if (pauses.nowUs() - this.#openedUs >= STABLE_US) this.#attempts = 0
    say(`${ending.reason}; connecting again`)
    this.#user.onLost(ending)
    void this.#openAgain(ending.reason)
  }

  async #openAgain(why: string): Promise<void> {
    let reason: string | undefined = why
    while (reason !== undefined && !this.#isOver) {
      if (++this.#attempts > ATTEMPTS_MAX) return this.#fail(reason)
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#later(reconnectPauseMs(this.#attempts, this.#parts.prng.unit()), resolve)
      await promise
      if (!this.#isOver) reason = await this.#attempt()
    }
  }

  /** The reason when there is no socket. */
  async #attempt(): Promise<string | undefined> {
    const { open, shown } = this.#parts
    const late = Promise.withResolvers<undefined>()
    this.#later(CONNECT_MS_MAX, () => late.resolve(undefined))
    const opening = open(this)
    const opened = await Promise.race([opening, late.promise])
    this.#cancel()
    if (typeof opened === 'string') return opened
    if (opened === undefined) {
      void opening.then((link) => typeof link === 'string' ? undefined : link.close())
      return `${shown} does not answer`
    }
    if (this.#isOver) opened.close()
    else {
      this.#link = opened
      this.#openedUs = this.#parts.pauses.nowUs()
      this.#user.onOpen(opened)
    }
    return undefined
  }

  #later(ms: number, run: () => void): void {
    this.#cancel = this.#parts.pauses.after(ms, run)
  }

  #fail(reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#user.onFailed(reason)
  }
}
