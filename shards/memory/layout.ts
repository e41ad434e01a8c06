// The memory layout: every shared region, a diagram, and which thread writes which word.
// Thread: main allocates, shards attach. Memory: describes all of it, owns none.
// Never: decides anything; offsets and views only.
//
// One SharedArrayBuffer for what all shards share, one for each shard:
//
//   shared  | main bell | upstream records, 64 B each | upstream names |
//   shard k | bell | stats | progress | journal words | words of requests given back |
//           | ingress ring | answer ring | job slots | job indexes | jobs by key | lanes |
//           | templates | upstream words | journal marks | segments |
//           | job log ........................................................................ |
//
// Writers (one thread for each word, except where noted):
//
//   region                   writer           readers
//   bells                    any thread       their owner (Atomics only)
//   stats                    shard            main
//   progress                 shard            its successor; one word of it: all shards
//   journal words            shard            its successor, main
//   given back               shard            its successor, main (which writes one word)
//   ingress ring             main             shard (which writes the head); a record's kind is
//                                             claimed by compare-and-swap, see ring.ts
//   answer ring              shard            main (which writes the head)
//   upstream records         main makes; all shards spend them by compare-and-swap
//   upstream names           main             shards
//   upstream shared words    shard k its own  all shards; NOTICE is set by any, cleared by k
//   everything else of k     shard k          shard k
//
// The toucher writes any word by an atomic OR with 0, which other threads cannot observe, so that
// the system allocates its page.
//
// Lane u of a shard, for u below upstreamsMax, is upstream u's overflow lane: accounts that cannot
// get another lane share it, and a webhook receiver has no other.
//
// Facts outlive the thread: job and lane slots (except their links), template slots, segments,
// log, upstream records. Links, indexes, wheels, free lists and counts are derived from them.

import { assert } from '../base/assert.ts'
import * as limits from './limits.ts'
import { indexEntries, type Limits } from './plan.ts'

/**
 * Incremented when the meaning of any word in shared memory changes, including the records of the
 * rings (contract.ts) and the log. Code of another version cannot take over a running engine's
 * memory.
 */
export const LAYOUT_VERSION = 5

/** Incremented when a baton's contents, or the messages between the two threads, change. */
export const BATON_VERSION = 8

/** Two cache lines: words written by different threads stay this far apart. */
export const LINE_BYTES = 128

// A bell: the words that its owner waits on, and its state.
//   0: sleeps ended by a ring (Int32)   4: budgets changed (Int32, 0 or 1)
//   8: naps ended by a ring (Int32)     128: awake, asleep or napping (Int32, 0, 1 or 2)
export const BELL_BYTES = 2 * LINE_BYTES
/** Set by any thread before it rings: a NOTICE word of some upstream of this shard is set. */
export const BELL_NOTICE = 1

// A ring's control block, then its data.
//   0: tail (written by the producer)      128: head, 132: taken (written by the consumer)
export const RING_CONTROL_BYTES = 2 * LINE_BYTES

/** A shard's progress words, for its successor; see crash-notes.ts. */
export const PROGRESS_WORDS = 96

/** A shard's words about its journal, as float64; see journal-words.ts. */
export const JOURNAL_WORDS = 8

/** A shard's words about requests that it gives back; see give-back.ts. */
export const GIVEN_BACK_WORDS = 8

/** Words of a shard's statistics, as float64; see stats.ts for what they count. */
export const STATS_WORDS = 64
const STATS_BYTES = STATS_WORDS * 8

// An upstream's record: two times, its pace and its limits.
//   0: base, float64 bits (compare-and-swap)    8: interval ns   12: concurrent max
//  16: in flight (atomic add)   20: switches of account queues, odd while they are on
//  24: kind   28: attempt timeout ms   32: trail, float64 bits (compare-and-swap)
export const UPSTREAM_BASE_F64 = 0
export const UPSTREAM_TRAIL_F64 = 4
export const UPSTREAM_INTERVAL_NS = 2
export const UPSTREAM_CONCURRENT_MAX = 3
export const UPSTREAM_IN_FLIGHT = 4
export const UPSTREAM_ACCOUNT_QUEUES = 5
export const UPSTREAM_KIND = 6
export const UPSTREAM_TIMEOUT_MS = 7
export const UPSTREAM_RECORD_WORDS = limits.UPSTREAM_RECORD_BYTES / 4
/** UPSTREAM_KIND of a job's upstream, and of a webhook receiver. */
export const KIND_UPSTREAM = 0
export const KIND_RECEIVER = 1

