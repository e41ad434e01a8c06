// The memory of responses while they arrive: bounded, with a share for each destination.
// Thread: shard. Memory: a count for each destination, and a queue of paused responses.
// Never: reads a socket; decides which response may continue.
// If a destination has used up its share, its responses are paused (backpressure), so that only its
// upstream waits. One of them may always continue; otherwise partial responses could wait for each
// other. If even that reaches the limit of the pool, the response is truncated there, as at its own
// limit.

import { Fifo } from '../base/fifo.ts'
import { SHARD_POOLS } from '../memory/pools.ts'
import { Share } from '../memory/share.ts'
import { RESPONSE_BUFFER_BYTES_MAX } from '../memory/socket-limits.ts'

/** The reader of a response, which can be told to continue. */
export interface ResponseReader {
  resume(): void
}

/** One destination's part of the memory. */
export class BytesHeld {
  bytes = 0
  /** The response that may continue although its destination has used up its share. */
  exempt: ResponseReader | undefined
  /** It received bytes since it became exempt or since the last look(). */
  hasProgress = false
  /** onRoom is to be called when the destination is below its share again. */
  isAwaited = false
  readonly paused = new Fifo<ResponseReader>()
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
  /** Destinations with paused responses, or with isAwaited. */
  readonly #short = new Set<BytesHeld>()
  #isResuming = false

  /**
   * @param responseBytesMax the most that is kept of one response.
   * @param onRoom called when an awaited destination is below its share again.
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

  /** The greatest length to which a body of `bytes` may grow now. */
  bytesMaxFrom(bytes: number): number {
    return Math.min(this.#responseBytesMax, bytes + this.#share.bound - this.#share.used)
  }

  add(held: BytesHeld, reader: ResponseReader, bytes: number): void {
    held.bytes += bytes
    if (held.exempt === reader) held.hasProgress = true
    this.#share.adopt(bytes)
  }

  /** If an exempt response made no progress since the last call, another one becomes exempt. */
  look(): void {
    for (const held of this.#short) {
      if (!held.hasProgress) held.exempt = undefined
      held.hasProgress = false
    }
    if (this.#short.size > 0) this.#resumeShort()
  }

  /** Whether the destination has used up its share, so that no request may be sent to it. */
  isOver(held: BytesHeld): boolean {
    return held.bytes > 0 && !this.#share.mayTake(held.bytes, 0)
  }

  /** Requests a call of onRoom. */
  await(held: BytesHeld): void {
    held.isAwaited = true
    this.#short.add(held)
  }

  /** Whether the response may continue; if not, it must pause, and resume() follows. */
  mayGoOn(held: BytesHeld, reader: ResponseReader): boolean {
    if (!this.isOver(held) || this.#isExempt(held, reader)) return true
    held.paused.join(reader)
    this.#short.add(held)
    return false
  }

  /** A response that held so many bytes has ended, paused or not; others may continue. */
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

  /** A resumed response may end at once and free more, which this or the next pass handles. */
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
