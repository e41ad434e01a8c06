// The job log: storage of jobs, results and shared parts of jobs (templates).
// Thread: shard. Memory: the segments, and the words about them; see segments.ts.
// Never: knows what a record means; keeps a list of records; moves one except in clean() and
// makeRoom(): after a call of those, a location must be read again from its owner's facts.
// Source: log-structured memory, Rumble, Kejriwal and Ousterhout, FAST 2014. A circular buffer
// would be pinned by the oldest paused account; here its records are copied to another segment.
//
// The guarantee: when admits() returns true, makeRoom() and then append() succeed, for any mix of
// record sizes up to a segment, at any time. Proof, for N segments of S bytes: admits() keeps the
// held bytes (segments.ts) at most 0.9 * (N - 6) * S. Let makeRoom() clean every closed segment
// that is charged less than S, once. A of them stay, charged S or more; the survivors are in n
// segments, and were charged more than (n - 1) * 15/16 * S; so A + n - 1 < 0.96 * (N - 6). Besides
// them only the open segment is in use: A + n + 1 ≤ N - 4, and four free segments (the reserve,
// and one to take) are the most that an append needs.

import { assert } from '../base/assert.ts'
import { type Bytes, type Location, NONE } from '../base/units.ts'
import { Marks } from '../memory/dirty-pages.ts'
import type { SegmentViews, ShardViews } from '../memory/layout.ts'
import {
  LOG_BODIES_PER_MILLE_MAX, LOG_FILL_PER_MILLE_MAX, LOG_RECORD_HEADER_BYTES, SEGMENTS_FOR_CLEANER,
  SEGMENTS_MAX, SEGMENTS_OVERHEAD, SEGMENTS_RESERVED,
} from '../memory/limits.ts'
import { SEGMENT_BYTES_MAX } from '../memory/plan.ts'
import { Cleaner, type CleanerBaton, type LogOwners } from './cleaner.ts'
import {
  RECORD_DEAD, RECORD_KIND, RECORD_LENGTH, RECORD_OWNER, RECORD_WORD, offsetAt, recordBytes,
  segmentAt, wordAt,
} from './log-record.ts'
import { SEGMENT_OPEN, Segments, type SegmentsBaton } from './segments.ts'

export type { LogOwners } from './cleaner.ts'

/** Payload: the job. Word: the slot of its template. */
export const LOG_JOB_SHARED = 1
/** Payload: the template, then the job. Word: the template's length in bytes. */
export const LOG_JOB_INLINE = 2
/** Payload: the result. Word: the slot of its job's template. */
export const LOG_RESULT_SHARED = 3
/** Payload: the template's fields that the result needs, then the result. Word: their length. */
export const LOG_RESULT_INLINE = 4
export const LOG_TEMPLATE = 5

/** The log's private state; records and segment words stay in shared memory. */
export interface JobLogBaton {
  readonly open: number
  readonly segments: SegmentsBaton
  readonly cleaner: CleanerBaton
}

/** Records by location. All byte counts in arguments are of payload; sums include headers. */
export class JobLog {
  /** The most that live records may hold for a job to be admitted. */
  readonly usableBytes: Bytes
  /** The most that live records may hold for a result to be stored with its body. */
  readonly #bodiesBytesMax: number
  readonly #segments: Segments
  readonly #cleaner: Cleaner
  /** The segment to which new records are appended. */
  #open = NONE
  #isReady: boolean

  /**
   * @param options.recover keep the records in memory; recover() or takeOver() must be called
   *   before use.
   */
  constructor(
    views: ShardViews, options: { readonly recover: boolean }, marks = new Marks(views, false),
  ) {
    const { segmentBytes, segmentsMax } = views.limits
    assert(segmentsMax > SEGMENTS_OVERHEAD, 'too few segments for a log')
    assert(segmentsMax <= SEGMENTS_MAX, 'more segments than a location can name')
    assert(segmentBytes <= SEGMENT_BYTES_MAX, 'segments larger than a location can name')
    const bytesMax = (segmentsMax - SEGMENTS_OVERHEAD) * segmentBytes
    this.usableBytes = Math.floor((bytesMax * LOG_FILL_PER_MILLE_MAX) / 1000) as Bytes
    this.#bodiesBytesMax = Math.floor((bytesMax * LOG_BODIES_PER_MILLE_MAX) / 1000)
    this.#segments = new Segments(views, marks)
    this.#cleaner = new Cleaner(this.#segments)
    this.#isReady = !options.recover
    if (!options.recover) this.#segments.format()
  }

