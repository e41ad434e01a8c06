// While the journal cannot be written, nothing that it does not have is sent, and whoever waits for
// an answer is told that his job was refused: then nothing of it is left.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { givenBackBy, seeGivenBack } from '../../../../shards/memory/give-back.ts'
import { readJournalWords } from '../../../../shards/memory/journal-words.ts'
import { JOURNAL_RETRY_MS, JOURNAL_STALLED_MS } from '../../../../shards/memory/limits.ts'
import { INGRESS_GET } from '../../../../shards/wire/contract.ts'
import { EngineBench } from '../../../support/engine-bench.ts'
import { HeldSink } from '../../../support/held-sink.ts'

const FULL = new Error('the disk is full')

function open(): { bench: EngineBench, sink: HeldSink } {
  const sink = new HeldSink()
  const bench = new EngineBench({ journal: sink, pacePerSecond: 1000 })
  bench.turn()
  sink.writeAll(bench) // what fresh memory begins with
  return { bench, sink }
}

/** Every try fails until the stall is long enough. */
function stall(bench: EngineBench, sink: HeldSink): void {
  for (let ms = 0; ms <= JOURNAL_STALLED_MS; ms += JOURNAL_RETRY_MS) {
    sink.end(FULL)
    bench.advance(JOURNAL_RETRY_MS)
  }
}

describe('a new job', () => {
  it('is sent once the journal has it, and not before', () => {
    const { bench, sink } = open()
    bench.submit()
    bench.advance(50)
    assert.deepEqual([bench.sent.length, bench.answers.length], [0, 0])
    sink.end(FULL)
    bench.advance(JOURNAL_RETRY_MS)
    assert.equal(bench.sent.length, 0)
    sink.end()
    bench.advance(1)
    assert.deepEqual([bench.sent.length, bench.answers.length], [1, 1])
  })

  it('is given back when nothing can be written, and leaves no trace', () => {
    const { bench, sink } = open()
    const accepted = bench.submit()
    sink.writeAll(bench)
    const { lanesUsed, logLiveBytes } = bench.stats
    const refused = bench.put({ key: 'again', webhook: true, watch: true, beginWithinMs: 9000 })
    const repeated = bench.submit({ key: 'again' })
    stall(bench, sink)
    const givenBack = givenBackBy(bench.views)
    assert.ok(givenBack !== undefined)
    assert.equal(givenBack.requests, bench.views.ingress.control[0], 'all that was taken')
    seeGivenBack(bench.views)
    sink.writeAll(bench)
    bench.advance(JOURNAL_RETRY_MS)
    sink.writeAll(bench)
    assert.deepEqual([bench.sent.length, bench.stats.jobSlotsUsed, bench.stats.accepted], [1, 1, 1])
    assert.deepEqual([bench.stats.watched, bench.stats.logLiveBytes], [0, logLiveBytes])
    assert.equal(bench.stats.lanesUsed, lanesUsed)
    for (const job of [refused, repeated]) {
      const answer = bench.ask(INGRESS_GET, job)
      sink.writeAll(bench)
      assert.equal((bench.answer(answer) as { view: unknown }).view, null)
    }
    assert.equal(bench.get(accepted).status, 'in_flight')
    bench.submit({ key: 'again' })
    sink.writeAll(bench)
    assert.equal(bench.sent.length, 2, 'its key is free')
  })

  it('is given back at once when the journal is lost, and later ones are not taken', () => {
    const { bench, sink } = open()
    bench.submit()
    sink.isLost = true
    sink.end(FULL)
    const givenBack = givenBackBy(bench.views)
    assert.equal(givenBack?.requests, bench.views.ingress.control[0])
    seeGivenBack(bench.views)
    bench.turn()
    assert.equal(readJournalWords(bench.views).isLost, true)
    bench.put({ key: 'later' })
    bench.advance(JOURNAL_RETRY_MS / 2)
    const { sent, stats, answers } = bench
    assert.deepEqual([stats.jobSlotsUsed, sent.length, answers.length], [0, 0, 0])
    bench.engine.verify()
  })

  it('is not given back by a thread that did not take it, but told once it is written', () => {
    const { bench, sink } = open()
    const { request } = bench.submit()
    sink.end(FULL)
    bench.replace()
    const untaken = bench.submit()
    stall(bench, sink)
    assert.equal(givenBackBy(bench.views), undefined)
    assert.equal(bench.sent.length, 0)
    sink.writeAll(bench)
    assert.equal(bench.answer(request).kind, 'accepted')
    bench.advance(JOURNAL_RETRY_MS)
    sink.writeAll(bench)
    assert.equal(bench.answer(untaken.request).kind, 'accepted')
    bench.advance(50)
    assert.equal(bench.sent.length, 2)
  })

  it('is given back at the end of the process, when the last try fails', () => {
    const { bench, sink } = open()
    bench.submit()
    let isSettled = false
    bench.engine.settleJournal(() => { isSettled = true })
    sink.end(FULL)
    assert.ok(isSettled)
    assert.notEqual(givenBackBy(bench.views), undefined)
    assert.equal(bench.stats.accepted, 0)
  })
})
