// A ring of records between two threads: one producer, one consumer, without blocking.
// Thread: RingWriter in the producer, RingReader in the consumer. Memory: one ring's data; the
// writer stores the tail, the reader the head, each on a cache line of its own.
// Never: blocks, wakes a thread (see doorbell.ts), looks into a payload.
// Source: Agrona's OneToOneRingBuffer (Apache-2.0), with a tail that publishes instead of lengths.
//
// A record. The length counts the header; records start on 8-byte boundaries, so a header never
// straddles the end of the ring.
//
//   0        4        8                  length    next multiple of 8
//   | length | kind   | payload ...      | unused  |
//
// A record does not wrap: if it does not fit before the end, a record of kind PADDING fills the
// rest and the real one starts at 0. Positions count all bytes ever written, modulo 2^32; the
// capacity is a power of two, so `position & (capacity - 1)` is the place and `(tail - head) >>> 0`
// the fill.
//
// Publication: header and payload are plain stores, then the tail is stored atomically; a reader
// that loads this tail sees them. In the other direction the head says that bytes may be reused.
// Nothing is visible before the tail store, so a writer that crashes while writing leaves no trace.
// A writer may hold back committed records: a separate word then says where it is, for its
// successor, and publish() moves the tail.
//
// In a ring whose writer may withdraw, a record is claimed by compare-and-swap of its kind: by the
// reader, which sets TAKEN, or by the writer, which sets WITHDRAWN. Exactly one of them wins, even
// while the reader has no thread; withdrawn records are skipped.

import { assert } from '../base/assert.ts'
import { LINE_BYTES, type RingViews } from './layout.ts'

/** claim() found no space; nothing has been changed. */
export const RING_FULL = -1

export const RING_HEADER_BYTES = 8
export const RING_ALIGN_BYTES = 8
/** Callers' kinds are 1 to this; the ring uses the rest. */
export const RING_KIND_MAX = 0x1fffffff
const WITHDRAWN = 0x20000000
const TAKEN = 0x40000000
const PADDING = 0xffffffff

const TAIL_WORD = 0
/** The writer's position in a ring whose records may be held back; otherwise unused. */
const WRITTEN_WORD = 1
const HEAD_WORD = LINE_BYTES / 4
/** The reader's position, stored after each record; the head is published less often. */
const TAKEN_WORD = HEAD_WORD + 1

/** Positions and their difference must fit 32 bits; a full ring must differ from an empty one. */
const CAPACITY_BYTES_MAX = 2 ** 31
const CAPACITY_BYTES_MIN = 64
/** Records after which the head is published, so that a long read does not starve the writer. */
const PUBLISH_EVERY_RECORDS = 64

assert(RING_HEADER_BYTES % RING_ALIGN_BYTES === 0, 'a header may straddle the end')

/** The bytes that a record takes in the ring: 1 → 16, 8 → 16, 9 → 24, and 0 → 8. */
export const ringRecordBytes = (payloadBytes: number): number =>
  (RING_HEADER_BYTES + payloadBytes + RING_ALIGN_BYTES - 1) & -RING_ALIGN_BYTES

/**
 * The longest payload of a ring: 1024 → 504. With at most half the ring per record, one that has to
 * skip the end still fits into an empty ring, since what it skips is shorter than itself.
 */
export const ringPayloadBytesMax = (capacityBytes: number): number =>
  capacityBytes / 2 - RING_HEADER_BYTES

/** The producer's end. One instance at a time; a new one continues after the last commit. */
export class RingWriter {
  /** The ring's data; claim() returns offsets into it. */
  readonly bytes: Buffer
  readonly u32: Uint32Array
  readonly f64: Float64Array
  /** The longest payload that claim() takes. */
  readonly payloadBytesMax: number
  readonly #control: Int32Array
  readonly #capacity: number
  readonly #isHeld: boolean
  #tail: number
  /** The head when last loaded: the actual one may be ahead, never behind. */
  #headSeen: number
  /** Bytes that commit() will publish, padding included; 0 without a claim. */
  #claimed = 0
  /** Of these, the bytes skipped before the record. */
  #skipped = 0

