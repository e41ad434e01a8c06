// A client's connection to a server, reopened with growing pauses when it breaks, until too many
// attempts in a row have failed.

import type { Prng } from '../../shards/base/prng.ts'
import type { Ending, Failure, Link, Listener, ServerMessage } from './client-socket.ts'
import type { Pauses } from './pauses.ts'

/** What a connection needs. */
export interface ConnectionParts {
  /** Opens a socket; resolves with the reason if that fails. */
  readonly open: (listener: Listener) => Promise<Link | Failure>
  /** The server's address for messages. */
  readonly shown: string
  readonly pauses: Pauses
  readonly prng: Prng
  readonly say: (text: string) => void
}

/** The user of a connection. */
export interface ConnectionUser {
  /** A socket is open, perhaps not the first one. */
  onOpen(link: Link): void
  onMessage(message: ServerMessage): void
  /** The socket is lost; another attempt follows. */
  onLost(ending: Ending): void
  /** All attempts have failed, or another one would be in vain. */
  onFailed(reason: string): void
}

const ATTEMPTS_MAX = 16
const PAUSE_MS_MIN = 100
const PAUSE_MS_MAX = 5000
/** A server that is loading its journal, or is about to end, lets connections wait. */
const CONNECT_MS_MAX = 60_000
/** A connection that lasted this long resets the count of failed attempts. */
const STABLE_US = 10_000_000

/**
 * The pause before an attempt to connect, in milliseconds, with jitter: 50 to 100 before the first,
 * 100 to 200 before the second, 2500 to 5000 before the seventh and all later ones.
 */
export const reconnectPauseMs = (attempt: number, unit: number): number =>
  Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** (attempt - 1)) * (0.5 + unit / 2)

/** Keeps a connection open. */
export class Connection implements Listener {
  readonly #parts: ConnectionParts
  readonly #user: ConnectionUser
  #link: Link | undefined
  #openedUs = 0
  /** Consecutive attempts without an answer from the server. */
  #attempts = 0
  #isOver = false
  /** Cancels the present pause or deadline. */
  #cancel: () => void = () => {}

  constructor(parts: ConnectionParts, user: ConnectionUser) {
    this.#parts = parts
    this.#user = user
  }

  /** The socket, if one is open. */
  get link(): Link | undefined {
    return this.#link
  }

  /** Makes the first attempt; if that fails, there are no others. */
  async start(): Promise<void> {
    const failure = await this.#attempt()
    if (failure !== undefined) this.#fail(failure.reason)
  }

  /** The server has answered: resets the count of attempts. */
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
    if (ending.isFinal) return this.#fail(ending.reason)
    const { pauses, say } = this.#parts
    if (pauses.nowUs() - this.#openedUs >= STABLE_US) this.#attempts = 0
    say(`${ending.reason}; connecting again`)
    this.#user.onLost(ending)
    void this.#openAgain(ending)
  }

  async #openAgain(why: Failure): Promise<void> {
    let failure: Failure | undefined = why
    while (failure !== undefined && !this.#isOver) {
      if (failure.isFinal || ++this.#attempts > ATTEMPTS_MAX) return this.#fail(failure.reason)
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#later(reconnectPauseMs(this.#attempts, this.#parts.prng.unit()), resolve)
      await promise
      if (!this.#isOver) failure = await this.#attempt()
    }
  }

  /** Returns the reason if no socket could be opened. */
  async #attempt(): Promise<Failure | undefined> {
    const { open, shown } = this.#parts
    const late = Promise.withResolvers<undefined>()
    this.#later(CONNECT_MS_MAX, () => late.resolve(undefined))
    const opening = open(this)
    const opened = await Promise.race([opening, late.promise])
    this.#cancel()
    if (opened === undefined) {
      void opening.then((link) => 'reason' in link ? undefined : link.close())
      return { reason: `${shown} does not answer`, isFinal: false }
    }
    if ('reason' in opened) return opened
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
