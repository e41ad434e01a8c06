// The format of the journal: rows of facts, in frames with a checksum, in batches that are atomic.
// Thread: shard writes, the compactor of its journal reads. Memory: the given buffers, and one
// buffer per writer.
// Never: opens a file or knows what a row's facts mean; journal-image.ts does.
//
// A tail file is a sequence of frames. Everything is little-endian and aligned to 8 bytes.
//
//   0       4       8     12      16         24         32
//   | magic | bytes | crc | flags | sequence | accepted | rows, `bytes` of them |
//   crc: CRC-32 of everything after it. flags: 1 in the last frame of a batch. sequence: the
//   batch's. accepted: new jobs in this batch and all before it, so that losses can be counted.
//
//   0       4       8       12      16                next multiple of 8
//   | table | key 1 | key 2 | bytes | data ... |
//
// Batches are numbered without gaps. A row replaces an earlier one with the same keys, so reading a
// batch again is harmless; a batch without its last frame is ignored.

import { crc32 } from 'node:zlib'
import { assert } from '../base/assert.ts'
import { alignUp } from '../base/units.ts'

/** Counts that belong to no page; keys 0, 0. */
export const TABLE_COUNTS = 1
/** Key 1: a page of slots, as journal-image.ts divides them. */
export const TABLE_JOBS = 2
export const TABLE_LANES = 3
export const TABLE_TEMPLATES = 4
/** Key 1: a segment of the log. Data: its state. */
export const TABLE_SEGMENTS = 5
/** Key 1: a segment. Earlier rows of its bytes are no longer valid. No data. */
export const TABLE_CLEARED = 6
/** Key 1: a segment; key 2: the data's offset in it. */
export const TABLE_LOG = 7
/** Key 1: an upstream's slot. Data: its origin, pace and limits. */
export const TABLE_UPSTREAMS = 8

export const FRAME_HEADER_BYTES = 32
export const ROW_HEADER_BYTES = 16
/** The aimed size of a frame; a single row may be larger. */
export const FRAME_BYTES_AIM = 256 * 1024

const MAGIC = 0x324a4c53 // "SLJ2"
const BYTES = 4
const CRC = 8
const FLAGS = 12
const SEQUENCE = 16
const ACCEPTED = 24
const FLAG_LAST = 1
const ALIGN_BYTES = 8
const BUFFER_BYTES_MIN = 64 * 1024

/** Receives each row: its table, keys, and data at bytes[start … end). */
export type VisitRow = (
  table: number, key1: number, key2: number, bytes: Buffer, start: number, end: number) => void

/** The fields of a frame's header about its batch. */
export interface FrameHeader {
  readonly sequence: number
  /** New jobs up to the end of the batch. */
  readonly accepted: number
  /** Where the next frame begins. */
  readonly end: number
}

/** One frame in a file. */
export interface Frame extends FrameHeader {
  readonly isLast: boolean
  /** Its rows are at start … end. */
  readonly start: number
}

/** Builds the frames of a batch in one buffer, which it reuses. */
export class BatchWriter {
  #bytes = Buffer.allocUnsafeSlow(BUFFER_BYTES_MIN)
  #u32 = new Uint32Array(this.#bytes.buffer)
  #f64 = new Float64Array(this.#bytes.buffer)
  #sequence = 0
  #accepted = 0
  #frameAt = 0
  #at = 0

  /** The buffer as words; valid until the next row. */
  get u32(): Uint32Array {
    return this.#u32
  }

  get f64(): Float64Array {
    return this.#f64
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  /** Bytes written so far, headers included. */
  get length(): number {
    return this.#at
  }

  begin(sequence: number, accepted: number): void {
    this.#sequence = sequence
    this.#accepted = accepted
    this.#at = 0
    this.#beginFrame()
  }

  /** Adds a row; the caller writes its data. @returns the data's offset, a multiple of 8. */
  row(table: number, key1: number, key2: number, bytes: number): number {
    if (this.#at - this.#frameAt > FRAME_BYTES_AIM) {
      this.#endFrame(0)
      this.#beginFrame()
    }
    const data = this.#at + ROW_HEADER_BYTES
    const end = data + alignUp(bytes, ALIGN_BYTES)
    this.#reserve(end)
    const word = this.#at / 4
    this.#u32[word] = table
    this.#u32[word + 1] = key1
    this.#u32[word + 2] = key2
    this.#u32[word + 3] = bytes
    if (end > data) this.#f64[end / 8 - 1] = 0 // the padding
    this.#at = end
    return data
  }

  /** The whole batch; valid until begin(). */
  finish(): Buffer {
    this.#endFrame(FLAG_LAST)
    return this.#bytes.subarray(0, this.#at)
  }

  #beginFrame(): void {
    this.#frameAt = this.#at
    this.#reserve(this.#at + FRAME_HEADER_BYTES)
    this.#at += FRAME_HEADER_BYTES
  }

  #endFrame(flags: number): void {
    const word = this.#frameAt / 4
    this.#u32[word] = MAGIC
    this.#u32[word + BYTES / 4] = this.#at - this.#frameAt - FRAME_HEADER_BYTES
    this.#u32[word + FLAGS / 4] = flags
    this.#f64[(this.#frameAt + SEQUENCE) / 8] = this.#sequence
    this.#f64[(this.#frameAt + ACCEPTED) / 8] = this.#accepted
    this.#u32[word + CRC / 4] = crc32(this.#bytes.subarray(this.#frameAt + FLAGS, this.#at))
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(2 * alignUp(bytes, ALIGN_BYTES))
    this.#bytes.copy(larger, 0, 0, this.#at)
    this.#bytes = larger
    this.#u32 = new Uint32Array(larger.buffer)
    this.#f64 = new Float64Array(larger.buffer)
  }
}

/** The frame at `at`; undefined if there is none that is complete and has a valid checksum. */
export function readFrame(bytes: Buffer, at: number): Frame | undefined {
  const start = at + FRAME_HEADER_BYTES
  if (start > bytes.length || bytes.readUInt32LE(at) !== MAGIC) return undefined
  const end = start + bytes.readUInt32LE(at + BYTES)
  if (end > bytes.length) return undefined
  if (crc32(bytes.subarray(at + FLAGS, end)) !== bytes.readUInt32LE(at + CRC)) return undefined
  return {
    sequence: bytes.readDoubleLE(at + SEQUENCE),
    accepted: bytes.readDoubleLE(at + ACCEPTED),
    isLast: bytes.readUInt32LE(at + FLAGS) === FLAG_LAST,
    start, end,
  }
}

/** The header at `at`, of a frame that may be incomplete; undefined if there is none. */
export function readHeader(bytes: Buffer, at: number): FrameHeader | undefined {
  const start = at + FRAME_HEADER_BYTES
  if (start > bytes.length || bytes.readUInt32LE(at) !== MAGIC) return undefined
  return {
    sequence: bytes.readDoubleLE(at + SEQUENCE),
    accepted: bytes.readDoubleLE(at + ACCEPTED),
    end: start + bytes.readUInt32LE(at + BYTES),
  }
}

/** Calls `visit` for each row of a frame that readFrame() returned. */
export function forEachRow(bytes: Buffer, { start, end }: Frame, visit: VisitRow): void {
  for (let at = start; at < end;) {
    const data = at + ROW_HEADER_BYTES
    const length = bytes.readUInt32LE(at + 12)
    assert(data + length <= end, 'a row of the journal goes beyond its frame')
    visit(bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4), bytes.readUInt32LE(at + 8),
      bytes, data, data + length)
    at = data + alignUp(length, ALIGN_BYTES)
  }
}
