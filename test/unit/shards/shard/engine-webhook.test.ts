// A whole shard on virtual time: what becomes of a webhook, with every delivery compared word for
// word.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WEBHOOK_RETRIES_MAX } from '../../../../shards/memory/limits.ts'
import { EngineBench, SETTINGS } from '../../../support/engine-bench.ts'

describe('a webhook', () => {
  it('is tried again after 1, 2, 4 and 8 s, and then given up', () => {
    const bench = new EngineBench()
    const job = bench.submit({ webhook: true })
    assert.equal(bench.get(job).webhook, undefined, 'nothing is owed before there is an outcome')
    bench.respond(bench.inFlight, { body: 'kept' })
    assert.deepEqual(bench.get(job).webhook, { state: 'owed', attempts: 1 })
    for (const seconds of [1, 2, 4, 8]) {
      const before = bench.deliveries.length
      bench.respond(bench.inFlight, { status: 500 })
      bench.advance(seconds * 1000 - 1)
      assert.equal(bench.deliveries.length, before)
      bench.advance(2)
      assert.equal(bench.deliveries.length, before + 1)
      assert.equal(bench.inFlight.headers['X-Sluice-Attempt'], String(before + 1))
    }
    bench.fail(bench.inFlight, 'connection_error')
    bench.advance(30_000)
    assert.equal(bench.deliveries.length, 1 + WEBHOOK_RETRIES_MAX)
    assert.equal(bench.get(job).result?.body, 'kept')
    assert.deepEqual(bench.get(job).webhook, { state: 'given_up', attempts: 5 })
    assert.equal(bench.engine.isIdle, true)
    const { webhookAttempts, webhooksFailed, webhooksDelivered } = bench.stats
    assert.deepEqual([webhookAttempts, webhooksFailed, webhooksDelivered], [5, 1, 0])
  })

  it('is ended by any 2xx, and by nothing else', () => {
    for (const [status, deliveries] of [[204, 1], [302, 2], [404, 2], [410, 2]] as const) {
      const bench = new EngineBench()
      const job = bench.submit({ webhook: true })
      bench.respond(bench.inFlight)
      bench.respond(bench.inFlight, { status })
      bench.advance(1500)
      assert.equal(bench.deliveries.length, deliveries, `${status}`)
      assert.deepEqual(bench.get(job).webhook, deliveries === 1
        ? { state: 'delivered', attempts: 1, last_status: status }
        : { state: 'owed', attempts: 2 })
    }
  })

  it('is shown as given up, with the last answer, also by a successor of the thread', () => {
    const bench = new EngineBench()
    const job = bench.submit({ webhook: true })
    const other = bench.submit()
    while (!bench.engine.isIdle) {
      for (const sent of bench.sent.filter(({ isOver }) => !isOver)) {
        bench.respond(sent, { status: bench.deliveries.includes(sent) ? 410 : 200 })
      }
      bench.advance(1000)
    }
    const webhook = { state: 'given_up', attempts: 5, last_status: 410 }
    for (const successors of [0, 1, 2]) {
      assert.deepEqual(bench.get(job).webhook, webhook, `after ${successors} deaths`)
      assert.equal(bench.get(other).webhook, undefined)
      bench.replace()
    }
  })

  it('waits longer when its receiver asks for it, and no longer than its own deadline', () => {
    const bench = new EngineBench()
    bench.submit({ webhook: true })
    bench.respond(bench.inFlight)
    bench.respond(bench.inFlight, { status: 429, headers: { 'retry-after': '20' } })
    bench.advance(19_999)
    assert.equal(bench.deliveries.length, 1)
    bench.advance(2)
    assert.equal(bench.deliveries.length, 2)
    // The receiver's own timeout is 5 s.
    bench.advance(5001)
    assert.equal(bench.deliveries[1]?.isAborted, true)
  })

  it('is put off by its receiver for as long as that may be, and no longer', () => {
    const bench = new EngineBench()
    bench.submit({ webhook: true })
    bench.respond(bench.inFlight)
    for (let tries = 1; tries <= WEBHOOK_RETRIES_MAX; tries++) {
      bench.respond(bench.inFlight, { status: 429, headers: { 'retry-after': '3600' } })
      bench.advance(SETTINGS.webhookRetryAfterMsMax - 1)
      assert.equal(bench.deliveries.length, tries)
      bench.advance(2)
      assert.equal(bench.deliveries.length, tries + 1)
    }
  })

  it('is not put off at all where receivers may not ask for it, nor are others', () => {
    const bench = new EngineBench({ settings: { webhookRetryAfterMsMax: 0 } })
    bench.submit({ webhook: true })
    bench.respond(bench.inFlight)
    bench.respond(bench.inFlight, { status: 429, headers: { 'retry-after': '30' } })
    bench.advance(1001)
    assert.equal(bench.deliveries.length, 2)
  })

  it('is delivered once its receiver has said so, whatever becomes of the answer', () => {
    for (const status of [204, 500]) {
      const bench = new EngineBench()
      bench.submit({ webhook: true })
      bench.respond(bench.inFlight)
      bench.transport.head(bench.inFlight, { status })
      bench.fail(bench.inFlight, 'connection_error')
      assert.equal(bench.stats.webhooksDelivered, status === 204 ? 1 : 0)
    }
  })

  it('shows a body that is no text as base64, and says when it was cut', () => {
    const bench = new EngineBench()
    const job = bench.submit({ webhook: true })
    bench.respond(bench.inFlight, { body: Uint8Array.of(0xff, 0, 1), truncated: true })
    assert.deepEqual(JSON.parse(Buffer.from(bench.inFlight.request.body ?? []).toString()), {
      job_id: job.idText, status: 'completed', response_status: 200, body_base64: '/wAB',
      truncated: true,
    })
  })
})
