// The threads of one build of the shards' code: as many as there are shards, and one that stands by
// with its modules loaded. A pool's threads load what was on disk when they began, so new code
// means a new pool.

import type { MessagePort, Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import type { ShardTask } from '../../shards/wire/contract.ts'

/** What threads load first; it imports the file that they run. */
const THREAD_FILE = new URL('../../shards/shard/thread.cts', import.meta.url)

/** What a pool is made with. */
export interface ShardPoolOptions {
  /** The file that each thread runs. */
  readonly file: URL
  readonly shards: number
  /** What a thread's heap may grow to, in MiB; the runtime's limit when it is left out. */
  readonly heapMibMax: number | undefined
  /** A thread that runs no task has failed; a task's failure rejects its promise instead. */
  readonly onIdleError: (error: unknown) => void
}

/** A pool of shard threads. */
export class ShardPool {
  readonly #pool: Piscina<ShardTask, { queued: number }>
  /** Every thread that has not ended, with its end. */
  readonly #threads = new Map<Worker, Promise<void>>()

  constructor({ file, shards, heapMibMax, onIdleError }: ShardPoolOptions) {
    this.#pool = new Piscina({
      filename: THREAD_FILE.href,
      workerData: { file: file.href },
      minThreads: shards + 1,
      maxThreads: shards + 1,
      concurrentTasksPerWorker: 1,
      // A task that must wait for the replacement of a dead thread.
      maxQueue: shards + 1,
      idleTimeout: Infinity,
      // Between tasks a thread waits for messages, not in Atomics.wait, which would stop its loop.
      atomics: 'disabled',
      ...(heapMibMax !== undefined &&
        { resourceLimits: { maxOldGenerationSizeMb: heapMibMax } }),
    })
    this.#pool.on('error', onIdleError)
    this.#pool.on('workerCreate', () => this.#watchThreads())
    this.#watchThreads()
  }

  /** Runs a shard's task until it ends; rejects when its thread does, or when it is aborted. */
  run(
    task: ShardTask, transfer: MessagePort[], signal: AbortSignal,
  ): Promise<{ queued: number }> {
    return this.#pool.run(task, { transferList: transfer, signal })
  }

  /** Waits until no thread runs any more that the pool has given up. */
  async leftoversEnded(): Promise<void> {
    const kept = new Set(this.#pool.threads)
    await Promise.all([...this.#threads].filter(([thread]) => !kept.has(thread))
      .map(([, ended]) => ended))
  }

  /** Ends all threads, whatever they do; resolves when none is left. */
  async destroy(): Promise<void> {
    await this.#pool.destroy()
    await Promise.all(this.#threads.values())
  }

  #watchThreads(): void {
    for (const thread of this.#pool.threads) {
      if (this.#threads.has(thread)) continue
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#threads.set(thread, promise)
      thread.once('exit', () => {
        this.#threads.delete(thread)
        resolve()
      })
    }
  }
}
