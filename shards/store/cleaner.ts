// The cleaner of the job log: compacts the live records of the emptiest segments.
// Thread: shard. Memory: what segments.ts owns; its own position is private (after a crash the
// successor continues from the states of the segments).
// Never: moves a record outside clean() and makeFree(); allocates; copies more than allowed.
// Source: log-structured memory, Rumble, Kejriwal and Ousterhout, FAST 2014.
//
// Cleaning cannot get stuck: the live records of one segment fit into the rest of the survivors'
// segment plus one free segment, and then their own segment is free. So one free segment
// (SEGMENTS_FOR_CLEANER), which no append may take, is enough.

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

/** The owners of the records (jobs, results, templates), which store their locations. */
export interface LogOwners {
  /** Whether the record at `at` is the one that its owner's facts refer to. */
  isLive(kind: number, owner: number, at: Location): boolean
  /** The record is now at `to`; called from within cleaning: it must not append or free. */
  moved(kind: number, owner: number, to: Location): void
}

/** Cost of examining a record, in bytes, against the bytes that a call may copy. */
const EXAMINED_BYTES = 64

/** The cleaner's position, as handed over to a successor. */
export interface CleanerBaton {
  readonly victim: number
  readonly offset: number
  readonly survivors: number
}

/** Cleans one segment at a time, in bounded steps. */
export class Cleaner {
  readonly #segments: Segments
  readonly #count: number
  readonly #freeCountAim: number
  readonly #deadBytesMin: number
  #victim = NONE
  /** Byte offset in the victim of the next record to examine. */
  #offset = 0
  /** The segment to which live records are copied. */
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

  /** The state that a successor on the same memory starts from. */
  handOver(): CleanerBaton {
    return { victim: this.#victim, offset: this.#offset, survivors: this.#survivors }
  }

  takeOver(baton: CleanerBaton): void {
    this.#victim = baton.victim
    this.#offset = baton.offset
    this.#survivors = baton.survivors
  }

  /** Continues where a crashed thread's cleaner was. */
  resume(survivors: number, victim: number): void {
    this.#survivors = survivors
    this.#victim = victim
    this.#offset = 0
  }

  /** Whether clean() has work: a victim is begun, or free segments are few and one is worth it. */
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
   * Works until about `bytesMax` bytes were copied or examined (at most one record more), or there
   * is nothing left to do. @returns those bytes.
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
   * Cleans until `freeCount` segments are free, each segment at most once; false if that is not
   * enough. Considers only the charges, not the dead bytes: see job-log.ts.
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
   * The segment with the best gain for the bytes to copy, that is, the highest ratio of unused to
   * live bytes: the one with the lowest charge. NONE when none gains.
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

  /** Copies the record at the current offset. The order of steps keeps exactly one live copy. */
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
      assert(this.#survivors !== NONE, 'the segment reserved for the cleaner is missing')
    }
    const start = this.#offset + LOG_RECORD_HEADER_BYTES
    const end = this.#offset + (source.u32[base + RECORD_LENGTH] as number)
    const word = source.u32[base + RECORD_WORD] as number
    const to = segments.add(this.#survivors, kind, owner, word, source.bytes, start, end)
    owners.moved(kind, owner, to)
    segments.kill(from)
  }
}
