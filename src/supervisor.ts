// Starts the shard threads, watches them and stops them. Control only: messages start, stop and
// report; jobs cross through rings that this file knows nothing of.
//
// Each shard is one task of a Piscina pool, which runs until the shard is told to stop. The pool
// replaces a thread that died by itself; what runs on it is decided here, in `runShard`.

import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { unreachable } from '../shards/assert.ts'
import type { Clock } from '../shards/clock.ts'
import type { ShardControl, ShardReport, ShardSettings, ShardTask } from '../shards/contract.ts'
import type { Micros } from '../shards/units.ts'
import { msToUs } from '../shards/units.ts'
import type { Log } from './log.ts'
import type { EngineMemory } from './memory.ts'

/** The front door's view of a shard, as far as the supervisor changes it. */
export interface ShardDoor {
  /** While true, the shard's users are answered 503. */
  down: boolean
}

/** What a supervisor needs. */
export interface SupervisorOptions {
  readonly memory: EngineMemory
  readonly settings: ShardSettings
  /** One for each shard; marked down before a shard is ready and after it is lost. */
  readonly doors: readonly ShardDoor[]
  readonly wallOffsetUs: Micros
  /** Where the shards' randomness starts; each shard adds its number. */
  readonly seed: number
  /** A clock of its own, because a clock holds one timer. */
  readonly clock: Clock
  readonly log: Log
  /** Called once for each shard that ended without having been told to. */
  readonly onLost: (loss: ShardLoss) => void
  /** The file that each thread runs; the engine's own unless a test says otherwise. */
  readonly workerFile?: URL
}

/** A shard's thread that ended, or a task that gave up, without having been told to. */
export interface ShardLoss {
  readonly shard: number
  readonly cause: unknown
}

/** How the shards ended. */
export interface StopSummary {
  /** Jobs that were still queued in the shards that reported. */
  readonly queued: number
  /** Shards whose requests in flight were cut off when the grace period had passed. */
  readonly cutOff: readonly number[]
}

/** How long an aborted shard may take to end before its thread is terminated. */
const ABORT_WAIT_MS = 2000
const WORKER_FILE = new URL('../shards/worker.ts', import.meta.url)
const QUIET = '--disable-warning=ExperimentalWarning'

/** One shard's task while it runs. */
interface RunningShard {
  readonly port: MessagePort
  /** Settles, never rejects, when the task is over. */
  readonly ended: Promise<void>
}

/** The shard threads of one engine. */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #pool: Piscina<ShardTask, { queued: number }>
  readonly #running = new Map<number, RunningShard>()
  #stopping = false
  #queued = 0

  constructor(options: SupervisorOptions) {
    this.#options = options
    const shards = options.memory.limits.shards
    this.#pool = new Piscina({
      filename: (options.workerFile ?? WORKER_FILE).href,
      minThreads: shards,
      maxThreads: shards,
      concurrentTasksPerWorker: 1,
      // A task that must wait for the replacement of a dead thread.
      maxQueue: shards,
      idleTimeout: Infinity,
      // Between tasks a thread waits for messages, not in Atomics.wait, which would stop its loop.
      atomics: 'disabled',
      execArgv: process.execArgv.includes(QUIET) ? process.execArgv : [...process.execArgv, QUIET],
    })
    // Only threads that run no task end up here: a task's failure rejects its promise.
    this.#pool.on('error', (error: unknown) => {
      options.log.error({ err: error }, 'an idle shard thread failed')
    })
  }

  /** Starts every shard; resolves when all are ready, or with the first that was lost before. */
  async start(): Promise<ShardLoss | undefined> {
    const starts = this.#options.doors.map((_, shard) => this.runShard(shard))
    for (const result of await Promise.all(starts)) {
      if (result !== undefined) return result
    }
    return undefined
  }

  /**
   * Runs one shard on its memory, which may have been used by an earlier run: the shard finds what
   * it holds. Resolves when the shard is ready, or with its loss; goes on watching it after that.
   */
  runShard(shard: number): Promise<ShardLoss | undefined> {
    const { promise, resolve } = Promise.withResolvers<ShardLoss | undefined>()
    const { port1: port, port2: workerPort } = new MessageChannel()
    this.#setDown(shard, true)
    // What was reported on one port may arrive after the task's end, which comes through another.
    let over = false
    port.on('message', (report: ShardReport) => {
      if (report.kind !== 'ready') return this.#log(shard, report)
      if (!over) this.#setDown(shard, false)
      resolve(undefined)
    })
    const ended = this.#pool.run(this.#task(shard, workerPort), { transferList: [workerPort] })
      .then(({ queued }) => {
        this.#queued += queued
        return this.#stopping ? undefined : 'its task ended early'
      }, (cause: unknown) => (this.#stopping ? undefined : cause))
      .then((cause) => {
        over = true
        this.#running.delete(shard)
        this.#setDown(shard, true)
        port.close()
        if (cause === undefined) return resolve(undefined)
        const loss: ShardLoss = { shard, cause }
        resolve(loss)
        this.#options.onLost(loss)
      })
    this.#running.set(shard, { port, ended })
    return promise
  }

  /**
   * Tells every shard to finish what is in flight and waits up to `graceMs`; then cuts off what is
   * left. Afterwards no thread runs.
   */
  async stop(graceMs: number): Promise<StopSummary> {
    this.#stopping = true
    this.#tellAll({ kind: 'stop' })
    await this.#allEnded(graceMs)
    const cutOff = [...this.#running.keys()]
    if (cutOff.length > 0) {
      this.#tellAll({ kind: 'abort' })
      await this.#allEnded(ABORT_WAIT_MS)
    }
    await this.#pool.destroy()
    return { queued: this.#queued, cutOff }
  }

  #task(shard: number, port: MessagePort): ShardTask {
    const { memory, settings, wallOffsetUs, seed } = this.#options
    return {
      shard, settings, wallOffsetUs, port, limits: memory.limits, seed: seed + shard,
      shared: memory.shared.buffer, shardBuffers: memory.shards.map((views) => views.buffer),
    }
  }

  #setDown(shard: number, down: boolean): void {
    const door = this.#options.doors[shard]
    if (door !== undefined) door.down = down
  }

  #tellAll(control: ShardControl): void {
    for (const { port } of this.#running.values()) port.postMessage(control)
  }

  /** Waits until no task runs, or for `waitMs`. */
  async #allEnded(waitMs: number): Promise<void> {
    const { clock } = this.#options
    const { promise: late, resolve } = Promise.withResolvers<void>()
    clock.wakeAt((clock.nowUs() + msToUs(waitMs)) as Micros, resolve)
    await Promise.race([Promise.all([...this.#running.values()].map((run) => run.ended)), late])
    clock.wakeAt(Infinity as Micros, resolve)
  }

  #log(shard: number, report: Exclude<ShardReport, { kind: 'ready' }>): void {
    switch (report.kind) {
      case 'stopped':
        // The task's result says the same; this only shows it while others are still at work.
        return this.#options.log.info({ shard, queued: report.queued }, 'shard stopped')
      case 'log':
        return this.#options.log[report.level]({ shard, ...report.fields }, report.message)
      default:
        return unreachable(report)
    }
  }
}
