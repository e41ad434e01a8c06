// The cleaner of the job log: copies the survivors of the emptiest segments together.
// Thread: shard. Memory: what segments.ts owns; its own position is private (a new thread goes
// on from the states of the segments).
// Never: moves a record outside clean() and makeFree(); allocates; copies more than it was told.
// Source: log-structured memory, Rumble, Kejriwal and Ousterhout, FAST 2014.
//
// Cleaning cannot get stuck: what is alive in one segment fits what is left of the survivors'
// segment and one free segment more, and then gives back the segment that it was in. So one
// free segment (SEGMENTS_FOR_CLEANER), which no append may take, is enough.

import { VERIFY, assert } from '../base/assert.ts'
import { type Location, NONE } from '../base/units.ts'
import type { SegmentViews } from '../memory/layout.ts'
import {
  CLEAN_DEAD_PER_SEGMENT, LOG_RECORD_HEADER_BYTES, SEGMENTS_FREE_PER_MILLE_AIM, SEGMENTS_RESERVED,
} from '../memory/limits.ts'
import {
  RECORD_DEAD, RECORD_KIND, RECORD_LENGTH, RECORD_OWNER, RECORD_WORD, locationAt, recordBytes,
} from './log-record.ts'
import { SEGMENT_SURVIVORS, type Segments } from './segments.ts'

/** Who knows where the records are: the compactors of jobs, results and templates. */
export interface LogOwners {
  /** Whether the record at `at` is the one that its owner's facts name. */
  isLive(kind: number, owner: number, at: Location): boolean
  /** The record is now at `to`; called from within cleaning: it must not append or free. */
  moved(kind: number, owner: number, to: Location): void
}

/** What looking at a dead record counts for, against the bytes that a call may copy. */
const EXAMINED_BYTES = 64

/** Where the cleaner is. */
export interface CleanerBaton {
  readonly victim: number
  readonly offset: number
  readonly survivors: number
}

/** Cleans one segment at a time, a few bytes at each call. */
export class Cleaner {
  readonly #segments: Segments
  readonly #count: number
  readonly #freeCountAim: number
  readonly #deadBytesMin: number
  #victim = NONE
  /** Byte offset in the victim of the next record to look at. */
  #offset = 0
  /** The segment that survivors go to. */
  #survivors = NONE
  /** The count of changes at which no segment was worth cleaning. */
  #fruitlessAt = -1

