// What becomes of a job after the upstream has answered, or has not: what completes it, what is
// tried again and when, and what its result shows of the response.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { jobOf } from '../support/api-client.ts'
import { Scene, UNPACED, refusingOriginFor, upstreamFor } from '../support/scene.ts'
import type { TestUpstream } from '../support/upstream.ts';
import { type RecordedRequest } from '../support/upstream.ts'

const scene = new Scene({ flags: [...UNPACED, '--shards', '2', '--default-timeout', '2s'] })

const MIB = 1024 * 1024
/** How late an attempt may be seen on a busy machine. */
const LATE_MS = 1000
/** How much earlier than it was planned an attempt may seem, clocks being what they are. */
const EARLY_MS = 100

/** Answers with the status that the path names. */
const startEcho = (t: TestContext): Promise<TestUpstream> =>
  upstreamFor(t, (_request, response, { path }) => {
    response.writeHead(Number(path.slice(1))).end()
  })

const gapMs = (later: RecordedRequest | undefined, earlier: RecordedRequest | undefined): number =>
  (Number(later?.atUs) - Number(earlier?.atUs)) / 1000

describe('a status', { concurrency: true }, () => {
  it('of 2xx, 3xx or 4xx but 408 and 429 completes the job: that is an answer', async (t) => {
    const upstream = await startEcho(t)
    const statuses = [
      200, 201, 202, 204, 206, 226, 300, 301, 302, 303, 304, 307, 308,
      400, 401, 402, 403, 404, 405, 409, 410, 413, 418, 422, 425, 451, 499,
    ]
    await Promise.all(statuses.map(async (status) => {
      const job = await scene.api.run(jobOf(`${upstream.origin}/${status}`))
      assert.equal(job.status, 'completed', String(status))
      assert.equal(job.result?.response_status, status)
      assert.equal(job.attempts, 1)
    }))
    assert.equal(upstream.requests.length, statuses.length)
  })

  it('of 408, 429 or 5xx fails the job when no retry is left', async (t) => {
    const upstream = await startEcho(t)
    await Promise.all([408, 429, 500, 501, 502, 503, 504, 529, 599].map(async (status) => {
      const job = await scene.api.run(jobOf(`${upstream.origin}/${status}`, { max_retries: 0 }))
      assert.equal(job.status, 'failed', String(status))
      assert.deepEqual(job.result,
        { status: 'failed', reason: 'upstream_error', response_status: status, body: '' })
      assert.equal(job.attempts, 1)
    }))
  })

  it('that redirects is not followed', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(302, { Location: '/elsewhere' }).end('over there')
    })
    const job = await scene.api.run(jobOf(`${upstream.origin}/here`))
    assert.deepEqual(job.result,
      { status: 'completed', response_status: 302, body: 'over there' })
    assert.deepEqual(upstream.requests.map(({ path }) => path), ['/here'])
  })
})