  /** The state a successor on the same memory starts from. The log must not be used after it. */
  handOver(): JobLogBaton {
    return {
      open: this.#open, segments: this.#segments.handOver(), cleaner: this.#cleaner.handOver(),
    }
  }

  takeOver(baton: JobLogBaton): void {
    assert(!this.#isReady, 'the log is in use already')
    this.#open = baton.open
    this.#segments.takeOver(baton.segments)
    this.#cleaner.takeOver(baton.cleaner)
    this.#isReady = true
  }

  /** Bytes of all live records, headers included. */
  get liveBytes(): Bytes {
    return this.#segments.liveBytes
  }

  /** Bytes held by live records, including the gaps they may leave; admits() limits this. */
  get heldBytes(): Bytes {
    return this.#segments.heldBytes
  }

  get freeSegments(): number {
    return this.#segments.freeCount
  }

  /** Whether a new job of so many bytes may be accepted; then makeRoom() will succeed. */
  admits(bytes: number): boolean {
    const charge = this.#segments.chargeOf(recordBytes(bytes))
    return this.#segments.heldBytes + charge <= this.usableBytes
  }

  /**
   * Whether a result with a body may replace a record of `freed` bytes. Results without bodies are
   * stored above this limit, too, so a body can always be dropped.
   */
  admitsBody(bytes: number, freed: number): boolean {
    const charge = this.#segments.chargeOf(recordBytes(bytes)) -
      this.#segments.chargeOf(recordBytes(freed))
    return this.#segments.heldBytes + charge <= this.#bodiesBytesMax
  }

  /**
   * Writes source[start … end) as a record. NONE when no segment may be taken for it; makeRoom()
   * may help then. The record counts as live from now on: the caller must store its location in
   * the owner's facts at once.
   * @param reserve false for a new job, which must not use the reserve; true for a result or for
   *   a template of an accepted job.
   */
  append(kind: number, owner: number, word: number, source: Buffer, start: number, end: number,
    reserve: boolean): Location | typeof NONE {
    assert(this.#isReady, 'the log has not been recovered')
    assert(start >= 0 && start <= end && end <= source.length, 'a payload beyond its source')
    const segments = this.#segments
    const bytes = recordBytes(end - start)
    assert(bytes <= segments.segmentBytes, 'a record larger than a segment')
    if (this.#open === NONE || !segments.fits(this.#open, bytes)) {
      if (segments.freeCount < freeCountMin(reserve)) return NONE
      if (this.#open !== NONE) segments.close(this.#open)
      this.#open = segments.take(SEGMENT_OPEN)
    }
    return segments.add(this.#open, kind, owner, word, source, start, end)
  }

  /** Frees a record, to which its owner's facts must no longer refer. */
  free(at: Location): void {
    this.#segments.kill(at)
  }

  kindOf(at: Location): number {
    return this.#headerWord(at, RECORD_KIND)
  }

  ownerOf(at: Location): number {
    return this.#headerWord(at, RECORD_OWNER)
  }

  wordOf(at: Location): number {
    return this.#headerWord(at, RECORD_WORD)
  }

  /** Bytes of the payload. */
  lengthOf(at: Location): number {
    return this.#headerWord(at, RECORD_LENGTH) - LOG_RECORD_HEADER_BYTES
  }

  /** The segment's bytes, of which startOf … endOf are the payload. Read-only. */
  bytesOf(at: Location): Buffer {
    return (this.#segments.views[segmentAt(at)] as SegmentViews).bytes
  }

  /** The same as words; a payload is aligned to them. */
  wordsOf(at: Location): Uint32Array {
    return (this.#segments.views[segmentAt(at)] as SegmentViews).u32
  }

  startOf(at: Location): number {
    return offsetAt(at) + LOG_RECORD_HEADER_BYTES
  }

  endOf(at: Location): number {
    return offsetAt(at) + this.#headerWord(at, RECORD_LENGTH)
  }

  /** Whether clean() has work that is worth its cost. Cheap: called at each turn. */
  needsCleaning(): boolean {
    return this.#cleaner.isNeeded()
  }

  /**
   * Cleans ahead of need, bounded per call; moves records.
   * @returns bytes copied and examined; 0 when there was nothing to do.
   */
  clean(bytesMax: number, owners: LogOwners): number {
    return this.#cleaner.clean(bytesMax, owners)
  }

  /**
   * Cleans until an append of `bytes` would succeed; moves records. Copies each segment at most
   * once. @returns false if that is not enough, which admits() excludes.
   */
  makeRoom(bytes: number, owners: LogOwners, reserve = false): boolean {
    if (this.#open !== NONE && this.#segments.fits(this.#open, recordBytes(bytes))) return true
    const freeCount = freeCountMin(reserve)
    return this.#segments.freeCount >= freeCount || this.#cleaner.makeFree(freeCount, owners)
  }

  /**
   * After a crash: recounts everything in one pass over the segments. The owners' facts say which
   * records are live, whatever the crashed thread last did to the log.
   */
  recover(owners: LogOwners): void {
    assert(!this.#isReady, 'the log is in use already')
    const found = this.#segments.recover((kind, owner, at) => owners.isLive(kind, owner, at))
    this.#open = found.open
    this.#cleaner.resume(found.survivors, found.victim)
    this.#isReady = true
  }

  /** Asserts that records, counters and the owners' facts agree. O(log); for tests. */
  verify(owners: LogOwners): void {
    const segments = this.#segments
    let liveSum = 0
    let heldSum = 0
    let freeCount = 0
    for (let segment = 0; segment < segments.views.length; segment++) {
      let liveBytes = 0
      let charge = 0
      if (!segments.isInUse(segment)) {
        freeCount++
        continue
      }
      segments.forEach(segment, (at, kindWord, bytes) => {
        const isAlive = kindWord < RECORD_DEAD
        const owner = (segments.views[segment] as SegmentViews).u32[wordAt(at) + RECORD_OWNER]
        const isKnown = owners.isLive(kindWord % RECORD_DEAD, owner as number, at)
        assert(isAlive === isKnown, 'the log and an owner disagree')
        if (!isAlive) return
        liveBytes += bytes
        charge += segments.chargeOf(bytes)
      })
      assert(liveBytes === segments.liveBytesOf(segment), 'live bytes of a segment miscounted')
      const isClosed = segments.isClosedBy(segment, Infinity)
      assert(liveBytes > 0 || !isClosed, 'a closed segment without live records')
      assert(charge === segments.chargedBytesOf(segment), 'charges of a segment miscounted')
      liveSum += liveBytes
      heldSum += Math.min(charge, segments.segmentBytes)
    }
    assert(liveSum === segments.liveBytes, 'live bytes miscounted')
    assert(heldSum === segments.heldBytes, 'held bytes miscounted')
    assert(freeCount === segments.freeCount, 'free segments miscounted')
  }

  #headerWord(at: Location, word: number): number {
    const { u32 } = this.#segments.views[segmentAt(at)] as SegmentViews
    const base = wordAt(at)
    assert((u32[base + RECORD_KIND] as number) < RECORD_DEAD, 'a dead record was read')
    return u32[base + word] as number
  }
}

/** Segments that must be free before one is taken: (false) → 4, (true) → 2. */
const freeCountMin = (reserve: boolean): number =>
  1 + (reserve ? SEGMENTS_FOR_CLEANER : SEGMENTS_RESERVED)
