// A shard's thread: the loop around its engine, and the only place in it that sleeps.
// Thread: shard. Memory: attaches to the task's buffers.
// Never: decides anything about jobs, or survives a failure: its successor attaches to the same
// memory as soon as this thread has ended.
// The engine's turn runs when the bell rings, when work is due, and after responses. In between the
// thread sleeps on bell and timer together, or blocks briefly on the bell if nothing else can
// arrive (SHARD_NAP_MS).
// After handing its shard over, a thread makes no further turn: it keeps its sockets until their
// requests have ended, and relays their events (relayed-transport.ts).
// A pending wait on the bell does not keep a thread alive, so a slow poll does; it also limits the
// cost of a lost wake-up.

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { assert, unreachable } from '../base/assert.ts'
import { SystemClock, lookEvery } from '../base/clock.ts'
import { Prng } from '../base/prng.ts'
import { type Micros, type Millis, msToUs } from '../base/units.ts'
import { type Names, namesOf } from '../dns/names.ts'
import { TailFile } from '../journal/tail-file.ts'
import { Sleeper } from '../memory/doorbell.ts'
import { type SharedViews, type ShardViews, attachShard, attachShared } from '../memory/layout.ts'
import {
  CONNECT_TIMEOUT_MS_DEFAULT, POLL_EVERY_MS, SHARD_NAP_MS, SHARD_NAPS_MAX,
} from '../memory/limits.ts'
import { CONNECTIONS_PER_SHARD_MAX } from '../memory/socket-limits.ts'
import { RelayedTransport } from '../transport/relayed-transport.ts'
import { UndiciTransport } from '../transport/undici-transport.ts'
import type { ShardControl, ShardReport, ShardTask } from '../wire/contract.ts'
import type { EngineBaton } from './baton.ts'
import { buildMark } from './build-mark.ts'
import { Engine } from './engine.ts'

const EXIT_BROKEN = 1
const NAP_US = msToUs(SHARD_NAP_MS)

/**
 * Runs one shard until it is stopped; resolves with the number of unfinished jobs. Never rejects: a
 * failed assertion or any other error is reported and ends the thread, including its sockets.
 */
export default async function runShard(task: ShardTask): Promise<{ queued: number }> {
  try {
    return await new ShardLoop(task).done
  } catch (error) {
    return endThread(task.port, error)
  }
}

/** Ends the thread immediately: no callback may continue on memory that it no longer owns. */
function endThread(port: MessagePort, error: unknown): never {
  const text = error instanceof Error ? error.stack ?? error.message : String(error)
  const report: ShardReport = { kind: 'broken', error: text }
  port.postMessage(report)
  process.exit(EXIT_BROKEN) // in a worker, ends the thread alone
}

/** The memory to which a thread attaches. */
interface Memory {
  readonly shared: SharedViews
  readonly shards: readonly ShardViews[]
}

/** What a thread has once it owns the memory. */
interface Life {
  readonly engine: Engine
  readonly sleeper: Sleeper
  readonly tail: TailFile | null
  readonly stopLooking: () => void
}

/** The first message through the port between two threads. */
interface BatonMessage {
  readonly baton: EngineBaton
}

class ShardLoop {
  readonly done: Promise<{ queued: number }>
  readonly #task: ShardTask
  readonly #clock: SystemClock
  readonly #names: Names
  readonly #transport: RelayedTransport
  readonly #port: MessagePort
  #life: Life | undefined
  #memory: Memory | undefined
  #resolve: (left: { queued: number }) => void = () => {}
  #reject: (error: unknown) => void = () => {}
  #turnWanted = false
  #stopping = false
  /** No more turns: the shard is handed over, or ends. */
  #over = false
  #ended = false
  /** Set once the journal is handed over: resolves when this thread's tail is closed. */
  #tailClosed: Promise<void> | undefined

