// A thread ends where it stands and another takes over: examples of what goes on, of what is done
// over, and of whom the next one blames. That a thread may end at any store is the simulator's.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { JobRecords } from '../../../../shards/store/job-records.ts'
import { CODE_OK } from '../../../../shards/wire/contract.ts'
import { EngineBench, type JobParts, rps, twoShards } from '../../../support/engine-bench.ts'

const FAST = { pacePerSecond: 1000, concurrentMax: 2 }

const attemptOf = (bench: EngineBench, at: number): string =>
  bench.sent[at]?.headers['X-Sluice-Attempt'] ?? ''

/** Ids of the jobs that were sent, in order. */
const sentIds = (bench: EngineBench): string[] =>
  bench.sent.map(({ headers }) => headers['X-Sluice-Job-Id'] ?? '')

/** Answers whatever is in flight until nothing more comes. */
function finishAll(bench: EngineBench): void {
  for (let sent = bench.sent.find((other) => !other.isOver); sent !== undefined;
    sent = bench.sent.find((other) => !other.isOver)) {
    bench.respond(sent, {})
    bench.advance(10)
  }
}

/** Lets the thread end at its next send. */
function breakAt(transport: EngineBench['transport'], path: string): void {
  const send = transport.send.bind(transport)
  transport.send = (attemptId, to, request) => {
    if (request.path === path) throw new Error('a fault at a send')
    send(attemptId, to, request)
  }
}

/** Runs until that fault comes. */
function dieOf(run: () => void): void {
  assert.throws(run, /a fault at a send/)
}

describe('a thread that takes over', () => {
  it('sends again what was in flight, before what waited, in the old order', () => {
    const bench = new EngineBench(FAST)
    const jobs = Array.from({ length: 6 }, () => bench.submit())
    bench.advance(5)
    assert.equal(bench.sent.length, 2)
    const recovered = bench.replace()
    assert.deepEqual({ ...recovered, ms: 0 },
      { jobs: 6, inFlight: 2, webhooks: 0, finished: 0, setAside: null, ms: 0 })
    bench.advance(10)
    finishAll(bench)
    assert.deepEqual(sentIds(bench), jobs.map(({ idText }) => idText))
    assert.deepEqual([0, 1, 2, 3].map((at) => attemptOf(bench, at)), ['2', '2', '1', '1'])
    for (const job of jobs) assert.equal(bench.get(job).status, 'completed')
    assert.equal(bench.engine.unfinished, 0)
  })

  it('keeps a retry waiting for as long as it would have', () => {
    const bench = new EngineBench(FAST)
    const job = bench.submit()
    bench.respond(bench.inFlight, { status: 503, headers: { 'retry-after': '7' } })
    bench.advance(3000)
    bench.replace()
    bench.advance(3990)
    assert.equal(bench.sent.length, 0)
    bench.advance(20)
    assert.equal(bench.sent.length, 1)
    bench.respond(bench.inFlight, { body: 'late' })
    assert.equal(bench.get(job).result?.body, 'late')
  })

  it('delivers a webhook again that was in flight, and one that waits, in time', () => {
    const bench = new EngineBench(FAST)
    const job = bench.submit({ webhook: true })
    bench.respond(bench.inFlight, { body: 'out' })
    assert.equal(bench.deliveries.length, 1)
    assert.equal(bench.replace().webhooks, 1)
    bench.advance(5)
    assert.equal(bench.deliveries.length, 1)
    assert.equal(attemptOf(bench, 0), '2')
    bench.respond(bench.inFlight, { status: 500 })
    bench.replace()
    bench.advance(1900)
    assert.equal(bench.deliveries.length, 0)
    bench.advance(200)
    bench.respond(bench.inFlight, {})
    assert.equal(bench.get(job).status, 'completed')
    assert.ok(bench.engine.isIdle)
  })

  it('holds what upstream and accounts have learned, and when they were last sent to', () => {
    const bench = new EngineBench(FAST)
    for (const account of ['a', 'b']) {
      for (let job = 0; job < 3; job++) bench.put({ account, wantsAccountQueue: true })
    }
    bench.turn()
    const [first, second] = bench.sent
    assert.ok(first !== undefined && second !== undefined)
    bench.respond(first, { headers: rps(5) })
    bench.respond(second, { headers: rps(20) })
    const atUs = bench.nowUs
    bench.replace()
    bench.advance(500)
    const gapsMs = bench.sent.map((sent) => Math.floor((sent.atUs - atUs) / 1000))
    // At 20 a second after 50 and 100 ms, at 5 a second after 200 and 400 ms.
    assert.deepEqual(gapsMs, [50, 100, 200, 400])
  })

  it('finds keys and results, and forgets them in time', () => {
    const bench = new EngineBench(FAST)
    const job = bench.submit({ key: 'known' })
    bench.respond(bench.inFlight, { body: 'kept' })
    assert.equal(bench.replace().finished, 1)
    const again = bench.answer(bench.submit({ key: 'known' }).request)
    assert.ok(again.kind === 'duplicate')
    assert.equal(bench.get(job).result?.body, 'kept')
    bench.advance(61_000)
    bench.replace()
    assert.equal(bench.stats.jobSlotsUsed, 0)
    assert.equal(bench.stats.logLiveBytes, 0)
  })

  it('goes on telling whoever follows a job', () => {
    const bench = new EngineBench(FAST)
    const job = bench.submit({ watch: true })
    bench.replace()
    bench.advance(10)
    bench.respond(bench.inFlight, {})
    const names = bench.events(job).map(([name]) => name)
    assert.deepEqual(names, ['dispatching', 'retrying', 'dispatching', 'completed'])
    assert.deepEqual(bench.events(job)[1]?.[1],
      { attempt: 1, retry_in_ms: 0, reason: 'shard_restart' })
    assert.equal(bench.stats.watched, 0)
  })

  it('gives back permits that other shards wait for', () => {
    const [dying, other] = twoShards({ pacePerSecond: 1000, concurrentMax: 1 })
    dying.submit()
    other.submit()
    other.advance(5)
    assert.deepEqual([dying.sent.length, other.sent.length], [1, 0])
    dying.replace()
    other.advance(10)
    assert.equal(dying.sent.length + other.sent.length, 1, 'one permit for both')
  })

  it('cancels nothing, and can be cancelled at', () => {
    const bench = new EngineBench(FAST)
    bench.submit()
    bench.submit()
    const waiting = bench.submit()
    bench.replace()
    assert.equal(bench.cancel(waiting), CODE_OK)
    bench.replace()
    assert.equal(bench.get(waiting).status, 'cancelled')
    bench.advance(20)
    finishAll(bench)
    assert.equal(bench.stats.completed, 2)
  })
})

