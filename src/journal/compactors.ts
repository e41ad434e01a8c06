// The compactors of all shards' journals, on the main thread: starts their threads, receives the
// progress of loading, and the sizes on disk. A compactor that ends by itself is started again if
// its shard is loaded: nothing depends on it except disk space.

import { Worker } from 'node:worker_threads'
import { lookEvery } from '../../shards/base/clock.ts'
import type { Limits } from '../../shards/memory/plan.ts'
import type { UpstreamFacts } from '../../shards/wire/contract.ts'
import type { Log } from '../base/log.ts'
import { type Dropped, reportDropped } from './dropped.ts'
import type { CompactorControl, CompactorReport, CompactorTask, Sizes } from './messages.ts'

/** What the compactors need. */
export interface CompactorsOptions {
  readonly limits: Limits
  /** Each shard's fresh memory. */
  readonly memories: readonly SharedArrayBuffer[]
  readonly shardFolder: (shard: number) => string
  /** Whether a shard may not have a store yet. */
  readonly mayMake: boolean
  readonly boot: string
  readonly log: Log
}

/** The progress of loading a shard's journal, and its sizes on disk. */
export interface CompactorStatus extends Sizes {
  /** Bytes to load in total, and bytes loaded; equal once the shard is loaded. */
  readonly loadBytes: number
  readonly loadedBytes: number
  readonly loadedJobs: number
  readonly isLoaded: boolean
  /** Why tails cannot be merged into the store at the moment. */
  readonly trouble: string | null
  /** What was dropped at the start, because the end of the journal was missing. */
  readonly dropped: Dropped | null
}

/** A result, or why there is none. */
type Awaited<T> = { readonly ok: true; readonly value: T } | {
  readonly ok: false; readonly problem: string }

const START_AGAIN_MS = 5000
const COMPACTOR_FILE = new URL('./compactor.ts', import.meta.url)
const NOTHING: CompactorStatus = {
  loadBytes: 0, loadedBytes: 0, loadedJobs: 0, isLoaded: false, storeBytes: 0, tailBytes: 0,
  tails: 0, trouble: null, dropped: null,
}

/** All compactors of one process. */
export class Compactors {
  /** By shard: the upstreams in its journal, by slot. Resolves before any shard is loaded. */
  readonly known: Promise<Awaited<readonly ReadonlyMap<number, UpstreamFacts>[]>>
  /** By shard: the last batch in its journal; 0 if it has none, so that the shard starts empty. */
  readonly loaded: Promise<Awaited<readonly number[]>>
  readonly #options: CompactorsOptions
  readonly #compactors: readonly CompactorThread[]

