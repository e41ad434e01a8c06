// A whole shard on virtual time, state by state: what becomes of a job, of its key and of its
// webhook, with every answer and every request compared word for word.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  JOB_DEADLINE_MS, QUEUED_KEY_TTL_MS, RETRIES_UNLIMITED,
} from '../../../../shards/memory/limits.ts'
import type { FailureReason } from '../../../../shards/signals/response.ts'
import {
  CODE_NOT_CANCELLABLE, CODE_NOT_FOUND, CODE_OK, INGRESS_CANCEL, INGRESS_GET,
} from '../../../../shards/wire/contract.ts'
import { EngineBench, SETTINGS } from '../../../support/engine-bench.ts'

const NOBODY = { idLow: 12_345 }
const DAY_MS = 24 * 3600 * 1000
assert.equal(QUEUED_KEY_TTL_MS, DAY_MS)
assert.equal(JOB_DEADLINE_MS, DAY_MS)

describe('a job', () => {
  it('is accepted, sent, completed and reported', () => {
    const bench = new EngineBench()
    const job = bench.submit({ body: 'hello', webhook: true })
    assert.deepEqual(bench.answer(job.request), { kind: 'accepted', request: job.request })
    const { request, headers } = bench.inFlight
    assert.deepEqual(
      [request.origin, request.path, request.method], ['http://api0.test', '/path?q=1', 'POST'])
    assert.equal(Buffer.from(request.body ?? []).toString(), 'hello')
    assert.equal(headers['X-Mine'], 'yes')
    assert.equal(headers['X-Sluice-Job-Id'], job.idText)
    assert.equal(headers['X-Sluice-Attempt'], '1')
    assert.equal(bench.get(job).status, 'in_flight')

    bench.respond(bench.inFlight, { status: 201, body: 'made' })
    const [delivery] = bench.deliveries
    assert.ok(delivery !== undefined)
    assert.equal(delivery.request.method, 'POST')
    assert.equal(delivery.request.path, '/hook')
    assert.deepEqual(JSON.parse(Buffer.from(delivery.request.body ?? []).toString()), {
      job_id: job.idText, status: 'completed', response_status: 201, body: 'made',
    })
    assert.deepEqual(delivery.headers, {
      'Content-Type': 'application/json', 'User-Agent': SETTINGS.userAgent,
      'X-Sluice-Job-Id': job.idText, 'X-Sluice-Attempt': '1',
    })
    assert.equal(bench.engine.isIdle, false)
    bench.respond(delivery)
    assert.equal(bench.engine.isIdle, true)
    const view = bench.get(job)
    assert.deepEqual([view.status, view.attempts, view.result], [
      'completed', 1, { status: 'completed', response_status: 201, body: 'made' },
    ])
    const { accepted, attempts, completed, webhooksDelivered } = bench.stats
    assert.deepEqual([accepted, attempts, completed, webhooksDelivered], [1, 1, 1, 1])
  })

  it('is shown as it waits, with its place in line', () => {
    const bench = new EngineBench()
    bench.submit()
    const jobs = [bench.submit(), bench.submit()]
    assert.deepEqual(jobs.map((job) => bench.get(job)), [1, 2].map((position) => ({
      status: 'queued', url: 'http://api0.test/path?q=1', method: 'GET',
      created_at: bench.nowMs, attempts: 0, position,
    })))
    assert.equal(bench.engine.unfinished, 3)
    const answer = bench.answer(bench.ask(INGRESS_GET, NOBODY))
    assert.deepEqual(
      answer, { kind: 'job', request: 3 + 2, code: CODE_NOT_FOUND, view: null })
  })

  it('carries the load of its upstream in its headers', () => {
    const bench = new EngineBench()
    bench.submit()
    bench.put({ account: 'a' })
    bench.put({ account: 'b' })
    bench.submit({ account: 'b' })
    bench.advance(500)
    assert.equal(bench.sent.length, 2)
    const { headers } = bench.inFlight
    // Two are waiting, two in flight.
    assert.equal(headers['X-Aqueduct-Total-Jobs'], '4')
    assert.equal(headers['X-Aqueduct-Queue-Depth'], '2')
    assert.equal(headers['X-Aqueduct-Flow-Rate'], '2.00')
    assert.equal(headers['X-EZTHROTTLE-CURRENT-MAX-CONCURRENT'], '100')
    assert.equal(headers['X-EZTHROTTLE-CURRENT-QUEUE-MODE'], 'shared')
  })

  for (const status of [200, 204, 302, 400, 404, 499]) {
    it(`is completed by a ${status}`, () => {
      const bench = new EngineBench()
      const job = bench.submit()
      bench.respond(bench.inFlight, { status })
      const result = { status: 'completed', response_status: status, body: '' }
      assert.deepEqual(bench.get(job).result, result)
    })
  }
})