describe('blame', () => {
  const BAD = '/bad'
  const bad: JobParts = { url: `http://api0.test${BAD}` }

  it('falls on the job that is being sent: the second time, it has failed', () => {
    const bench = new EngineBench(FAST)
    breakAt(bench.transport, BAD)
    const job = bench.put(bad)
    const other = bench.put()
    dieOf(() => bench.turn())
    dieOf(() => {
      assert.equal(bench.replace((transport) => breakAt(transport, BAD)).setAside, null)
      bench.advance(10)
    })
    assert.equal(bench.replace((transport) => breakAt(transport, BAD)).setAside, job.idText)
    const { status, attempts, result } = bench.get(job)
    assert.deepEqual([status, attempts, result?.reason], ['failed', 2, 'shard_crash'])
    bench.advance(10)
    finishAll(bench)
    assert.equal(bench.get(other).status, 'completed')
  })

  it('does not fall on a job that is served well in between', () => {
    const bench = new EngineBench(FAST)
    const job = bench.put(bad)
    breakAt(bench.transport, BAD)
    dieOf(() => bench.turn())
    bench.replace()
    bench.advance(10)
    for (let death = 0; death < 3; death++) assert.equal(bench.replace().setAside, null)
    bench.advance(10)
    finishAll(bench)
    assert.equal(bench.get(job).status, 'completed')
  })

  it('costs a finished job no more than its webhook', () => {
    const bench = new EngineBench(FAST)
    const job = bench.submit({ webhook: true, body: 'x' })
    const breakHook = (transport: EngineBench['transport']): void => breakAt(transport, '/hook')
    breakHook(bench.transport)
    dieOf(() => {
      bench.respond(bench.inFlight, { body: 'done' })
      bench.advance(10)
    })
    dieOf(() => {
      bench.replace(breakHook)
      bench.advance(10)
    })
    assert.equal(bench.replace(breakHook).setAside, job.idText)
    assert.equal(bench.get(job).result?.body, 'done')
    assert.deepEqual(bench.get(job).webhook, { state: 'given_up', attempts: 2 })
    assert.equal(bench.stats.webhooksFailed, 1)
    assert.ok(bench.engine.isIdle)
  })

  it('falls on a request that is being taken: the second time, it is dropped', (t) => {
    const bench = new EngineBench(FAST)
    const before = bench.submit()
    const mocked = t.mock.method(JobRecords.prototype, 'storeJob', () => {
      throw new Error('a fault at a send')
    })
    const poison = bench.put()
    const after = bench.put({ key: 'after' })
    dieOf(() => bench.turn())
    dieOf(() => bench.replace())
    mocked.mock.restore()
    assert.equal(bench.replace().setAside, 'request')
    assert.equal(bench.answer(poison.request).kind, 'dropped')
    assert.equal(bench.answer(after.request).kind, 'accepted')
    assert.equal(bench.answer(before.request).kind, 'accepted')
  })
})