/** What all shards share. */
export interface SharedViews {
  readonly buffer: SharedArrayBuffer
  /** The main thread's bell. */
  readonly mainBell: Int32Array
  /** All upstream records as words: record u starts at u * UPSTREAM_RECORD_WORDS. */
  readonly upstreams: Int32Array
  /** The same memory as 64-bit words, for base and trail: record u starts at u * 8. */
  readonly upstreamTimes: BigInt64Array
  readonly upstreamTimesF64: Float64Array
  /** Upstream u's origin, for the journal: length, then UTF-8, at u * UPSTREAM_NAME_BYTES. */
  readonly upstreamNames: Buffer
}

/** One ring's memory. */
export interface RingViews {
  readonly control: Int32Array
  readonly bytes: Buffer
  readonly u32: Uint32Array
  readonly f64: Float64Array
}

/** The job slots, one array per field. */
export interface JobArrays {
  /** The three words of the public id; the first is the user's hash, which selects the shard. */
  readonly route: Uint32Array
  readonly idHigh: Uint32Array
  readonly idLow: Uint32Array
  /** With `route`, the 96-bit keyed hash of (user_id, idempotent_key). */
  readonly keyHigh: Uint32Array
  readonly keyLow: Uint32Array
  /** A hash of the job's contents; see fingerprint.ts. */
  readonly fingerprint: Uint32Array
  /** Location of the job's record: of the job until it is finished, then of its result. */
  readonly location: Uint32Array
  readonly lane: Uint32Array
  /**
   * Place in the lane; wraps; recovery rebuilds the list in this order. Once a webhook is
   * finalized: the last status of its receiver, 0 for none.
   */
  readonly order: Uint32Array
  /** state | attempts << 8 | webhook deliveries << 24; see job-slots.ts. */
  readonly state: Uint32Array
  /**
   * response status (before that: receiver + 1) | flags << 16 | max_retries << 24; of a finished
   * job, the failure reason instead of max_retries.
   */
  readonly resultWord: Uint32Array
  /** Whose job it is: tenant and key; see owner.ts. */
  readonly owner: Uint32Array
  /** Monotonic seconds, rounded up, modulo 2^32, so times before the machine's start fit, too. */
  readonly acceptedS: Uint32Array
  /**
   * Queued: the latest start (Unix time). Waiting for a retry: when it is due. Finished: when it is
   * forgotten. Infinity for none.
   */
  readonly timeUs: Float64Array
  /** Derived: links of the one list that the job is in. */
  readonly next: Uint32Array
  readonly prev: Uint32Array
  /** Derived: once there is a result, links of the list of its receiver's or its user's results. */
  readonly resultNext: Uint32Array
  readonly resultPrev: Uint32Array
}

/** The lane slots, one array per field. */
export interface LaneArrays {
  readonly keyHigh: Uint32Array
  readonly keyLow: Uint32Array
  readonly upstream: Uint32Array
  /** The `route` of its user's jobs; in a shared lane, of the user served last. */
  readonly user: Uint32Array
  /** GCRA base: the virtual time of the last send; see pace.ts. */
  readonly baseUs: Float64Array
  readonly lastSendUs: Float64Array
  readonly intervalNs: Uint32Array
  readonly concurrentMax: Uint32Array
  /** 0 free, else LANE_… bits; see lanes.ts. */
  readonly flags: Uint32Array
  readonly nextOrder: Uint32Array
  // derived
  readonly head: Uint32Array
  readonly tail: Uint32Array
  readonly count: Uint32Array
  readonly inFlight: Uint32Array
  /** Jobs that refer to the lane: queued, waiting for a retry or in flight. */
  readonly references: Uint32Array
  /** Links of the round-robin list while jobs wait, otherwise of the idle list. */
  readonly nextLane: Uint32Array
  readonly prevLane: Uint32Array
  /** Links of the list of all lanes of an upstream. */
  readonly siblingNext: Uint32Array
  readonly siblingPrev: Uint32Array
}

