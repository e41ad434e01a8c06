// Worker of ring.test.ts: checks every record, refuses some at first, and sleeps whenever it can.

import { parentPort, workerData } from 'node:worker_threads'
import { Prng } from '../../shards/base/prng.ts'
import { Bell, Sleeper } from '../../shards/memory/doorbell.ts'
import { RingReader, ringPayloadBytesMax } from '../../shards/memory/ring.ts'
import { bellWords, ringViews } from '../support/ring-memory.ts'
import {
  type ConsumerReport, type RingTask, isPayload, kindOf, payloadBytesOf,
} from './ring-record.ts'

const task = workerData as RingTask
const prng = new Prng(task.seed + 1)
const reader = new RingReader(ringViews(task.ring))
const producer = new Bell(bellWords(task.producerBell))
const sleeper = new Sleeper(bellWords(task.consumerBell))
const payloadBytesMax = ringPayloadBytesMax(reader.bytes.length)

let taken = 0
let bytes = 0
let wrong = 0
let refused = 0
let announced = 0
let sleeps = 0
let mayRefuse = true

function handle(kind: number, offset: number, length: number): boolean {
  if (mayRefuse && prng.chance(0.001)) {
    refused++
    mayRefuse = false
    return false
  }
  mayRefuse = true
  const right = kind === kindOf(taken) && length === payloadBytesOf(taken, payloadBytesMax) &&
    isPayload(reader.u32, offset, length, taken)
  if (!right) wrong++
  taken++
  bytes += length
  return true
}

/** Reads until there is nothing, then sleeps; now and then it dawdles so that the ring fills. */
function turn(): void {
  while (taken < task.records) {
    const read = reader.read(handle, prng.between(1, 1000))
    if (read > 0) producer.ring()
    if (prng.chance(0.01)) {
      setImmediate(turn)
      return
    }
    if (read > 0 || !mayRefuse) continue
    announced++
    if (sleeper.sleep(() => !reader.isEmpty(), turn)) {
      sleeps++
      return
    }
  }
  producer.ring()
  parentPort?.postMessage(
    { taken, bytes, wrong, refused, announced, sleeps } satisfies ConsumerReport)
  parentPort?.close()
}

// A pending wait does not keep a thread alive; a port that listens does.
parentPort?.on('message', () => {})
turn()
