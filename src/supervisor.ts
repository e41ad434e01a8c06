// Starts the shard threads, watches them, replaces and stops them. Control only: messages start,
// stop and report; jobs cross through rings that this file knows nothing of.
//
// Each shard is one task of a Piscina pool, which runs until the shard is told to stop. One thread
// more than there are shards stands by, its modules loaded. When a thread has ended, whatever
// ended it, the shard's task runs again, on the same memory, as soon as nothing of the old thread
// is left: two threads on one memory would be the end of it.

import { MessageChannel, type MessagePort, type Worker, receiveMessageOnPort }
  from 'node:worker_threads'
import { Piscina } from 'piscina'
import { unreachable } from '../shards/assert.ts'
import { type Clock, lookEvery } from '../shards/clock.ts'
import type {
  Recovered, ShardControl, ShardReport, ShardSettings, ShardTask,
} from '../shards/contract.ts'
import {
  SHARD_AWAITED_MS, SHARD_DEATHS_MAX, SHARD_DEATHS_WITHIN_MS, SHARD_LOOK_EVERY_MS,
  SHARD_SILENCE_MS_MAX, SHARD_START_MS_MAX,
} from '../shards/limits.ts'
import { readStats } from '../shards/stats.ts'
import { US_PER_MS, type Micros, msToUs } from '../shards/units.ts'
import type { Log } from './log.ts'
import type { EngineMemory } from './memory.ts'
import type { ShardRestart } from './shard-link.ts'

/** The front door's view of a shard, as far as the supervisor changes it. */
export interface ShardDoor {
  /** While true, the shard's users are answered 503. */
  down: boolean
  restarts: number
  lastRestart: ShardRestart | null
}

/** What a supervisor needs. */
export interface SupervisorOptions {
  readonly memory: EngineMemory
  readonly settings: ShardSettings
  /** One for each shard; marked down before a shard is ready and while it is lost for long. */
  readonly doors: readonly ShardDoor[]
  readonly wallOffsetUs: Micros
  /** Where the shards' randomness starts; each run of each shard adds its number. */
  readonly seed: number
  /** A clock of its own, because a clock holds one timer. */
  readonly clock: Clock
  readonly log: Log
  /** Called once, when shards are not replaced any more: the process cannot go on. */
  readonly onLost: (loss: ShardLoss) => void
  /** The file that each thread runs; the engine's own unless a test says otherwise. */
  readonly workerFile?: URL
  /** What a thread's heap may grow to, in MiB; the runtime's limit unless a test says otherwise. */
  readonly heapMibMax?: number
}

/** A shard's thread that ended without having been told to. */
export interface ShardLoss {
  readonly shard: number
  readonly reason: string
  /** Threads that ended within SHARD_DEATHS_WITHIN_MS, this one included. */
  readonly deaths: number
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
/** After the main thread itself stood still, shards get so long to show that they live. */
const STOOD_STILL_GRACE_MS = 2000
const WORKER_FILE = new URL('../shards/worker.ts', import.meta.url)
const QUIET = '--disable-warning=ExperimentalWarning'

/** One shard's task while it runs. */
interface RunningShard {
  readonly port: MessagePort
  /** Ends its thread, wherever that is. */
  readonly terminate: AbortController
  readonly sinceUs: Micros
  isReady: boolean
  /** Settles, never rejects, when the task is over. */
  readonly ended: Promise<void>
}

/** How a run began: with what it took over, or not at all. */
interface RunStart {
  readonly loss?: ShardLoss
  readonly recovered?: Recovered | null
}

/** The shard threads of one engine. */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #pool: Piscina<ShardTask, { queued: number }>
  readonly #running = new Map<number, RunningShard>()
  /** When a shard's thread ended that has no successor yet. */
  readonly #lostAtUs = new Map<number, Micros>()
  /** Every thread that has not ended, with its end. */
  readonly #threads = new Map<Worker, Promise<void>>()
  readonly #stopLooking: () => void
  #deathsUs: Micros[] = []
  #lookedAtUs: Micros
  #graceUntilUs = 0
  #runs = 0
  #stopping = false
  #queued = 0

