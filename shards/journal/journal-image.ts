// The contents of a journal's rows: writes facts of a shard's memory to rows, and restores rows to
// the memory of a shard that has not started.
// Thread: shard writes rows, the compactor of its journal reads them at the start. Memory: the
// facts.
// Never: stores a link, an index or a count: recovery.ts rebuilds those, as after a crash.
// Slots are journalled by pages, since slots that change together are mostly adjacent.

import { type Micros, NONE, US_PER_SECOND } from '../base/units.ts'
import { JOBS_FRESH, LANES_FRESH, markUsed } from '../memory/crash-notes.ts'
import { JOURNAL_SEQUENCE } from '../memory/journal-words.ts'
import {
  type JobArrays, type SegmentViews, type SharedViews, type ShardViews, UPSTREAM_ACCOUNT_QUEUES,
  UPSTREAM_BASE_F64, UPSTREAM_CONCURRENT_MAX, UPSTREAM_INTERVAL_NS, UPSTREAM_KIND,
  UPSTREAM_RECORD_WORDS,
} from '../memory/layout.ts'
import {
  JOBS_PER_PAGE, LANES_PER_PAGE, TEMPLATES_PER_PAGE, UPSTREAM_NAME_BYTES,
} from '../memory/limits.ts'
import { JOB_QUEUED, JOB_UNWRITTEN, JOB_WATCHED } from '../store/job-slots.ts'
import type { UpstreamFacts } from '../wire/contract.ts'
import {
  type BatchWriter, TABLE_CLEARED, TABLE_COUNTS, TABLE_JOBS, TABLE_LANES, TABLE_LOG,
  TABLE_SEGMENTS, TABLE_TEMPLATES, TABLE_UPSTREAMS,
} from './journal-format.ts'

const COUNTS_BYTES = 24
/** The bytes of an upstream's row before its origin. */
const UPSTREAM_HEADER_BYTES = 48
const SEGMENT_BYTES = 4

/** Flags of a job's result word that are valid only in this process. */
const NOT_KEPT_FLAGS = (JOB_WATCHED | JOB_UNWRITTEN) << 16

/** Pages of one table of slots: all its facts, one array per field. */
export class FactPages {
  readonly pages: number
  readonly bytesPerPage: number
  readonly #slotsPerPage: number
  readonly #words: readonly Uint32Array[]
  readonly #doubles: readonly Float64Array[]
  readonly #u32: Uint32Array
  readonly #f64: Float64Array
  readonly #scratch: Buffer
  readonly #laterBytes: number

  /** @param later how many of the words, the last ones, pages of an earlier form do not have. */
  constructor(
    slotsPerPage: number, words: readonly Uint32Array[], doubles: readonly Float64Array[],
    later = 0,
  ) {
    this.#slotsPerPage = slotsPerPage
    this.#laterBytes = slotsPerPage * later * 4
    this.#words = words
    this.#doubles = doubles
    this.pages = Math.ceil((words[0] as Uint32Array).length / slotsPerPage)
    this.bytesPerPage = slotsPerPage * (words.length * 4 + doubles.length * 8)
    this.#scratch = Buffer.allocUnsafeSlow(this.bytesPerPage)
    this.#u32 = new Uint32Array(this.#scratch.buffer)
    this.#f64 = new Float64Array(this.#scratch.buffer)
  }

  /** Copies a page to `at` (a multiple of 8) of a buffer given as word views. */
  copyOut(page: number, u32: Uint32Array, f64: Float64Array, at: number): void {
    const first = page * this.#slotsPerPage
    const last = first + this.#slotsPerPage
    let to = at / 8
    for (const doubles of this.#doubles) {
      for (let slot = first; slot < last; slot++) f64[to++] = doubles[slot] ?? 0
    }
    to *= 2
    for (const words of this.#words) {
      for (let slot = first; slot < last; slot++) u32[to++] = words[slot] ?? 0
    }
  }

