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

/** Takes a whole body, which is only valid inside the call. */
export type BodyHandler<About> = (exchange: Exchange, bytes: Uint8Array, about: About) => void

/** What has come of a body. */
interface BodyParts {
  chunks: Buffer[]
  bytes: number
}

/** Collects request bodies. */
export class BodyReceiver {
  readonly #limits: ReceiverLimits
  readonly #counts: ReceiverCounts
  readonly #table: ReceivingTable
  /** A number of fewer digits is within the limit: nothing else need be known of most requests. */
  readonly #limitDigits: number

  constructor(limits: ReceiverLimits, counts: ReceiverCounts, table: ReceivingTable) {
    this.#limits = limits
    this.#counts = counts
    this.#table = table
    this.#limitDigits = String(limits.bodyBytesMax).length
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
   * Calls `done` with the whole body; never when the client goes away first. Answers 413 for a
   * body that is announced or found to be too large, and 503 when too much is arriving; both end
   * the connection, since nobody wants the rest.
   * @param announced the Content-Length header, '' for none.
   * @param about is handed on, so that `done` can be the same for all requests.
   */
  receive<About>(
    response: HttpResponse, exchange: Exchange, announced: string, about: About,
    done: BodyHandler<About>,
  ): void {
    const { bodyBytesMax } = this.#limits
    if (announced.length >= this.#limitDigits && Number(announced) > bodyBytesMax) {
      return this.#refuse(exchange)
    }
    let parts: BodyParts | undefined
    response.onData((chunk, isLast) => {
      if (!exchange.isOpen) return
      if (isLast && parts === undefined && chunk.byteLength <= bodyBytesMax) {
        return done(exchange, new Uint8Array(chunk), about)
      }
      parts ??= this.#hold(exchange)
      const whole = this.#add(exchange, parts, chunk, isLast)
      if (whole !== undefined) done(exchange, whole, about)
    })
  }

  /** A body that does not come in one piece. */
  #hold(exchange: Exchange): BodyParts {
    const parts: BodyParts = { chunks: [], bytes: 0 }
    exchange.onGone = () => this.#letGo(parts)
    return parts
  }

  /** The whole body, once it is there and the client has not been refused. */
  #add(
    exchange: Exchange, parts: BodyParts, chunk: ArrayBuffer, isLast: boolean,
  ): Uint8Array | undefined {
    if (parts.bytes + chunk.byteLength > this.#limits.bodyBytesMax) {
      this.#letGo(parts)
      this.#refuse(exchange)
      return undefined
    }
    if (!this.reserve(chunk.byteLength)) {
      this.#letGo(parts)
      this.#counts.countUnavailable()
      exchange.sendError('overloaded', 'too many request bodies are arriving at once',
        undefined, { ...CLOSE, retryAfterSeconds: RETRY_AFTER_S })
      return undefined
    }
    parts.bytes += chunk.byteLength
    parts.chunks.push(Buffer.from(chunk.slice(0)))
    if (!isLast) return undefined
    const whole = Buffer.concat(parts.chunks)
    this.#letGo(parts)
    return whole
  }

  #letGo(parts: BodyParts): void {
    this.release(parts.bytes)
    parts.bytes = 0
    parts.chunks = []
  }

  #refuse(exchange: Exchange): void {
    this.#counts.countInvalid()
    exchange.sendError('body_too_large',
      `the body has more than ${this.#limits.bodyBytesMax} bytes`,
      { limit: this.#limits.bodyBytesMax }, CLOSE)
  }
}