  /** @param isHeld whether committed records stay invisible until publish(). */
  constructor(views: RingViews, isHeld = false) {
    this.bytes = views.bytes
    this.u32 = views.u32
    this.f64 = views.f64
    this.#control = views.control
    this.#capacity = checkedCapacity(views)
    this.#isHeld = isHeld
    this.payloadBytesMax = ringPayloadBytesMax(this.#capacity)
    this.#tail = Atomics.load(this.#control, isHeld ? WRITTEN_WORD : TAIL_WORD)
    this.#headSeen = Atomics.load(this.#control, HEAD_WORD)
  }

  /**
   * Reserves a record and returns the offset of its payload in `bytes`, a multiple of 8, or
   * RING_FULL. The caller writes the payload, then calls commit(). One claim at a time.
   * @param kind 1 to RING_KIND_MAX.
   * @param payloadBytes 0 to payloadBytesMax; asserted, since waiting would never make room.
   */
  claim(kind: number, payloadBytes: number): number {
    assert(this.#claimed === 0, 'a claim is outstanding')
    assert(kind > 0 && kind <= RING_KIND_MAX, 'a record kind out of range')
    const needed = this.#neededBytes(payloadBytes)
    if (!this.#hasRoom(needed)) return RING_FULL
    const place = this.#tail & (this.#capacity - 1)
    const skipped = needed - ringRecordBytes(payloadBytes)
    const start = skipped === 0 ? place : 0
    if (skipped > 0) this.#writeHeader(place, skipped, PADDING)
    this.#writeHeader(start, RING_HEADER_BYTES + payloadBytes, kind)
    this.#claimed = needed
    this.#skipped = skipped
    return start + RING_HEADER_BYTES
  }

  /**
   * Publishes the claimed record. The caller must still ring the reader's bell: see doorbell.ts.
   * @returns the record's position, for withdraw().
   */
  commit(): number {
    assert(this.#claimed > 0, 'nothing is claimed')
    const position = (this.#tail + this.#skipped) | 0
    this.#tail = (this.#tail + this.#claimed) | 0
    this.#claimed = 0
    Atomics.store(this.#control, this.#isHeld ? WRITTEN_WORD : TAIL_WORD, this.#tail)
    return position
  }

  /**
   * Withdraws a record that the reader has not claimed; false when it has, and then the record will
   * be handled completely. The reader must be one that claims.
   * @param position as returned by commit().
   */
  withdraw(position: number): boolean {
    // A record before the head has been handled, and its place may hold another record now.
    if (((position - Atomics.load(this.#control, HEAD_WORD)) | 0) < 0) return false
    const at = ((position & (this.#capacity - 1)) >>> 2) + 1
    const kind = this.u32[at] as number
    if (kind > RING_KIND_MAX) return false
    return Atomics.compareExchange(this.u32, at, kind, kind | WITHDRAWN) === kind
  }

  /** Publishes held records up to an earlier tail. @returns whether the reader sees more now. */
  publish(tail: number): boolean {
    if (Atomics.load(this.#control, TAIL_WORD) === tail) return false
    Atomics.store(this.#control, TAIL_WORD, tail)
    return true
  }

  /** The published tail. */
  get published(): number {
    return Atomics.load(this.#control, TAIL_WORD)
  }

  /** Whether claim() would succeed now. */
  fits(payloadBytes: number): boolean {
    return this.#hasRoom(this.#neededBytes(payloadBytes))
  }

  /** The tail as commit() will publish it, a claim included. */
  get tailNext(): number {
    return (this.#tail + this.#claimed) | 0
  }

  /** Bytes committed and not yet consumed, headers and padding included: 0 to the capacity. */
  fillBytes(): number {
    this.#headSeen = Atomics.load(this.#control, HEAD_WORD)
    return (this.#tail - this.#headSeen) >>> 0
  }

  /** The record's bytes, plus those skipped before it. */
  #neededBytes(payloadBytes: number): number {
    if (payloadBytes >>> 0 !== payloadBytes || payloadBytes > this.payloadBytesMax) {
      assert(false, `a payload of ${payloadBytes} bytes; at most ${this.payloadBytesMax} fit`)
    }
    const bytes = ringRecordBytes(payloadBytes)
    const untilEnd = this.#capacity - (this.#tail & (this.#capacity - 1))
    return bytes <= untilEnd ? bytes : untilEnd + bytes
  }

  #hasRoom(bytes: number): boolean {
    if (this.#capacity - ((this.#tail - this.#headSeen) >>> 0) >= bytes) return true
    return this.#capacity - this.fillBytes() >= bytes
  }

  #writeHeader(place: number, length: number, kind: number): void {
    this.u32[place >>> 2] = length
    this.u32[(place >>> 2) + 1] = kind
  }
}

/** Takes a record; false leaves it in the ring and ends the read. */
export type RecordHandler = (kind: number, offset: number, length: number) => boolean

/**
 * The consumer's end. One instance at a time; a new one continues where the last one was. Only the
 * record whose handler had not returned when its thread ended is handled again.
 */
export class RingReader {
  /** The ring's data; handlers get offsets into it, valid until they return. */
  readonly bytes: Buffer
  readonly u32: Uint32Array
  readonly f64: Float64Array
  readonly #control: Int32Array
  readonly #capacity: number
  readonly #claims: boolean
  #head: number
  #headPublished: number
  /** The tail when last loaded: the actual one may be ahead, never behind. */
  #tailSeen: number
  #reading = false

  /** @param claims whether the writer may withdraw records that are not yet taken. */
  constructor(views: RingViews, claims = false) {
    this.bytes = views.bytes
    this.u32 = views.u32
    this.f64 = views.f64
    this.#control = views.control
    this.#capacity = checkedCapacity(views)
    this.#claims = claims
    this.#head = Atomics.load(this.#control, TAKEN_WORD)
    this.#headPublished = Atomics.load(this.#control, HEAD_WORD)
    this.#tailSeen = Atomics.load(this.#control, TAIL_WORD)
    this.#publish()
  }

  /** The position of the next record, or of the one being handled. */
  get position(): number {
    return this.#head
  }

  /**
   * Passes records to `handler` in order, at most `recordsMax`, and returns how many were consumed.
   * Offset and length are those of the payload. A record is consumed when its handler returns true.
   * One that is refused, or whose handler throws, is handled again at the next read. Where records
   * may be withdrawn, this reader keeps its claim on it, and withdrawn records count as consumed.
   */
  read(handler: RecordHandler, recordsMax: number): number {
    assert(!this.#reading, 'a read inside a read')
    this.#reading = true
    let taken = 0
    try {
      while (taken < recordsMax && !this.isEmpty()) {
        const place = this.#head & (this.#capacity - 1)
        const length = this.u32[place >>> 2] as number
        this.#checkLength(place, length)
        const kind = this.#claim(place)
        if (kind !== PADDING) {
          const payloadBytes = length - RING_HEADER_BYTES
          const isOurs = kind !== WITHDRAWN
          if (isOurs && !handler(kind, place + RING_HEADER_BYTES, payloadBytes)) break
          taken++
        }
        this.#head = (this.#head + ringRecordBytes(length - RING_HEADER_BYTES)) | 0
        this.#control[TAKEN_WORD] = this.#head
        if (taken % PUBLISH_EVERY_RECORDS === 0) this.#publish()
      }
    } finally {
      this.#reading = false
      this.#publish()
    }
    return taken
  }

  /** Whether all published records are consumed. */
  isEmpty(): boolean {
    if (this.#head !== this.#tailSeen) return false
    this.#tailSeen = Atomics.load(this.#control, TAIL_WORD)
    return this.#head === this.#tailSeen
  }

  /** Claims the record and returns its kind; or returns PADDING or WITHDRAWN. */
  #claim(place: number): number {
    const at = (place >>> 2) + 1
    const kind = this.u32[at] as number
    if (!this.#claims || kind === PADDING) return kind
    const before = Atomics.compareExchange(this.u32, at, kind, kind | TAKEN)
    // TAKEN may be set already: the thread was ended, or had no space for the answer.
    return (before & WITHDRAWN) !== 0 ? WITHDRAWN : before & RING_KIND_MAX
  }

  /** The writer asserts the same when it claims; a violation means a torn or foreign write. */
  #checkLength(place: number, length: number): void {
    const filled = (this.#tailSeen - this.#head) >>> 0
    if (length >= RING_HEADER_BYTES && length <= Math.min(filled, this.#capacity - place)) return
    assert(false, `a record of ${length} bytes at ${place}, with ${filled} bytes committed`)
  }

  #publish(): void {
    if (this.#headPublished === this.#head) return
    this.#headPublished = this.#head
    Atomics.store(this.#control, HEAD_WORD, this.#head)
  }
}

/** The data's length, after asserting that the views are those of a ring in a valid state. */
function checkedCapacity(views: RingViews): number {
  const capacity = views.bytes.length
  assert(capacity >= CAPACITY_BYTES_MIN && capacity <= CAPACITY_BYTES_MAX,
    `a ring of ${capacity} bytes; ${CAPACITY_BYTES_MIN} to ${CAPACITY_BYTES_MAX} can be`)
  assert(Math.log2(capacity) % 1 === 0, `a ring of ${capacity} bytes, which is no power of two`)
  assert(views.u32.byteOffset === views.bytes.byteOffset, 'the views are of different places')
  const tail = Atomics.load(views.control, TAIL_WORD)
  const head = Atomics.load(views.control, HEAD_WORD)
  const taken = Atomics.load(views.control, TAKEN_WORD)
  assert((tail | head | taken) % RING_ALIGN_BYTES === 0, 'a ring position off its alignment')
  assert((tail - head) >>> 0 <= capacity, 'a ring holds more than its capacity')
  assert((tail - taken) >>> 0 <= (tail - head) >>> 0, 'a ring was read beyond its tail')
  return capacity
}