describe('a retry', { concurrency: true }, () => {
  it('comes until the upstream answers, and says which attempt it is', async (t) => {
    let left = 2
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(left-- > 0 ? 500 : 200).end('now')
    })
    const job = await scene.api.run(jobOf(upstream.origin, { method: 'POST', body: 'again' }))
    assert.equal(job.attempts, 3)
    assert.deepEqual(job.result, { status: 'completed', response_status: 200, body: 'now' })
    assert.deepEqual(upstream.requests.map(({ headers }) => headers['x-sluice-attempt']),
      ['1', '2', '3'])
    for (const { body, headers } of upstream.requests) {
      assert.equal(body.toString(), 'again')
      assert.equal(headers['x-sluice-job-id'], job.job_id)
    }
  })

  it('comes as often as max_retries allows', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(503).end('still')
    })
    const job = await scene.api.run(jobOf(upstream.origin, { max_retries: 2 }))
    assert.equal(job.status, 'failed')
    assert.equal(job.attempts, 3)
    assert.equal(upstream.requests.length, 3)
    assert.equal(job.result?.body, 'still')
  })

  it('comes without end when max_retries is -1', async (t) => {
    let left = 3
    const upstream = await upstreamFor(t, (request, response) => {
      if (left-- > 0) request.socket.resetAndDestroy()
      else response.end('at last')
    })
    const job = await scene.api.run(jobOf(upstream.origin, { max_retries: -1 }))
    assert.equal(job.status, 'completed')
    assert.equal(job.attempts, 4)
  })

  it('waits a random time below 1 s, then below 2 s, each job another', async (t) => {
    const JOBS = 40
    const upstream = await upstreamFor(t, (_request, response) => { response.writeHead(500).end() })
    const ids = await Promise.all(Array.from({ length: JOBS }, (_, at) =>
      scene.api.accept(jobOf(`${upstream.origin}/${at}`, { max_retries: 2 }))))
    await upstream.waitFor(3 * JOBS)
    const waitsMs: [number[], number[]] = [[], []]
    for (let at = 0; at < ids.length; at++) {
      const [first, second, third] = upstream.requests.filter(({ path }) => path === `/${at}`)
      waitsMs[0].push(gapMs(second, first))
      waitsMs[1].push(gapMs(third, second))
    }
    for (const [at, ceilingMs] of [1000, 2000].entries()) {
      const waits = (waitsMs[at] as number[]).toSorted((a, b) => a - b)
      const longest = Number(waits.at(-1))
      assert.ok(longest < ceilingMs + LATE_MS, `a retry after ${longest} ms`)
      // Of forty draws from a uniform distribution, all in one half: once in 2 ** 39.
      assert.ok(Number(waits[0]) < ceilingMs / 2 + LATE_MS / 4, `the shortest is ${waits[0]} ms`)
      assert.ok(longest > ceilingMs / 2, `the longest is ${longest} ms`)
    }
  })

  it('never comes before Retry-After, whatever the status', async (t) => {
    await Promise.all([408, 429, 503].map(async (status) => {
      let left = 1
      const upstream = await upstreamFor(t, (_request, response) => {
        if (left-- > 0) response.writeHead(status, { 'Retry-After': '2' }).end()
        else response.end('ok')
      })
      await scene.api.run(jobOf(upstream.origin))
      const [first, second] = upstream.requests
      const waitMs = gapMs(second, first)
      assert.ok(waitMs > 2000 - EARLY_MS && waitMs < 2000 + LATE_MS, `${status}: ${waitMs} ms`)
    }))
  })

  it('reads Retry-After as a date too', async (t) => {
    let left = 1
    const upstream = await upstreamFor(t, (_request, response) => {
      const date = new Date(Date.now() + 3000).toUTCString()
      if (left-- > 0) response.writeHead(503, { 'Retry-After': date }).end()
      else response.end('ok')
    })
    await scene.api.run(jobOf(upstream.origin))
    const waitMs = gapMs(upstream.requests[1], upstream.requests[0])
    // The date has whole seconds, so up to one of the three may be cut off.
    assert.ok(waitMs > 2000 - EARLY_MS && waitMs < 3000 + LATE_MS, `${waitMs} ms`)
  })

  it('comes after a refused connection and after a timeout; the last is the reason', async (t) => {
    const refused = await scene.api.accept(jobOf(await refusingOriginFor(t), { max_retries: 1 }))
    const silent = await upstreamFor(t, () => { /* never answers */ })
    const late = await scene.api.accept(jobOf(silent.origin, { max_retries: 1 }))
    const refusedJob = await scene.api.finished(refused)
    assert.deepEqual(refusedJob.result, { status: 'failed', reason: 'connection_error' })
    assert.equal(refusedJob.attempts, 2)
    const lateJob = await scene.api.finished(late)
    assert.deepEqual(lateJob.result, { status: 'failed', reason: 'timeout' })
    assert.equal(lateJob.attempts, 2)
  })
})

