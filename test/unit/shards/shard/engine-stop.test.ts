// A whole shard on virtual time that is told to stop: what it still begins, and what it waits for.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Micros, msToUs } from '../../../../shards/base/units.ts'
import { EngineBench } from '../../../support/engine-bench.ts'
import { HeldSink } from '../../../support/held-sink.ts'

const GRACE_MS = 25_000

const stop = (bench: EngineBench): void =>
  bench.engine.stop((bench.nowUs + msToUs(GRACE_MS)) as Micros)

/** A finished job whose receiver has been asked once and has answered so. */
function owing(bench: EngineBench, status: number, retryAfter?: string): void {
  bench.submit({ webhook: true })
  bench.advance(1)
  bench.respond(bench.inFlight)
  const headers = retryAfter === undefined ? {} : { 'retry-after': retryAfter }
  bench.respond(bench.inFlight, { status, headers })
}

describe('a shard with a journal that stops', () => {
  const start = (): { bench: EngineBench, sink: HeldSink } => {
    const sink = new HeldSink()
    return { sink, bench: new EngineBench({ pacePerSecond: 1000, journal: sink }) }
  }

  it('begins nothing new, and is done with the last flight', () => {
    const { bench, sink } = start()
    for (let job = 0; job < 2; job++) {
      bench.submit({ webhook: true })
      sink.writeAll(bench)
    }
    const [first, second] = bench.sent
    assert.ok(first !== undefined && second !== undefined)
    bench.respond(first)
    sink.writeAll(bench)
    assert.equal(bench.deliveries.length, 1, 'a webhook is in flight')
    stop(bench)
    bench.submit({ webhook: true })
    bench.respond(second)
    sink.writeAll(bench)
    assert.equal(bench.engine.isIdle, false)
    bench.respond(bench.inFlight, { status: 500 })
    sink.writeAll(bench)
    assert.equal(bench.engine.isIdle, true)
    bench.advance(GRACE_MS)
    assert.equal(bench.sent.length, 3, 'no job, no webhook and no retry')
    assert.deepEqual([bench.engine.unfinished, bench.stats.webhooksWaiting], [1, 2])
  })

  it('does not wait for a webhook that waits for its next try', () => {
    const { bench, sink } = start()
    bench.submit({ webhook: true })
    sink.writeAll(bench)
    bench.respond(bench.inFlight)
    sink.writeAll(bench)
    bench.respond(bench.inFlight, { status: 429, headers: { 'retry-after': '3600' } })
    sink.writeAll(bench)
    stop(bench)
    assert.equal(bench.engine.isIdle, true)
  })
})

describe('a shard without a journal that stops', () => {
  it('starts no job, ends what is in flight, and delivers what it owes', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    bench.submit({ webhook: true })
    stop(bench)
    const waiting = bench.submit()
    bench.advance(100)
    assert.equal(bench.sent.length, 1)
    bench.respond(bench.inFlight)
    assert.equal(bench.engine.isIdle, false)
    bench.respond(bench.inFlight)
    assert.equal(bench.engine.isIdle, true)
    assert.equal(bench.engine.unfinished, 1)
    assert.equal(bench.get(waiting).status, 'queued')
  })

  it('tries webhooks again, as far as they are due in time', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    owing(bench, 500)
    stop(bench)
    for (const dueAfterMs of [1000, 2000, 4000, 8000]) {
      assert.equal(bench.engine.isIdle, false)
      const before = bench.deliveries.length
      bench.advance(dueAfterMs + 1)
      assert.equal(bench.deliveries.length, before + 1)
      bench.respond(bench.inFlight, { status: 500 })
    }
    assert.equal(bench.engine.isIdle, true, 'it has been given up')
  })

  it('does not wait for one that is due later, though a job waits for a retry', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    bench.submit()
    bench.respond(bench.inFlight, { status: 503, headers: { 'retry-after': '20' } })
    owing(bench, 503, '26')
    stop(bench)
    assert.equal(bench.engine.isIdle, true)
    assert.equal(bench.stats.webhooksWaiting, 1)
  })

  it('does not wait for a receiver that is held for longer', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    owing(bench, 429, '40')
    bench.submit({ webhook: true })
    bench.advance(1)
    bench.respond(bench.inFlight)
    assert.deepEqual([bench.deliveries.length, bench.stats.webhooksWaiting], [1, 2])
    stop(bench)
    assert.equal(bench.engine.isIdle, true)
  })

  it('waits for one in the line of a receiver that is due', () => {
    const bench = new EngineBench({ pacePerSecond: 1000, receiver: { pacePerSecond: 0.5 } })
    for (let job = 0; job < 2; job++) {
      bench.submit({ webhook: true })
      bench.advance(1)
    }
    for (const sent of bench.sent.slice()) bench.respond(sent)
    bench.advance(2000)
    bench.respond(bench.inFlight)
    stop(bench)
    assert.equal(bench.engine.isIdle, false)
    bench.advance(2000)
    bench.respond(bench.inFlight)
    assert.equal(bench.engine.isIdle, true)
    assert.equal(bench.stats.webhooksDelivered, 2)
  })
})
