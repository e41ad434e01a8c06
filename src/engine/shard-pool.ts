// The threads of one build of the shards' code: one per shard, and a standby with its modules
// loaded. A pool's threads load what was on disk when they started, so new code needs a new pool.

import type { MessagePort, Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import type { ShardTask } from '../../shards/wire/contract.ts'

/** The bootstrap of each thread; it imports the file that the thread runs. */
const THREAD_FILE = new URL('../../shards/shard/thread.cts', import.meta.url)

/** What a pool is made with. */
export interface ShardPoolOptions {
  /** The file that each thread runs. */
  readonly file: URL
  readonly shards: number
  /** Limit of a thread's heap, in MiB; the runtime's own if omitted. */
  readonly heapMibMax: number | undefined
  /** A thread without a task has failed; a task's failure rejects its promise instead. */
  readonly onIdleError: (error: unknown) => void
}

/** A pool of shard threads. */
export class ShardPool {
  readonly #pool: Piscina<ShardTask, { queued: number }>
  /** Every running thread, with a promise that resolves when it ends. */
  readonly #threads = new Map<Worker, Promise<void>>()

  constructor({ file, shards, heapMibMax, onIdleError }: ShardPoolOptions) {
    this.#pool = new Piscina({
      filename: THREAD_FILE.href,
      workerData: { file: file.href },
      minThreads: shards + 1,
      maxThreads: shards + 1,
      concurrentTasksPerWorker: 1,
      // For tasks that wait for the replacement of a crashed thread.
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

  /** Runs a shard's task until it ends; rejects when its thread ends, or when it is aborted. */
  run(
    task: ShardTask, transfer: MessagePort[], signal: AbortSignal,
  ): Promise<{ queued: number }> {
    return this.#pool.run(task, { transferList: transfer, signal })
  }

  /** Waits until the threads that the pool has dropped have ended. */
  async leftoversEnded(): Promise<void> {
    const kept = new Set(this.#pool.threads)
    await Promise.all([...this.#threads].filter(([thread]) => !kept.has(thread))
      .map(([, ended]) => ended))
  }

  /** Terminates all threads; resolves when all have ended. */
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
