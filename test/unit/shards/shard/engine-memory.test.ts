// A whole shard whose room is short: what it refuses, what it forgets, what it keeps for later when
// its ring or its log is full, and what it gives back.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KIB } from '../../../../shards/base/units.ts'
import { IDLE_KEEP_MS_MIN } from '../../../../shards/memory/limits.ts'
import { BODY_GIVEN_UP_BYTES_MIN } from '../../../../shards/memory/result-limits.ts'
import {
  CODE_NOT_CANCELLABLE, CODE_NOT_FOUND, CODE_OK, INGRESS_GET, REFUSED_JOBS, REFUSED_MEMORY,
} from '../../../../shards/wire/contract.ts'
import {
  EngineBench, OTHER_UPSTREAM, RECEIVER, type Submitted, UPSTREAM,
} from '../../../support/engine-bench.ts'

describe('a shard without a free slot', () => {
  it('refuses a job, says why, and keeps no trace of it', () => {
    const bench = new EngineBench({ limits: { jobsMax: 3 } })
    for (let job = 0; job < 3; job++) bench.submit()
    const refused = bench.submit({ key: 'mine' })
    assert.deepEqual(bench.answer(refused.request), {
      kind: 'refused', request: refused.request, reason: REFUSED_JOBS, limit: 3, current: 3,
    })
    const answer = bench.answer(bench.ask(INGRESS_GET, refused))
    assert.ok(answer.kind === 'job' && answer.code === CODE_NOT_FOUND)
    assert.deepEqual([bench.stats.refusedJobs, bench.stats.accepted], [1, 3])
    bench.respond(bench.inFlight)
    assert.equal(bench.answer(bench.submit({ key: 'mine' }).request).kind, 'accepted')
  })

  it('forgets finished jobs for a new one, cancelled and failed ones before keys are lost', () => {
    const bench = new EngineBench({ pacePerSecond: 1000, limits: { jobsMax: 3 } })
    const completed = bench.submit()
    bench.respond(bench.inFlight)
    bench.advance(10)
    const failed = bench.submit({ retries: 0 })
    bench.fail(bench.inFlight, 'timeout')
    bench.advance(10)
    bench.submit()
    const isKnown = (job: { idLow: number }): boolean => {
      const answer = bench.answer(bench.ask(INGRESS_GET, job))
      return answer.kind === 'job' && answer.code === CODE_OK
    }
    assert.equal(bench.answer(bench.submit().request).kind, 'accepted')
    assert.deepEqual([isKnown(failed), isKnown(completed)], [false, true])
    assert.equal(bench.stats.keysGivenUp, 0)
    assert.equal(bench.answer(bench.submit().request).kind, 'accepted')
    assert.equal(isKnown(completed), false)
    assert.equal(bench.stats.keysGivenUp, 1)
    assert.equal(bench.answer(bench.submit().request).kind, 'refused')
  })
})

describe('a shard without room in its log', () => {
  it('refuses a job, says why, and takes the next one that fits', () => {
    const bench = new EngineBench({ limits: { segmentsMax: 8 } })
    const body = 'b'.repeat(3 * KIB)
    const accepted = []
    let answer = { kind: '' }
    for (;;) {
      const job = bench.submit({ body, user: accepted.length })
      answer = bench.answer(job.request)
      if (answer.kind !== 'accepted') break
      accepted.push(job)
    }
    assert.ok('reason' in answer && answer.reason === REFUSED_MEMORY)
    assert.ok(accepted.length > 1)
    assert.equal(bench.stats.refusedMemory, 1)
    bench.engine.verify()
    for (const job of accepted.slice(1)) assert.equal(bench.cancel(job), CODE_OK)
    const next = bench.submit({ body, user: accepted.length })
    assert.equal(bench.answer(next.request).kind, 'accepted')
    bench.engine.verify()
  })

  it('gives up the bodies of the oldest results, and says so when they are asked for', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    // A quarter of the log, 18 KiB, is for results.
    const jobs = []
    for (let count = 0; count < 10; count++) {
      const job = bench.submit({ key: `key ${count}` })
      bench.respond(bench.inFlight, { status: 201, body: 'r'.repeat(3 * KIB) })
      bench.advance(10)
      jobs.push(job)
    }
    const [first] = jobs
    assert.ok(first !== undefined)
    assert.equal(bench.stats.resultsGivenUp, 5)
    assert.deepEqual(bench.get(first).result,
      { status: 'completed', response_status: 201, truncated: true })
    assert.equal(bench.get(jobs.at(-1) ?? first).result?.body?.length, 3 * KIB)
    const again = bench.answer(bench.submit({ key: 'key 0' }).request)
    assert.equal(again.kind, 'duplicate', 'its key is known all the same')
    bench.engine.verify()
  })

  it('keeps the answers that find no room, and stores each once there is some', () => {
    const { bench, waiting, unstored, results } = fullOfResults()
    bench.advance(450)
    // They wait for room, out of their line: nothing may take them out again. What waits for its
    // turn stays in line, though it is too late for it.
    assert.equal(bench.stats.completed, results - unstored.length)
    for (const job of unstored) {
      assert.equal(bench.get(job).status, 'in_flight')
      assert.equal(bench.cancel(job), CODE_NOT_CANCELLABLE)
    }
    for (const job of waiting) assert.equal(bench.get(job).status, 'queued')
    bench.engine.verify()
    while (bench.stats.webhooksDelivered < results + waiting.length) {
      const deliveries = bench.deliveries.filter((sent) => !sent.isOver)
      assert.ok(deliveries.length > 0, `no webhook after ${bench.stats.webhooksDelivered}`)
      for (const delivery of deliveries) bench.respond(delivery)
      bench.advance(10)
    }
    assert.deepEqual([bench.stats.completed, bench.stats.failed], [results, waiting.length])
    assert.equal(bench.stats.webhooksDelivered, results + waiting.length)
    bench.engine.verify()
    for (const job of waiting) assert.equal(bench.get(job).status, 'failed')
  })

  it('cancels a job all the same, and keeps no record of it', () => {
    const { bench, waiting } = fullOfResults()
    const [job] = waiting
    assert.ok(job !== undefined)
    assert.equal(bench.cancel(job), CODE_OK)
    assert.deepEqual(bench.get(job),
      { status: 'cancelled', attempts: 0, result: { status: 'cancelled', truncated: true } })
    bench.advance(1000)
    bench.engine.verify()
  })
})