  /**
   * Restores a page; returns a description of the problem if it cannot be one of this table. What a
   * page of an earlier form does not have is 0.
   */
  copyIn(page: number, bytes: Buffer, start: number, end: number): string | undefined {
    const lacking = this.bytesPerPage - (end - start)
    if (lacking !== 0 && lacking !== this.#laterBytes) return `a page of ${end - start} bytes`
    if (page >= this.pages) return `page ${page} of ${this.pages}`
    bytes.copy(this.#scratch, 0, start, end)
    this.#scratch.fill(0, end - start)
    const first = page * this.#slotsPerPage
    const last = first + this.#slotsPerPage
    let from = 0
    for (const doubles of this.#doubles) {
      for (let slot = first; slot < last; slot++) doubles[slot] = this.#f64[from++] as number
    }
    from *= 2
    for (const words of this.#words) {
      for (let slot = first; slot < last; slot++) words[slot] = this.#u32[from++] as number
    }
    return undefined
  }
}

/** The facts of job slots, of lanes and of templates. */
export interface Facts {
  readonly jobs: FactPages
  readonly lanes: FactPages
  readonly templates: FactPages
}

/** The pages of a shard's memory. */
export function factsOf({ jobs, lanes, templates }: ShardViews): Facts {
  return {
    jobs: new FactPages(JOBS_PER_PAGE, [
      jobs.route, jobs.idHigh, jobs.idLow, jobs.keyHigh, jobs.keyLow, jobs.fingerprint,
      jobs.location, jobs.lane, jobs.order, jobs.state, jobs.resultWord, jobs.acceptedS,
      jobs.owner,
    ], [jobs.timeUs], 1),
    lanes: new FactPages(LANES_PER_PAGE, [
      lanes.keyHigh, lanes.keyLow, lanes.upstream, lanes.intervalNs, lanes.concurrentMax,
      lanes.flags, lanes.nextOrder, lanes.user,
    ], [lanes.baseUs, lanes.lastSendUs]),
    templates: new FactPages(TEMPLATES_PER_PAGE, [templates.location, templates.hash], []),
  }
}

/** Writes an upstream's row: its shared record and name, and the shard's own words about it. */
export function writeUpstream(
  batch: BatchWriter, views: ShardViews, shared: SharedViews, upstream: number, nowUs: Micros,
): void {
  const { upstreamNames: names, upstreamTimesF64: times, upstreams: words } = shared
  const name = upstream * UPSTREAM_NAME_BYTES
  const length = names.readUInt16LE(name)
  const at = batch.row(TABLE_UPSTREAMS, upstream, 0, UPSTREAM_HEADER_BYTES + length)
  const record = upstream * UPSTREAM_RECORD_WORDS
  const { f64, u32 } = batch
  f64[at / 8] = nowUs
  f64[at / 8 + 1] = times[record / 2 + UPSTREAM_BASE_F64] as number
  f64[at / 8 + 2] = views.upstreams.lastSendUs[upstream] as number
  u32[at / 4 + 6] = Atomics.load(words, record + UPSTREAM_INTERVAL_NS)
  u32[at / 4 + 7] = Atomics.load(words, record + UPSTREAM_CONCURRENT_MAX)
  u32[at / 4 + 8] = Atomics.load(words, record + UPSTREAM_ACCOUNT_QUEUES)
  u32[at / 4 + 9] = views.upstreams.switches[upstream] as number
  u32[at / 4 + 10] = Atomics.load(words, record + UPSTREAM_KIND)
  u32[at / 4 + 11] = length
  names.copy(batch.bytes, at + UPSTREAM_HEADER_BYTES, name + 2, name + 2 + length)
}

/** An upstream's facts at a start; parameters as in finish() below. */
export const resumeUpstream = (
  facts: UpstreamFacts, shiftUs: number, nowUs: Micros,
): UpstreamFacts => ({
  ...facts, asOfUs: (facts.asOfUs + shiftUs) as Micros,
  baseUs: Math.max(facts.baseUs === 0 ? 0 : facts.baseUs + shiftUs, nowUs) as Micros,
})

/** Converts an upstream's row at `start` to another clock: shifts its three times. */
export function shiftUpstreamRow(bytes: Buffer, start: number, shiftUs: number): void {
  for (let at = start; at < start + 24; at += 8) {
    const timeUs = bytes.readDoubleLE(at)
    if (timeUs !== 0) bytes.writeDoubleLE(timeUs + shiftUs, at)
  }
}

export function writeCounts(
  batch: BatchWriter, views: ShardViews, nowUs: Micros, sequence: number,
): void {
  const at = batch.row(TABLE_COUNTS, 0, 0, COUNTS_BYTES)
  batch.f64[at / 8] = sequence
  batch.f64[at / 8 + 1] = nowUs
  batch.u32[at / 4 + 4] = views.progress[JOBS_FRESH] as number
  batch.u32[at / 4 + 5] = views.progress[LANES_FRESH] as number
}

/** A shard's memory while it is restored from a journal; nothing else uses it meanwhile. */
export class JournalImage {
  /** By upstream slot: this shard's last row about it. */
  readonly upstreams = new Map<number, UpstreamFacts>()
  /** The last batch in the image; 0 for none. */
  sequence = 0
  /** The clock's time of the last batch. */
  asOfUs = 0 as Micros
  readonly #views: ShardViews
  readonly #facts: Facts

  /** @param views fresh memory, all zeros. */
  constructor(views: ShardViews) {
    this.#views = views
    this.#facts = factsOf(views)
    views.templates.location.fill(NONE)
  }

  /** Applies a row; returns a description of the problem if it does not fit this memory. */
  apply(
    table: number, key1: number, key2: number, bytes: Buffer, start: number, end: number,
  ): string | undefined {
    switch (table) {
      case TABLE_COUNTS: return this.#applyCounts(bytes, start, end)
      case TABLE_JOBS: return this.#facts.jobs.copyIn(key1, bytes, start, end)
      case TABLE_LANES: return this.#facts.lanes.copyIn(key1, bytes, start, end)
      case TABLE_TEMPLATES: return this.#facts.templates.copyIn(key1, bytes, start, end)
      case TABLE_SEGMENTS:
      case TABLE_CLEARED:
      case TABLE_LOG: return this.#applySegment(table, key1, key2, bytes, start, end)
      case TABLE_UPSTREAMS: return this.#applyUpstream(key1, bytes, start, end)
      default: return `a row of table ${table}`
    }
  }

  /**
   * Called after all rows: prepares the memory for the thread that will start on it.
   * @param shiftUs how much later the current clock's times are than the journal's.
   * @param nowUs the current time. The journal may lack the last sends, so every budget continues
   *   as if it had been spent just now.
   */
  finish(shiftUs: number, nowUs: Micros): void {
    const { jobs, journal, lanes, progress, segmentJournalledBytes, segments, upstreams } =
      this.#views
    journal[JOURNAL_SEQUENCE] = this.sequence
    if (this.sequence > 0) markUsed(progress)
    // The journal has all of them; recovery finds where their records end.
    for (const [at, { bytes }] of segments.entries()) segmentJournalledBytes[at] = bytes.length
    const jobsFresh = progress[JOBS_FRESH] as number
    for (let slot = 0; slot < jobsFresh; slot++) {
      jobs.resultWord[slot] = ((jobs.resultWord[slot] as number) & ~NOT_KEPT_FLAGS) >>> 0
    }
    if (shiftUs !== 0) {
      shiftJobs(jobs, jobsFresh, shiftUs)
      shift(lanes.lastSendUs, lanes.lastSendUs.length, shiftUs)
      shift(upstreams.lastSendUs, upstreams.lastSendUs.length, shiftUs)
    }
    for (let lane = 0; lane < lanes.baseUs.length; lane++) {
      if (lanes.baseUs[lane] !== 0) lanes.baseUs[lane] = nowUs
    }
    for (const [upstream, facts] of this.upstreams) {
      this.upstreams.set(upstream, resumeUpstream(facts, shiftUs, nowUs))
    }
  }

  #applyCounts(bytes: Buffer, start: number, end: number): string | undefined {
    if (end - start !== COUNTS_BYTES) return `counts of ${end - start} bytes`
    const { jobs, lanes, progress, upstreams } = this.#views
    const jobsFresh = bytes.readUInt32LE(start + 16)
    const lanesFresh = bytes.readUInt32LE(start + 20)
    if (jobsFresh > jobs.state.length) return `${jobsFresh} jobs`
    if (lanesFresh > lanes.flags.length - upstreams.references.length) return `${lanesFresh} lanes`
    this.sequence = bytes.readDoubleLE(start)
    this.asOfUs = bytes.readDoubleLE(start + 8) as Micros
    progress[JOBS_FRESH] = jobsFresh
    progress[LANES_FRESH] = lanesFresh
    return undefined
  }

  #applySegment(
    table: number, segment: number, offset: number, bytes: Buffer, start: number, end: number,
  ): string | undefined {
    const views = this.#views.segments[segment]
    if (views === undefined) return `segment ${segment} of ${this.#views.segments.length}`
    if (table === TABLE_LOG) return copyLog(views, offset, bytes, start, end)
    if (table === TABLE_CLEARED) {
      views.u32[0] = 0
      return undefined
    }
    if (end - start !== SEGMENT_BYTES) return `a segment's state of ${end - start} bytes`
    this.#views.segmentState[segment] = bytes.readUInt32LE(start)
    return undefined
  }

