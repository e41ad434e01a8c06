// A whole shard whose room is short because of results: whose bodies give way to new jobs and to
// the results of others, what is said of them, and whose results and keys stay.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KIB } from '../../../../shards/base/units.ts'
import { BODY_GIVEN_UP_BYTES_MIN } from '../../../../shards/memory/result-limits.ts'
import type { FailureReason } from '../../../../shards/signals/response.ts'
import { INGRESS_GET, CODE_OK } from '../../../../shards/wire/contract.ts'
import { EngineBench, OTHER_RECEIVER, type Submitted } from '../../../support/engine-bench.ts'
import type { Answer, Sent } from '../../../support/scripted-transport.ts'

const BODY = 'r'.repeat(3 * KIB)
/** Too short to be spared by itself. */
const SMALL_BODY = 'o'.repeat(BODY_GIVEN_UP_BYTES_MIN - 1)
const OTHER_USER = 7

/** What a receiver is told. */
const toldBy = ({ request }: Sent): Record<string, unknown> =>
  JSON.parse(Buffer.from(request.body ?? []).toString()) as Record<string, unknown>

/** A job that the upstream answers with a long body, and whose receiver hangs. */
function complete(bench: EngineBench, parts: Parameters<EngineBench['submit']>[0]): Submitted {
  const job = bench.submit(parts)
  bench.advance(1)
  const attempt = bench.sent.find(({ isOver, request }) =>
    !isOver && request.origin === 'http://api0.test')
  assert.ok(attempt !== undefined, 'the job was not sent')
  bench.respond(attempt, { body: BODY })
  return job
}

/** A job of one attempt that ends so. */
function end(bench: EngineBench, answer: Answer | FailureReason): Submitted {
  const job = bench.submit({ retries: 0 })
  bench.advance(1)
  if (typeof answer === 'string') bench.fail(bench.inFlight, answer)
  else bench.respond(bench.inFlight, answer)
  return job
}

/** Results of one receiver that fill the log as far as it may be filled; the first are cut. */
function hangingReceiver(): { bench: EngineBench; jobs: Submitted[]; cutCount: number } {
  const bench = new EngineBench({ pacePerSecond: 10_000, limits: { jobsMax: 128 } })
  const jobs = Array.from({ length: 40 }, () => complete(bench, { webhook: true }))
  const cutCount = jobs.filter((job) => !isWhole(bench, job)).length
  assert.ok(cutCount > 10 && cutCount < 32, `${40 - cutCount} bodies fit`)
  assert.deepEqual(jobs.map((job) => isWhole(bench, job)), jobs.map((_, at) => at >= cutCount))
  assert.deepEqual([bench.stats.undeliveredBodiesGivenUp, bench.stats.bodiesLeftOut], [cutCount, 0])
  return { bench, jobs, cutCount }
}

const isWhole = (bench: EngineBench, job: Submitted): boolean =>
  bench.get(job).result?.body !== undefined

describe('results that wait for a receiver that hangs', () => {
  it('give way to new jobs, the oldest first, and are told of as truncated', () => {
    const { bench, jobs, cutCount } = hangingReceiver()
    for (let count = 0; count < 20; count++) {
      const { request } = bench.submit({ user: OTHER_USER, upstream: 1, body: 'b'.repeat(KIB) })
      assert.equal(bench.answer(request).kind, 'accepted', `job ${count}`)
    }
    assert.equal(bench.stats.refusedMemory, 0)
    const whole = jobs.map((job) => isWhole(bench, job))
    const { undeliveredBodiesGivenUp: given } = bench.stats
    assert.ok(given > cutCount && given < jobs.length, `${given} of ${jobs.length} have given way`)
    assert.deepEqual(whole, jobs.map((_, at) => at >= given))
    bench.engine.verify()
    const before = bench.deliveries.length
    bench.advance(7000) // they are tried again
    const told = new Map(bench.deliveries.slice(before).map(toldBy)
      .map((body) => [body['job_id'], body]))
    for (const [at, job] of jobs.entries()) {
      assert.deepEqual(told.get(job.idText), {
        job_id: job.idText, status: 'completed', response_status: 200,
        ...whole[at] === true ? { body: BODY } : { truncated: true },
      })
      assert.deepEqual(bench.get(job).webhook, { state: 'owed', attempts: 2 })
    }
  })

  it('give way to the results of others, who lose nothing', () => {
    const { bench } = hangingReceiver()
    const told = []
    for (let count = 0; count < 4; count++) {
      const job = complete(bench, { user: OTHER_USER, webhook: OTHER_RECEIVER })
      assert.equal(toldBy(bench.inFlight)['body'], BODY)
      told.push(job)
    }
    const polled = Array.from({ length: 3 }, () => complete(bench, { user: OTHER_USER }))
    for (const job of [...told, ...polled]) assert.ok(isWhole(bench, job))
    bench.engine.verify()
  })

  it('give way in a successor of the thread, before what was told of and is kept', () => {
    const { bench, jobs } = hangingReceiver()
    bench.respond(bench.deliveries[jobs.length - 1] as Sent)
    for (let thread = 0; thread < 2; thread++) {
      bench.replace()
      for (let count = 0; count < 10; count++) {
        const { request } = bench.submit({ user: OTHER_USER, upstream: 1, body: 'b'.repeat(KIB) })
        assert.equal(bench.answer(request).kind, 'accepted', `job ${count}`)
      }
    }
    const { result, webhook } = bench.get(jobs.at(-1) as Submitted)
    assert.deepEqual([result?.body, webhook?.state], [BODY, 'delivered'])
    bench.engine.verify()
  })
})

