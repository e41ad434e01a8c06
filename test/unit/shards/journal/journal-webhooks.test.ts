// An outcome that a receiver has been told of must not come about again: its webhook leaves once
// the journal has the outcome, and not before, whoever's outcome it is.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { JOURNAL_RETRY_MS } from '../../../../shards/memory/limits.ts'
import { EngineBench } from '../../../support/engine-bench.ts'
import { HeldSink } from '../../../support/held-sink.ts'

/** A job has been sent, and all that is so far is written. */
function sentOne(): { bench: EngineBench, sink: HeldSink } {
  const sink = new HeldSink()
  const bench = new EngineBench({ journal: sink })
  bench.submit({ webhook: true })
  sink.writeAll(bench)
  assert.equal(bench.sent.length, 1)
  return { bench, sink }
}

describe('a webhook', () => {
  it('leaves once its outcome is written', () => {
    const { bench, sink } = sentOne()
    bench.respond(bench.inFlight)
    bench.advance(50)
    assert.deepEqual([bench.deliveries.length, bench.stats.webhooksWaiting], [0, 1])
    sink.end()
    bench.advance(1)
    assert.equal(bench.deliveries.length, 1)
    bench.respond(bench.inFlight)
    sink.writeAll(bench)
    assert.deepEqual([bench.deliveries.length, bench.stats.webhooksWaiting], [1, 0])
  })

  it('waits for the batch with its outcome, not for the one before', () => {
    const { bench, sink } = sentOne()
    bench.submit()
    assert.ok(sink.isWriting)
    bench.respond(bench.inFlight)
    sink.end()
    bench.advance(1)
    assert.equal(bench.deliveries.length, 0)
    sink.end()
    bench.advance(1)
    assert.equal(bench.deliveries.length, 1)
  })

  it('waits while the disk takes nothing', () => {
    const { bench, sink } = sentOne()
    bench.respond(bench.inFlight)
    sink.end(new Error('the disk is full'))
    bench.advance(JOURNAL_RETRY_MS)
    assert.equal(bench.deliveries.length, 0)
    sink.end()
    bench.advance(1)
    assert.equal(bench.deliveries.length, 1)
  })

  it('is not sent by the successor of a thread that died, either, before it is written', () => {
    const { bench, sink } = sentOne()
    bench.respond(bench.inFlight)
    sink.end(new Error('of a thread that is gone'))
    assert.equal(bench.replace().webhooks, 1)
    bench.advance(50)
    assert.equal(bench.deliveries.length, 0)
    sink.writeAll(bench)
    assert.equal(bench.deliveries.length, 1)
  })
})
