// Reads a shard's store into the shard's fresh memory, and shifts its times to the present clock.
// The clock of another boot started at another moment, so then all rows with times are rewritten,
// in one commit, before anything with the present clock is added. The wall clock is not used to
// find out how long the machine was off, since it may have been set, or be wrong until it is. So no
// time passes between the last batch and the start: keys and waits last longer, never shorter.

import type { Micros } from '../../shards/base/units.ts'
import {
  BatchWriter, FRAME_HEADER_BYTES, ROW_HEADER_BYTES, TABLE_COUNTS, TABLE_JOBS, TABLE_LANES,
  TABLE_LOG, TABLE_SEGMENTS, TABLE_TEMPLATES, TABLE_UPSTREAMS,
} from '../../shards/journal/journal-format.ts'
import {
  type FactPages, factsOf, JournalImage, resumeUpstream, shiftUpstreamRow, writeCounts,
} from '../../shards/journal/journal-image.ts'
import { JOURNAL_ACCEPTED } from '../../shards/memory/journal-words.ts'
import type { ShardViews } from '../../shards/memory/layout.ts'
import { JOBS_PER_PAGE } from '../../shards/memory/limits.ts'
import type { UpstreamFacts } from '../../shards/wire/contract.ts'
import type { JournalStore, StoreState } from './store.ts'

/** The input of loadShard(). */
export interface LoadOptions {
  readonly store: JournalStore
  /** The store's state row. */
  readonly state: StoreState
  /** Fresh memory, all zeros. */
  readonly views: ShardViews
  /** The present boot of the machine; empty where it is not known. */
  readonly boot: string
  readonly nowUs: Micros
  /** Receives the upstreams, by slot, before the jobs are read. */
  readonly known: (upstreams: ReadonlyMap<number, UpstreamFacts>) => void
  /** Receives the bytes of each row, and the number of jobs in it. */
  readonly progress: (bytes: number, jobs: number) => void
}

/** The result of loadShard(). */
export type Loaded =
  | { readonly ok: true; readonly state: StoreState }
  | { readonly ok: false; readonly problem: string }

/** Small ones first; upstreams are reported before the jobs are read. */
const TABLES = [
  TABLE_COUNTS, TABLE_UPSTREAMS, TABLE_SEGMENTS, TABLE_TEMPLATES, TABLE_LANES, TABLE_JOBS,
  TABLE_LOG,
] as const

/** Loads one shard. Throws other errors of lmdb or the system. */
export function loadShard(options: LoadOptions): Loaded {
  const { boot, nowUs, state, store, views } = options
  const image = new JournalImage(views)
  // Includes the state row, which is not visited.
  let rows = 1
  let shiftUs = 0
  let isSameClock = boot !== '' && state.boot === boot
  for (const table of TABLES) {
    const problem = store.forEach(table, (_table, key1, key2, bytes, start) => {
      rows++
      const wrong = image.apply(table, key1, key2, bytes, start, bytes.length)
      options.progress(bytes.length, table === TABLE_JOBS ? jobsIn(views, key1) : 0)
      return wrong
    })
    if (problem !== undefined) return { ok: false, problem }
    if (table !== TABLE_UPSTREAMS) continue
  // A container may have a clock of its own: a clock that is behind cannot be the same.
    if (nowUs < image.asOfUs) isSameClock = false
    if (!isSameClock && image.sequence > 0) shiftUs = nowUs - image.asOfUs
    options.known(new Map([...image.upstreams].map(([slot, facts]) =>
      [slot, resumeUpstream(facts, shiftUs, nowUs)])))
  }
  const problem = whatIsMissing(store, state, image, rows)
  if (problem !== undefined) return { ok: false, problem }
  image.finish(shiftUs, nowUs)
  views.journal[JOURNAL_ACCEPTED] = state.accepted
  if (isSameClock) return { ok: true, state }
  const present: StoreState = { ...state, boot }
  store.commit(present, () => {
    if (image.sequence > 0) rewriteTimes(options, image.sequence, shiftUs)
  })
  return { ok: true, state: present }
}

/** Whether the store is complete, as far as counts can show. */
function whatIsMissing(
  store: JournalStore, state: StoreState, image: JournalImage, rows: number,
): string | undefined {
  if (rows !== store.rows) return `the store has ${store.rows} rows, but ${rows} can be read`
  if (image.sequence !== state.sequence) {
    return `the store has batch ${image.sequence}, but says that it has ${state.sequence}`
  }
  return undefined
}

function jobsIn({ jobs }: ShardViews, page: number): number {
  let count = 0
  const first = page * JOBS_PER_PAGE
  for (let slot = first; slot < first + JOBS_PER_PAGE; slot++) {
    if ((jobs.state[slot] ?? 0) !== 0) count++
  }
  return count
}

/** Within commit(): rewrites every row with times from memory, where they are already shifted. */
function rewriteTimes(
  { nowUs, store, views }: LoadOptions, sequence: number, shiftUs: number,
): void {
  const facts = factsOf(views)
  rewritePages(store, TABLE_JOBS, facts.jobs)
  rewritePages(store, TABLE_LANES, facts.lanes)
  const rows: { key1: number; bytes: Buffer; start: number }[] = []
  store.forEach(TABLE_UPSTREAMS, (_table, key1, _key2, bytes, start) => {
    rows.push({ key1, bytes, start })
    return undefined
  })
  for (const { bytes, key1, start } of rows) {
    shiftUpstreamRow(bytes, start, shiftUs)
    store.put(TABLE_UPSTREAMS, key1, 0, bytes, start, bytes.length)
  }
  const batch = new BatchWriter()
  batch.begin(sequence, views.journal[JOURNAL_ACCEPTED] as number)
  writeCounts(batch, views, nowUs, sequence)
  const start = FRAME_HEADER_BYTES + ROW_HEADER_BYTES
  store.put(TABLE_COUNTS, 0, 0, batch.bytes, start, batch.length)
}

function rewritePages(store: JournalStore, table: number, pages: FactPages): void {
  const bytes = Buffer.allocUnsafeSlow(pages.bytesPerPage)
  const u32 = new Uint32Array(bytes.buffer)
  const f64 = new Float64Array(bytes.buffer)
  for (const page of store.keysOf(table)) {
    pages.copyOut(page, u32, f64, 0)
    store.put(table, page, 0, bytes, 0, bytes.length)
  }
}