describe('a retry', () => {
  it('waits for as long as Retry-After asks, and goes out in its turn', () => {
    const bench = new EngineBench()
    const job = bench.submit()
    const began = bench.nowUs
    bench.respond(bench.inFlight, { status: 503, headers: { 'retry-after': '7' } })
    const view = bench.get(job)
    assert.deepEqual([view.status, view.attempts, view.position], ['queued', 1, undefined])
    assert.equal(view.retry_at, bench.nowMs + 7000)
    assert.equal(bench.stats.retrying, 1)
    bench.advance(6999)
    assert.equal(bench.sent.length, 1)
    bench.advance(2)
    assert.equal(bench.sent.length, 2)
    assert.ok(bench.inFlight.atUs >= began + 7_000_000)
    assert.equal(bench.inFlight.headers['X-Sluice-Attempt'], '2')
    bench.respond(bench.inFlight, { body: 'at last' })
    assert.deepEqual([bench.get(job).status, bench.get(job).attempts], ['completed', 2])
  })

  it('comes before the jobs that wait behind it', () => {
    const bench = new EngineBench({ pacePerSecond: 1 })
    const first = bench.submit()
    const second = bench.submit()
    bench.fail(bench.inFlight, 'connection_error')
    // The first attempt's jitter is below a second, so its turn is the next send of all.
    bench.advance(1000)
    assert.equal(bench.inFlight.headers['X-Sluice-Job-Id'], first.idText)
    bench.advance(1000)
    assert.equal(bench.inFlight.headers['X-Sluice-Job-Id'], second.idText)
  })

  it('is over when the retries are, and the last answer is kept', () => {
    const bench = new EngineBench()
    const job = bench.submit({ retries: 2, webhook: true })
    for (let attempt = 1; attempt <= 3; attempt++) {
      assert.equal(bench.inFlight.headers['X-Sluice-Attempt'], String(attempt))
      bench.respond(bench.inFlight, { status: 500, body: `no ${attempt}` })
      if (attempt < 3) bench.advance(5000)
    }
    const result = {
      status: 'failed', reason: 'upstream_error', response_status: 500, body: 'no 3',
    }
    assert.deepEqual(bench.get(job).result, result)
    assert.deepEqual(JSON.parse(Buffer.from(bench.inFlight.request.body ?? []).toString()),
      { job_id: job.idText, ...result })
    const { retries, failed, attempts } = bench.stats
    assert.deepEqual([retries, failed, attempts], [2, 1, 3])
  })

  const failures: FailureReason[] = [
    'connection_error', 'dns_error', 'tls_error', 'protocol_error', 'response_headers_too_large',
    'timeout',
  ]
  for (const reason of failures) {
    it(`follows a ${reason}, which is the reason when there is none left`, () => {
      const bench = new EngineBench()
      const job = bench.submit({ retries: 1 })
      bench.fail(bench.inFlight, reason)
      bench.advance(2000)
      bench.fail(bench.inFlight, reason)
      assert.deepEqual(bench.get(job).result, { status: 'failed', reason })
    })
  }

  it('does not follow what cannot be sent', () => {
    const bench = new EngineBench()
    const job = bench.submit()
    bench.fail(bench.inFlight, 'request_refused')
    assert.deepEqual(bench.get(job).result, { status: 'failed', reason: 'request_refused' })
    assert.equal(bench.sent.length, 1)
  })

  it('follows the deadline of an attempt, which is given up', () => {
    const bench = new EngineBench({ timeoutMs: 3000 })
    const job = bench.submit({ retries: 0 })
    const attempt = bench.inFlight
    // Headers that come and a body that does not are no answer.
    bench.transport.head(attempt, { status: 200 })
    bench.advance(2999)
    assert.equal(attempt.isAborted, false)
    bench.advance(2)
    assert.equal(attempt.isAborted, true)
    assert.deepEqual(bench.get(job).result, { status: 'failed', reason: 'timeout' })
  })

  it('goes on without end for a day, and not a moment longer', () => {
    const bench = new EngineBench({ timeoutMs: 2 * DAY_MS })
    const job = bench.submit({ retries: RETRIES_UNLIMITED })
    const began = bench.nowUs
    for (let attempt = 0; attempt < 200; attempt++) {
      bench.fail(bench.inFlight, 'connection_error')
      bench.advance(60_001)
    }
    assert.equal(bench.get(job).attempts, 201)
    bench.respond(bench.inFlight, { status: 503, headers: { 'retry-after': '72000' } })
    bench.advance(72_001_000)
    const untilUs = began + DAY_MS * 1000
    while (bench.get(job).status !== 'failed') {
      assert.ok(bench.nowUs < untilUs, 'tried beyond its deadline')
      bench.respond(bench.inFlight, { status: 503, headers: { 'retry-after': '60' } })
      bench.advance(60_001)
    }
    assert.ok(bench.nowUs > untilUs - 130_000_000, 'given up long before its deadline')
    assert.equal(bench.get(job).result?.reason, 'deadline_exceeded')
  })
})