/** Storage of a timing wheel's entries; see wheel.ts. */
export interface WheelViews {
  readonly next: Uint32Array
  readonly prev: Uint32Array
  readonly dueUs: Float64Array
}

/** A shard's words about the upstreams: private ones, and those that other shards read. */
export interface UpstreamArrays {
  /** Jobs here that refer to the upstream, as target or as receiver of their webhook. */
  readonly references: Uint32Array
  readonly firstLane: Uint32Array
  readonly lastLane: Uint32Array
  readonly siblingHead: Uint32Array
  readonly activeNext: Uint32Array
  readonly activePrev: Uint32Array
  readonly lastSendUs: Float64Array
  /** Switches of account queues that are applied to the lanes here; see pacer.ts. */
  readonly switches: Int32Array
  // read by other shards
  /** Lanes here with a job that could leave, those of one tenant counted once. */
  readonly waiting: Int32Array
  /** Round-robin rounds at the shared budget, in 1/65536ths of a round; wraps. */
  readonly rounds: Int32Array
  /** Requests in flight here that count against the shared budget. */
  readonly inFlight: Int32Array
  /** Set by another shard: the budget has changed and must be checked again. */
  readonly notice: Int32Array
  /** Set here when no permit was left; the shard that gives one back clears it and notifies. */
  readonly blocked: Int32Array
  /** Jobs queued here for the upstream. */
  readonly queued: Int32Array
  /** Intervals of the unwritten sends decided here, summed, in ns; see unwritten.ts. */
  readonly unwritten: Uint32Array
}

/** The template slots. */
export interface TemplateArrays {
  readonly location: Uint32Array
  readonly hash: Uint32Array
  readonly references: Uint32Array
  readonly next: Uint32Array
  readonly index: Uint32Array
}

/** Dirty marks by page, upstream and segment; see dirty-pages.ts. */
export interface MarkArrays {
  readonly jobs: Uint8Array
  readonly lanes: Uint8Array
  readonly templates: Uint8Array
  readonly upstreams: Uint8Array
  readonly segments: Uint8Array
}

/** Views of one shard's memory. */
export interface ShardViews {
  readonly buffer: SharedArrayBuffer
  readonly limits: Limits
  readonly bell: Int32Array
  readonly stats: Float64Array
  readonly progress: Uint32Array
  readonly journal: Float64Array
  readonly givenBack: Int32Array
  readonly ingress: RingViews
  readonly answers: RingViews
  readonly jobs: JobArrays
  readonly idIndex: Uint32Array
  readonly keyIndex: Uint32Array
  /** Derived: unfinished jobs by the number of their key; see key-counts.ts. */
  readonly keyJobs: Uint32Array
  readonly lanes: LaneArrays
  readonly laneIndex: Uint32Array
  /** Entries 0 … lanesMax-1 are lanes, then come the upstreams. */
  readonly wheel: WheelViews
  readonly upstreams: UpstreamArrays
  readonly templates: TemplateArrays
  readonly marks: MarkArrays
  /** By segment: live bytes, used bytes, state; see job-log.ts. */
  readonly segmentLiveBytes: Uint32Array
  readonly segmentUsedBytes: Uint32Array
  readonly segmentState: Uint32Array
  /** Journalled bytes of a segment, NONE if nothing of its current use is journalled. */
  readonly segmentJournalledBytes: Uint32Array
  readonly segments: readonly SegmentViews[]
}

/** One segment of the job log. */
export interface SegmentViews {
  readonly bytes: Buffer
  readonly u32: Uint32Array
}

/** Allocates views sequentially; the same calls in the same order give the same layout. */
class Cursor {
  readonly buffer: SharedArrayBuffer | undefined
  offset = 0
  /** A hash (FNV-1a) of the sizes of all regions, in their order. */
  regions = 0x811c9dc5

  constructor(buffer: SharedArrayBuffer | undefined) {
    this.buffer = buffer
  }

  take(bytes: number): number {
    const at = this.offset
    this.offset = Math.ceil((at + bytes) / LINE_BYTES) * LINE_BYTES
    this.regions = Math.imul(this.regions ^ bytes, 0x01000193) >>> 0
    return at
  }

  i32(count: number): Int32Array {
    const at = this.take(count * 4)
    return this.buffer ? new Int32Array(this.buffer, at, count) : new Int32Array(0)
  }

