// When a shard's thread may block for a moment: never while its event loop has something to hear.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { EngineBench } from '../../../support/engine-bench.ts'
import { HeldSink } from '../../../support/held-sink.ts'

describe('a shard', () => {
  it('may nap after requests that left nothing to be heard', () => {
    const bench = new EngineBench()
    assert.equal(bench.engine.mayNap, false, 'nothing has come')
    const job = bench.submit()
    assert.equal(bench.engine.mayNap, false, 'the job is in flight')
    bench.respond(bench.inFlight)
    assert.equal(bench.engine.mayNap, false, 'the turn had no request')
    bench.get(job)
    assert.equal(bench.engine.mayNap, true)
    bench.turn()
    assert.equal(bench.engine.mayNap, false, 'no more came')
  })

  it('may nap while jobs wait for their time', () => {
    const bench = new EngineBench({ pacePerSecond: 1 })
    bench.submit()
    bench.respond(bench.inFlight)
    bench.submit()
    assert.equal(bench.sent.length, 1, 'the second job waits')
    assert.equal(bench.engine.mayNap, true)
  })

  it('does not nap while a webhook is in flight', () => {
    const bench = new EngineBench()
    const job = bench.submit({ webhook: true })
    bench.respond(bench.inFlight)
    bench.get(job)
    assert.equal(bench.deliveries.length, 1)
    assert.equal(bench.engine.mayNap, false)
    bench.respond(bench.inFlight)
    bench.get(job)
    assert.equal(bench.engine.mayNap, true)
  })

  it('does not nap while the journal writes', () => {
    const sink = new HeldSink()
    const bench = new EngineBench({ journal: sink })
    bench.turn()
    sink.writeAll(bench)
    bench.submit()
    assert.ok(sink.isWriting)
    assert.equal(bench.engine.mayNap, false)
  })
})
