// Starts the shard threads, monitors them, replaces and stops them. Control messages only: they
// start, stop and report; jobs travel through the rings, which this file does not know.
//
// Each shard is one task of a pool, which runs until the shard is stopped. The pool has one thread
// more than there are shards: a standby with its modules loaded. When a thread has ended for any
// reason, the shard's task is started again, on the same memory, once nothing of the old thread is
// left: two threads on one memory would corrupt it.
//
// A reload starts a pool of new threads. When all of them have loaded the code on disk and use the
// same memory layout, the shards are handed over one after another: the old thread reports that it
// has handed over, and only then is the new one told to begin. `#running` is the run that may touch
// the memory. It is updated in the same step, so that a thread's end is a loss to at most one run.

import { unreachable } from '../../shards/base/assert.ts'
import { type Clock, lookEvery } from '../../shards/base/clock.ts'
import { US_PER_MS, type Micros, msToUs } from '../../shards/base/units.ts'
import { readStats } from '../../shards/memory/stats.ts'
import type {
  JournalSettings, Recovered, ShardControl, ShardReport, ShardSettings, ShardTask,
} from '../../shards/wire/contract.ts'
import {
  RELAY_END_MS_MAX, RELOAD_LOAD_MS_MAX, SHARD_AWAITED_MS, SHARD_DEATHS_MAX, SHARD_DEATHS_WITHIN_MS,
  SHARD_LOOK_EVERY_MS, SHARD_SILENCE_MS_MAX, SHARD_START_MS_MAX,
} from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import type { ShardLoss } from '../base/process-end.ts'
import { whyNotTakeOver } from './build-check.ts'
import type { EngineMemory } from './memory.ts'
import type { ShardRestart } from './shard-link.ts'
import { ShardPool } from './shard-pool.ts'
import { type RunEnd, ShardRun } from './shard-run.ts'

/** The part of a shard's link that the supervisor changes. */
export interface ShardDoor {
  /** While true, the shard's users are answered 503. */
  down: boolean
  restarts: number
  lastRestart: ShardRestart | null
}

/** What a supervisor needs. */
export interface SupervisorOptions {
  readonly memory: EngineMemory
  /** Replaced by a reload. */
  readonly settings: ShardSettings
  /** A shard's journal settings; null, or omitted, for none. */
  readonly journal?: (shard: number) => JournalSettings | null
  /** One per shard; marked down until a shard is ready, and while it is gone for long. */
  readonly doors: readonly ShardDoor[]
  /** Base of the shards' random seeds; each run adds its number. */
  readonly seed: number
  /** The supervisor's own, since a clock has one wake-up. */
  readonly clock: Clock
  readonly log: Log
  /** Called once, when shards are not replaced any more and the process must end. */
  readonly onLost: (loss: ShardLoss) => void
  /** The file that each thread runs; replaced in tests. */
  readonly workerFile?: URL
  /** Limit of a thread's heap, in MiB; the runtime's own unless a test sets one. */
  readonly heapMibMax?: number
}

/** How the shards ended. */
export interface StopSummary {
  /** Jobs that were still queued in the shards that reported. */
  readonly queued: number
  /** Shards that had not ended at the end of the grace period. */
  readonly cutOff: readonly number[]
}

/** A completed reload. */
export interface ShardReload {
  /** Unix ms. */
  readonly atMs: number
  /** The longest pause of a shard. */
  readonly downMs: number
}

/** The result of a reload. */
export type ReloadResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: string }

/** How long an aborted shard may take to end before its thread is terminated. */
const ABORT_WAIT_MS = 2000
/** After the main thread itself was blocked, shards get this long to update their heartbeats. */
const STOOD_STILL_GRACE_MS = 2000
const WORKER_FILE = new URL('../../shards/shard/worker.ts', import.meta.url)
const STUCK = `no sign of life for ${SHARD_SILENCE_MS_MAX / 1000} s`
const ENDING = 'the server is ending'

/** How a run started: with what it recovered, or with its loss. */
interface RunStart {
  readonly loss?: ShardLoss
  readonly recovered?: Recovered | null
}

/** The result of one handover. */
interface ChangeOver {
  readonly downMs: number
  /** Why the reload is abandoned. */
  readonly failure: string | undefined
}

const NOT_DOWN: ChangeOver = { downMs: 0, failure: undefined }

/** A build of the shards' code, with the initial settings of its threads. */
interface Build {
  readonly pool: ShardPool
  readonly settings: ShardSettings
}