  u32(count: number): Uint32Array {
    const at = this.take(count * 4)
    return this.buffer ? new Uint32Array(this.buffer, at, count) : new Uint32Array(0)
  }

  u8(count: number): Uint8Array {
    const at = this.take(count)
    return this.buffer ? new Uint8Array(this.buffer, at, count) : new Uint8Array(0)
  }

  f64(count: number): Float64Array {
    const at = this.take(count * 8)
    return this.buffer ? new Float64Array(this.buffer, at, count) : new Float64Array(0)
  }

  region(bytes: number): RingViews {
    const at = this.take(bytes)
    const buffer = this.buffer ?? new SharedArrayBuffer(0)
    const length = this.buffer ? bytes : 0
    const start = this.buffer ? at : 0
    return {
      control: new Int32Array(0),
      bytes: Buffer.from(buffer as unknown as ArrayBuffer, start, length),
      u32: new Uint32Array(buffer, start, length / 4),
      f64: new Float64Array(buffer, start, length / 8),
    }
  }

  ring(bytes: number): RingViews {
    const control = this.i32(RING_CONTROL_BYTES / 4)
    return { ...this.region(bytes), control }
  }
}

function layShared(cursor: Cursor, l: Limits): Omit<SharedViews, 'buffer'> {
  const mainBell = cursor.i32(BELL_BYTES / 4)
  const bytes = l.upstreamsMax * limits.UPSTREAM_RECORD_BYTES
  const at = cursor.take(bytes)
  const buffer = cursor.buffer ?? new SharedArrayBuffer(0)
  const start = cursor.buffer ? at : 0
  const length = cursor.buffer ? bytes : 0
  return {
    mainBell,
    upstreams: new Int32Array(buffer, start, length / 4),
    upstreamTimes: new BigInt64Array(buffer, start, length / 8),
    upstreamTimesF64: new Float64Array(buffer, start, length / 8),
    upstreamNames: cursor.region(l.upstreamsMax * limits.UPSTREAM_NAME_BYTES).bytes,
  }
}

function layJobs(cursor: Cursor, count: number): JobArrays {
  return {
    route: cursor.u32(count), idHigh: cursor.u32(count), idLow: cursor.u32(count),
    keyHigh: cursor.u32(count), keyLow: cursor.u32(count), fingerprint: cursor.u32(count),
    location: cursor.u32(count), lane: cursor.u32(count), order: cursor.u32(count),
    state: cursor.u32(count), resultWord: cursor.u32(count), acceptedS: cursor.u32(count),
    owner: cursor.u32(count), timeUs: cursor.f64(count),
    next: cursor.u32(count), prev: cursor.u32(count),
    resultNext: cursor.u32(count), resultPrev: cursor.u32(count),
  }
}

function layLanes(cursor: Cursor, count: number): LaneArrays {
  return {
    keyHigh: cursor.u32(count), keyLow: cursor.u32(count), upstream: cursor.u32(count),
    user: cursor.u32(count), baseUs: cursor.f64(count), lastSendUs: cursor.f64(count),
    intervalNs: cursor.u32(count), concurrentMax: cursor.u32(count),
    flags: cursor.u32(count), nextOrder: cursor.u32(count),
    head: cursor.u32(count), tail: cursor.u32(count), count: cursor.u32(count),
    inFlight: cursor.u32(count), references: cursor.u32(count),
    nextLane: cursor.u32(count), prevLane: cursor.u32(count),
    siblingNext: cursor.u32(count), siblingPrev: cursor.u32(count),
  }
}

function layUpstreams(cursor: Cursor, count: number): UpstreamArrays {
  return {
    references: cursor.u32(count), firstLane: cursor.u32(count), lastLane: cursor.u32(count),
    siblingHead: cursor.u32(count), activeNext: cursor.u32(count), activePrev: cursor.u32(count),
    lastSendUs: cursor.f64(count), switches: cursor.i32(count),
    waiting: cursor.i32(count), rounds: cursor.i32(count),
    inFlight: cursor.i32(count), notice: cursor.i32(count), blocked: cursor.i32(count),
    queued: cursor.i32(count), unwritten: cursor.u32(count),
  }
}

