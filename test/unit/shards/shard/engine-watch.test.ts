// What whoever follows a job is told, in which order and when; and what breaks a shard.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  POSITION_EVERY_MS, POSITIONS_PER_TURN_MAX, QUESTIONS_PER_TURN_MAX,
} from '../../../../shards/memory/limits.ts'
import {
  CODE_NOT_FOUND, CODE_OK, INGRESS_CANCEL, INGRESS_UNWATCH, INGRESS_WATCH, type JobSnapshot,
} from '../../../../shards/wire/contract.ts'
import { EngineBench, type Submitted } from '../../../support/engine-bench.ts'

/** Follows a job from now on. @returns what it is like now. */
function watch(bench: EngineBench, job: { readonly idLow: number }): JobSnapshot {
  const answer = bench.answer(bench.ask(INGRESS_WATCH, job))
  assert.ok(answer.kind === 'job' && answer.code === CODE_OK && answer.view !== null)
  return answer.view
}

const names = (bench: EngineBench, job: Submitted): string[] =>
  bench.events(job).map(([name]) => name)

describe('a cancellation', () => {
  it('of very many jobs takes many turns, so that sends leave between them', () => {
    const bench = new EngineBench({ limits: { jobsMax: 1024 } })
    const jobs = Array.from({ length: 2 * QUESTIONS_PER_TURN_MAX + 2 }, () => bench.submit())
    const waiting = jobs.slice(1)
    assert.deepEqual(bench.askAll(INGRESS_CANCEL, waiting),
      [QUESTIONS_PER_TURN_MAX, QUESTIONS_PER_TURN_MAX, 1])
    assert.equal(bench.stats.cancelled, waiting.length)
  })
})

describe('whoever follows a job', () => {
  it('hears its position in a turn of its own when very many are followed', () => {
    const bench = new EngineBench({ limits: { jobsMax: 1024 } })
    const jobs = Array.from({ length: 2 * POSITIONS_PER_TURN_MAX + 2 },
      () => bench.submit({ watch: true }))
    const { engine, answers } = bench
    const turn = engine.turn.bind(engine)
    let told = answers.length
    engine.turn = () => {
      assert.ok(answers.length - told <= POSITIONS_PER_TURN_MAX + 1, 'too much in one turn')
      told = answers.length
      return turn()
    }
    bench.advance(POSITION_EVERY_MS)
    for (const job of jobs.slice(9)) assert.deepEqual(names(bench, job), ['position'])
  })

  it('hears of each attempt and of its end, and of nothing after that', () => {
    const bench = new EngineBench()
    const job = bench.submit({ watch: true })
    bench.respond(bench.inFlight, { status: 503, headers: { 'retry-after': '3' } })
    bench.advance(3001)
    bench.respond(bench.inFlight, { body: 'done' })
    bench.advance(10_000)
    assert.deepEqual(bench.events(job), [
      ['dispatching', { attempt: 1 }],
      ['retrying', {
        attempt: 1, retry_in_ms: 3000, reason: 'upstream_error', response_status: 503,
      }],
      ['dispatching', { attempt: 2 }],
      ['completed', { status: 'completed', response_status: 200, body: 'done' }],
    ])
    assert.equal(bench.stats.watched, 0)
  })

  it('hears why an attempt failed that had no answer', () => {
    const bench = new EngineBench()
    const job = bench.submit({ watch: true, retries: 1 })
    bench.fail(bench.inFlight, 'dns_error')
    bench.advance(1500)
    bench.fail(bench.inFlight, 'timeout')
    const events = bench.events(job)
    const [, [, retrying] = []] = events
    assert.ok(typeof retrying === 'object' && retrying !== null && 'retry_in_ms' in retrying)
    assert.ok(Number(retrying.retry_in_ms) < 1000)
    const { retry_in_ms } = retrying
    assert.deepEqual(retrying, { attempt: 1, retry_in_ms, reason: 'dns_error' })
    assert.deepEqual(events.at(-1), ['failed', { status: 'failed', reason: 'timeout' }])
  })

  it('hears its place in line every two seconds, as long as it waits', () => {
    const bench = new EngineBench({ pacePerSecond: 0.5 })
    bench.advance(1000) // the clock starts below this upstream's interval
    for (let count = 0; count < 3; count++) bench.submit()
    const job = bench.submit()
    assert.equal(watch(bench, job).position, 3)
    bench.advance(1999)
    assert.deepEqual(bench.events(job), [])
    bench.advance(2)
    assert.deepEqual(names(bench, job), ['position'])
    bench.advance(10_000)
    // The last send of those before it was four seconds in; its own came at six.
    assert.deepEqual(bench.events(job), [
      ['position', { position: 2 }], ['position', { position: 1 }], ['dispatching', { attempt: 1 }],
    ])
  })

  it('hears of a cancellation, and of a time to begin that has passed', () => {
    const bench = new EngineBench()
    bench.submit()
    const cancelled = bench.submit({ watch: true })
    const late = bench.submit({ watch: true, beginWithinMs: 100 })
    bench.cancel(cancelled)
    bench.advance(150)
    assert.deepEqual(bench.events(cancelled), [['cancelled', { status: 'cancelled' }]])
    assert.deepEqual(bench.events(late),
      [['failed', { status: 'failed', reason: 'execution_deadline_exceeded' }]])
  })

  it('hears nothing more once it has turned away', () => {
    const bench = new EngineBench()
    bench.submit()
    const job = bench.submit()
    watch(bench, job)
    bench.ask(INGRESS_UNWATCH, job)
    bench.advance(3000)
    bench.respond(bench.inFlight)
    assert.deepEqual(bench.events(job), [])
    assert.equal(bench.stats.watched, 0)
  })

  it('may come late: what is over is shown at once, and followed no more', () => {
    const bench = new EngineBench()
    const job = bench.submit()
    bench.respond(bench.inFlight, { status: 404, body: 'no' })
    assert.deepEqual(
      watch(bench, job).result, { status: 'completed', response_status: 404, body: 'no' })
    bench.turn()
    assert.equal(bench.stats.watched, 0)
    const answer = bench.answer(bench.ask(INGRESS_WATCH, { idLow: 1 }))
    assert.ok(answer.kind === 'job' && answer.code === CODE_NOT_FOUND)
  })
})

describe('a shard that finds itself broken', () => {
  it('says so, where the network would have swallowed it', () => {
    const bench = new EngineBench()
    bench.submit()
    const { attemptId } = bench.inFlight
    bench.respond(bench.inFlight)
    // An end for an attempt that has ended: no transport may do that.
    bench.engine.end(attemptId, new Uint8Array(0), false)
    assert.equal(bench.broken.length, 1)
    assert.ok(bench.broken[0] instanceof Error)
  })
})
