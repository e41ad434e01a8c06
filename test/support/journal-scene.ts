// One shard's journal on disk, for tests: tails written from a model, a store, and a start that
// loads both.

import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Prng } from '../../shards/base/prng.ts'
import type { Micros } from '../../shards/base/units.ts'
import { writeExtent } from '../../shards/journal/extent-file.ts'
import { tailName } from '../../shards/journal/tail-names.ts'
import { type ShardViews, allocateShard, attachShard } from '../../shards/memory/layout.ts'
import type { Dropped } from '../../src/journal/dropped.ts'
import { type Loaded, loadShard } from '../../src/journal/load.ts'
import { JournalStore, type StoreState } from '../../src/journal/store.ts'
import { Tails } from '../../src/journal/tails.ts'
import { JournalModel, MODEL_LIMITS } from './journal-model.ts'
import { SEED } from './swarm.ts'

export const NOW_US = 5e9 as Micros
const MEMORY_BYTES = 2 ** 20
const NOTHING: StoreState = { boot: '', tail: 0, sequence: 0, accepted: 0 }
/** New jobs in each batch. */
export const BATCH_JOBS = 3

/** The result of a start. */
export type SceneStart =
  | { readonly ok: true; readonly views: ShardViews; readonly state: StoreState
      readonly dropped: Dropped | null }
  | { readonly ok: false; readonly problem: string }

/** A folder with a shard's journal. */
export class JournalScene {
  readonly folder: string
  readonly model = new JournalModel(new Prng(SEED))
  sequence = 0

  constructor(folder: string) {
    this.folder = folder
  }

  fileOf(tail: number): string {
    return path.join(this.folder, tailName(tail))
  }

  /** Appends batches to a tail. @returns the offset of each. */
  write(tail: number, batches: number): number[] {
    const starts: number[] = []
    for (let count = 0; count < batches; count++) {
      const bytes = this.next()
      starts.push(this.#lengthOf(tail))
      appendFileSync(this.fileOf(tail), bytes)
    }
    return starts
  }

  /** The next batch, which counts as written. */
  next(): Buffer {
    this.model.change()
    const sequence = ++this.sequence
    const bytes = this.model.batch(sequence, NOW_US, BATCH_JOBS * sequence)
    this.model.written()
    return bytes
  }

  /** Records how far the tails reach, as the shard does. */
  note(tail: number, sequence = this.sequence): void {
    writeExtent(this.folder, { tail, sequence, accepted: BATCH_JOBS * sequence })
  }

  /** Changes a byte of a tail. */
  damage(tail: number, at: number): void {
    const bytes = readFileSync(this.fileOf(tail))
    bytes[at] = (bytes[at] as number) ^ 0xff
    writeFileSync(this.fileOf(tail), bytes)
  }

  /** Opens the store for one action. */
  async withStore<T>(act: (store: JournalStore, state: StoreState) => T): Promise<T> {
    const opened = JournalStore.open(path.join(this.folder, 'store'), MEMORY_BYTES, true)
    assert.ok(opened.ok, opened.ok ? '' : opened.problem)
    const { state } = opened.store
    assert.ok(typeof state !== 'string')
    try {
      return act(opened.store, state ?? NOTHING)
    } finally {
      await opened.store.close()
    }
  }

  /** A start during a given boot of the machine, at a time of its clock. */
  start(boot: string, nowUs = NOW_US): Promise<SceneStart> {
    return this.withStore((store, state): SceneStart => {
      const taken = new Tails(this.folder, store).takeAll(state, state.boot !== boot, () => {})
      if (!taken.ok) return taken
      const views = attachShard(allocateShard(MODEL_LIMITS), MODEL_LIMITS)
      const loaded: Loaded = loadShard({
        store, state: taken.state, views, boot, nowUs, known: () => {}, progress: () => {},
      })
      return loaded.ok
        ? { ok: true, views, state: loaded.state, dropped: taken.dropped } : loaded
    })
  }

  #lengthOf(tail: number): number {
    try {
      return readFileSync(this.fileOf(tail)).length
    } catch {
      return 0
    }
  }
}