/** The shard threads of one engine. */
export class Supervisor {
  /** Completed reloads; refused ones do not count. */
  reloads = 0
  lastReload: ShardReload | null = null
  readonly #options: SupervisorOptions
  /** The build that new threads run. */
  #build: Build
  /** The previous build, while a reload may still fall back to it. */
  #fallback: Build | undefined
  readonly #pools = new Set<ShardPool>()
  /** Every run that has not ended. */
  readonly #alive = new Set<ShardRun>()
  /** By shard, the one run whose thread may touch its memory. */
  readonly #running = new Map<number, ShardRun>()
  /** When a shard's thread ended, or began to hand over; removed when its successor is ready. */
  readonly #lostAtUs = new Map<number, Micros>()
  readonly #losses = new WeakMap<ShardRun, ShardLoss>()
  readonly #stopLooking: () => void
  #deathsUs: Micros[] = []
  #lookedAtUs: Micros
  #graceUntilUs = 0
  #runs = 0
  /** The hold state that new threads start with. */
  #isHeld = false
  #stopping = false
  #stopUntilUs = 0 as Micros
  #reloading = false
  #queued = 0

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#build = { pool: this.#openPool(), settings: options.settings }
    this.#lookedAtUs = options.clock.nowUs()
    this.#stopLooking = lookEvery(SHARD_LOOK_EVERY_MS, () => this.#look())
  }

  /**
   * Starts every shard; resolves when all are ready, or with the first that was lost before.
   * @param loaded by shard, whether its memory was loaded from a journal; its users wait for it.
   */
  async start(loaded: readonly boolean[] = []): Promise<ShardLoss | undefined> {
    const starts = this.#options.doors.map((door, shard) => {
      door.down = loaded.length === 0
      return this.#run(shard, loaded[shard] === true)
    })
    for (const result of await Promise.all(starts)) {
      if (result.loss !== undefined) return result.loss
    }
    return undefined
  }

  /**
   * Tells every shard to finish what is in flight, waits up to `graceMs`, then aborts what is
   * left. Afterwards no thread runs.
   */
  async stop(graceMs: number): Promise<StopSummary> {
    this.#stopping = true
    this.#stopLooking()
    const awaited = new Set([...this.#alive].map((run) => run.successor))
    for (const run of this.#alive) {
      // It was to take over, but has been given nothing yet.
      if (this.#isIdle(run) && !awaited.has(run)) run.terminate(ENDING)
    }
    this.#stopUntilUs = (this.#options.clock.nowUs() + msToUs(graceMs)) as Micros
    this.#sendAll({ kind: 'stop', untilUs: this.#stopUntilUs })
    await this.#ended(graceMs, () => [...this.#running.values()])
    const cutOff = [...this.#running.keys()]
    this.#sendAll({ kind: 'abort' })
    // Old threads that still relay end when their successors have ended.
    await this.#ended(ABORT_WAIT_MS, () => [...this.#alive])
    await Promise.all([...this.#pools].map((pool) => pool.destroy()))
    return { queued: this.#queued, cutOff }
  }

  /** While on, nothing new is sent; requests in flight continue. */
  hold(isOn: boolean): void {
    this.#isHeld = isOn
    this.#sendAll({ kind: 'hold', isOn })
  }

  /**
   * Replaces the code of all shards by what is on disk now, one shard after another; jobs, requests
   * in flight and callers are not affected. If the new code is refused, the result has the reason,
   * and the old code keeps running. @param settings for the new threads; default: the present ones.
   */
  async reload(settings: ShardSettings = this.#build.settings): Promise<ReloadResult> {
    if (this.#stopping) return { ok: false, reason: ENDING }
    if (this.#reloading) return { ok: false, reason: 'a reload is under way already' }
    const { clock, log } = this.#options
    this.#reloading = true
    const { downMs, failure } = await this.#reload(settings)
    this.#fallback = undefined
    this.#reloading = false
    this.#retirePools()
    const reason = this.#stopping ? ENDING : failure
    if (reason !== undefined) {
      log.error({ reason }, 'new code was refused; the old code keeps running')
      return { ok: false, reason }
    }
    this.reloads++
    this.lastReload = { atMs: clock.wallMs(clock.nowUs()), downMs }
    log.info({ reloads: this.reloads, down_ms: downMs }, 'all shards run new code')
    return { ok: true }
  }

  // --- reloading ---

  async #reload(settings: ShardSettings): Promise<ChangeOver> {
    const next: Build = { pool: this.#openPool(), settings }
    const launch = (shard: number): ShardRun => this.#launch(shard, next, { takesOver: true })
    const runs = this.#options.doors.map((_, shard) => launch(shard))
    const standby = launch(0)
    const refusal = await whyNotTakeOver([...runs, standby], this.#options.memory.limits)
    if (refusal !== undefined) {
      this.#pools.delete(next.pool)
      await next.pool.destroy()
      return { downMs: 0, failure: refusal }
    }
    standby.tell({ kind: 'abort' })
    this.#fallback = this.#build
    this.#build = next
    let done: ChangeOver = NOT_DOWN
    for (const run of runs) {
      const { downMs, failure } = done.failure === undefined && !this.#stopping
        ? await this.#changeOver(run) : NOT_DOWN
      done = { downMs: Math.max(done.downMs, downMs), failure: done.failure ?? failure }
      if (this.#isIdle(run)) run.tell({ kind: 'abort' })
    }
    return done
  }

  /** Hands one shard over from its present thread to a new one. */
  async #changeOver(next: ShardRun): Promise<ChangeOver> {
    const { clock, log } = this.#options
    const { shard } = next
    const before = this.#running.get(shard)
    // A shard that has crashed meanwhile has been restarted with new code anyway.
    if (before === undefined || before.pool === next.pool) return NOT_DOWN
    await before.ready
    if (this.#running.get(shard) !== before || this.#stopping) return NOT_DOWN
    const fromUs = clock.nowUs()
    this.#lostAtUs.set(shard, fromUs)
    before.handOverTo(next)
    await before.handedOver
    if (this.#running.get(shard) !== next && next.end === undefined) return NOT_DOWN
    if (await next.ready === undefined) {
      return {
        downMs: 0, failure: `the new code could not take over shard ${shard}: ${next.end?.reason}`,
      }
    }
    const downMs = Math.round((clock.nowUs() - fromUs) / US_PER_MS)
    log.info({ shard, down_ms: downMs }, 'a shard runs new code')
    return { downMs, failure: undefined }
  }

  /** Transfers ownership of the shard's memory to the successor. */
  #startSuccessor(before: ShardRun): void {
    const { shard, successor: next } = before
    if (next === undefined || this.#running.get(shard) !== before) return
    this.#running.set(shard, next)
    next.sinceUs = this.#options.clock.nowUs()
    if (next.end !== undefined) return this.#over(next, next.end)
    next.tell({ kind: 'takeOver', isHeld: this.#isHeld })
    if (this.#stopping) next.tell({ kind: 'stop', untilUs: this.#stopUntilUs })
  }

  /** The thread owns and relays nothing: it waits for its baton, or has ended. */
  #isIdle(run: ShardRun): boolean {
    return this.#running.get(run.shard) !== run && run.successor === undefined
  }

  // --- running ---

  #openPool(): ShardPool {
    const { heapMibMax, log, memory, workerFile } = this.#options
    const pool = new ShardPool({
      file: workerFile ?? WORKER_FILE, shards: memory.limits.shards, heapMibMax,
      onIdleError: (error) => {
        // For a build that cannot be loaded, the reload is refused, and that is logged.
        if (pool === this.#build.pool) log.error({ err: error }, 'an idle shard thread failed')
      },
    })
    this.#pools.add(pool)
    return pool
  }

  /** Destroys pools that no run uses and that no new thread will come from. */
  #retirePools(): void {
    if (this.#stopping) return
    const used = new Set([...this.#alive].map((run) => run.pool))
    for (const pool of this.#pools) {
      const isSpare = pool !== this.#build.pool && pool !== this.#fallback?.pool
      if (!isSpare || used.has(pool)) continue
      this.#pools.delete(pool)
      void pool.destroy()
    }
  }

  #launch(
    shard: number, { pool, settings }: Build,
    how: { readonly recover?: boolean; readonly takesOver?: boolean },
  ): ShardRun {
    const { clock, journal, memory, seed } = this.#options
    const task: Omit<ShardTask, 'port' | 'handOver'> = {
      shard, settings, recover: how.recover ?? false, isHeld: this.#isHeld, limits: memory.limits,
      seed: seed + this.#runs++, shared: memory.shared.buffer, journal: journal?.(shard) ?? null,
      shardBuffers: memory.shards.map((views) => views.buffer),
    }
    const run = new ShardRun({
      pool, task, takesOver: how.takesOver ?? false, startedUs: clock.nowUs(),
      hear: (heard, report) => this.#onReport(heard, report),
      over: (ended, end) => this.#over(ended, end),
    })
    this.#alive.add(run)
    return run
  }

  /** Starts a shard's task; resolves when the shard is ready, or with its loss before that. */
  async #run(shard: number, recover: boolean): Promise<RunStart> {
    const run = this.#launch(shard, this.#build, { recover })
    this.#running.set(shard, run)
    const ready = await run.ready
    if (ready !== undefined) return ready
    const loss = this.#losses.get(run)
    return loss === undefined ? {} : { loss }
  }

  #onReport(run: ShardRun, report: ShardReport): void {
    const { shard } = run
    switch (report.kind) {
      case 'ready':
        if (this.#running.get(shard) !== run) return
        if (run.takesOver) this.#lostAtUs.delete(shard)
        return this.#setDown(shard, false)
      case 'handedOver':
        return this.#startSuccessor(run)
      case 'relayEnded':
        for (const other of this.#alive) {
          if (other.successor === run) other.relayEndedUs = this.#options.clock.nowUs()
        }
        return undefined
      case 'stopped':
        // The task's result has the same count; this logs it while others are still running.
        return this.#options.log.info({ shard, queued: report.queued }, 'shard stopped')
      case 'log':
        return this.#options.log[report.level]({ shard, ...report.fields }, report.message)
      case 'broken': case 'loaded':
        return undefined
      default:
        return unreachable(report)
    }
  }

  /** A run has ended, as requested or unexpectedly. */
  #over(run: ShardRun, { queued, reason, hasFailed }: RunEnd): void {
    const { shard } = run
    if (run.successor !== undefined && this.#running.get(shard) !== run && hasFailed) {
      this.#options.log.warn({ shard, reason }, 'an old shard thread ended while it relayed')
    }
    this.#alive.delete(run)
    for (const other of this.#alive) {
      if (other.successor === run) other.relayEndedUs = this.#options.clock.nowUs()
    }
    if (!this.#reloading) this.#retirePools()
    if (this.#running.get(shard) !== run) return
    this.#running.delete(shard)
    this.#queued += queued
    if (this.#stopping) return this.#setDown(shard, true)
    if (run.takesOver && !run.isReady && this.#fallback !== undefined) {
      this.#build = this.#fallback
    }
    const mayReplace = run.isReady || run.takesOver || run.recovers
    this.#losses.set(run, this.#lost(shard, reason, mayReplace))
  }

  /** A thread has ended unexpectedly. Starts another, unless that happens too often. */
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
    await Promise.all([...this.#pools].map((pool) => pool.leftoversEnded()))
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

  /** Terminates stuck threads, and marks shards down that have had no thread for too long. */
  #look(): void {
    const nowUs = this.#options.clock.nowUs()
    const stoodStill = nowUs - this.#lookedAtUs > msToUs(4 * SHARD_LOOK_EVERY_MS)
    this.#lookedAtUs = nowUs
    if (stoodStill) this.#graceUntilUs = nowUs + msToUs(STOOD_STILL_GRACE_MS)
    for (const [shard, atUs] of this.#lostAtUs) {
      if (nowUs - atUs > msToUs(SHARD_AWAITED_MS)) this.#setDown(shard, true)
    }
    if (nowUs < this.#graceUntilUs) return
    for (const run of this.#alive) {
      const reason = this.#whyStuck(run, nowUs)
      if (reason !== undefined) run.terminate(reason)
    }
  }

  #whyStuck(run: ShardRun, nowUs: Micros): string | undefined {
    const isOver = (sinceUs: number, ms: number): boolean => nowUs - sinceUs > msToUs(ms)
    if (this.#running.get(run.shard) === run) return this.#isStuck(run, nowUs) ? STUCK : undefined
    if (run.successor !== undefined) {
      return isOver(run.relayEndedUs, RELAY_END_MS_MAX) ? 'it relayed nothing and went on'
        : undefined
    }
    const isLate = !run.isLoaded && isOver(run.sinceUs, RELOAD_LOAD_MS_MAX)
    return isLate ? `not loaded after ${RELOAD_LOAD_MS_MAX / 1000} s` : undefined
  }

  #isStuck(run: ShardRun, nowUs: Micros): boolean {
    if (!run.isReady && !run.takesOver) return nowUs - run.sinceUs > msToUs(SHARD_START_MS_MAX)
    const views = this.#options.memory.shards[run.shard]
    const heartbeatUs = views === undefined ? 0 : readStats(views.stats).heartbeatUs
    return nowUs - Math.max(heartbeatUs, run.sinceUs) > msToUs(SHARD_SILENCE_MS_MAX)
  }

  // --- helpers ---

  #setDown(shard: number, down: boolean): void {
    const door = this.#options.doors[shard]
    if (door !== undefined) door.down = down
  }

  #sendAll(control: ShardControl): void {
    for (const run of this.#running.values()) run.tell(control)
  }

  /** Waits until all of these runs have ended, at most for `waitMs`. */
  async #ended(waitMs: number, left: () => readonly ShardRun[]): Promise<void> {
    const { clock } = this.#options
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const lateUs = (clock.nowUs() + msToUs(waitMs)) as Micros
    clock.wakeAt(lateUs, resolve)
    while (left().length > 0 && clock.nowUs() < lateUs) {
      await Promise.race([Promise.all(left().map((run) => run.ended)), late])
    }
    clock.wakeAt(Infinity as Micros, resolve)
  }
}