  constructor(options: CompactorsOptions) {
    this.#options = options
    this.#compactors = options.memories
      .map((memory, shard) => new CompactorThread(shard, memory, options))
    this.known = gather(this.#compactors.map((compactor) => compactor.known))
    this.loaded = gather(this.#compactors.map((compactor) => compactor.loaded))
  }

  /** By shard. */
  get statuses(): readonly CompactorStatus[] {
    return this.#compactors.map((compactor) => compactor.status)
  }

  /** Closes all stores; resolves when all threads have ended. */
  async stop(): Promise<void> {
    await Promise.all(this.#compactors.map((compactor) => compactor.stop()))
    this.#options.log.info({ shards: this.#compactors.length }, 'the journals are closed')
  }
}

/** One compactor, across restarts of its thread. */
class CompactorThread {
  readonly known: Promise<Awaited<ReadonlyMap<number, UpstreamFacts>>>
  readonly loaded: Promise<Awaited<number>>
  status: CompactorStatus = NOTHING
  readonly #shard: number
  readonly #options: CompactorsOptions
  readonly #resolveKnown: (known: Awaited<ReadonlyMap<number, UpstreamFacts>>) => void
  readonly #resolveLoaded: (loaded: Awaited<number>) => void
  #thread: Worker
  #ended: Promise<void>
  #isStopping = false
  #stopWaiting: () => void = () => {}

  constructor(shard: number, memory: SharedArrayBuffer, options: CompactorsOptions) {
    this.#shard = shard
    this.#options = options
    const known = Promise.withResolvers<Awaited<ReadonlyMap<number, UpstreamFacts>>>()
    const loaded = Promise.withResolvers<Awaited<number>>()
    this.known = known.promise
    this.loaded = loaded.promise
    this.#resolveKnown = known.resolve
    this.#resolveLoaded = loaded.resolve
    const { thread, ended } = this.#begin(memory)
    this.#thread = thread
    this.#ended = ended
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    this.#stopWaiting()
    const control: CompactorControl = { kind: 'stop' }
    // It reads no messages while it loads; terminating is safe, since its changes are atomic.
    if (this.status.isLoaded) this.#thread.postMessage(control)
    else await this.#thread.terminate()
    await this.#ended
  }

  #begin(memory: SharedArrayBuffer | null): { thread: Worker; ended: Promise<void> } {
    const { boot, limits, mayMake, shardFolder } = this.#options
    const workerData: CompactorTask = {
      shard: this.#shard, directory: shardFolder(this.#shard), limits, memory, boot,
      mayMake: mayMake && memory !== null,
    }
    const thread = new Worker(COMPACTOR_FILE, { workerData })
    let failure: unknown
    thread.on('message', (message: CompactorReport) => this.#onReport(message))
    thread.on('error', (error) => { failure = error })
    const ended = new Promise<void>((resolve) => {
      thread.once('exit', () => {
        this.#lost(failure)
        resolve()
      })
    })
    return { thread, ended }
  }

  #onReport(message: CompactorReport): void {
    switch (message.kind) {
      case 'began':
        this.status = { ...this.status, loadBytes: message.bytes }
        return
      case 'known':
        return this.#resolveKnown({ ok: true, value: message.upstreams })
      case 'progress': {
        const loadedBytes = Math.min(message.bytes, this.status.loadBytes)
        this.status = { ...this.status, loadedBytes, loadedJobs: message.jobs }
        return
      }
      case 'loaded':
        this.status = {
          ...this.status, loadedBytes: this.status.loadBytes, loadedJobs: message.jobs,
          isLoaded: true,
        }
        return this.#resolveLoaded({ ok: true, value: message.sequence })
      case 'dropped':
        this.status = { ...this.status, dropped: message.dropped }
        return reportDropped(this.#options.log, this.#shard, message.dropped)
      case 'refused':
        return this.#refuse(message.problem)
      case 'sizes':
        return this.#onSizes(message)
    }
  }

  #onSizes({ storeBytes, tailBytes, tails, trouble }: CompactorReport & { kind: 'sizes' }): void {
    if (trouble !== null && trouble !== this.status.trouble) {
      this.#options.log.error({ shard: this.#shard, reason: trouble },
        'the journal cannot be taken into its store; it grows until it can')
    }
    this.status = { ...this.status, storeBytes, tailBytes, tails, trouble }
  }

  #refuse(problem: string): void {
    if (this.status.isLoaded) this.status = { ...this.status, trouble: problem }
    this.#resolveKnown({ ok: false, problem })
    this.#resolveLoaded({ ok: false, problem })
  }

  /** The thread has ended. */
  #lost(failure: unknown): void {
    if (this.#isStopping) return
    const reason = failure instanceof Error ? failure.stack ?? failure.message : 'its thread ended'
    if (!this.status.isLoaded) return this.#refuse(`shard ${this.#shard}: ${reason}`)
    this.#options.log.error({ shard: this.#shard, reason },
      'the compactor of a journal ended; another one starts')
    this.#stopWaiting = lookEvery(START_AGAIN_MS, () => {
      this.#stopWaiting()
      const { ended, thread } = this.#begin(null)
      this.#thread = thread
      this.#ended = ended
    })
  }
}

/** All values, or the first problem. */
async function gather<T>(parts: readonly Promise<Awaited<T>>[]): Promise<Awaited<readonly T[]>> {
  const values: T[] = []
  const problems: string[] = []
  for (const part of await Promise.all(parts)) {
    if (part.ok) values.push(part.value)
    else problems.push(part.problem)
  }
  return problems.length === 0 ? { ok: true, value: values }
    : { ok: false, problem: problems.join('\n') }
}