describe('a cancellation', () => {
  it('takes a queued job out of its line', () => {
    const bench = new EngineBench()
    const [first, second, third] = [bench.submit(), bench.submit(), bench.submit()]
    assert.equal(bench.cancel(second), CODE_OK)
    assert.deepEqual(
      bench.get(second).result, { status: 'cancelled' }, 'nobody is told but who asks')
    bench.respond(bench.inFlight)
    bench.advance(500)
    assert.equal(bench.inFlight.headers['X-Sluice-Job-Id'], third.idText)
    assert.equal(bench.get(first).status, 'completed')
    assert.equal(bench.stats.cancelled, 1)
  })

  it('answers with the job as it is from then on', () => {
    const bench = new EngineBench()
    bench.submit()
    const job = bench.submit()
    assert.deepEqual(bench.answer(bench.ask(INGRESS_CANCEL, job)), {
      kind: 'job', request: 2, code: CODE_OK, view: {
        status: 'cancelled', url: 'http://api0.test/path?q=1', method: 'GET',
        created_at: bench.nowMs, attempts: 0,
      },
    })
  })

  it('calls off a retry', () => {
    const bench = new EngineBench()
    const job = bench.submit({ webhook: true })
    bench.fail(bench.inFlight, 'timeout')
    assert.equal(bench.cancel(job), CODE_OK)
    bench.advance(50_000)
    assert.equal(bench.sent.length, 1, 'neither an attempt nor a webhook')
    assert.equal(bench.stats.retrying, 0)
    assert.equal(bench.get(job).status, 'cancelled')
  })

  it('comes too late for what is in flight or finished', () => {
    const bench = new EngineBench()
    const job = bench.submit()
    assert.equal(bench.cancel(job), CODE_NOT_CANCELLABLE)
    bench.respond(bench.inFlight)
    assert.equal(bench.cancel(job), CODE_NOT_CANCELLABLE)
    assert.equal(bench.get(job).status, 'completed')
  })

  it('may be repeated, and finds no job that is not there', () => {
    const bench = new EngineBench()
    bench.submit()
    const job = bench.submit()
    assert.deepEqual([bench.cancel(job), bench.cancel(job)], [CODE_OK, CODE_OK])
    assert.equal(bench.cancel(NOBODY), CODE_NOT_FOUND)
    assert.equal(bench.stats.cancelled, 1)
  })
})

