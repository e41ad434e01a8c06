// A shard's thread: the loop around its engine, and the only place in it that sleeps.
// Thread: shard. Memory: attaches to what the task names.
// Never: decides anything about jobs. It turns the engine when the bell rings, when something is
// due, and after responses; it sleeps on bell and timer together in between. And never outlives a
// failure: its successor attaches to the same memory as soon as this thread has ended.
// A pending wait on the bell does not keep a thread alive, so a slow poll does; it also bounds
// what a lost ring could cost.

import type { MessagePort } from 'node:worker_threads'
import { SystemClock, lookEvery } from './clock.ts'
import { unreachable } from './assert.ts'
import type { ShardControl, ShardReport, ShardTask } from './contract.ts'
import { Sleeper } from './doorbell.ts'
import { Engine } from './engine.ts'
import { type ShardViews, attachShard, attachShared } from './layout.ts'
import { POLL_EVERY_MS } from './limits.ts'
import { Prng } from './prng.ts'
import type { Micros } from './units.ts'
import { UndiciTransport } from './undici-transport.ts'

const EXIT_BROKEN = 1

/**
 * Runs one shard until it is told to stop; resolves with what it leaves behind. Never rejects: a
 * failed assertion or any other surprise is reported and ends the thread, sockets and all.
 */
export default async function runShard(task: ShardTask): Promise<{ queued: number }> {
  try {
    return await new ShardLoop(task).done
  } catch (error) {
    return endThread(task.port, error)
  }
}

/** At once: not even a callback that has begun may go on with memory that is no longer its own. */
function endThread(port: MessagePort, error: unknown): never {
  const text = error instanceof Error ? error.stack ?? error.message : String(error)
  const report: ShardReport = { kind: 'broken', error: text }
  port.postMessage(report)
  process.exit(EXIT_BROKEN) // in a worker, ends the thread alone
}

class ShardLoop {
  readonly done: Promise<{ queued: number }>
  readonly #clock: SystemClock
  readonly #engine: Engine
  readonly #sleeper: Sleeper
  readonly #transport: UndiciTransport
  readonly #port: MessagePort
  readonly #stopLooking: () => void
  #resolve: (left: { queued: number }) => void = () => {}
  #reject: (error: unknown) => void = () => {}
  #turnWanted = false
  #stopping = false
  #over = false

  constructor(task: ShardTask) {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#clock = new SystemClock(task.wallOffsetUs)
    this.#port = task.port
    this.#transport = new UndiciTransport({
      connectionsPerOriginMax: task.settings.connectionsPerOriginMax,
      responseBytesMax: task.settings.responseBytesMax,
      extraCaPem: task.settings.extraCaPem,
    })
    const shards = task.shardBuffers.map((buffer) => attachShard(buffer, task.limits))
    this.#sleeper = new Sleeper((shards[task.shard] as ShardViews).bell)
    this.#engine = new Engine({
      shard: task.shard, shared: attachShared(task.shared, task.limits), shards,
      settings: task.settings, clock: this.#clock, prng: new Prng(task.seed),
      transport: this.#transport, recover: task.recover, wantTurn: () => this.#wantTurn(),
      broken: (error) => endThread(this.#port, error),
    })
    this.#port.on('message', (message: ShardControl) => this.#control(message))
    this.#stopLooking = lookEvery(POLL_EVERY_MS, () => this.#wantTurn())
    this.#report({ kind: 'ready', recovered: this.#engine.recovered })
    this.#wantTurn()
  }

  /** One turn after what the event loop holds now, however often it is asked for. */
  #wantTurn(): void {
    if (this.#turnWanted || this.#over) return
    this.#turnWanted = true
    this.#sleeper.awake()
    setImmediate(() => this.#turn())
  }

  #turn(): void {
    if (this.#over) return
    this.#turnWanted = false
    try {
      const nextUs = this.#engine.turn()
      if (this.#stopping && this.#engine.isIdle) return this.#end()
      this.#sleepUntil(nextUs)
    } catch (error) {
      endThread(this.#port, error)
    }
  }

  #sleepUntil(nextUs: Micros): void {
    const wake = (): void => this.#wantTurn()
    if (nextUs <= this.#clock.nowUs()) return this.#wantTurn()
    this.#clock.wakeAt(nextUs, wake)
    if (!this.#sleeper.sleep(() => this.#engine.hasWork(), wake)) this.#wantTurn()
  }

  #control(message: ShardControl): void {
    switch (message.kind) {
      case 'stop':
        this.#stopping = true
        this.#engine.stop()
        return this.#wantTurn()
      case 'abort':
        return this.#end()
      default:
        unreachable(message)
    }
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    const queued = this.#engine.unfinished
    this.#quiet()
    this.#transport.close().then(() => {
      this.#report({ kind: 'stopped', queued })
      this.#port.close()
      this.#resolve({ queued })
    }, (error: unknown) => this.#reject(error))
  }

  #quiet(): void {
    this.#stopLooking()
    this.#clock.wakeAt(Infinity as Micros, () => {})
    this.#sleeper.awake()
  }

  #report(report: ShardReport): void {
    this.#port.postMessage(report)
  }
}
