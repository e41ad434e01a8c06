// Worker of ring.test.ts: writes records in bursts, rings once a burst, sleeps while the ring is
// full.

import { parentPort, workerData } from 'node:worker_threads'
import { Prng } from '../../shards/base/prng.ts'
import { Bell, Sleeper } from '../../shards/memory/doorbell.ts'
import { RING_FULL, RingWriter } from '../../shards/memory/ring.ts'
import { STATE_WORD, bellWords, ringViews } from '../support/ring-memory.ts'
import {
  type ProducerReport, type RingTask, kindOf, payloadBytesOf, writePayload,
} from './ring-record.ts'

const task = workerData as RingTask
const prng = new Prng(task.seed)
const writer = new RingWriter(ringViews(task.ring))
const consumerWords = bellWords(task.consumerBell)
const consumer = new Bell(consumerWords)
const sleeper = new Sleeper(bellWords(task.producerBell))

let written = 0
let bytes = 0
let sleeps = 0
let lulls = 0
let awaitsSleep = false

/** Writes one record; false when there is no room for it. */
function writeNext(payloadBytes: number): boolean {
  const at = writer.claim(kindOf(written), payloadBytes)
  if (at === RING_FULL) return false
  writePayload(writer.u32, at, payloadBytes, written)
  writer.commit()
  written++
  bytes += payloadBytes
  return true
}

const isConsumerAsleep = (): boolean => Atomics.load(consumerWords, STATE_WORD) === 1

/** Now and then waits until the consumer sleeps, so that it often does on any machine. */
function nextTurn(): void {
  if (!awaitsSleep) awaitsSleep = prng.chance(0.2)
  if (awaitsSleep && !isConsumerAsleep()) {
    setImmediate(nextTurn)
    return
  }
  if (awaitsSleep) lulls++
  awaitsSleep = false
  turn()
}

/** One burst, then the event loop; a full ring ends it early. */
function turn(): void {
  let burst = prng.between(1, prng.pick([2, 20, 200, 2000]))
  while (burst-- > 0 && written < task.records) {
    const payloadBytes = payloadBytesOf(written, writer.payloadBytesMax)
    if (writeNext(payloadBytes)) continue
    consumer.ring()
    if (sleeper.sleep(() => writer.fits(payloadBytes), turn)) {
      sleeps++
      return
    }
  }
  consumer.ring()
  if (written < task.records) setImmediate(nextTurn)
  else finish()
}

function finish(): void {
  parentPort?.postMessage({ written, bytes, sleeps, lulls } satisfies ProducerReport)
  parentPort?.close()
}

// A pending wait does not keep a thread alive; a port that listens does.
parentPort?.on('message', () => {})
turn()
