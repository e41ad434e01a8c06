// Webhooks: what they say, at least once; what is tried again and when; and that a receiver's pace
// and its silence are its own.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type JobFields, type WebhookBody, jobOf } from '../support/api-client.ts'
import { Scene, UNPACED, rawUpstreamFor, refusingOriginFor, upstreamFor } from '../support/scene.ts'
import { LagProbe, assertWithinPace } from '../support/send-times.ts'
import type { TestUpstream } from '../support/upstream.ts';
import { type RecordedRequest } from '../support/upstream.ts'

const WEBHOOK_TIMEOUT_MS = 700
const scene = new Scene({
  flags: [...UNPACED, '--shards', '2', '--webhook-timeout', `${WEBHOOK_TIMEOUT_MS}ms`],
})

const told = (request: RecordedRequest | undefined): WebhookBody =>
  JSON.parse(String(request?.body)) as WebhookBody

const reportedTo = (receiver: TestUpstream, fields: JobFields = {}): JobFields =>
  ({ delivery: undefined, webhook_url: `${receiver.origin}/hook?a=1`, ...fields })

describe('a webhook', { concurrency: true }, () => {
  it('tells that a job is completed, with status and body', async (t) => {
    const receiver = await upstreamFor(t)
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(404).end('no such thing, ☃')
    })
    const jobId = await scene.api.accept(jobOf(upstream.origin, reportedTo(receiver)))
    const [request] = await receiver.waitFor(1)
    assert.equal(request?.method, 'POST')
    assert.equal(request.path, '/hook?a=1')
    assert.equal(request.headers['content-type'], 'application/json')
    assert.deepEqual(told(request), {
      job_id: jobId, status: 'completed', response_status: 404, body: 'no such thing, ☃',
    })
    assert.deepEqual((await scene.api.show(jobId)).body.result, {
      status: 'completed', response_status: 404, body: 'no such thing, ☃',
    })
  })

  it('tells that a job has failed, and why', async (t) => {
    const receiver = await upstreamFor(t)
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(502).end('bad gateway')
    })
    const answered = await scene.api.accept(
      jobOf(upstream.origin, reportedTo(receiver, { max_retries: 0 })))
    const silent = await scene.api.accept(
      jobOf(await refusingOriginFor(t), reportedTo(receiver, { max_retries: 0 })))
    await receiver.waitFor(2)
    const byId = new Map(receiver.requests.map((request) => [told(request).job_id, told(request)]))
    assert.deepEqual(byId.get(answered), {
      job_id: answered, status: 'failed', reason: 'upstream_error', response_status: 502,
      body: 'bad gateway',
    })
    assert.deepEqual(byId.get(silent),
      { job_id: silent, status: 'failed', reason: 'connection_error' })
  })

  it('carries a body that is not UTF-8 as body_base64', async (t) => {
    const receiver = await upstreamFor(t)
    const bytes = Buffer.from([0xff, 0, 0xfe, 10])
    const upstream = await upstreamFor(t, (_request, response) => { response.end(bytes) })
    await scene.api.accept(jobOf(upstream.origin, reportedTo(receiver)))
    const [request] = await receiver.waitFor(1)
    const { job_id: _, ...outcome } = told(request)
    assert.deepEqual(outcome, {
      status: 'completed', response_status: 200, body_base64: bytes.toString('base64'),
    })
  })

  it('is delivered again after 1, 2, 4 and 8 s, and then no more', async (t) => {
    const receiver = await upstreamFor(t, (_request, response) => {
      response.writeHead(500).end()
    })
    const moved = await upstreamFor(t, (_request, response) => {
      response.writeHead(302, { Location: receiver.origin }).end()
    })
    const upstream = await upstreamFor(t)
    const ids = [
      await scene.api.accept(jobOf(upstream.origin, reportedTo(receiver))),
      await scene.api.accept(jobOf(upstream.origin, reportedTo(moved))),
    ] as const
    for (const { requests } of [
      { requests: await receiver.waitFor(5) }, { requests: await moved.waitFor(5) },
    ]) {
      const waitsMs = requests.slice(1).map((request, at) =>
        (request.atUs - Number(requests[at]?.atUs)) / 1000)
      for (const [at, waitMs] of waitsMs.entries()) {
        const expectedMs = 1000 * 2 ** at
        assert.ok(waitMs > expectedMs - 100 && waitMs < expectedMs + 1000,
          `delivery ${at + 2} after ${waitMs} ms`)
      }
      assert.deepEqual(requests.map(({ headers }) => headers['x-sluice-attempt']),
        ['1', '2', '3', '4', '5'])
    }
    for (const [id, lastStatus] of [[ids[0], 500], [ids[1], 302]] as const) {
      let shown = (await scene.api.show(id)).body
      while (shown.webhook?.state !== 'given_up') shown = (await scene.api.show(id)).body
      assert.deepEqual(shown.webhook, { state: 'given_up', attempts: 5, last_status: lastStatus })
      assert.equal(shown.result?.status, 'completed')
    }
    assert.equal(receiver.requests.length, 5)
    assert.equal(moved.requests.length, 5)
  })

  it('ends with the first 2xx', async (t) => {
    let left = 2
    const receiver = await upstreamFor(t, (_request, response) => {
      response.writeHead(left-- > 0 ? 429 : 204).end()
    })
    const upstream = await upstreamFor(t)
    await scene.api.accept(jobOf(upstream.origin, reportedTo(receiver)))
    const requests = await receiver.waitFor(3)
    assert.equal(new Set(requests.map((request) => request.body.toString())).size, 1)
  })

  it('is tried again when the receiver hangs, resets, or talks garbage', async (t) => {
    const upstream = await upstreamFor(t)
    let connections = 0
    const receiver = await rawUpstreamFor(t, (socket) => {
      connections += 1
      if (connections === 2) socket.resetAndDestroy()
      else if (connections === 3) socket.end('garbage\r\n\r\n')
      else if (connections > 3) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    })
    const jobId = await scene.api.accept(jobOf(upstream.origin, {
      delivery: 'webhook', webhook_url: receiver.origin,
    }))
    await receiver.connections.waitForOpened(4)
    assert.equal((await scene.api.show(jobId)).body.status, 'completed')
  })

  it('is done with the head of a 2xx, though its body is cut', async (t) => {
    const upstream = await upstreamFor(t)
    const receiver = await rawUpstreamFor(t, (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nhalf of', () => {
        setImmediate(() => socket.resetAndDestroy())
      })
    })
    const jobId = await scene.api.accept(jobOf(upstream.origin, {
      delivery: 'webhook', webhook_url: receiver.origin,
    }))
    await receiver.connections.waitForOpened(1)
    await receiver.connections.waitForOpen(0)
    let { webhook } = (await scene.api.show(jobId)).body
    while (webhook?.state === 'owed') webhook = (await scene.api.show(jobId)).body.webhook
    assert.deepEqual(webhook, { state: 'delivered', attempts: 1, last_status: 200 })
  })

  it('keeps to the pace of its receiver, which is not the upstream\'s', async (t) => {
    const lag = new LagProbe()
    lag.watch(scene.server.url)
    t.after(() => lag.stop())
    const receiver = await upstreamFor(t, (_request, response) => {
      response.setHeader('X-Aqueduct-Rps', '10').end()
    })
    const upstream = await upstreamFor(t)
    await scene.api.accept(jobOf(upstream.origin, reportedTo(receiver)))
    await receiver.waitFor(1)
    const jobs = Array.from({ length: 20 }, () => jobOf(upstream.origin, reportedTo(receiver)))
    await Promise.all(jobs.map((job) => scene.api.accept(job)))
    await upstream.waitFor(21)
    const sentUs = Number(upstream.requests.at(-1)?.atUs)
    assert.ok(receiver.requests.length < 15, 'the jobs did not wait for their webhooks')
    const requests = await receiver.waitFor(21)
    assertWithinPace(requests, 10, lag)
    assert.ok(Number(requests.at(-1)?.atUs) - sentUs > 500_000)
    const ids = requests.map((request) => told(request).job_id)
    assert.equal(new Set(ids).size, 21, 'each job is reported once')
  })

  it('that nobody takes holds up no other receiver', async (t) => {
    const upstream = await upstreamFor(t)
    const deaf = await rawUpstreamFor(t, () => { /* never answers */ })
    const receiver = await upstreamFor(t)
    const toDeaf = { delivery: undefined, webhook_url: deaf.origin }
    for (let job = 0; job < 200; job++) await scene.api.accept(jobOf(upstream.origin, toDeaf))
    await deaf.connections.waitForOpened(1)
    await scene.api.accept(jobOf(upstream.origin, reportedTo(receiver)))
    await receiver.waitFor(1)
  })

  it('is not sent for a job that was cancelled', async (t) => {
    const receiver = await upstreamFor(t)
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(503, { 'Retry-After': '60' }).end()
    })
    const jobId = await scene.api.accept(jobOf(upstream.origin, reportedTo(receiver)))
    await upstream.waitFor(1)
    let status = (await scene.api.cancel(jobId)).body.status
    while (status !== 'cancelled') status = (await scene.api.cancel(jobId)).body.status
    const other = await upstreamFor(t)
    const otherId = await scene.api.accept(jobOf(other.origin, reportedTo(receiver)))
    await receiver.waitFor(1)
    assert.deepEqual(receiver.requests.map((request) => told(request).job_id), [otherId])
  })

  it('is sent for a job that is polled too, if it is named', async (t) => {
    const receiver = await upstreamFor(t)
    const upstream = await upstreamFor(t)
    const { job_id: jobId } = await scene.api.run(
      jobOf(upstream.origin, reportedTo(receiver, { delivery: 'poll' })))
    const [request] = await receiver.waitFor(1)
    assert.equal(told(request).job_id, jobId)
  })
})
