// A ring of records between two threads: one writes, one reads, neither ever waits for the other.
// Thread: RingWriter in the producer, RingReader in the consumer. Memory: one ring's data; the
// writer stores the tail, the reader the head, each on a cache line of its own.
// Never: blocks, wakes anybody (see doorbell.ts), looks into a payload.
// Source: Agrona's OneToOneRingBuffer (Apache-2.0), with a tail that publishes instead of lengths.
//
// A record. The length counts the header; records start on 8-byte boundaries, so a header never
// straddles the end of the ring.
//
//   0        4        8                  length    next multiple of 8
//   | length | kind   | payload ...      | unused  |
//
// A record does not wrap: where one does not fit before the end, a record of kind PADDING fills the
// rest and the real one starts at 0. Positions count bytes since ever, modulo 2^32; the capacity is
// a power of two, so `position & (capacity - 1)` is the place and `(tail - head) >>> 0` the fill.
//
// Publication: header and payload are plain stores, then the tail is stored atomically; a reader
// that loads this tail sees them. In the other direction the head says that bytes may be reused.
// Nothing before the tail store is visible, so a writer that dies while writing leaves no trace.
// A writer may hold back what it has committed: a word of its own then says where it is, for its
// successor, and the tail follows when publish() says so.
//
// A record of a ring whose writer may withdraw is claimed, by compare-and-swap of its kind: by the
// reader, which sets TAKEN, or by the writer, which sets WITHDRAWN. Exactly one of them wins, also
// while the reader's thread is dead; what is withdrawn is passed over.

import { assert } from '../base/assert.ts'
import { LINE_BYTES, type RingViews } from './layout.ts'

/** claim() found no room; nothing has been changed. */
export const RING_FULL = -1

export const RING_HEADER_BYTES = 8
export const RING_ALIGN_BYTES = 8
/** Kinds are 1 to this; the rest is the ring's own. */
export const RING_KIND_MAX = 0x1fffffff
const WITHDRAWN = 0x20000000
const TAKEN = 0x40000000
const PADDING = 0xffffffff

const TAIL_WORD = 0
/** Where the writer is, of a ring whose records are held back for a while; else unused. */
const WRITTEN_WORD = 1
const HEAD_WORD = LINE_BYTES / 4
/** Where the reader is, stored after each record: the head is published more rarely. */
const TAKEN_WORD = HEAD_WORD + 1

/** Positions and their difference must fit 32 bits; a full ring differs from an empty one. */
const CAPACITY_BYTES_MAX = 2 ** 31
const CAPACITY_BYTES_MIN = 64
/** The head is published at least this often, so that a long read does not starve the writer. */
const PUBLISH_EVERY_RECORDS = 64

assert(RING_HEADER_BYTES % RING_ALIGN_BYTES === 0, 'a header may straddle the end')

/** The bytes that a record takes in the ring: 1 → 16, 8 → 16, 9 → 24, and 0 → 8. */
export const ringRecordBytes = (payloadBytes: number): number =>
  (RING_HEADER_BYTES + payloadBytes + RING_ALIGN_BYTES - 1) & -RING_ALIGN_BYTES

/**
 * The longest payload of a ring: 1024 → 504. With half the ring for a record, one that has to skip
 * the end still fits once the ring is empty: what it skips is shorter than itself.
 */
export const ringPayloadBytesMax = (capacityBytes: number): number =>
  capacityBytes / 2 - RING_HEADER_BYTES

/** The producer's end. One instance at a time; a new one goes on after the last commit. */
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
  /** The head when last looked at: the true one may be ahead, never behind. */
  #headSeen: number
  /** Bytes that commit() will publish, padding included; 0 without a claim. */
  #claimed = 0
  /** Of these, what is skipped before the record. */
  #skipped = 0

  /** @param isHeld whether what is committed stays unseen until publish(). */
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
   * RING_FULL. The payload is the caller's to write until commit(). One claim at a time.
   * @param kind 1 to RING_KIND_MAX.
   * @param payloadBytes 0 to payloadBytesMax; asserted, since no waiting would make room for more.
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
   * Publishes the claimed record. Whoever sleeps must still be rung: see doorbell.ts.
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
   * Takes a record back that the reader has not begun to handle; false when it has, and then it
   * will be handled to its end. The reader must be one that claims.
   * @param position what commit() said.
   */
  withdraw(position: number): boolean {
    // What lies before the head has been handled, and its place may hold another record by now.
    if (((position - Atomics.load(this.#control, HEAD_WORD)) | 0) < 0) return false
    const at = ((position & (this.#capacity - 1)) >>> 2) + 1
    const kind = this.u32[at] as number
    if (kind > RING_KIND_MAX) return false
    return Atomics.compareExchange(this.u32, at, kind, kind | WITHDRAWN) === kind
  }

  /** Lets the reader see what was held, up to a tail of before. @returns whether it sees more. */
  publish(tail: number): boolean {
    if (Atomics.load(this.#control, TAIL_WORD) === tail) return false
    Atomics.store(this.#control, TAIL_WORD, tail)
    return true
  }

  /** How far the reader sees. */
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

  /** The record's bytes, and what has to be skipped before it. */
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
 * The consumer's end. One instance at a time; a new one goes on where the last one was: the one
 * record whose handler had not returned when its thread was killed comes again, and no other.
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
  /** The tail when last looked at: the true one may be ahead, never behind. */
  #tailSeen: number
  #reading = false

  /** @param claims whether the writer may withdraw what has not been taken yet. */
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

  /** Where the next record is, or the one that is being handled. */
  get position(): number {
    return this.#head
  }

  /**
   * Hands records to `handler` in order, at most `recordsMax`, and returns how many it has taken.
   * Offset and length are those of the payload. A record is consumed when its handler returns
   * true: one that is refused, or whose handler throws, comes again at the next read. Where records
   * may be withdrawn, it stays this reader's, and those that were withdrawn count as taken.
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

  /** Whether nothing is committed that has not been consumed. */
  isEmpty(): boolean {
    if (this.#head !== this.#tailSeen) return false
    this.#tailSeen = Atomics.load(this.#control, TAIL_WORD)
    return this.#head === this.#tailSeen
  }

  /** The record's kind, which is ours from now on; PADDING, or WITHDRAWN. */
  #claim(place: number): number {
    const at = (place >>> 2) + 1
    const kind = this.u32[at] as number
    if (!this.#claims || kind === PADDING) return kind
    const before = Atomics.compareExchange(this.u32, at, kind, kind | TAKEN)
    // A record that is not taken the first time: its thread was killed, or had no room for answers.
    return (before & WITHDRAWN) !== 0 ? WITHDRAWN : before & RING_KIND_MAX
  }

  /** The writer has asserted the same from its side; a difference means a torn or foreign write. */
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

/** The data's length, after asserting that these views can be a ring and hold a sane one. */
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
