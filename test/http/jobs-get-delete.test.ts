// GET and DELETE /jobs/:id in each state that a job can be in.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { jobOf } from '../support/api-client.ts'
import { Gate, Scene, UNPACED, refusingOriginFor, upstreamFor } from '../support/scene.ts'

const scene = new Scene({ flags: [...UNPACED, '--shards', '2'] })

/** An upstream that is sent one request at a time and answers none until its gate says so. */
async function gatedUpstream(t: TestContext): Promise<{
  gate: Gate, origin: string, paths: () => string[], waitFor: (count: number) => Promise<unknown>
}> {
  const gate = new Gate()
  const upstream = await upstreamFor(t, (_request, response) => {
    response.setHeader('X-Aqueduct-Max-Concurrent', '1').end('first')
  })
  await scene.api.run(jobOf(upstream.origin))
  upstream.respond = gate.hold((_request, response) => response.end('ok'))
  return {
    gate, origin: upstream.origin,
    paths: () => upstream.requests.slice(1).map(({ path }) => path),
    waitFor: (count) => upstream.waitFor(count + 1),
  }
}

describe('GET /jobs/:id', () => {
  it('shows a job that waits with its position, and one in flight without', async (t) => {
    const { gate, origin, waitFor } = await gatedUpstream(t)
    const beforeMs = Date.now()
    const first = await scene.api.accept(jobOf(`${origin}/1`))
    const second = await scene.api.accept(jobOf(`${origin}/2`, { method: 'POST' }))
    const third = await scene.api.accept(jobOf(`${origin}/3`))
    await waitFor(1)
    const flying = (await scene.api.show(first)).body
    assert.equal(flying.status, 'in_flight')
    assert.equal(flying.attempts, 1)
    assert.ok(!('position' in flying) && !('result' in flying))
    const shown = await scene.api.show(second)
    assert.equal(shown.status, 200)
    const { created_at: createdAt, ...waiting } = shown.body
    assert.deepEqual(waiting, {
      job_id: second, status: 'queued', url: `${origin}/2`, method: 'POST', attempts: 0,
      position: 1,
    })
    assert.ok(Number(createdAt) >= beforeMs - 1000 && Number(createdAt) <= Date.now() + 1000)
    assert.equal((await scene.api.show(third)).body.position, 2)
    gate.open()
    await scene.api.finished(third)
  })

  it('shows the result of a completed job, again and again', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(203).end('dönne')
    })
    const job = await scene.api.run(jobOf(`${upstream.origin}/x`))
    const { created_at: createdAt, ...rest } = job
    assert.equal(typeof createdAt, 'number')
    assert.deepEqual(rest, {
      job_id: job.job_id, status: 'completed', url: `${upstream.origin}/x`, method: 'GET',
      attempts: 1, result: { status: 'completed', response_status: 203, body: 'dönne' },
    })
    assert.deepEqual((await scene.api.show(String(job.job_id))).body, job)
  })

  it('shows why a job failed', async (t) => {
    const job = await scene.api.run(jobOf(await refusingOriginFor(t), { max_retries: 0 }))
    assert.equal(job.status, 'failed')
    assert.equal(job.attempts, 1)
    assert.deepEqual(job.result, { status: 'failed', reason: 'connection_error' })
  })

  it('is 404 for a job that is not there and for what is no id', async () => {
    const ids = ['0'.repeat(24), 'f'.repeat(24), 'x', 'A'.repeat(24), '0'.repeat(25), '%00',
      'j'.repeat(2000), '..%2f..%2fetc']
    for (const id of ids) {
      for (const method of ['GET', 'DELETE']) {
        const answer = await scene.api.send(method, `/jobs/${id}`)
        assert.equal(answer.status, 404, `${method} ${id}`)
        assert.deepEqual(Object.keys(answer.body).toSorted(), ['code', 'error'])
      }
      assert.equal((await scene.api.send('GET', `/jobs/${id}/stream`)).status, 404)
    }
  })
})

describe('DELETE /jobs/:id', () => {
  it('cancels a job that waits: it is never sent, and those behind it move up', async (t) => {
    const { gate, origin, paths } = await gatedUpstream(t)
    const ids: string[] = []
    for (const path of ['/1', '/2', '/3', '/4']) {
      ids.push(await scene.api.accept(jobOf(origin + path)))
    }
    const [, second, third, fourth] = ids as [string, string, string, string]
    const answer = await scene.api.cancel(second)
    assert.equal(answer.status, 200)
    assert.equal(answer.body.job_id, second)
    assert.equal(answer.body.status, 'cancelled')
    assert.equal((await scene.api.show(third)).body.position, 1)
    const again = await scene.api.cancel(second)
    assert.equal(again.status, 200, 'cancelling twice is cancelling')
    assert.equal(again.body.status, 'cancelled')
    assert.equal((await scene.api.show(second)).body.status, 'cancelled')
    gate.open()
    await scene.api.finished(fourth)
    assert.deepEqual(paths(), ['/1', '/3', '/4'])
  })

  it('frees the key of the cancelled job', async (t) => {
    const { gate, origin, paths } = await gatedUpstream(t)
    await scene.api.accept(jobOf(`${origin}/1`))
    const job = jobOf(`${origin}/2`)
    const cancelled = await scene.api.accept(job)
    await scene.api.cancel(cancelled)
    const anew = await scene.api.accept(job)
    assert.notEqual(anew, cancelled)
    gate.open()
    await scene.api.finished(anew)
    assert.deepEqual(paths(), ['/1', '/2'])
  })

  it('cancels a job that waits for its retry', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(503, { 'Retry-After': '30' }).end()
    })
    const jobId = await scene.api.accept(jobOf(upstream.origin))
    let shown = await scene.api.show(jobId)
    while (shown.body.retry_at === undefined) shown = await scene.api.show(jobId)
    assert.equal(shown.body.status, 'queued')
    assert.equal((await scene.api.cancel(jobId)).body.status, 'cancelled')
    assert.equal((await scene.api.finished(jobId)).status, 'cancelled')
    assert.equal(upstream.requests.length, 1)
  })

  it('is 409 for a job that has been sent or is finished', async (t) => {
    const { gate, origin, waitFor } = await gatedUpstream(t)
    const jobId = await scene.api.accept(jobOf(origin))
    await waitFor(1)
    for (const status of ['in_flight', 'completed']) {
      const answer = await scene.api.cancel(jobId)
      assert.equal(answer.status, 409)
      assert.equal(answer.body.code, 'not_cancellable')
      assert.equal(answer.body.status, status)
      gate.open()
      await scene.api.finished(jobId)
    }
  })
})
