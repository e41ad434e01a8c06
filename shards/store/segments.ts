// The segments of the job log: which are free, each one's live bytes and charges.
// Thread: shard. Memory: writes the segments and their live, used and state words (facts; the
// free list and the charges are private and derived).
// Never: chooses what to clean or decides who may take a segment; cleaner.ts and job-log.ts do.
//
// Live bytes do not say whether the log is full: a record that did not fit left a gap before it.
// So every record is charged, a large one (above a sixteenth of a segment) twice its size: once
// for itself and once for the gap that it may leave before itself. Records packed one after the
// other then satisfy, for n segments, in any order:
//
//   charges > (n - 1) * 15/16 * segmentBytes
//
// because a gap is smaller than the record that follows it: that record is either small, and the
// segment at least 15/16 full, or large, and charged for the gap. A segment's held bytes are its
// records' charges, but at most its size, since it can always be left as it is.

import { assert } from '../base/assert.ts'
import { type Bytes, type Location, NONE } from '../base/units.ts'
import { Marks } from '../memory/dirty-pages.ts'
import type { SegmentViews, ShardViews } from '../memory/layout.ts'
import { LARGE_RECORDS_PER_SEGMENT, LOG_RECORD_HEADER_BYTES } from '../memory/limits.ts'
import {
  RECORD_DEAD, RECORD_KIND, RECORD_LENGTH, RECORD_OWNER, locationAt, offsetAt, recordBytes,
  segmentAt, wordAt, writeEnd, writeRecord,
} from './log-record.ts'

export const SEGMENT_FREE = 0
/** New records are appended here. */
export const SEGMENT_OPEN = 1
/** The cleaner copies live records here. */
export const SEGMENT_SURVIVORS = 2
export const SEGMENT_CLOSED = 3
/** The cleaner is copying live records out of it. */
export const SEGMENT_VICTIM = 4

/** What a segment is used for while records are added to it. */
export type SegmentRole = typeof SEGMENT_OPEN | typeof SEGMENT_SURVIVORS

/** The table's private state: charges, ages, the free list, and the sums. */
export interface SegmentsBaton {
  readonly chargedBytes: Uint32Array
  readonly closedAs: Float64Array
  readonly free: Uint32Array
  readonly freeCount: number
  readonly liveSum: number
  readonly heldSum: number
  readonly closings: number
  readonly changes: number
}

/** The table of segments, and the sums over it. */
export class Segments {
  readonly views: readonly SegmentViews[]
  /** The size of one segment. */
  readonly segmentBytes: number
  readonly #liveBytes: Uint32Array
  readonly #usedBytes: Uint32Array
  readonly #state: Uint32Array
  readonly #marks: Marks
  /** Sum of the charges of a segment's live records. */
  readonly #chargedBytes: Uint32Array
  /** When a segment was closed, as a count of closings. */
  readonly #closedAs: Float64Array
  /** A stack of free segments. */
  readonly #free: Uint32Array
  #freeCount = 0
  #liveSum = 0
  #heldSum = 0
  #closings = 0
  #changes = 0

  /** Attaches to the views; to be followed by format(), recover() or takeOver(). */
  constructor(views: ShardViews, marks = new Marks(views, false)) {
    const count = views.segments.length
    this.#marks = marks
    this.views = views.segments
    this.segmentBytes = views.limits.segmentBytes
    this.#liveBytes = views.segmentLiveBytes
    this.#usedBytes = views.segmentUsedBytes
    this.#state = views.segmentState
    this.#chargedBytes = new Uint32Array(count)
    this.#closedAs = new Float64Array(count)
    this.#free = new Uint32Array(count)
  }

  /** The state that a successor on the same memory starts from. */
  handOver(): SegmentsBaton {
    return {
      chargedBytes: this.#chargedBytes, closedAs: this.#closedAs, free: this.#free,
      freeCount: this.#freeCount, liveSum: this.#liveSum, heldSum: this.#heldSum,
      closings: this.#closings, changes: this.#changes,
    }
  }

  takeOver(baton: SegmentsBaton): void {
    this.#chargedBytes.set(baton.chargedBytes)
    this.#closedAs.set(baton.closedAs)
    this.#free.set(baton.free)
    this.#freeCount = baton.freeCount
    this.#liveSum = baton.liveSum
    this.#heldSum = baton.heldSum
    this.#closings = baton.closings
    this.#changes = baton.changes
  }

  get freeCount(): number {
    return this.#freeCount
  }

