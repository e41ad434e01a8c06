// A model of a shard for its journal: memory whose facts change at random, and batches of the
// changes since the last written one, as shards/journal/journal.ts makes them.

import assert from 'node:assert/strict'
import type { Prng } from '../../shards/base/prng.ts'
import { type Micros, NONE } from '../../shards/base/units.ts'
import { BatchWriter, TABLE_CLEARED, TABLE_JOBS, TABLE_LANES, TABLE_LOG, TABLE_SEGMENTS,
  TABLE_TEMPLATES } from '../../shards/journal/journal-format.ts'
import {
  type FactPages, factsOf, writeCounts, writeUpstream,
} from '../../shards/journal/journal-image.ts'
import { JOBS_FRESH } from '../../shards/memory/crash-notes.ts'
import {
  type SegmentViews, type SharedViews, type ShardViews, allocateShard, allocateShared, attachShard,
  attachShared,
} from '../../shards/memory/layout.ts'
import {
  JOBS_PER_PAGE, LANES_PER_PAGE, TEMPLATES_PER_PAGE, UPSTREAM_NAME_BYTES,
} from '../../shards/memory/limits.ts'
import type { Limits } from '../../shards/memory/plan.ts'
import { JOB_UNWRITTEN, JOB_WATCHED } from '../../shards/store/job-slots.ts'
import { SEGMENT_FREE, SEGMENT_OPEN } from '../../shards/store/segments.ts'

/** Small enough that pages are changed again and again. */
export const MODEL_LIMITS: Limits = {
  memoryBytes: 0, shards: 1, bodyBytesMax: 0, responseBytesMax: 0, recordBytesMax: 1024,
  ringBytes: 1024, segmentBytes: 4096, segmentsMax: 6, jobsMax: 100, lanesMax: 40,
  templatesMax: 130, upstreamsMax: 8,
}
const END_BYTES = 8

/** The changed parts of the memory. */
class Changes {
  readonly jobs = new Set<number>()
  readonly lanes = new Set<number>()
  readonly templates = new Set<number>()
  readonly upstreams = new Set<number>()
  readonly segments = new Set<number>()

  clear(): void {
    for (const set of [this.jobs, this.lanes, this.templates, this.upstreams, this.segments]) {
      set.clear()
    }
  }
}

/** One shard's memory and what its journal does not have yet. */
export class JournalModel {
  readonly views: ShardViews
  readonly shared: SharedViews
  readonly #prng: Prng
  readonly #batch = new BatchWriter()
  readonly #changes = new Changes()
  readonly #used: number[]
  /** By segment; NONE where the journal does not know its present use. */
  readonly #journalled: number[]

  constructor(prng: Prng, limits = MODEL_LIMITS) {
    this.#prng = prng
    this.views = attachShard(allocateShard(limits), limits)
    this.shared = attachShared(allocateShared(limits), limits)
    this.views.templates.location.fill(NONE)
    this.#used = Array.from({ length: limits.segmentsMax }, () => 0)
    this.#journalled = Array.from({ length: limits.segmentsMax }, () => NONE)
  }