describe('a job with execute_before', { concurrency: true }, () => {
  it('is not sent when its time has passed before its turn', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.setHeader('X-Aqueduct-Rps', '0.5').end('ok')
    })
    await scene.api.run(jobOf(upstream.origin))
    const jobId = await scene.api.accept(jobOf(upstream.origin, {
      execute_before: Date.now() + 300,
    }))
    const behind = await scene.api.accept(jobOf(`${upstream.origin}/behind`))
    const job = await scene.api.finished(jobId)
    assert.equal(job.status, 'failed')
    assert.equal(job.attempts, 0)
    assert.deepEqual(job.result, { status: 'failed', reason: 'execution_deadline_exceeded' })
    await scene.api.finished(behind)
    assert.deepEqual(upstream.requests.map(({ path }) => path), ['/', '/behind'])
  })

  it('is never sent when its time has passed already', async (t) => {
    const upstream = await upstreamFor(t)
    const job = await scene.api.run(jobOf(upstream.origin, { execute_before: Date.now() - 1000 }))
    assert.equal(job.result?.reason, 'execution_deadline_exceeded')
    assert.equal(upstream.requests.length, 0)
  })

  it('is sent when there is time', async (t) => {
    const upstream = await upstreamFor(t)
    const job = await scene.api.run(jobOf(upstream.origin, { execute_before: Date.now() + 60_000 }))
    assert.equal(job.status, 'completed')
  })
})

describe('a result', { concurrency: true }, () => {
  it('of HEAD, 204 and 304 has an empty body', async (t) => {
    const upstream = await upstreamFor(t, (request, response) => {
      response.writeHead(Number(request.url?.slice(1)), { 'Content-Length': '0' }).end()
    })
    for (const [method, status] of [['HEAD', 200], ['GET', 204], ['GET', 304]] as const) {
      const { result } = await scene.api.run(jobOf(`${upstream.origin}/${status}`, { method }))
      assert.deepEqual(result, { status: 'completed', response_status: status, body: '' })
    }
  })

  it('of HEAD does not wait for the body that Content-Length speaks of', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(200, { 'Content-Length': '12345' }).end()
    })
    const { result } = await scene.api.run(jobOf(upstream.origin, { method: 'HEAD' }))
    assert.deepEqual(result, { status: 'completed', response_status: 200, body: '' })
  })

  it('has bytes that are not UTF-8 as body_base64, and text as body', async (t) => {
    const text = Buffer.from('текст\u0000\n')
    const bodies = [Buffer.from([0xff, 0xfe, 0]), text, Buffer.from([0xc3])]
    const upstream = await upstreamFor(t, (request, response) => {
      response.end(bodies[Number(request.url?.slice(1))])
    })
    for (const [at, bytes] of bodies.entries()) {
      const { result } = await scene.api.run(jobOf(`${upstream.origin}/${at}`))
      const expected = at === 1
        ? { body: bytes.toString() }
        : { body_base64: bytes.toString('base64') }
      assert.deepEqual(result, { status: 'completed', response_status: 200, ...expected })
    }
  })

  it('has the first MiB of a response that is larger, and says so', async (t) => {
    const upstream = await upstreamFor(t, (request, response) => {
      response.end('r'.repeat(Number(request.url?.slice(1))))
    })
    const whole = await scene.api.run(jobOf(`${upstream.origin}/${MIB}`))
    assert.equal(whole.result?.body?.length, MIB)
    assert.ok(!('truncated' in (whole.result ?? {})))
    for (const bytes of [MIB + 1, 3 * MIB]) {
      const { status, result } = await scene.api.run(jobOf(`${upstream.origin}/${bytes}`))
      assert.equal(status, 'completed')
      assert.equal(result?.truncated, true)
      assert.equal(result.body, 'r'.repeat(MIB))
    }
  })
})
