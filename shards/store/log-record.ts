// One record of the job log: its layout, and its location.
// Thread: shard. Memory: describes and writes records inside segments.
// Never: decides where a record goes or whether it is alive.
//
//   0        4        8        12       16            length    next multiple of 8
//   | length | kind   | owner  | word   | payload ... |         |
//
// length: including the header, written last; 0 ends the segment's records.
// kind:   the caller's, plus RECORD_DEAD once the record has been freed.
// A location is segment << 20 | offset / 8: 4,096 segments of up to 8 MiB.

import { assert } from '../base/assert.ts'
import { type Location, NONE, alignUp } from '../base/units.ts'
import type { SegmentViews } from '../memory/layout.ts'
import { LOG_ALIGN_BYTES, LOG_RECORD_HEADER_BYTES } from '../memory/limits.ts'

export const RECORD_LENGTH = 0
export const RECORD_KIND = 1
export const RECORD_OWNER = 2
export const RECORD_WORD = 3

/** Added to a record's kind when it is freed. */
export const RECORD_DEAD = 0x80000000
const KIND_MAX = 0xff

const SEGMENT_SHIFT = 20
const UNIT_MASK = 2 ** SEGMENT_SHIFT - 1
const WORDS_PER_UNIT = LOG_ALIGN_BYTES / 4

/** (3, 64) → the record at byte 64 of segment 3. */
export const locationAt = (segment: number, offset: number): Location =>
  (((segment << SEGMENT_SHIFT) | (offset / LOG_ALIGN_BYTES)) >>> 0) as Location
export const segmentAt = (at: Location): number => at >>> SEGMENT_SHIFT
/** Bytes from the segment's start to the record. */
export const offsetAt = (at: Location): number => (at & UNIT_MASK) * LOG_ALIGN_BYTES
/** The index of the record's first word among the segment's. */
export const wordAt = (at: Location): number => (at & UNIT_MASK) * WORDS_PER_UNIT

/** The bytes in a segment of a record with so many payload bytes: 0 → 16, 1 → 24, 8 → 24. */
export const recordBytes = (payloadBytes: number): number =>
  alignUp(LOG_RECORD_HEADER_BYTES + payloadBytes, LOG_ALIGN_BYTES)

/** Ends the segment's records at `offset`, unless that is the segment's own end. */
export function writeEnd(segment: SegmentViews, offset: number): void {
  if (offset < segment.bytes.length) segment.u32[offset / 4 + RECORD_LENGTH] = 0
}

/**
 * Writes source[start … end) as a record at `offset`, where the records end. The last store
 * decides: a thread that crashes before it leaves the old end in place.
 */
export function writeRecord(segment: SegmentViews, offset: number, kind: number, owner: number,
  word: number, source: Buffer, start: number, end: number): void {
  assert(kind > 0 && kind <= KIND_MAX, 'a record kind out of range')
  assert(owner < NONE, 'a record without an owner')
  const { bytes, u32 } = segment
  const base = offset / 4
  assert(u32[base + RECORD_LENGTH] === 0, 'a record written before the end')
  writeEnd(segment, offset + recordBytes(end - start))
  source.copy(bytes, offset + LOG_RECORD_HEADER_BYTES, start, end)
  u32[base + RECORD_KIND] = kind
  u32[base + RECORD_OWNER] = owner
  u32[base + RECORD_WORD] = word
  u32[base + RECORD_LENGTH] = LOG_RECORD_HEADER_BYTES + end - start
}