  constructor(options: SupervisorOptions) {
    this.#options = options
    const shards = options.memory.limits.shards
    this.#pool = new Piscina({
      filename: (options.workerFile ?? WORKER_FILE).href,
      minThreads: shards + 1,
      maxThreads: shards + 1,
      concurrentTasksPerWorker: 1,
      // A task that must wait for the replacement of a dead thread.
      maxQueue: shards,
      idleTimeout: Infinity,
      // Between tasks a thread waits for messages, not in Atomics.wait, which would stop its loop.
      atomics: 'disabled',
      execArgv: process.execArgv.includes(QUIET) ? process.execArgv : [...process.execArgv, QUIET],
      ...(options.heapMibMax !== undefined &&
        { resourceLimits: { maxOldGenerationSizeMb: options.heapMibMax } }),
    })
    // Only threads that run no task end up here: a task's failure rejects its promise.
    this.#pool.on('error', (error: unknown) => {
      options.log.error({ err: error }, 'an idle shard thread failed')
    })
    this.#pool.on('workerCreate', () => this.#watchThreads())
    this.#watchThreads()
    this.#lookedAtUs = options.clock.nowUs()
    this.#stopLooking = lookEvery(SHARD_LOOK_EVERY_MS, () => this.#look())
  }

  /** Starts every shard; resolves when all are ready, or with the first that was lost before. */
  async start(): Promise<ShardLoss | undefined> {
    const starts = this.#options.doors.map((door, shard) => {
      door.down = true
      return this.#run(shard, false)
    })
    for (const result of await Promise.all(starts)) {
      if (result.loss !== undefined) return result.loss
    }
    return undefined
  }

  /**
   * Tells every shard to finish what is in flight and waits up to `graceMs`; then cuts off what is
   * left. Afterwards no thread runs.
   */
  async stop(graceMs: number): Promise<StopSummary> {
    this.#stopping = true
    this.#stopLooking()
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

  /** Runs a shard's task; resolves when the shard is ready, or with its loss before that. */
  #run(shard: number, recover: boolean): Promise<RunStart> {
    const { promise, resolve } = Promise.withResolvers<RunStart>()
    const { port1: port, port2: workerPort } = new MessageChannel()
    const terminate = new AbortController()
    let broken: string | undefined
    const hear = (report: ShardReport): void => {
      if (report.kind === 'broken') broken = report.error
      else if (report.kind !== 'ready') return this.#log(shard, report)
      else if (this.#running.get(shard) === run) {
        run.isReady = true
        this.#setDown(shard, false)
        resolve({ recovered: report.recovered })
      }
    }
    port.on('message', hear)
    const task = this.#task(shard, workerPort, recover)
    const ended = this.#pool.run(task, { transferList: [workerPort], signal: terminate.signal })
      .then(({ queued }) => {
        this.#queued += queued
        return 'its task ended early'
      }, (cause: unknown) => reasonOf(cause, terminate.signal))
      .then((reason) => {
        // What the thread has said of its own end comes through another port, perhaps later.
        for (let left = receiveMessageOnPort(port); left !== undefined;
          left = receiveMessageOnPort(port)) hear(left.message as ShardReport)
        port.close()
        this.#running.delete(shard)
        if (this.#stopping) {
          this.#setDown(shard, true)
          return resolve({})
        }
        resolve({ loss: this.#lost(shard, broken ?? reason, run.isReady || recover) })
      })
    const run: RunningShard = {
      port, terminate, ended, sinceUs: this.#options.clock.nowUs(), isReady: false,
    }
    this.#running.set(shard, run)
    return promise
  }

  /** A thread is gone. Unless that happens too often, another takes over. */
  #lost(shard: number, reason: string, mayReplace: boolean): ShardLoss {
    const { clock, log, onLost } = this.#options
    const nowUs = clock.nowUs()
    this.#deathsUs = this.#deathsUs.filter(
      (atUs) => nowUs - atUs < msToUs(SHARD_DEATHS_WITHIN_MS))
    this.#deathsUs.push(nowUs)
    const loss: ShardLoss = { shard, reason, deaths: this.#deathsUs.length }
    if (!this.#lostAtUs.has(shard)) this.#lostAtUs.set(shard, nowUs)
    if (mayReplace && loss.deaths <= SHARD_DEATHS_MAX) {
      log.error({ shard, reason }, 'a shard thread ended; another takes over its jobs')
      void this.#replace(shard, reason)
      return loss
    }
    this.#stopping = true
    this.#stopLooking()
    this.#setDown(shard, true)
    onLost(loss)
    return loss
  }

  async #replace(shard: number, reason: string): Promise<void> {
    await this.#leftoversEnded()
    if (this.#stopping) return
    const { recovered } = await this.#run(shard, true)
    if (recovered === undefined || recovered === null) return
    const { clock, doors, log } = this.#options
    const nowUs = clock.nowUs()
    const downMs = Math.round((nowUs - (this.#lostAtUs.get(shard) ?? nowUs)) / US_PER_MS)
    this.#lostAtUs.delete(shard)
    const door = doors[shard]
    if (door !== undefined) {
      door.restarts++
      door.lastRestart = { atMs: clock.wallMs(nowUs), reason, downMs }
    }
    log.warn({
      shard, down_ms: downMs, recovery_ms: Math.round(recovered.ms), jobs: recovered.jobs,
      sent_again: recovered.inFlight, webhooks: recovered.webhooks, finished: recovered.finished,
      ...(recovered.setAside !== null && { set_aside: recovered.setAside }),
    }, 'a shard thread has taken over')
  }

  // --- watching ---

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

  /** Waits until no thread runs any more that the pool has given up. */
  async #leftoversEnded(): Promise<void> {
    const kept = new Set(this.#pool.threads)
    await Promise.all([...this.#threads].filter(([thread]) => !kept.has(thread))
      .map(([, ended]) => ended))
  }

  /** Ends threads that are stuck, and lets no client wait for long for one that is gone. */
  #look(): void {
    const nowUs = this.#options.clock.nowUs()
    const stoodStill = nowUs - this.#lookedAtUs > msToUs(4 * SHARD_LOOK_EVERY_MS)
    this.#lookedAtUs = nowUs
    if (stoodStill) this.#graceUntilUs = nowUs + msToUs(STOOD_STILL_GRACE_MS)
    for (const [shard, atUs] of this.#lostAtUs) {
      if (nowUs - atUs > msToUs(SHARD_AWAITED_MS)) this.#setDown(shard, true)
    }
    if (nowUs < this.#graceUntilUs) return
    for (const [shard, run] of this.#running) {
      if (this.#isStuck(shard, run, nowUs)) run.terminate.abort()
    }
  }

  #isStuck(shard: number, run: RunningShard, nowUs: Micros): boolean {
    if (!run.isReady) return nowUs - run.sinceUs > msToUs(SHARD_START_MS_MAX)
    const views = this.#options.memory.shards[shard]
    const heartbeatUs = views === undefined ? 0 : readStats(views.stats).heartbeatUs
    return nowUs - Math.max(heartbeatUs, run.sinceUs) > msToUs(SHARD_SILENCE_MS_MAX)
  }

  // --- small things ---

  #task(shard: number, port: MessagePort, recover: boolean): ShardTask {
    const { memory, settings, wallOffsetUs, seed } = this.#options
    return {
      shard, settings, wallOffsetUs, port, recover, limits: memory.limits,
      seed: seed + this.#runs++, shared: memory.shared.buffer,
      shardBuffers: memory.shards.map((views) => views.buffer),
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

  #log(shard: number, report: Exclude<ShardReport, { kind: 'ready' | 'broken' }>): void {
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

/** Why a task ended without a result, in a line for the log. */
function reasonOf(cause: unknown, terminated: AbortSignal): string {
  if (terminated.aborted) return `no sign of life for ${SHARD_SILENCE_MS_MAX / 1000} s`
  return cause instanceof Error ? cause.stack ?? cause.message : String(cause)
}