describe('a known key', () => {
  it('leads to the job that has it, in every state', () => {
    const bench = new EngineBench()
    const job = bench.submit({ key: 'mine' })
    const again = (): unknown => {
      const outcome = bench.answer(bench.submit({ key: 'mine' }).request)
      return outcome.kind === 'duplicate' && outcome.id === job.idText
        ? [outcome.status, outcome.result]
        : outcome
    }
    assert.deepEqual(again(), ['in_flight', null])
    bench.fail(bench.inFlight, 'timeout')
    assert.deepEqual(again(), ['queued', null])
    bench.advance(2000)
    bench.respond(bench.inFlight, { body: 'done' })
    assert.deepEqual(
      again(), ['completed', { status: 'completed', response_status: 200, body: 'done' }])
    assert.equal(bench.sent.length, 2)
    const { accepted, duplicates } = bench.stats
    assert.deepEqual([accepted, duplicates], [1, 3])
  })

  it('is free again when its job has failed or was cancelled', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    bench.submit({ key: 'mine', retries: 0 })
    bench.fail(bench.inFlight, 'timeout')
    const second = bench.submit({ key: 'mine', retries: 0 })
    assert.equal(bench.answer(second.request).kind, 'accepted')
    bench.advance(1)
    bench.fail(bench.inFlight, 'connection_error')
    const third = bench.submit({ key: 'mine' })
    bench.advance(1)
    bench.fail(bench.inFlight, 'timeout')
    assert.equal(bench.cancel(third), CODE_OK)
    assert.equal(bench.answer(bench.submit({ key: 'mine' }).request).kind, 'accepted')
  })

  it('is free again after a day in the queue, and the job keeps its place', () => {
    const bench = new EngineBench({ concurrentMax: 1, timeoutMs: 2 * DAY_MS })
    bench.submit()
    const old = bench.submit({ key: 'mine' })
    bench.advance(DAY_MS - 1)
    assert.equal(bench.answer(bench.submit({ key: 'mine' }).request).kind, 'duplicate')
    bench.advance(1)
    const fresh = bench.submit({ key: 'mine' })
    assert.equal(bench.answer(fresh.request).kind, 'accepted')
    assert.deepEqual([old, fresh].map((job) => bench.get(job).position), [1, 2])
    for (const job of [old, fresh]) {
      bench.respond(bench.inFlight)
      bench.advance(500)
      assert.equal(bench.inFlight.headers['X-Sluice-Job-Id'], job.idText)
    }
    // The key is the second one's; that the first one has failed does not free it.
    const again = bench.answer(bench.submit({ key: 'mine' }).request)
    assert.equal(again.kind === 'duplicate' && again.id, fresh.idText)
  })

  it('is free again when its result has had its time', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    const job = bench.submit({ key: 'mine' })
    bench.respond(bench.inFlight)
    bench.advance(SETTINGS.completedTtlMs - 1)
    assert.equal(bench.answer(bench.submit({ key: 'mine' }).request).kind, 'duplicate')
    bench.advance(1)
    const answer = bench.answer(bench.ask(INGRESS_GET, job))
    assert.ok(answer.kind === 'job' && answer.code === CODE_NOT_FOUND)
    assert.equal(bench.answer(bench.submit({ key: 'mine' }).request).kind, 'accepted')
  })
  // A second execution of a completed key is what must never happen.
  it('is not free while the webhook is owed, whatever time the job had to begin by', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    bench.submit({ key: 'mine', webhook: true, beginWithinMs: 2000 })
    bench.respond(bench.inFlight)
    bench.advance(3000)
    assert.equal(bench.answer(bench.submit({ key: 'mine' }).request).kind, 'duplicate')
  })

  it('is not free at the very moment when the webhook is due again', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    bench.submit({ key: 'mine', webhook: true })
    bench.respond(bench.inFlight)
    bench.respond(bench.inFlight, { status: 500 })
    // One turn finds both: the key in the ring, and the delivery in the wheel.
    bench.advance(999)
    const again = bench.put({ key: 'mine' })
    bench.advance(2)
    assert.equal(bench.answer(again.request).kind, 'duplicate')
    assert.equal(bench.deliveries.length, 2)
  })
})

describe('a job that had to begin by a certain time', () => {
  it('fails when it could not, wherever it stands in line', () => {
    const bench = new EngineBench()
    bench.submit()
    const [first, second, third] = [
      bench.submit(), bench.submit({ beginWithinMs: 300, webhook: true }), bench.submit(),
    ]
    bench.advance(299)
    assert.equal(bench.get(second).status, 'queued')
    bench.advance(25)
    const result = { status: 'failed', reason: 'execution_deadline_exceeded' }
    assert.deepEqual(bench.get(second).result, result)
    assert.deepEqual(JSON.parse(Buffer.from(bench.inFlight.request.body ?? []).toString()),
      { job_id: second.idText, ...result })
    assert.equal(bench.get(second).attempts, 0)
    bench.respond(bench.inFlight)
    bench.advance(1000)
    const went = bench.sent.map(({ headers }) => headers['X-Sluice-Job-Id'])
    assert.deepEqual(went.slice(2), [first.idText, third.idText])
  })

  it('fails at once when the time has passed already', () => {
    const bench = new EngineBench()
    const job = bench.submit({ beginWithinMs: -1 })
    assert.equal(bench.get(job).result?.reason, 'execution_deadline_exceeded')
    assert.equal(bench.sent.length, 0)
  })

  it('is left alone once it has begun, its retries included', () => {
    const bench = new EngineBench()
    const job = bench.submit({ beginWithinMs: 300 })
    bench.advance(1000)
    bench.respond(bench.inFlight, { status: 503, headers: { 'retry-after': '5' } })
    bench.advance(5001)
    bench.respond(bench.inFlight)
    assert.equal(bench.get(job).status, 'completed')
  })
})
