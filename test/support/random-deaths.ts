// Crashes of shard threads at random points of their code, for tests of a real server. Loaded
// before anything else (`node --import`), in every thread. At SIGUSR2 the main thread reads an
// order from the file that TORTURE_ORDERS names and passes it to one of the shard threads, which
// then counts calls of its engine's methods, and ends at one of them.

import { readFileSync } from 'node:fs'
import { BroadcastChannel, isMainThread, threadId } from 'node:worker_threads'
import { AnswerWriter } from '../../shards/job/answer-writer.ts'
import { Dispatcher } from '../../shards/job/dispatcher.ts'
import { Finished } from '../../shards/job/finished.ts'
import { Intake } from '../../shards/job/intake.ts'
import { Settlement } from '../../shards/job/settlement.ts'
import { Delivery } from '../../shards/job/webhook.ts'
import { Lanes } from '../../shards/pace/lanes.ts'
import { Pacer } from '../../shards/pace/pacer.ts'
import { RoundRobin } from '../../shards/pace/round-robin.ts'
import { SharedBudgets } from '../../shards/pace/shared-budget.ts'
import { Engine } from '../../shards/shard/engine.ts'
import { Cleaner } from '../../shards/store/cleaner.ts'
import { JobLog } from '../../shards/store/job-log.ts'
import { JobRecords } from '../../shards/store/job-records.ts'
import { JobSlots } from '../../shards/store/job-slots.ts'
import { Segments } from '../../shards/store/segments.ts'
import { Templates } from '../../shards/store/templates.ts'
import { UndiciTransport } from '../../shards/transport/undici-transport.ts'

/** What is to happen to one of the threads. */
export interface DeathOrder {
  /** An order with the number of an earlier one is ignored. */
  readonly number: number
  /**
   * exit: between two calls, which no `catch` prevents; throw: inside a turn; uncaught: between
   * turns; exit-twice: its successor exits as well, while it takes over; hang: in a turn, for ever.
   */
  readonly how: 'exit' | 'throw' | 'uncaught' | 'exit-twice' | 'hang'
  /** Selects the thread: modulo the number of threads that run shards. */
  readonly which: number
  /** Calls before it happens. */
  readonly calls: number
  readonly successorCalls: number
}

type Message =
  | { readonly kind: 'shard', readonly thread: number }
  | { readonly kind: 'order', readonly thread: number, readonly order: DeathOrder }

const PARTS: readonly { prototype: object }[] = [
  Cleaner, Delivery, Dispatcher, Finished, Intake, JobLog, JobRecords, JobSlots, Lanes,
  AnswerWriter, Pacer, Segments, Settlement, SharedBudgets, Templates, RoundRobin, UndiciTransport,
]
const EXIT_CODE = 3

const channel = new BroadcastChannel('random-deaths')
channel.unref()

if (isMainThread) commandThreads()
else obeyOrders()

function commandThreads(): void {
  let shards: number[] = []
  channel.addEventListener('message', (event) => {
    const message = (event as MessageEvent).data as Message
    if (message.kind === 'shard') shards.push(message.thread)
  })
  let last = 0
  process.on('SIGUSR2', () => {
    const file = process.env['TORTURE_ORDERS'] ?? ''
    const order = JSON.parse(readFileSync(file, 'utf8')) as DeathOrder
    const thread = shards[order.which % shards.length]
    if (order.number === last || thread === undefined) return
    last = order.number
    shards = shards.filter((other) => other !== thread)
    channel.postMessage({ kind: 'order', thread, order } satisfies Message)
  })
}

function obeyOrders(): void {
  let isShard = false
  let calls = 0
  let inTurn: 'throw' | 'hang' | undefined

  channel.addEventListener('message', (event) => {
    const message = (event as MessageEvent).data as Message
    if (message.kind !== 'order') return
    const { how, calls: callsLeft, successorCalls } = message.order
    if (message.thread !== threadId) {
      // The standby thread may become the successor.
      if (how === 'exit-twice' && !isShard) calls = successorCalls
    } else if (how === 'uncaught') setImmediate(() => { throw new Error('a random death') })
    else if (how === 'throw' || how === 'hang') inTurn = how
    else calls = callsLeft
  })

  for (const { prototype } of PARTS) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (name === 'constructor' || typeof value !== 'function') continue
      const method = value as (...args: unknown[]) => unknown
      Object.defineProperty(prototype, name, {
        value(this: unknown, ...args: unknown[]): unknown {
          if (calls > 0 && --calls === 0) process.exit(EXIT_CODE)
          return method.apply(this, args)
        },
        configurable: true, writable: true,
      })
    }
  }

  const { turn } = Engine.prototype
  Engine.prototype.turn = function () {
    if (!isShard) {
      isShard = true
      // A successor that was to crash while it took over, but made fewer calls, survives.
      calls = 0
      channel.postMessage({ kind: 'shard', thread: threadId } satisfies Message)
    }
    const nextUs = turn.call(this)
    if (inTurn === 'throw') throw new Error('a random death')
    if (inTurn === 'hang') for (;;);
    return nextUs
  }
}
