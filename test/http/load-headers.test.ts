// The headers that Sluice adds to what it sends: which job and attempt this is, and how much is
// waiting behind it, under the names that autoscalers already know.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { jobOf } from '../support/api-client.ts'
import { Gate, Scene, upstreamFor } from '../support/scene.ts'
import type { RecordedRequest } from '../support/upstream.ts'

const scene = new Scene({ flags: ['--shards', '2', '--default-max-concurrent', '7'] })

const numberOf = ({ headers }: RecordedRequest, name: string): number =>
  Number(headers[name.toLowerCase()] ?? NaN)

describe('the added headers', { concurrency: true }, () => {
  it('name the job and the attempt, and count what is held for the upstream', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.setHeader('X-Aqueduct-Rps', '40').setHeader('X-Aqueduct-Max-Concurrent', '1').end()
    })
    await scene.api.run(jobOf(upstream.origin))
    const gate = new Gate()
    const { respond } = upstream
    upstream.respond = gate.hold(respond)
    const ids: string[] = []
    for (let job = 0; job < 10; job++) ids.push(await scene.api.accept(jobOf(upstream.origin)))
    gate.open()
    await upstream.waitFor(11)
    for (const [at, request] of upstream.requests.slice(1).entries()) {
      assert.equal(request.headers['x-sluice-job-id'], ids[at])
      assert.equal(request.headers['x-sluice-attempt'], '1')
      assert.equal(numberOf(request, 'X-Aqueduct-Flow-Rate'), 40)
      assert.equal(numberOf(request, 'X-EZTHROTTLE-CURRENT-FLOW-RATE'), 40)
      assert.equal(numberOf(request, 'X-EZTHROTTLE-CURRENT-MAX-CONCURRENT'), 1)
      assert.equal(request.headers['x-ezthrottle-current-account-queue-enabled'], 'false')
      assert.equal(request.headers['x-ezthrottle-current-queue-mode'], 'shared')
      for (const [one, other] of [
        ['X-Aqueduct-Total-Jobs', 'X-EZTHROTTLE-CURRENT-TOTAL-JOBS'],
        ['X-Aqueduct-Queue-Depth', 'X-EZTHROTTLE-CURRENT-QUEUE-DEPTH'],
      ] as const) {
        assert.equal(numberOf(request, one), numberOf(request, other), one)
      }
      // The first went out before the others were here.
      if (at === 0) continue
      assert.equal(numberOf(request, 'X-Aqueduct-Queue-Depth'), 9 - at)
      assert.equal(numberOf(request, 'X-Aqueduct-Total-Jobs'), 10 - at)
    }
  })

  it('begin with what is configured, and go on with what the upstream says', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.setHeader('X-Aqueduct-Account-Queue', 'enabled').setHeader('X-Aqueduct-Rps', '8.5')
        .end()
    })
    await scene.api.run(jobOf(upstream.origin))
    await scene.api.run(jobOf(upstream.origin))
    const [first, second] = upstream.requests as [RecordedRequest, RecordedRequest]
    assert.equal(numberOf(first, 'X-Aqueduct-Flow-Rate'), 2)
    assert.equal(numberOf(first, 'X-EZTHROTTLE-CURRENT-MAX-CONCURRENT'), 7)
    assert.equal(numberOf(second, 'X-Aqueduct-Flow-Rate'), 8.5)
    assert.equal(second.headers['x-ezthrottle-current-account-queue-enabled'], 'true')
    assert.equal(second.headers['x-ezthrottle-current-queue-mode'], 'account')
  })

  it('come besides the caller\'s own, which have no names like theirs', async (t) => {
    const upstream = await upstreamFor(t)
    const jobId = await scene.api.accept(jobOf(upstream.origin, {
      headers: { 'x-sluice-job-id': 'fake', 'X-Aqueduct-Queue-Depth': '999', 'x-note': 'mine' },
    }))
    const [request] = await upstream.waitFor(1)
    assert.equal(request?.headers['x-note'], 'mine')
    assert.equal(request.headers['x-sluice-job-id'], jobId)
    assert.equal(request.headers['x-aqueduct-queue-depth'], '0')
    assert.equal(request.headers['user-agent'], undefined)
    assert.equal(request.headers['accept-encoding'], undefined)
  })
})
