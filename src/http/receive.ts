// Request bodies as they arrive: bounded one by one and all together, and freed when a client goes.

import type { Exchange } from './exchange.ts'
import type { HttpResponse } from './uws.ts'

const CLOSE = { close: true } as const
/** Seconds, for a client whose body found no room. */
const RETRY_AFTER_S = 1

/** The bounds of a receiver. */
export interface ReceiverLimits {
  /** Of one body. */
  readonly bodyBytesMax: number
  /** Of all that have begun to arrive and are not complete. */
  readonly heldBytesMax: number
}

/** Who counts the bodies that are not taken. */
export interface ReceiverCounts {
  countInvalid(): void
  countUnavailable(): void
}

/** What is held, as plain data. */
export interface ReceivingTable {
  /** Bytes of incomplete bodies. */
  heldBytes: number
}

/** Collects request bodies. */
export class BodyReceiver {
  readonly #limits: ReceiverLimits
  readonly #counts: ReceiverCounts
  readonly #table: ReceivingTable

  constructor(limits: ReceiverLimits, counts: ReceiverCounts, table: ReceivingTable) {
    this.#limits = limits
    this.#counts = counts
    this.#table = table
  }

  /** Bytes of incomplete bodies. */
  get heldBytes(): number {
    return this.#table.heldBytes
  }

  /** Makes room for so many bytes that are kept elsewhere; false when too much is held already. */
  reserve(bytes: number): boolean {
    if (this.#table.heldBytes + bytes > this.#limits.heldBytesMax) return false
    this.#table.heldBytes += bytes
    return true
  }

  /** Gives back what reserve() has made room for. */
  release(bytes: number): void {
    this.#table.heldBytes -= bytes
  }

  /**
   * Calls `done` with the whole body, which is only valid inside the call; never when the client
   * goes away first. Answers 413 for a body that is announced or found to be too large, and 503
   * when too much is arriving; both end the connection, since nobody wants the rest.
   * @param announced the Content-Length header, '' for none.
   */
  receive(
    response: HttpResponse, exchange: Exchange, announced: string, done: (bytes: Buffer) => void,
  ): void {
    const { bodyBytesMax, heldBytesMax } = this.#limits
    if (announced !== '' && Number(announced) > bodyBytesMax) return this.#refuse(exchange)
    let parts: Buffer[] | undefined
    let held = 0
    const letGo = (): void => {
      this.#table.heldBytes -= held
      held = 0
      parts = undefined
    }
    exchange.onGone = letGo
    response.onData((chunk, isLast) => {
      if (!exchange.isOpen) return
      if (held + chunk.byteLength > bodyBytesMax) {
        letGo()
        return this.#refuse(exchange)
      }
      if (isLast && parts === undefined) return done(Buffer.from(chunk))
      if (this.#table.heldBytes + chunk.byteLength > heldBytesMax) {
        letGo()
        this.#counts.countUnavailable()
        return exchange.sendError('overloaded', 'too many request bodies are arriving at once',
          undefined, { ...CLOSE, retryAfterSeconds: RETRY_AFTER_S })
      }
      held += chunk.byteLength
      this.#table.heldBytes += chunk.byteLength
      parts ??= []
      parts.push(Buffer.from(chunk.slice(0)))
      if (!isLast) return
      const bytes = Buffer.concat(parts)
      letGo()
      done(bytes)
    })
  }

  #refuse(exchange: Exchange): void {
    this.#counts.countInvalid()
    exchange.sendError('body_too_large',
      `the body has more than ${this.#limits.bodyBytesMax} bytes`,
      { limit: this.#limits.bodyBytesMax }, CLOSE)
  }
}