  /** Changes a few facts of each kind. */
  change(): void {
    const { jobs, lanes, progress, templates } = this.views
    for (let count = this.#prng.below(6); count > 0; count--) {
      const job = this.#fill(
        [jobs.idHigh, jobs.fingerprint, jobs.location, jobs.state, jobs.resultWord,
          jobs.acceptedS, jobs.owner], [jobs.timeUs])
      progress[JOBS_FRESH] = Math.max(progress[JOBS_FRESH] as number, job + 1)
      this.#changes.jobs.add(Math.floor(job / JOBS_PER_PAGE))
      const lane = this.#fill([lanes.flags, lanes.nextOrder], [lanes.baseUs, lanes.lastSendUs])
      this.#changes.lanes.add(Math.floor(lane / LANES_PER_PAGE))
      const template = this.#fill([templates.location, templates.hash], [])
      this.#changes.templates.add(Math.floor(template / TEMPLATES_PER_PAGE))
    }
    for (let count = this.#prng.below(4); count > 0; count--) this.#changeLog()
    if (this.#prng.chance(0.2)) this.#changeUpstream()
  }

  /**
   * All changes since the last batch that was written().
   * @param jobs pages of jobs in place of the present ones.
   */
  batch(sequence: number, nowUs: Micros, accepted = 0, jobs?: FactPages): Buffer {
    const facts = factsOf(this.views)
    this.#batch.begin(sequence, accepted)
    for (const segment of this.#changes.segments) this.#addSegment(segment)
    this.#addPages(TABLE_TEMPLATES, facts.templates, this.#changes.templates)
    this.#addPages(TABLE_LANES, facts.lanes, this.#changes.lanes)
    this.#addPages(TABLE_JOBS, jobs ?? facts.jobs, this.#changes.jobs)
    for (const upstream of this.#changes.upstreams) {
      writeUpstream(this.#batch, this.views, this.shared, upstream, nowUs)
    }
    writeCounts(this.#batch, this.views, nowUs, sequence)
    return Buffer.from(this.#batch.finish())
  }

  written(): void {
    for (const segment of this.#changes.segments) {
      const isFree = this.views.segmentState[segment] === SEGMENT_FREE
      this.#journalled[segment] = isFree ? NONE : this.#used[segment] as number
    }
    this.#changes.clear()
  }

  /** After the crash of a thread: its records end somewhere before where the journal says. */
  cutLog(): void {
    const segment = this.#prng.below(this.#used.length)
    const used = this.#used[segment] as number
    if (this.views.segmentState[segment] === SEGMENT_FREE || used === 0) return
    const cut = 8 * this.#prng.below(used / 8)
    this.#setUsed(segment, cut)
    const journalled = this.#journalled[segment] as number
    if (journalled !== NONE && journalled > cut) this.#journalled[segment] = cut
    this.#changes.segments.add(segment)
  }

  /** Compares all facts with memory that was loaded. */
  equals(loaded: ShardViews, nowUs: Micros): void {
    const { jobs, lanes, templates } = this.views
    const kept = jobs.resultWord.map((word) => word & ~((JOB_WATCHED | JOB_UNWRITTEN) << 16))
    assert.deepEqual(loaded.jobs.resultWord, kept)
    assert.deepEqual(loaded.jobs.fingerprint, jobs.fingerprint)
    const base = lanes.baseUs.map((timeUs) => timeUs === 0 ? 0 : nowUs)
    assert.deepEqual(loaded.lanes.baseUs, base)
    assert.deepEqual(loaded.jobs.idHigh, jobs.idHigh)
    assert.deepEqual(loaded.jobs.location, jobs.location)
    assert.deepEqual(loaded.jobs.state, jobs.state)
    assert.deepEqual(loaded.jobs.timeUs, jobs.timeUs)
    assert.deepEqual(loaded.jobs.acceptedS, jobs.acceptedS)
    assert.deepEqual(loaded.jobs.owner, jobs.owner)
    assert.deepEqual(loaded.lanes.flags, lanes.flags)
    assert.deepEqual(loaded.lanes.lastSendUs, lanes.lastSendUs)
    assert.deepEqual(loaded.templates.location, templates.location)
    assert.deepEqual(loaded.templates.hash, templates.hash)
    assert.deepEqual(loaded.segmentState, this.views.segmentState)
    for (const [segment, { bytes }] of this.views.segments.entries()) {
      if (this.views.segmentState[segment] === SEGMENT_FREE) continue
      const end = Math.min((this.#used[segment] as number) + END_BYTES, bytes.length)
      const found = (loaded.segments[segment] as SegmentViews).bytes
      assert.ok(bytes.subarray(0, end).equals(found.subarray(0, end)), `segment ${segment}`)
    }
  }

  /** Continues with the memory that was loaded. */
  adopt(loaded: ShardViews): void {
    this.views.jobs.resultWord.set(loaded.jobs.resultWord)
    this.views.lanes.baseUs.set(loaded.lanes.baseUs)
  }

  /** Fills one slot with random words. @returns the slot. */
  #fill(words: readonly Uint32Array[], times: readonly Float64Array[]): number {
    const slot = this.#prng.below((words[0] as Uint32Array).length)
    for (const array of words) array[slot] = this.#prng.uint32()
    for (const array of times) array[slot] = this.#prng.below(10) * 1e6
    return slot
  }

  #changeLog(): void {
    const { segmentState } = this.views
    const segment = this.#prng.below(this.#used.length)
    const { bytes } = this.views.segments[segment] as SegmentViews
    this.#changes.segments.add(segment)
    if (segmentState[segment] === SEGMENT_FREE) {
      segmentState[segment] = SEGMENT_OPEN
      this.#journalled[segment] = NONE
      return this.#setUsed(segment, 0)
    }
    const used = this.#used[segment] as number
    if (this.#prng.chance(0.15)) {
      segmentState[segment] = SEGMENT_FREE
      return
    }
    const length = Math.min(bytes.length - used, 8 * this.#prng.between(1, 60))
    for (let at = used; at < used + length; at++) bytes[at] = this.#prng.below(256)
    this.#setUsed(segment, used + length)
  }

  #setUsed(segment: number, used: number): void {
    const { bytes } = this.views.segments[segment] as SegmentViews
    this.#used[segment] = used
    bytes.fill(0, used, Math.min(used + END_BYTES, bytes.length))
  }

  #changeUpstream(): void {
    const upstream = this.#prng.below(this.views.upstreams.references.length)
    const origin = `http://${this.#prng.below(100)}.example`
    const at = upstream * UPSTREAM_NAME_BYTES
    this.shared.upstreamNames.writeUInt16LE(origin.length, at)
    this.shared.upstreamNames.write(origin, at + 2)
    this.#changes.upstreams.add(upstream)
  }

  #addPages(table: number, pages: FactPages, changed: ReadonlySet<number>): void {
    for (const page of changed) {
      const at = this.#batch.row(table, page, 0, pages.bytesPerPage)
      pages.copyOut(page, this.#batch.u32, this.#batch.f64, at)
    }
  }

  #addSegment(segment: number): void {
    const batch = this.#batch
    const state = this.views.segmentState[segment] as number
    const stateAt = batch.row(TABLE_SEGMENTS, segment, 0, 4)
    batch.u32[stateAt / 4] = state
    if (state === SEGMENT_FREE) return
    const journalled = this.#journalled[segment] as number
    if (journalled === NONE) batch.row(TABLE_CLEARED, segment, 0, 0)
    const { bytes } = this.views.segments[segment] as SegmentViews
    const start = journalled === NONE ? 0 : journalled
    const end = Math.min((this.#used[segment] as number) + END_BYTES, bytes.length)
    const at = batch.row(TABLE_LOG, segment, start, end - start)
    bytes.copy(batch.bytes, at, start, end)
  }
}