  /** Bytes of all live records, headers and alignment included. */
  get liveBytes(): Bytes {
    return this.#liveSum as Bytes
  }

  /** Bytes held by live records: their charges, but per segment at most its size. */
  get heldBytes(): Bytes {
    return this.#heldSum as Bytes
  }

  /** Number of closings so far; with isClosedBy it distinguishes older segments from newer ones. */
  get closings(): number {
    return this.#closings
  }

  /** Counts freed records and closings: while it is unchanged, so is what cleaning could gain. */
  get changes(): number {
    return this.#changes
  }

  /** 100 → 100, a quarter of a segment → half of one, three quarters → a whole one. */
  chargeOf(bytes: number): Bytes {
    if (bytes * LARGE_RECORDS_PER_SEGMENT <= this.segmentBytes) return bytes as Bytes
    return Math.min(2 * bytes, this.segmentBytes) as Bytes
  }

  /** Makes every segment free. */
  format(): void {
    this.#state.fill(SEGMENT_FREE)
    for (let segment = this.#state.length - 1; segment >= 0; segment--) this.#release(segment)
  }

  /** Takes a free segment to add records to; NONE if there is none. */
  take(role: SegmentRole): number {
    if (this.#freeCount === 0) return NONE
    const segment = this.#free[--this.#freeCount] as number
    assert(this.#state[segment] === SEGMENT_FREE, 'a free segment in use')
    this.#marks.segmentTaken(segment)
    writeEnd(this.views[segment] as SegmentViews, 0)
    this.#usedBytes[segment] = 0
    this.#liveBytes[segment] = 0
    this.#state[segment] = role
    return segment
  }

  /** Closes a segment to additions; without live records it is free at once. */
  close(segment: number): void {
    const state = this.#state[segment]
    assert(state === SEGMENT_OPEN || state === SEGMENT_SURVIVORS, 'closing a segment not open')
    this.#marks.segment(segment)
    this.#state[segment] = SEGMENT_CLOSED
    this.#closedAs[segment] = ++this.#closings
    this.#changes++
    this.#releaseIfEmpty(segment)
  }

  /** Whether the segment is closed, and was closed by the time of `closings` closings. */
  isClosedBy(segment: number, closings: number): boolean {
    return this.#state[segment] === SEGMENT_CLOSED &&
      (this.#closedAs[segment] as number) <= closings
  }

  /** Marks a closed segment as being cleaned: it is not freed until finishVictim(). */
  startVictim(segment: number): void {
    assert(this.#state[segment] === SEGMENT_CLOSED, 'cleaning a segment that is not closed')
    this.#marks.segment(segment)
    this.#state[segment] = SEGMENT_VICTIM
  }

  finishVictim(segment: number): void {
    assert(this.#state[segment] === SEGMENT_VICTIM, 'not the segment being cleaned')
    assert(this.#liveBytes[segment] === 0, 'a live record that the cleaner did not find')
    this.#release(segment)
  }

  /** Whether a record of `bytes` (from recordBytes()) can be added to the segment. */
  fits(segment: number, bytes: number): boolean {
    return this.usedBytesOf(segment) + bytes <= this.segmentBytes
  }

  usedBytesOf(segment: number): number {
    return this.#usedBytes[segment] as number
  }

  liveBytesOf(segment: number): number {
    return this.#liveBytes[segment] as number
  }

  /** The charges of the segment's live records; below segmentBytes, cleaning it gains room. */
  chargedBytesOf(segment: number): number {
    return this.#chargedBytes[segment] as number
  }

  /** Adds source[start … end) to an open segment in which it fits. */
  add(segment: number, kind: number, owner: number, word: number, source: Buffer, start: number,
    end: number): Location {
    const offset = this.usedBytesOf(segment)
    const bytes = recordBytes(end - start)
    assert(offset + bytes <= this.segmentBytes, 'the record does not fit the segment')
    this.#marks.segmentGrew(segment, bytes)
    writeRecord(this.views[segment] as SegmentViews, offset, kind, owner, word, source, start, end)
    this.#usedBytes[segment] = offset + bytes
    this.#count(segment, bytes, this.chargeOf(bytes))
    return locationAt(segment, offset)
  }

  /** Marks a record dead; a closed segment without live records is free at once. */
  kill(at: Location): void {
    const segment = segmentAt(at)
    const word = wordAt(at)
    const { u32 } = this.views[segment] as SegmentViews
    const kind = u32[word + RECORD_KIND] as number
    assert(kind < RECORD_DEAD, 'a record freed twice')
    assert(this.#state[segment] !== SEGMENT_FREE, 'a record freed in a free segment')
    u32[word + RECORD_KIND] = kind + RECORD_DEAD
    const bytes = recordBytes((u32[word + RECORD_LENGTH] as number) - LOG_RECORD_HEADER_BYTES)
    this.#count(segment, -bytes, -this.chargeOf(bytes))
    this.#changes++
    this.#releaseIfEmpty(segment)
  }

  /**
   * After a crash: visits the records of every segment in use, keeps those for which `isLive` is
   * true, and recounts. Dead records at the end of a segment that was being added to are cut off:
   * one may be an unfinished copy, in space on which the cleaner relies.
   * @returns the segments that were being added to or cleaned; NONE where there is none.
   */
  recover(isLive: (kind: number, owner: number, at: Location) => boolean):
    { open: number; survivors: number; victim: number } {
    const found = { open: NONE, survivors: NONE, victim: NONE }
    for (let segment = this.#state.length - 1; segment >= 0; segment--) {
      const state = this.#state[segment] as number
      this.#chargedBytes[segment] = 0
      this.#liveBytes[segment] = 0
      this.#usedBytes[segment] = 0
      if (state !== SEGMENT_FREE) this.#recount(segment, isLive)
      if (this.#liveBytes[segment] === 0) this.#release(segment)
      else if (state === SEGMENT_OPEN) found.open = segment
      else if (state === SEGMENT_SURVIVORS) found.survivors = segment
      else if (state === SEGMENT_VICTIM) found.victim = segment
    }
    return found
  }

  /** Calls `visit` for each record of a segment in use, by offset. */
  forEach(segment: number, visit: (at: Location, kind: number, bytes: number) => void): void {
    const { u32 } = this.views[segment] as SegmentViews
    let offset = 0
    while (offset < this.segmentBytes) {
      const length = u32[offset / 4 + RECORD_LENGTH] as number
      if (length === 0) break
      assert(length >= LOG_RECORD_HEADER_BYTES, 'a record shorter than its header')
      const bytes = recordBytes(length - LOG_RECORD_HEADER_BYTES)
      assert(offset + bytes <= this.segmentBytes, 'a record beyond its segment')
      visit(locationAt(segment, offset), u32[offset / 4 + RECORD_KIND] as number, bytes)
      offset += bytes
    }
  }

  /** Whether the segment has records: all but free ones do. */
  isInUse(segment: number): boolean {
    return this.#state[segment] !== SEGMENT_FREE
  }

  #recount(segment: number, isLive: (kind: number, owner: number, at: Location) => boolean): void {
    const { u32 } = this.views[segment] as SegmentViews
    let endOfAll = 0
    let endOfLive = 0
    this.forEach(segment, (at, kindWord, bytes) => {
      const kind = kindWord % RECORD_DEAD
      const alive = isLive(kind, u32[wordAt(at) + RECORD_OWNER] as number, at)
      u32[wordAt(at) + RECORD_KIND] = alive ? kind : kind + RECORD_DEAD
      endOfAll = offsetAt(at) + bytes
      if (!alive) return
      endOfLive = endOfAll
      this.#count(segment, bytes, this.chargeOf(bytes))
    })
    const state = this.#state[segment]
    const isAddedTo = state === SEGMENT_OPEN || state === SEGMENT_SURVIVORS
    this.#usedBytes[segment] = isAddedTo ? endOfLive : endOfAll
    if (isAddedTo) writeEnd(this.views[segment] as SegmentViews, endOfLive)
    this.#marks.segmentCut(segment, this.usedBytesOf(segment))
  }

  #count(segment: number, bytes: number, charge: number): void {
    const before = this.#chargedBytes[segment] as number
    const after = before + charge
    this.#chargedBytes[segment] = after
    this.#heldSum += Math.min(after, this.segmentBytes) - Math.min(before, this.segmentBytes)
    this.#liveBytes[segment] = (this.#liveBytes[segment] as number) + bytes
    this.#liveSum += bytes
  }

  #releaseIfEmpty(segment: number): void {
    if (this.#liveBytes[segment] !== 0) return
    if (this.#state[segment] === SEGMENT_CLOSED) this.#release(segment)
  }

  #release(segment: number): void {
    this.#marks.segment(segment)
    this.#state[segment] = SEGMENT_FREE
    this.#free[this.#freeCount++] = segment
  }
}