function layTemplates(cursor: Cursor, count: number): TemplateArrays {
  return {
    location: cursor.u32(count), hash: cursor.u32(count), references: cursor.u32(count),
    next: cursor.u32(count), index: cursor.u32(indexEntries(count)),
  }
}

function layMarks(cursor: Cursor, l: Limits): MarkArrays {
  return {
    jobs: cursor.u8(Math.ceil(l.jobsMax / limits.JOBS_PER_PAGE)),
    lanes: cursor.u8(Math.ceil(l.lanesMax / limits.LANES_PER_PAGE)),
    templates: cursor.u8(Math.ceil(l.templatesMax / limits.TEMPLATES_PER_PAGE)),
    upstreams: cursor.u8(l.upstreamsMax),
    segments: cursor.u8(l.segmentsMax),
  }
}

function layShard(cursor: Cursor, l: Limits): Omit<ShardViews, 'buffer'> {
  const wheelItems = l.lanesMax + l.upstreamsMax
  return {
    limits: l,
    bell: cursor.i32(BELL_BYTES / 4),
    stats: cursor.f64(STATS_BYTES / 8),
    progress: cursor.u32(PROGRESS_WORDS),
    journal: cursor.f64(JOURNAL_WORDS),
    givenBack: cursor.i32(GIVEN_BACK_WORDS),
    ingress: cursor.ring(l.ringBytes),
    answers: cursor.ring(l.ringBytes),
    jobs: layJobs(cursor, l.jobsMax),
    idIndex: cursor.u32(indexEntries(l.jobsMax)),
    keyIndex: cursor.u32(indexEntries(l.jobsMax)),
    keyJobs: cursor.u32(limits.KEYS_MAX + 1),
    lanes: layLanes(cursor, l.lanesMax),
    laneIndex: cursor.u32(indexEntries(l.lanesMax)),
    wheel: {
      next: cursor.u32(wheelItems), prev: cursor.u32(wheelItems), dueUs: cursor.f64(wheelItems),
    },
    upstreams: layUpstreams(cursor, l.upstreamsMax),
    templates: layTemplates(cursor, l.templatesMax),
    marks: layMarks(cursor, l),
    segmentLiveBytes: cursor.u32(l.segmentsMax),
    segmentUsedBytes: cursor.u32(l.segmentsMax),
    segmentState: cursor.u32(l.segmentsMax),
    segmentJournalledBytes: cursor.u32(l.segmentsMax),
    segments: Array.from({ length: l.segmentsMax }, () => {
      const { bytes, u32 } = cursor.region(l.segmentBytes)
      return { bytes, u32 }
    }),
  }
}

/** The exact size of a shard's buffer; at most what plan.ts counts for it. */
export function shardBufferBytes(l: Limits): number {
  const cursor = new Cursor(undefined)
  layShard(cursor, l)
  return cursor.offset
}

/** The sizes of the layout: total bytes, and a hash of the sizes of all regions. */
export function layoutSizes(l: Limits):
  { sharedBytes: number; shardBytes: number; regions: number } {
  const shared = new Cursor(undefined)
  layShared(shared, l)
  const shard = new Cursor(undefined)
  layShard(shard, l)
  return {
    sharedBytes: shared.offset, shardBytes: shard.offset,
    regions: (shared.regions ^ shard.regions) >>> 0,
  }
}

/** Allocates what all shards share. */
export function allocateShared(l: Limits): SharedArrayBuffer {
  const cursor = new Cursor(undefined)
  layShared(cursor, l)
  return new SharedArrayBuffer(cursor.offset)
}

/** Allocates one shard's memory; untouched pages cost nothing. */
export function allocateShard(l: Limits): SharedArrayBuffer {
  return new SharedArrayBuffer(shardBufferBytes(l))
}

/** Views of what all shards share. */
export function attachShared(buffer: SharedArrayBuffer, l: Limits): SharedViews {
  const cursor = new Cursor(buffer)
  const views = { buffer, ...layShared(cursor, l) }
  assert(cursor.offset === buffer.byteLength, 'the shared memory has another layout')
  return views
}

/** Views of one shard's memory. */
export function attachShard(buffer: SharedArrayBuffer, l: Limits): ShardViews {
  const cursor = new Cursor(buffer)
  const views = { buffer, ...layShard(cursor, l) }
  assert(cursor.offset === buffer.byteLength, 'the shard memory has another layout')
  return views
}