describe('a user with many finished jobs', () => {
  it('loses its own results, not those of others', () => {
    const bench = new EngineBench({ pacePerSecond: 10_000, limits: { jobsMax: 128 } })
    // A quarter of the log, 18 KiB, is for results: five bodies.
    const few = Array.from({ length: 2 }, () => complete(bench, { user: OTHER_USER }))
    const many = Array.from({ length: 30 }, () => complete(bench, {}))
    for (const job of few) assert.ok(isWhole(bench, job))
    assert.ok(many.slice(-2).every((job) => isWhole(bench, job)))
    assert.equal(many.filter((job) => isWhole(bench, job)).length + few.length, 5)
  })

  it('loses the oldest first, of whatever kind, and no reason or status', () => {
    const bench = new EngineBench({ pacePerSecond: 10_000, limits: { jobsMax: 1024 } })
    // Results without a body that could be spared fill what results may take.
    const old = Array.from({ length: 400 }, () => end(bench, { status: 200, body: SMALL_BODY }))
    bench.advance(10)
    assert.ok(bench.get(old[0] as Submitted).url === undefined, 'the oldest have lost records')
    const failed = end(bench, { status: 500, body: BODY })
    const refused = end(bench, 'connection_error')
    assert.deepEqual(bench.get(failed).result,
      { status: 'failed', reason: 'upstream_error', response_status: 500, body: BODY })
    assert.deepEqual(bench.get(refused).result, { status: 'failed', reason: 'connection_error' })
    for (let count = 0; count < 400; count++) end(bench, { status: 200, body: SMALL_BODY })
    bench.advance(1000)
    for (let count = 0; count < 10; count++) end(bench, { status: 200, body: BODY })
    for (let thread = 0; thread < 2; thread++) {
      assert.deepEqual(bench.get(failed).result,
        { status: 'failed', reason: 'upstream_error', response_status: 500, truncated: true })
      assert.deepEqual(bench.get(refused).result,
        { status: 'failed', reason: 'connection_error', truncated: true })
      bench.replace()
    }
  })

  it('loses results of completed jobs before those of failed ones that are as old', () => {
    const bench = new EngineBench({ pacePerSecond: 10_000, limits: { jobsMax: 128 } })
    const failed = end(bench, { status: 500, body: BODY })
    const completed = [complete(bench, {}), complete(bench, {})]
    bench.advance(1000)
    for (let count = 0; count < 4; count++) complete(bench, {})
    assert.deepEqual([failed, ...completed].map((job) => isWhole(bench, job)),
      [true, false, false])
    // Four times as old as those that are left.
    bench.advance(200)
    complete(bench, {})
    assert.equal(isWhole(bench, failed), false)
  })

  it('loses the oldest, be they of failed jobs or of completed ones', () => {
    const bench = new EngineBench({ pacePerSecond: 10_000, limits: { jobsMax: 128 } })
    const completed = Array.from({ length: 10 }, () => complete(bench, {}))
    bench.advance(10)
    const failed = bench.submit({ retries: 0 })
    bench.respond(bench.inFlight, { status: 500, body: BODY })
    assert.deepEqual(bench.get(failed).result,
      { status: 'failed', reason: 'upstream_error', response_status: 500, body: BODY })
    assert.deepEqual(completed.map((job) => isWhole(bench, job)),
      completed.map((_, at) => at >= 6))
  })

  it('keeps failed jobs when slots are short, and old keys go', () => {
    const bench = new EngineBench({ pacePerSecond: 10_000, limits: { jobsMax: 12 } })
    for (let count = 0; count < 11; count++) complete(bench, {})
    bench.advance(1000)
    const failed = end(bench, 'timeout')
    for (let count = 0; count < 5; count++) complete(bench, {})
    assert.equal(bench.get(failed).result?.reason, 'timeout')
    assert.equal(bench.stats.keysGivenUp, 5)
  })

  it('loses its own keys when slots are short, not those of others', () => {
    const bench = new EngineBench({ pacePerSecond: 10_000, limits: { jobsMax: 12 } })
    const few = Array.from({ length: 3 }, () => complete(bench, { user: OTHER_USER }))
    for (let count = 0; count < 40; count++) complete(bench, {})
    for (const job of few) {
      const answer = bench.answer(bench.ask(INGRESS_GET, job))
      assert.ok(answer.kind === 'job' && answer.code === CODE_OK)
    }
    assert.equal(bench.stats.keysGivenUp, 43 - 12)
  })
})

describe('webhooks in flight', () => {
  it('to a receiver that hangs are a share of them, and leave the rest to others', () => {
    const jobs = 6000
    const bench = new EngineBench({
      pacePerSecond: 1_000_000, concurrentMax: 100_000,
      receiver: { pacePerSecond: 1_000_000, concurrentMax: 100_000, timeoutMs: 60_000 },
      limits: { jobsMax: 2 * jobs, segmentsMax: 256 },
    })
    for (let count = 0; count < jobs; count += 200) {
      for (let more = 0; more < 200; more++) bench.put({ webhook: true })
      bench.turn()
    }
    bench.advance(20)
    for (const attempt of bench.sent.slice()) bench.transport.respond(attempt, {})
    bench.advance(20)
    // Two thirds of a half of the shard's 16,384.
    assert.equal(bench.stats.webhooksInFlight, 5462)
    complete(bench, { webhook: OTHER_RECEIVER })
    bench.advance(2)
    assert.equal(toldBy(bench.inFlight)['body'], BODY)
    const before = bench.stats.webhookAttempts
    for (const delivery of bench.deliveries.slice(0, 3)) bench.respond(delivery)
    bench.advance(2)
    assert.ok(bench.stats.webhookAttempts > before, 'when some have ended, others are sent')
  })
})