/**
 * A shard whose log is full of results, too short to be cut and all still to be delivered, so that
 * some answers find no room; and with jobs that wait, each of which is large by itself.
 */
function fullOfResults(): {
  bench: EngineBench; waiting: Submitted[]; unstored: Submitted[]; results: number
} {
  const bench = new EngineBench({
    pacePerSecond: 100_000, concurrentMax: 10_000,
    limits: { segmentsMax: 10, jobsMax: 1024 },
  })
  bench.submit({ upstream: OTHER_UPSTREAM }) // the next one there waits for half a second
  const waiting = Array.from({ length: 3 }, (_, number) => bench.submit({
    upstream: OTHER_UPSTREAM, url: `http://api1.test/${number}${'u'.repeat(2 * KIB)}`,
    webhook: true, beginWithinMs: 400,
  }))
  const jobs = []
  while (bench.stats.refusedMemory === 0) {
    jobs.push(bench.submit({ webhook: true, user: jobs.length }))
  }
  jobs.pop()
  bench.advance(20)
  const body = 'r'.repeat(BODY_GIVEN_UP_BYTES_MIN - 1)
  const flights = bench.sent.filter(({ request }) => request.origin === 'http://api0.test')
  for (const flight of flights) bench.respond(flight, { body })
  const unstored = jobs.filter((job) => bench.get(job).status === 'in_flight')
  assert.ok(unstored.length > 0, 'the log is full')
  return { bench, waiting, unstored, results: jobs.length }
}

describe('a full answer ring', () => {
  it('leaves requests where they are until it is read', () => {
    const bench = new EngineBench({ limits: { ringBytes: 4 * KIB, jobsMax: 600 } })
    bench.isDeaf = true
    const jobs = []
    for (let round = 0; round < 40; round++) {
      for (let count = 0; count < 10; count++) jobs.push(bench.put())
      bench.turn()
      const { accepted } = bench.stats
      if (accepted < jobs.length) break
    }
    const taken = bench.stats.accepted
    assert.ok(taken > 100 && taken < jobs.length, `${taken} of ${jobs.length}`)
    bench.advance(100)
    assert.equal(bench.stats.accepted, taken, 'nothing is accepted that cannot be said')
    bench.isDeaf = false
    bench.turn()
    bench.turn()
    assert.equal(bench.stats.accepted, jobs.length)
    for (const job of jobs) assert.equal(bench.answer(job.request).kind, 'accepted')
  })

  it('holds events back, and tells the latest of each job when it is read', () => {
    const bench = new EngineBench({ limits: { ringBytes: 4 * KIB, jobsMax: 600 } })
    const job = bench.submit({ watch: true, retries: 0 })
    bench.isDeaf = true
    while (bench.stats.accepted === bench.put().request) bench.turn()
    const attempt = bench.sent[0]
    assert.ok(attempt !== undefined)
    bench.respond(attempt, { status: 500 })
    bench.isDeaf = false
    bench.turn()
    bench.turn()
    assert.deepEqual(bench.events(job).map(([name]) => name), ['dispatching', 'failed'])
    assert.equal(bench.stats.watched, 0)
  })
})

describe('an upstream asked back', () => {
  it('stays while a job names it, and while its webhook does', () => {
    const bench = new EngineBench()
    bench.submit({ webhook: true })
    assert.deepEqual([bench.release(UPSTREAM), bench.release(RECEIVER)], [false, false])
    bench.respond(bench.inFlight)
    bench.advance(IDLE_KEEP_MS_MIN)
    // The receiver has not answered in time; the job is kept, and names its receiver still.
    assert.equal(bench.release(UPSTREAM), true)
    assert.equal(bench.release(OTHER_UPSTREAM), true, 'one that was never used')
    assert.deepEqual(bench.transport.forgotten, [UPSTREAM, OTHER_UPSTREAM])
  })

  it('stays for five minutes after its last send, with all that it has said', () => {
    const bench = new EngineBench()
    bench.submit()
    bench.advance(1000)
    bench.respond(bench.inFlight)
    bench.advance(IDLE_KEEP_MS_MIN - 1001)
    assert.equal(bench.release(UPSTREAM), false)
    bench.advance(2)
    assert.equal(bench.release(UPSTREAM), true)
    assert.equal(bench.stats.lanesUsed, 0)
  })

  it('can be used again at once', () => {
    const bench = new EngineBench()
    bench.submit()
    bench.respond(bench.inFlight)
    bench.advance(IDLE_KEEP_MS_MIN)
    assert.equal(bench.release(UPSTREAM), true)
    bench.submit()
    bench.respond(bench.inFlight)
    assert.equal(bench.stats.completed, 2)
  })
})