  constructor(task: ShardTask) {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#task = task
    this.#clock = new SystemClock()
    this.#port = task.port
    this.#names = namesOf(task.settings, () => new SystemClock())
    this.#transport = new RelayedTransport(new UndiciTransport({
      clock: this.#clock,
      connectionsMax: CONNECTIONS_PER_SHARD_MAX,
      connectionsPerOriginMax: task.settings.connectionsPerOriginMax,
      connectTimeoutMs: task.settings.connectTimeoutMs ?? CONNECT_TIMEOUT_MS_DEFAULT,
      responseBytesMax: task.settings.responseBytesMax,
      extraCaPem: task.settings.extraCaPem,
      names: this.#names,
      ...(task.settings.egress === undefined ? {} : { egress: task.settings.egress }),
      onUnknownUndici: (reason) => {
        if (task.shard === 0) this.#report(unknownUndiciReport(reason)) // one warning for all
      },
    }))
    this.#port.on('message', (message: ShardControl) => {
      try {
        this.#control(message)
      } catch (error) {
        endThread(this.#port, error)
      }
    })
    if (task.handOver === undefined) this.#begin(undefined, task.isHeld)
    else this.#prepare(task)
  }

  /** Everything that can be done, or fail, before this thread owns the memory. */
  #prepare(task: ShardTask): void {
    const mark = buildMark(task.limits)
    const fits = task.shardBuffers[task.shard]?.byteLength === mark.shardBytes &&
      task.shared.byteLength === mark.sharedBytes
    if (fits) this.#memory = attach(task)
    this.#report({ kind: 'loaded', mark })
  }

  #begin(baton: EngineBaton | undefined, isHeld: boolean): void {
    const task = this.#task
    const { shared, shards } = this.#memory ?? attach(task)
    const views = shards[task.shard] as ShardViews
    const tail = this.#openTail(views.journal)
    const sleeper = new Sleeper(views.bell)
    const engine = new Engine({
      shard: task.shard, shared, shards, settings: task.settings, clock: this.#clock,
      prng: new Prng(task.seed), transport: this.#transport, recover: task.recover, baton,
      wantTurn: () => this.#wantTurn(), broken: (error) => endThread(this.#port, error),
      journal: tail,
    })
    engine.hold(isHeld)
    const stopLooking = lookEvery(POLL_EVERY_MS, () => this.#wantTurn())
    this.#life = { engine, sleeper, tail, stopLooking }
    this.#report({ kind: 'ready', recovered: engine.recovered })
    this.#wantTurn()
  }

  /** Numbered after the predecessor's files, so called only once that has stopped. */
  #openTail(words: Float64Array): TailFile | null {
    const { journal } = this.#task
    if (journal === null) return null
    const { directory, intervalMs, mode } = journal
    return new TailFile({
      directory, intervalMs: intervalMs as Millis, always: mode === 'always', clock: this.#clock,
      words, onTrouble: (error) => this.#report(troubleReport(error)),
    })
  }

  /** Requests one turn after the current event-loop phase, however often it is called. */
  #wantTurn(): void {
    if (this.#turnWanted || this.#over) return
    this.#turnWanted = true
    this.#life?.sleeper.awake()
    setImmediate(() => this.#turn())
  }

  #turn(): void {
    if (this.#over || this.#life === undefined) return
    this.#turnWanted = false
    const { engine } = this.#life
    try {
      let nextUs = engine.turn()
      for (let naps = 0; naps < SHARD_NAPS_MAX && this.#nap(nextUs, this.#life); naps++) {
        nextUs = engine.turn()
      }
      if (this.#stopping && engine.isIdle) return this.#end()
      this.#sleepUntil(nextUs, this.#life)
    } catch (error) {
      endThread(this.#port, error)
    }
  }

  /** Naps, if allowed; true if requests have arrived meanwhile. */
  #nap(nextUs: Micros, { engine, sleeper }: Life): boolean {
    if (!engine.mayNap || nextUs - this.#clock.nowUs() < NAP_US) return false
    return sleeper.nap(this.#hasWork, SHARD_NAP_MS)
  }

  #sleepUntil(nextUs: Micros, { sleeper }: Life): void {
    if (nextUs <= this.#clock.nowUs()) return this.#wantTurn()
    this.#clock.wakeAt(nextUs, this.#timeIsUp)
    if (!sleeper.sleep(this.#hasWork, this.#rung)) this.#wantTurn()
  }

  readonly #timeIsUp = (): void => this.#wantTurn()

  readonly #hasWork = (): boolean => this.#life?.engine.hasWork() === true

  /** Turns at once: the ringing thread has batched its requests already. */
  readonly #rung = (): void => {
    if (!this.#turnWanted) this.#turn()
  }

  #control(message: ShardControl): void {
    switch (message.kind) {
      case 'hold':
        this.#life?.engine.hold(message.isOn)
        return this.#wantTurn()
      case 'stop':
        if (this.#life === undefined) return this.#end()
        this.#stopping = true
        this.#life.engine.stop(message.untilUs)
        return this.#wantTurn()
      case 'abort':
        return this.#end()
      case 'handOver':
        return this.#handOver(message.port)
      case 'takeOver':
        return this.#takeOver(message.isHeld)
      default:
        unreachable(message)
    }
  }

  /** Nothing is written to the shard's memory after this. */
  #handOver(port: MessagePort): void {
    if (this.#over || this.#life === undefined) return port.close()
    this.#quiet()
    const baton = this.#life.engine.handOver()
    const { attemptId: attemptIds } = baton.attempts
    const message: BatonMessage = { baton }
    port.postMessage(message)
    this.#report({ kind: 'handedOver' })
    const relay = this.#transport.relayTo(port, attemptIds)
    this.#tailClosed = this.#life.tail?.close() ?? Promise.resolve()
    void relay.over.then(() => {
      port.close()
      this.#end()
    })
  }

  #takeOver(isHeld: boolean): void {
    const port = this.#task.handOver
    assert(port !== undefined && this.#life === undefined, 'no predecessor hands over')
    const first = receiveMessageOnPort(port) as { message: BatonMessage } | undefined
    assert(first !== undefined, 'the baton is not there')
    const { baton } = first.message
    this.#begin(baton, isHeld)
    this.#transport.receiveFrom(port, baton.attempts.attemptId,
      () => this.#report({ kind: 'relayEnded' }))
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    const isMine = this.#life !== undefined && this.#tailClosed === undefined
    const queued = isMine ? this.#life?.engine.unfinished ?? 0 : 0
    this.#quiet()
    this.#close().then(() => {
      if (isMine) this.#report({ kind: 'stopped', queued })
      this.#task.handOver?.close()
      this.#port.close()
      this.#resolve({ queued })
    }, (error: unknown) => this.#reject(error))
  }

  async #close(): Promise<void> {
    await this.#transport.close()
    this.#names.close()
    const life = this.#life
    if (life === undefined) return
    if (this.#tailClosed !== undefined) return this.#tailClosed
    await new Promise<void>((resolve) => { life.engine.settleJournal(resolve) })
    await life.tail?.close()
  }

  /** Stops the loop. The bell is not touched afterwards, since a successor may own it. */
  #quiet(): void {
    if (this.#over) return
    this.#over = true
    this.#life?.stopLooking()
    this.#clock.wakeAt(Infinity as Micros, () => {})
    this.#life?.sleeper.awake()
  }

  #report(report: ShardReport): void {
    this.#port.postMessage(report)
  }
}

function attach({ limits, shardBuffers, shared }: ShardTask): Memory {
  return {
    shared: attachShared(shared, limits),
    shards: shardBuffers.map((buffer) => attachShard(buffer, limits)),
  }
}

const unknownUndiciReport = (reason: string): ShardReport => ({
  kind: 'log', level: 'warn', fields: { reason },
  message: 'undici is not of the expected version: requests cost more processor time',
})

const troubleReport = (error: Error | null): ShardReport => error === null
  ? { kind: 'log', level: 'info', message: 'the journal is written again', fields: {} }
  : {
      kind: 'log', level: 'error', fields: { reason: error.message },
      message: 'the journal cannot be written; nothing is accepted until it can',
    }
