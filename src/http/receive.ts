// Request bodies as they arrive: limited each and in total, and freed when a client disconnects.

import { type ClientBytes, GrowingBytes } from '../base/client-bytes.ts'
import type { Exchange } from './exchange.ts'
import type { HttpResponse } from './uws.ts'

const CLOSE = { close: true } as const
/** Seconds, for a client whose body was refused for lack of memory. */
const RETRY_AFTER_S = 1

/** Counts refused bodies. */
export interface ReceiverCounts {
  countInvalid(): void
  countUnavailable(): void
}

/** Handles a complete body, which is valid only until it returns. */
export type BodyHandler<About> = (exchange: Exchange, bytes: Uint8Array, about: About) => void

/** Collects request bodies. */
export class BodyReceiver {
  readonly #bodyBytesMax: number
  readonly #counts: ReceiverCounts
  readonly #pool: ClientBytes
  /** A Content-Length with fewer digits is within the limit, which is enough for most requests. */
  readonly #limitDigits: number

  constructor(bodyBytesMax: number, counts: ReceiverCounts, pool: ClientBytes) {
    this.#bodyBytesMax = bodyBytesMax
    this.#counts = counts
    this.#pool = pool
    this.#limitDigits = String(bodyBytesMax).length
  }

  /**
   * Calls `done` with the complete body; never if the client disconnects first. Answers 413 for a
   * body that is announced as too large or is too large, and 503 when the pool has no room; both
   * close the connection, since the rest is not read.
   * @param announced the Content-Length header, '' for none.
   * @param about is passed on, so that `done` can be the same for all requests.
   */
  receive<About>(
    response: HttpResponse, exchange: Exchange, announced: string, about: About,
    done: BodyHandler<About>,
  ): void {
    const bodyBytesMax = this.#bodyBytesMax
    if (announced.length >= this.#limitDigits && Number(announced) > bodyBytesMax) {
      return this.#refuse(exchange)
    }
    let body: GrowingBytes | undefined
    response.onData((chunk, isLast) => {
      if (!exchange.isOpen) return
      if (isLast && body === undefined && chunk.byteLength <= bodyBytesMax) {
        return done(exchange, new Uint8Array(chunk), about)
      }
      body ??= this.#begin(exchange)
      if (!this.#add(exchange, body, chunk)) return body.release()
      if (!isLast) return
      // The handler answers, and must not get the callback of a client that disconnects.
      exchange.onGone = undefined
      done(exchange, body.bytes, about)
      body.release()
    })
  }

  /** Starts a body that arrives in more than one piece. */
  #begin(exchange: Exchange): GrowingBytes {
    const body = new GrowingBytes(this.#pool)
    exchange.onGone = () => body.release()
    return body
  }

  /** Appends a chunk; false when the client has been refused. */
  #add(exchange: Exchange, body: GrowingBytes, chunk: ArrayBuffer): boolean {
    if (body.length + chunk.byteLength > this.#bodyBytesMax) {
      this.#refuse(exchange)
      return false
    }
    if (body.append(new Uint8Array(chunk))) return true
    this.#counts.countUnavailable()
    exchange.sendError('overloaded', 'too many request bodies are arriving at once',
      undefined, { ...CLOSE, retryAfterSeconds: RETRY_AFTER_S })
    return false
  }

  #refuse(exchange: Exchange): void {
    this.#counts.countInvalid()
    exchange.sendError('body_too_large',
      `the body has more than ${this.#bodyBytesMax} bytes`,
      { limit: this.#bodyBytesMax }, CLOSE)
  }
}