  constructor(segments: Segments) {
    this.#segments = segments
    this.#count = segments.views.length
    this.#freeCountAim = SEGMENTS_RESERVED +
      Math.max(1, Math.ceil((this.#count * SEGMENTS_FREE_PER_MILLE_AIM) / 1000))
    this.#deadBytesMin = segments.segmentBytes / CLEAN_DEAD_PER_SEGMENT
  }

  /** What a successor on the same memory begins with. */
  handOver(): CleanerBaton {
    return { victim: this.#victim, offset: this.#offset, survivors: this.#survivors }
  }

  takeOver(baton: CleanerBaton): void {
    this.#victim = baton.victim
    this.#offset = baton.offset
    this.#survivors = baton.survivors
  }

  /** Goes on where another thread's cleaner died. */
  resume(survivors: number, victim: number): void {
    this.#survivors = survivors
    this.#victim = victim
    this.#offset = 0
  }

  /** Whether clean() has work: begun, or free segments are short and some segment is worth it. */
  isNeeded(): boolean {
    if (this.#victim !== NONE) return true
    const segments = this.#segments
    if (segments.freeCount >= this.#freeCountAim) return false
    if (segments.changes === this.#fruitlessAt) return false
    if (this.#choose(this.#deadBytesMin, Infinity) !== NONE) return true
    this.#fruitlessAt = segments.changes
    return false
  }

  /**
   * Works until about `bytesMax` bytes were copied or looked at (one record more at most), or
   * nothing is left to do. @returns those bytes.
   */
  clean(bytesMax: number, owners: LogOwners): number {
    let bytes = 0
    while (bytes < bytesMax && this.isNeeded()) {
      if (this.#victim === NONE) this.#begin(this.#choose(this.#deadBytesMin, Infinity))
      bytes += this.#step(bytesMax - bytes, owners)
    }
    return bytes
  }

  /**
   * Cleans until `freeCount` segments are free, each segment at most once; false when that does
   * not suffice. Looks at the charges alone, not at how much has died: see job-log.ts.
   */
  makeFree(freeCount: number, owners: LogOwners): boolean {
    const segments = this.#segments
    const closings = segments.closings
    while (segments.freeCount < freeCount || this.#victim !== NONE) {
      if (this.#victim === NONE) {
        const victim = this.#choose(0, closings)
        if (victim === NONE) return false
        this.#begin(victim)
      }
      this.#step(Infinity, owners)
    }
    return true
  }

  /**
   * The segment with the most to gain for what must be copied, that is, with the highest ratio
   * of unused to live bytes: the one whose records are charged least. NONE when none gains.
   */
  #choose(deadBytesMin: number, closings: number): number {
    const segments = this.#segments
    let best = NONE
    let bestCharge = segments.segmentBytes
    for (let segment = 0; segment < this.#count; segment++) {
      const charge = segments.chargedBytesOf(segment)
      if (charge >= bestCharge || !segments.isClosedBy(segment, closings)) continue
      const deadBytes = segments.usedBytesOf(segment) - segments.liveBytesOf(segment)
      if (deadBytes < deadBytesMin) continue
      best = segment
      bestCharge = charge
    }
    return best
  }

  #begin(segment: number): void {
    this.#segments.startVictim(segment)
    this.#victim = segment
    this.#offset = 0
  }

  #step(bytesMax: number, owners: LogOwners): number {
    const segments = this.#segments
    const victim = this.#victim
    const { u32 } = segments.views[victim] as SegmentViews
    const usedBytes = segments.usedBytesOf(victim)
    let spent = 0
    while (this.#offset < usedBytes && segments.liveBytesOf(victim) > 0) {
      if (spent >= bytesMax) return spent
      const base = this.#offset / 4
      const length = u32[base + RECORD_LENGTH] as number
      assert(length >= LOG_RECORD_HEADER_BYTES, 'a record shorter than its header')
      const bytes = recordBytes(length - LOG_RECORD_HEADER_BYTES)
      const isDead = (u32[base + RECORD_KIND] as number) >= RECORD_DEAD
      if (!isDead) this.#copy(bytes, owners)
      spent += isDead ? EXAMINED_BYTES : EXAMINED_BYTES + bytes
      this.#offset += bytes
    }
    segments.finishVictim(victim)
    this.#victim = NONE
    return spent
  }

  /** Copies the record at the present offset. The order keeps one live copy at any moment. */
  #copy(bytes: number, owners: LogOwners): void {
    const segments = this.#segments
    const from = locationAt(this.#victim, this.#offset)
    const source = segments.views[this.#victim] as SegmentViews
    const base = this.#offset / 4
    const kind = source.u32[base + RECORD_KIND] as number
    const owner = source.u32[base + RECORD_OWNER] as number
    if (VERIFY) assert(owners.isLive(kind, owner, from), 'a record not freed by its owner')
    if (this.#survivors === NONE || !segments.fits(this.#survivors, bytes)) {
      if (this.#survivors !== NONE) segments.close(this.#survivors)
      this.#survivors = segments.take(SEGMENT_SURVIVORS)
      assert(this.#survivors !== NONE, 'the segment kept for the cleaner is gone')
    }
    const start = this.#offset + LOG_RECORD_HEADER_BYTES
    const end = this.#offset + (source.u32[base + RECORD_LENGTH] as number)
    const word = source.u32[base + RECORD_WORD] as number
    const to = segments.add(this.#survivors, kind, owner, word, source.bytes, start, end)
    owners.moved(kind, owner, to)
    segments.kill(from)
  }
}
