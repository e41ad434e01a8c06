// Writes all facts of a shard into a new store, which is not used before all of it is written.

import type { Micros } from '../../shards/base/units.ts'
import {
  BatchWriter, FRAME_HEADER_BYTES, ROW_HEADER_BYTES, TABLE_COUNTS, TABLE_JOBS, TABLE_LANES,
  TABLE_LOG, TABLE_SEGMENTS, TABLE_TEMPLATES, TABLE_UPSTREAMS,
} from '../../shards/journal/journal-format.ts'
import { type FactPages, factsOf, writeCounts, writeUpstream } from
  '../../shards/journal/journal-image.ts'
import { LANES_FRESH } from '../../shards/memory/crash-notes.ts'
import type { SegmentViews, SharedViews } from '../../shards/memory/layout.ts'
import { JOBS_PER_PAGE, LANES_PER_PAGE, TEMPLATES_PER_PAGE } from '../../shards/memory/limits.ts'
import { SEGMENT_FREE } from '../../shards/store/segments.ts'
import { LOG_ROW_BYTES } from '../journal/row-changes.ts'
import type { JournalStore, StoreState } from '../journal/store.ts'
import type { MovedShard } from './moved-shard.ts'

/** The image is a single batch with this number. */
const SEQUENCE = 1
const END_MARK_BYTES = 8
const ROW_START = FRAME_HEADER_BYTES + ROW_HEADER_BYTES
/** Pages per transaction. */
const PAGES_MAX = 50_000

/** The input of writeImage(). */
export interface ImageParts {
  readonly store: JournalStore
  readonly moved: MovedShard
  /** Names and budgets of the upstreams. */
  readonly shared: SharedViews
  /** Slots of the upstreams. */
  readonly upstreams: Iterable<number>
  readonly boot: string
  readonly nowUs: Micros
}

/** Writes everything; throws the error of lmdb or the system. */
export function writeImage(parts: ImageParts): void {
  const { boot, moved: { jobs, templates, views }, store } = parts
  const state: StoreState = { boot, tail: 0, sequence: SEQUENCE, accepted: 0 }
  const facts = factsOf(views)
  const lanes = views.limits.upstreamsMax + (views.progress[LANES_FRESH] as number)
  writePages(store, state, TABLE_JOBS, facts.jobs, Math.ceil(jobs / JOBS_PER_PAGE))
  writePages(store, state, TABLE_LANES, facts.lanes, Math.ceil(lanes / LANES_PER_PAGE))
  writePages(store, state, TABLE_TEMPLATES, facts.templates,
    Math.ceil(templates / TEMPLATES_PER_PAGE))
  for (const segment of views.segments.keys()) {
    if (views.segmentState[segment] === SEGMENT_FREE) continue
    store.commit(state, () => writeSegment(parts, segment))
  }
  store.commit(state, () => writeRest(parts))
}

function writePages(
  store: JournalStore, state: StoreState, table: number, pages: FactPages, count: number,
): void {
  const bytes = Buffer.allocUnsafeSlow(pages.bytesPerPage)
  const u32 = new Uint32Array(bytes.buffer)
  const f64 = new Float64Array(bytes.buffer)
  for (let first = 0; first < count; first += PAGES_MAX) {
    store.commit(state, () => {
      for (let page = first; page < Math.min(count, first + PAGES_MAX); page++) {
        pages.copyOut(page, u32, f64, 0)
        store.put(table, page, 0, bytes, 0, bytes.length)
      }
    })
  }
}

function writeSegment({ moved: { views }, store }: ImageParts, segment: number): void {
  const { bytes } = views.segments[segment] as SegmentViews
  const used = views.segmentUsedBytes[segment] as number
  const end = Math.min(bytes.length, used + END_MARK_BYTES)
  const state = Buffer.alloc(4)
  state.writeUInt32LE(views.segmentState[segment] as number)
  store.put(TABLE_SEGMENTS, segment, 0, state, 0, state.length)
  for (let at = 0; at < end; at += LOG_ROW_BYTES) {
    store.put(TABLE_LOG, segment, at, bytes, at, Math.min(end, at + LOG_ROW_BYTES))
  }
}

function writeRest(
  { moved: { views }, nowUs, shared, store, upstreams }: ImageParts,
): void {
  const batch = new BatchWriter()
  for (const upstream of upstreams) {
    batch.begin(SEQUENCE, 0)
    writeUpstream(batch, views, shared, upstream, nowUs)
    const end = ROW_START + batch.bytes.readUInt32LE(ROW_START - 4)
    store.put(TABLE_UPSTREAMS, upstream, 0, batch.bytes, ROW_START, end)
  }
  batch.begin(SEQUENCE, 0)
  writeCounts(batch, views, nowUs, SEQUENCE)
  store.put(TABLE_COUNTS, 0, 0, batch.bytes, ROW_START, batch.length)
}
