// The compactor of one shard's journal, a thread of its own. At the start it loads the shard from
// its store and its tails, then it merges tails into the store for as long as the shard writes
// them. It may crash or lag at any time: tails stay until they are merged.

import { statfsSync } from 'node:fs'
import path from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../shards/base/assert.ts'
import { lookEvery, monotonicUs } from '../../shards/base/clock.ts'
import { MIB } from '../../shards/base/units.ts'
import { STORE_FOLDER } from '../../shards/journal/tail-names.ts'
import { attachShard } from '../../shards/memory/layout.ts'
import { shardBytes } from '../../shards/memory/plan.ts'
import { formatBytes } from '../base/quantities.ts'
import { loadShard } from './load.ts'
import type { CompactorControl, CompactorReport, CompactorTask, Sizes } from './messages.ts'
import { JournalStore, type StoreState } from './store.ts'
import { Tails } from './tails.ts'

const LOOK_EVERY_MS = 1000
/** Bytes read between two progress reports. */
const REPORT_EVERY_BYTES = 8 * MIB
const NOTHING: StoreState = { boot: '', tail: 0, sequence: 0, accepted: 0 }

const report = (message: CompactorReport): void => parentPort?.postMessage(message)

/** A shard's store and tails, for the life of the compactor. */
class Compactor {
  readonly #task: CompactorTask
  readonly #store: JournalStore
  readonly #tails: Tails
  #state: StoreState
  #trouble: string | null = null
  #sizes: Sizes = { storeBytes: 0, tailBytes: 0, tails: 0 }
  #isOver = false
  #stopLooking: () => void = () => {}

  constructor(task: CompactorTask, store: JournalStore, state: StoreState) {
    this.#task = task
    this.#store = store
    this.#state = state
    this.#tails = new Tails(task.directory, store)
  }

  /** @returns what is wrong, if the shard cannot be loaded. */
  load(memory: SharedArrayBuffer): string | undefined {
    const { boot, limits } = this.#task
    const counter = new Counter()
    report({ kind: 'began', bytes: this.#tails.bytes + this.#store.usedBytes })
    const isSameBoot = boot !== '' && this.#state.boot === boot
    const taken = this.#tails.takeAll(this.#state, !isSameBoot, (bytes) => counter.add(bytes, 0))
    if (!taken.ok) return taken.problem
    if (taken.dropped !== null) report({ kind: 'dropped', dropped: taken.dropped })
    const loaded = loadShard({
      store: this.#store, state: taken.state, views: attachShard(memory, limits), boot,
      nowUs: monotonicUs(),
      known: (upstreams) => report({ kind: 'known', upstreams }),
      progress: (bytes, jobs) => counter.add(bytes, jobs),
    })
    if (!loaded.ok) return loaded.problem
    this.#state = loaded.state
    report({ kind: 'loaded', sequence: this.#state.sequence, jobs: counter.jobs })
    return undefined
  }

  keep(): void {
    this.#stopLooking = lookEvery(LOOK_EVERY_MS, () => this.#look())
    this.#look()
  }

  stop(): void {
    this.#isOver = true
    this.#stopLooking()
    void this.#store.close()
  }

  #look(): void {
    if (this.#isOver) return
    let isMore = false
    try {
      const taken = this.#tails.takeOldest(this.#state)
      this.#trouble = taken?.ok === false ? taken.problem : null
      isMore = taken?.ok === true
      if (taken?.ok === true) this.#state = taken.state
      else if (taken !== undefined) this.#readState()
    } catch (error) {
      this.#trouble = describeFault(this.#task.directory, error)
      this.#readState()
    }
    this.#reportSizes()
    // In between, the event loop handles a message to stop.
    if (isMore) setImmediate(() => this.#look())
  }

  /** After a failure: some of the tail may be in the store already. */
  #readState(): void {
    const { state } = this.#store
    if (typeof state === 'object') this.#state = state
  }

  #reportSizes(): void {
    try {
      this.#sizes = {
        storeBytes: this.#store.bytes, tailBytes: this.#tails.bytes,
        tails: this.#tails.list().length,
      }
    } catch (error) {
      // Report the last known sizes.
      this.#trouble ??= describeFault(this.#task.directory, error)
    }
    report({ kind: 'sizes', ...this.#sizes, trouble: this.#trouble })
  }
}

/** Counts what has been read, and reports it every REPORT_EVERY_BYTES. */
class Counter {
  jobs = 0
  #bytes = 0
  #reportedBytes = 0

  add(bytes: number, jobs: number): void {
    this.#bytes += bytes
    this.jobs += jobs
    if (this.#bytes - this.#reportedBytes < REPORT_EVERY_BYTES) return
    this.#reportedBytes = this.#bytes
    report({ kind: 'progress', bytes: this.#bytes, jobs: this.jobs })
  }
}

function openCompactor(task: CompactorTask): Compactor | string {
  const folder = path.join(task.directory, STORE_FOLDER)
  const opened = JournalStore.open(folder, shardBytes(task.limits), task.mayMake)
  if (!opened.ok) return opened.problem
  const { state } = opened.store
  if (typeof state === 'string') return `${folder}: ${state}`
  return new Compactor(task, opened.store, state ?? NOTHING)
}

/** The error and the free space: lmdb reports a full disk as an I/O error. */
function describeFault(directory: string, error: unknown): string {
  const what = `${directory}: ${(error as Error).message}`
  try {
    const { bavail, bsize } = statfsSync(directory)
    return `${what} (${formatBytes(bavail * bsize)} of the disk are free)`
  } catch {
    return what // the directory itself is gone
  }
}

/** @returns what is wrong, if anything. */
function run(task: CompactorTask): string | undefined {
  try {
    const compactor = openCompactor(task)
    if (typeof compactor === 'string') return compactor
    const problem = task.memory === null ? undefined : compactor.load(task.memory)
    if (problem !== undefined) {
      compactor.stop()
      return problem
    }
    parentPort?.on('message', (_message: CompactorControl) => {
      compactor.stop()
      parentPort?.close()
    })
    compactor.keep()
    return undefined
  } catch (error) {
    return describeFault(task.directory, error)
  }
}

assert(parentPort !== null, 'a compactor must run in a thread of its own')
const problem = run(workerData as CompactorTask)
if (problem !== undefined) report({ kind: 'refused', problem })
