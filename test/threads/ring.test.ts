// Two real threads on one ring, both sleeping on doorbells and never on a timer: a lost wake-up
// hangs the test until its guard, and every record is checked for its number, kind and content.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { ringPayloadBytesMax } from '../../shards/memory/ring.ts'
import { allocateBell, allocateRing, ringViews, startRingAt } from '../support/ring-memory.ts'
import {
  type ConsumerReport, type ProducerReport, type RingTask, payloadBytesOf,
} from './ring-record.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261_122)
const GUARD_MS = 60_000

/** Runs both workers to their end; an error in either one rejects. */
async function run(task: RingTask): Promise<[ProducerReport, ConsumerReport]> {
  const workers = ['./ring-producer.ts', './ring-consumer.ts'].map((file) =>
    new Worker(new URL(file, import.meta.url), { workerData: task }))
  try {
    const reports = await Promise.all(workers.map((worker) => once(worker, 'message')))
    return reports.map(([report]) => report) as [ProducerReport, ConsumerReport]
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
}

const shapes = [
  { name: 'a large ring, where the consumer sleeps', capacityBytes: 2 ** 20, records: 4_000_000 },
  { name: 'a small ring, where the producer sleeps too', capacityBytes: 2 ** 12, records: 500_000 },
]

for (const { name, capacityBytes, records } of shapes) {
  test(`two threads: ${name}`, { timeout: GUARD_MS }, async (t) => {
    const ring = allocateRing(capacityBytes)
    startRingAt(ringViews(ring), 2 ** 32 - 2 ** 20) // crosses 2^32 soon
    const [producer, consumer] = await run({
      ring, producerBell: allocateBell(), consumerBell: allocateBell(), records, seed: SEED,
    })
    t.diagnostic(`seed ${SEED} ${JSON.stringify({ producer, consumer })}`)
    let bytes = 0
    const payloadBytesMax = ringPayloadBytesMax(capacityBytes)
    for (let n = 0; n < records; n++) bytes += payloadBytesOf(n, payloadBytesMax)
    assert.equal(consumer.wrong, 0, `SLUICE_SEED=${SEED}: wrong records`)
    assert.deepEqual(
      [producer.written, consumer.taken, producer.bytes, consumer.bytes],
      [records, records, bytes, bytes], `SLUICE_SEED=${SEED}: counts`)
    assert.ok(producer.lulls > 100, `only ${producer.lulls} lulls`)
    assert.ok(consumer.announced >= producer.lulls, 'each lull is an announced sleep of its own')
    assert.ok(consumer.sleeps > 100, `only ${consumer.sleeps} sleeps`)
    assert.ok(consumer.refused > 100, `only ${consumer.refused} records were refused at first`)
    const views = ringViews(ring)
    assert.equal(views.control[0], views.control[32], 'the ring is empty at the end')
  })
}