  #applyUpstream(upstream: number, bytes: Buffer, start: number, end: number): string | undefined {
    const { upstreams } = this.#views
    const originStart = start + UPSTREAM_HEADER_BYTES
    if (originStart > end || bytes.readUInt32LE(start + 44) !== end - originStart) {
      return `an upstream of ${end - start} bytes`
    }
    if (upstream >= upstreams.references.length) return `upstream ${upstream}`
    upstreams.lastSendUs[upstream] = bytes.readDoubleLE(start + 16)
    upstreams.switches[upstream] = bytes.readInt32LE(start + 36)
    this.upstreams.set(upstream, {
      asOfUs: bytes.readDoubleLE(start) as Micros,
      baseUs: bytes.readDoubleLE(start + 8) as Micros,
      intervalNs: bytes.readUInt32LE(start + 24),
      concurrentMax: bytes.readUInt32LE(start + 28),
      accountQueues: bytes.readUInt32LE(start + 32),
      kind: bytes.readUInt32LE(start + 40),
      origin: bytes.toString('utf8', originStart, end),
    })
    return undefined
  }
}

function copyLog(
  views: SegmentViews, offset: number, bytes: Buffer, start: number, end: number,
): string | undefined {
  if (offset + end - start > views.bytes.length) return `a log of ${offset + end - start} bytes`
  bytes.copy(views.bytes, offset, start, end)
  return undefined
}

/** The latest start of a queued job is a wall-clock time and stays unchanged. */
function shiftJobs(jobs: JobArrays, count: number, shiftUs: number): void {
  const shiftS = Math.ceil(shiftUs / US_PER_SECOND)
  for (let slot = 0; slot < count; slot++) {
    const isQueued = ((jobs.state[slot] as number) & 0xff) === JOB_QUEUED
    if (!isQueued) jobs.timeUs[slot] = (jobs.timeUs[slot] as number) + shiftUs
    jobs.acceptedS[slot] = (jobs.acceptedS[slot] as number) + shiftS
  }
}

/** Shifts times; zero means never and stays. */
function shift(timesUs: Float64Array, count: number, shiftUs: number): void {
  for (let at = 0; at < count; at++) {
    const timeUs = timesUs[at] as number
    if (timeUs !== 0) timesUs[at] = timeUs + shiftUs
  }
}
