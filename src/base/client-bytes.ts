// The memory that clients can make the main thread hold: partly received bodies, batches and
// frames, and answers that clients have not read. All of it is counted in one pool, of which each
// connection has a share; GrowingBytes is a buffer that grows within it.

import type { Clock } from '../../shards/base/clock.ts'
import { Share, type ShareCounts } from '../../shards/memory/share.ts'
import { RESPONSE_BUFFER_BYTES_MAX } from '../../shards/memory/socket-limits.ts'
import {
  CLIENT_BYTES_FREE_OF_SHARES, CLIENT_BYTES_RESERVED_PER_MILLE, CLIENT_CONNECTION_BYTES,
  PROCESS_BYTES, THREAD_BYTES,
} from './client-limits.ts'
import { DOOR_POOLS } from './pools.ts'

/** The settings that determine the maximum of resident memory. */
export interface ResidentSettings {
  readonly shards: number
  readonly memoryBytes: number
  readonly clientBytesMax: number
  readonly clientConnectionsMax: number
}

/**
 * The most that clients can make the process hold: the pool, as much again for buffers that are
 * garbage or being copied to grow, and what each connection takes besides.
 */
export const clientBytesAtMost = (
  { clientBytesMax, clientConnectionsMax }: Omit<ResidentSettings, 'shards' | 'memoryBytes'>,
): number => 2 * clientBytesMax + clientConnectionsMax * CLIENT_CONNECTION_BYTES

/** The maximum of resident memory, whatever callers do. */
export const residentBytesAtMost = (settings: ResidentSettings): number =>
  PROCESS_BYTES + settings.shards * (THREAD_BYTES + RESPONSE_BUFFER_BYTES_MAX) +
  settings.memoryBytes + clientBytesAtMost(settings)

/** Where a warning goes. */
export interface ClientBytesLog {
  warn(fields: object, message: string): void
}

/** All bytes that are held for clients. Counts the sizes of buffers, not of their contents. */
export class ClientBytes {
  readonly #share: Share
  readonly #clock: Clock

  /** @param clock only read. */
  constructor(bytesMax: number, clock: Clock, log: ClientBytesLog) {
    this.#clock = clock
    this.#share = new Share({
      name: DOOR_POOLS.clientMemory.name, bound: bytesMax, alpha: DOOR_POOLS.clientMemory.alpha,
      minimum: CLIENT_BYTES_FREE_OF_SHARES,
      reserve: Math.floor(bytesMax * CLIENT_BYTES_RESERVED_PER_MILLE / 1000),
    }, ({ bound, used }, refusal) => log.warn({ used_bytes: used, bound_bytes: bound },
      refusal === 'share' ? 'a connection has reached its share of the client memory'
        : 'the client memory is used up: --client-memory'))
  }

  get bytesMax(): number {
    return this.#share.bound
  }

  get used(): number {
    return this.#share.used
  }

  get counts(): ShareCounts {
    return this.#share.counts
  }

  /** Whether only holders of less than their minimum get more. */
  get isFull(): boolean {
    return this.#share.threshold <= 0
  }

  /** Reserves more bytes for a holder of `held`; false when it may not have them. */
  take(held: number, bytes: number): boolean {
    const refusal = this.#share.refusal(held, bytes)
    if (refusal === undefined) this.#share.adopt(bytes)
    else this.#share.refuse(refusal, this.#clock.nowUs())
    return refusal === undefined
  }

  /** Whether take() would succeed. Counts nothing. */
  mayTake(held: number, bytes: number): boolean {
    return this.#share.mayTake(held, bytes)
  }

  /** Counts bytes that are in memory already, or that mayTake() has allowed. */
  adopt(bytes: number): void {
    this.#share.adopt(bytes)
  }

  give(bytes: number): void {
    this.#share.give(bytes)
  }
}

const NOTHING = Buffer.alloc(0)
const GROWING_BYTES_MIN = 1024
const GROWING_BYTES_KEPT = 16 * 1024

/**
 * Bytes that arrive in pieces, in one buffer. It doubles as it grows, so that any number of pieces
 * is linear work; consumed bytes are dropped from its start.
 */
export class GrowingBytes {
  readonly #pool: ClientBytes
  #buffer: Buffer = NOTHING
  #from = 0
  #to = 0

  constructor(pool: ClientBytes) {
    this.#pool = pool
  }

  /** The bytes that it holds of the pool. */
  get heldBytes(): number {
    return this.#buffer.length
  }

  get length(): number {
    return this.#to - this.#from
  }

  /** The contents; valid until the next change. */
  get bytes(): Buffer {
    return this.#buffer.subarray(this.#from, this.#to)
  }

  /** Appends a piece; returns false, unchanged, when the pool has no room for it. */
  append(piece: Uint8Array): boolean {
    const needed = this.length + piece.length
    const size = this.#sizeFor(needed)
    if (size > 0) {
      // The old and the new buffer exist at the same time.
      if (!this.#pool.take(this.heldBytes, size)) return false
      this.#move(size)
    }
    this.#put(piece)
    return true
  }

  /** Appends a piece that is in memory already, whether the pool has room for it or not. */
  appendAnyway(piece: Uint8Array): void {
    const size = this.#sizeFor(this.length + piece.length)
    if (size > 0) {
      this.#pool.adopt(size)
      this.#move(size)
    }
    this.#put(piece)
  }

  /** Drops the first `bytes` bytes. */
  drop(bytes: number): void {
    this.#from += bytes
    if (this.#from === this.#to) this.#from = this.#to = 0
  }

  /** Replaces a large buffer that holds little by a small one. */
  shrink(): void {
    if (this.length === 0) return this.release()
    if (this.heldBytes <= GROWING_BYTES_KEPT || this.length > this.heldBytes / 8) return
    this.#pool.adopt(this.length)
    this.#move(this.length)
  }

  /** Drops everything, and returns the memory to the pool. */
  release(): void {
    this.#pool.give(this.#buffer.length)
    this.#buffer = NOTHING
    this.#from = this.#to = 0
  }

  /** The size of the new buffer that is needed for so many bytes; 0: the present one suffices. */
  #sizeFor(bytes: number): number {
    const { heldBytes, length } = this
    if (this.#from + bytes <= heldBytes) return 0
    // At least half is free: moving what is left costs no more than filling what was dropped did.
    if (bytes > heldBytes || length > heldBytes / 2) {
      return Math.max(bytes, 2 * heldBytes, GROWING_BYTES_MIN)
    }
    this.#buffer.copyWithin(0, this.#from, this.#to)
    this.#from = 0
    this.#to = length
    return 0
  }

  /** Copies into a buffer of another size, which the pool has counted already. */
  #move(size: number): void {
    const after = Buffer.allocUnsafeSlow(size)
    const length = this.#buffer.copy(after, 0, this.#from, this.#to)
    this.#pool.give(this.heldBytes)
    this.#buffer = after
    this.#from = 0
    this.#to = length
  }

  #put(piece: Uint8Array): void {
    this.#buffer.set(piece, this.#to)
    this.#to += piece.length
  }
}
