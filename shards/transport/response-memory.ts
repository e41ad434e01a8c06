// The memory that responses take while they arrive: bounded, and shared out among destinations.
// Thread: shard. Memory: a count for each destination, and a line of those that are paused.
// Never: reads a socket; it says who may go on reading.
// A destination that holds its share has its responses paused, so that its upstream waits and
// nobody else does. One of them may always go on, or those that hold something would wait for each
// other; should even that come to the bound of all, a response is cut there, as at its own limit.

import { WaitingLine } from '../base/fifo.ts'
import { SHARD_POOLS } from '../memory/pools.ts'
import { Share } from '../memory/share.ts'
import { RESPONSE_BUFFER_BYTES_MAX } from '../memory/socket-limits.ts'

/** Who reads a response, and can be told to go on. */
export interface ResponseReader {
  resume(): void
}

/** What one destination holds. */
export class BytesHeld {
  bytes = 0
  /** The response that may go on though its destination holds its share. */
  exempt: ResponseReader | undefined
  /** Bytes came for it, since it was made exempt or last looked at. */
  hasProgress = false
  /** Somebody wants to hear when the destination no longer holds its share. */
  isAwaited = false
  readonly paused = new WaitingLine<ResponseReader>()
  readonly to: number

  constructor(to: number) {
    this.to = to
  }
}

/** The response memory of one shard. */
export class ResponseMemory {
  readonly #share: Share
  readonly #responseBytesMax: number
  readonly #onRoom: (to: number) => void
  /** Destinations with paused responses, or that somebody waits for. */
  readonly #short = new Set<BytesHeld>()
  #isResuming = false

  /**
   * @param responseBytesMax what is kept of one response.
   * @param onRoom a destination that is awaited holds less than its share again.
   */
  constructor(
    responseBytesMax: number, onRoom: (to: number) => void,
    boundBytes: number = RESPONSE_BUFFER_BYTES_MAX,
  ) {
    this.#responseBytesMax = responseBytesMax
    this.#onRoom = onRoom
    this.#share = new Share({
      name: SHARD_POOLS.responseBytes.name, bound: boundBytes,
      alpha: SHARD_POOLS.responseBytes.alpha,
    })
  }

  get usedBytes(): number {
    return this.#share.used
  }

  /** How long a body may become that takes `bytes` now. */
  bytesMaxFrom(bytes: number): number {
    return Math.min(this.#responseBytesMax, bytes + this.#share.bound - this.#share.used)
  }

  add(held: BytesHeld, reader: ResponseReader, bytes: number): void {
    held.bytes += bytes
    if (held.exempt === reader) held.hasProgress = true
    this.#share.adopt(bytes)
  }

  /** One that may go on and has not, since the last look, lets another go on in its place. */
  look(): void {
    for (const held of this.#short) {
      if (!held.hasProgress) held.exempt = undefined
      held.hasProgress = false
    }
    if (this.#short.size > 0) this.#resumeShort()
  }

  /** Whether the destination holds its share, so that nothing more may be asked of it. */
  isOver(held: BytesHeld): boolean {
    return held.bytes > 0 && !this.#share.mayTake(held.bytes, 0)
  }

  /** onRoom is to follow. */
  await(held: BytesHeld): void {
    held.isAwaited = true
    this.#short.add(held)
  }

  /** Whether the response may go on; if not it is to be paused, and resume() follows. */
  mayGoOn(held: BytesHeld, reader: ResponseReader): boolean {
    if (!this.isOver(held) || this.#isExempt(held, reader)) return true
    held.paused.join(reader)
    this.#short.add(held)
    return false
  }

  /** A response that held so many bytes has ended, paused or not; others may go on. */
  settle(held: BytesHeld, reader: ResponseReader, bytes: number): void {
    if (held.exempt === reader) held.exempt = undefined
    if (held.paused.length > 0) held.paused.leave(reader)
    held.bytes -= bytes
    this.#share.give(bytes)
    if (this.#short.size > 0) this.#resumeShort()
  }

  #isExempt(held: BytesHeld, reader: ResponseReader): boolean {
    if (held.exempt === undefined) {
      held.exempt = reader
      held.hasProgress = true
    }
    return held.exempt === reader
  }

  /** One that goes on may end at once and free more, which is seen in the same pass or the next. */
  #resumeShort(): void {
    if (this.#isResuming) return
    this.#isResuming = true
    for (const held of this.#short) {
      for (let next = held.paused.first; next !== undefined; next = held.paused.first) {
        if (this.isOver(held) && !this.#isExempt(held, next)) break
        held.paused.next()
        next.resume()
      }
      if (held.isAwaited && !this.isOver(held)) {
        held.isAwaited = false
        this.#onRoom(held.to)
      }
      if (held.paused.length === 0 && !held.isAwaited) this.#short.delete(held)
    }
    this.#isResuming = false
  }
}
