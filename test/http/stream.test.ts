// GET /jobs/:id/stream, read with a parser that is not the project's own: every event, whoever
// joins late, positions and comments in time, and readers that go away or never read.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { jobOf } from '../support/api-client.ts'
import { noBrowser, openPage } from '../support/browser.ts'
import { EventStream, type JobEvent } from '../support/event-stream.ts'
import { RawClient } from '../support/raw-client.ts'
import { Gate, Scene, UNPACED, upstreamFor } from '../support/scene.ts'

const RESPONSE_BYTES = 6 * 1024 * 1024
const scene = new Scene({
  flags: [...UNPACED, '--shards', '2', '--memory', '512MiB', '--response-limit', '7MiB'],
})

const join = (jobId: string): Promise<EventStream> => EventStream.join(scene.server.url, jobId)

/** The events of a stream without the positions, which come whenever it is time for them. */
const stages = (stream: EventStream): string[] =>
  stream.names.filter((name) => name !== 'position')

/** In a page: the names of the events of a stream, once the browser asks for no more of them. */
const followTo = (path: string): string => `new Promise((resolve) => {
  const names = []
  const source = new EventSource(${JSON.stringify(path)})
  for (const name of ['queued', 'dispatching', 'retrying', 'completed']) {
    source.addEventListener(name, () => { names.push(name) })
  }
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) resolve(names) }
})`

describe('an event stream', { concurrency: true }, () => {
  it('tells every stage of a job: queued, dispatching, retrying, completed', async (t) => {
    const gate = new Gate()
    let left = 1
    const upstream = await upstreamFor(t, gate.hold((_request, response) => {
      response.setHeader('X-Aqueduct-Max-Concurrent', '1')
      if (left-- > 0) response.writeHead(503).end('busy')
      else response.end('done')
    }))
    const jobId = await scene.api.accept(jobOf(upstream.origin, { delivery: 'stream' }))
    const stream = await join(jobId)
    await stream.waitFor('dispatching')
    gate.open()
    await stream.ended()
    assert.deepEqual(stages(stream),
      ['queued', 'dispatching', 'retrying', 'dispatching', 'completed'])
    for (const { name, data } of stream.events) assert.equal(data['job_id'], jobId, name)
    const [, , retrying, again, completed] = stream.events.filter(({ name }) => name !== 'position')
    assert.equal(retrying?.data['attempt'], 1)
    assert.equal(retrying.data['response_status'], 503)
    assert.ok(Number(retrying.data['retry_in_ms']) <= 1000)
    assert.equal(again?.data['attempt'], 2)
    assert.deepEqual(stream.events.filter(({ id }) => id !== undefined).map(({ id }) => id),
      ['queued', 'dispatching-1', 'retrying-1', 'dispatching-2', 'completed'])
    const late = await join(jobId)
    await late.ended()
    assert.deepEqual(late.events.map(({ id }) => id), ['queued', 'dispatching-2', 'completed'])
    assert.deepEqual(completed?.data,
      { job_id: jobId, status: 'completed', response_status: 200, body: 'done' })
  })

  it('ends with `failed` and the reason', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => {
      response.writeHead(500).end('broken')
    }))
    const stream = await join(await scene.api.accept(jobOf(upstream.origin, { max_retries: 0 })))
    gate.open()
    await stream.ended()
    assert.deepEqual(stages(stream), ['queued', 'dispatching', 'failed'])
    const { job_id: _, ...outcome } = stream.events.at(-1)?.data ?? {}
    assert.deepEqual(outcome,
      { status: 'failed', reason: 'upstream_error', response_status: 500, body: 'broken' })
  })

  it('ends with `cancelled` when the job is', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(503, { 'Retry-After': '60' }).end()
    })
    const jobId = await scene.api.accept(jobOf(upstream.origin))
    const stream = await join(jobId)
    await stream.waitFor('retrying')
    await scene.api.cancel(jobId)
    await stream.ended()
    assert.equal(stream.names.at(-1), 'cancelled')
  })

  it('tells who joins after the end what there was, in brief, and ends', async (t) => {
    const upstream = await upstreamFor(t)
    const { job_id: jobId } = await scene.api.run(jobOf(upstream.origin))
    const stream = await join(String(jobId))
    await stream.ended()
    assert.deepEqual(stream.names, ['queued', 'dispatching', 'completed'])
    assert.equal(stream.events[2]?.data['body'], 'ok')
  })

  it('tells who joins during a retry\'s wait how long it still is', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(503, { 'Retry-After': '60' }).end()
    })
    const jobId = await scene.api.accept(jobOf(upstream.origin))
    const first = await join(jobId)
    await first.waitFor('retrying')
    const late = await join(jobId)
    const retrying = await late.waitFor('retrying')
    assert.deepEqual(late.names, ['queued', 'dispatching', 'retrying'])
    const waitMs = Number(retrying.data['retry_in_ms'])
    assert.ok(waitMs > 30_000 && waitMs <= 60_000, `${waitMs} ms`)
    first.leave()
    late.leave()
  })

  it('sends the same events to all watchers of a job', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end('ok')))
    const jobId = await scene.api.accept(jobOf(upstream.origin))
    const streams = await Promise.all(Array.from({ length: 20 }, () => join(jobId)))
    streams[7]?.leave()
    gate.open()
    await Promise.all(streams.map((stream) => stream.ended()))
    for (const [at, stream] of streams.entries()) {
      if (at !== 7) assert.deepEqual(stages(stream), ['queued', 'dispatching', 'completed'])
    }
  })

  it('tells the position on joining, and again while the job waits', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, (_request, response) => {
      response.setHeader('X-Aqueduct-Max-Concurrent', '1').end()
    })
    await scene.api.run(jobOf(upstream.origin))
    upstream.respond = gate.hold((_request, response) => response.end('ok'))
    const ids: string[] = []
    for (let count = 0; count < 6; count++) ids.push(await scene.api.accept(jobOf(upstream.origin)))
    await upstream.waitFor(2)
    const stream = await join(ids[5] as string)
    const told = (): JobEvent[] => stream.events.filter(({ name }) => name === 'position')
    await stream.until(() => told().length === 2)
    for (const released of [1, 2]) {
      const from = told().length
      for (let count = 0; count < released; count++) {
        const arrived = upstream.requests.length
        gate.release(1)
        await upstream.waitFor(arrived + 1)
      }
      await stream.until(() => told().length > from)
    }
    gate.open()
    await stream.ended()
    // On joining one is in flight; how often it is told after that, engine-watch.test.ts shows.
    const positions = told().map(({ data }) => Number(data['position']))
    assert.ok(positions.length >= 4, String(positions))
    assert.equal(positions[0], 5)
    assert.deepEqual(positions, positions.toSorted((one, other) => other - one), 'it only falls')
    assert.ok(Number(positions[3]) < 5 && Number(positions.at(-1)) >= 1, String(positions))
    assert.equal(stream.names.at(-1), 'completed')
  })

  it('has a comment every 15 s, so that nothing takes it for dead', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end('ok')))
    const stream = await join(await scene.api.accept(jobOf(upstream.origin)))
    const { atUs: fromUs } = await stream.waitFor('queued')
    await stream.until(({ comments }) => comments.length > 0)
    const health = await scene.api.health()
    gate.open()
    await stream.ended()
    assert.ok(Number(stream.events.at(-1)?.atUs) - fromUs < 17e6, 'a comment came within 15 s')
    assert.ok(health.admission.streams >= 1)
  })

  it('that nobody reads holds up nobody else', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.end('r'.repeat(RESPONSE_BYTES))
    })
    const { job_id: jobId } = await scene.api.run(jobOf(upstream.origin))
    const idle = await Promise.all(Array.from({ length: 8 }, async () => {
      const client = await RawClient.connect(scene.server.port)
      client.socket.pause()
      client.write(`GET /jobs/${jobId}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n`)
      return client
    }))
    t.after(() => idle.forEach((client) => client.destroy()))
    const reader = await join(String(jobId))
    await reader.ended()
    assert.equal(String(reader.events.at(-1)?.data['body']).length, RESPONSE_BYTES)
  })

  it('is forgotten when its reader goes away', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end('ok')))
    const jobId = await scene.api.accept(jobOf(upstream.origin))
    for (let round = 0; round < 3; round++) {
      const streams = await Promise.all(Array.from({ length: 10 }, () => join(jobId)))
      await Promise.all(streams.map((stream) => stream.waitFor('dispatching')))
      for (const stream of streams) stream.leave()
    }
    gate.open()
    assert.equal((await scene.api.finished(jobId)).status, 'completed')
  })
})

describe('a stream that is joined again', { concurrency: true }, () => {
  const again = (jobId: string, lastEventId: string): Promise<EventStream> =>
    EventStream.join(scene.server.url, jobId, lastEventId)

  it('goes on after the last event that its reader has', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => {
      response.writeHead(503, { 'Retry-After': '1' }).end()
    }))
    const jobId = await scene.api.accept(jobOf(upstream.origin, { max_retries: 1 }))
    await (await join(jobId)).waitFor('dispatching')
    const streams = new Map<string, EventStream>()
    for (const id of ['', 'nonsense', 'queued', 'dispatching-1', 'failed', 'completed']) {
      streams.set(id, await again(jobId, id))
    }
    gate.open()
    for (const stream of streams.values()) await stream.ended()
    const rest = ['retrying-1', 'dispatching-2', 'failed']
    const ids = (stream: EventStream | undefined): unknown[] =>
      (stream?.events ?? []).filter(({ name }) => name !== 'position').map(({ id }) => id)
    // What is no event of this job, or is its end though it goes on, is as none.
    for (const id of ['', 'nonsense', 'failed', 'completed']) {
      assert.deepEqual(ids(streams.get(id)), ['queued', 'dispatching-1', ...rest], id)
    }
    assert.deepEqual(ids(streams.get('queued')), ['dispatching-1', ...rest])
    assert.deepEqual(ids(streams.get('dispatching-1')), rest)
    for (const [id, expected] of [
      ['retrying-1', ['dispatching-2', 'failed']], ['dispatching-2', ['failed']],
      ['completed', ['queued', 'dispatching-2', 'failed']],
    ] as const) {
      const late = await again(jobId, id)
      await late.ended()
      assert.deepEqual(ids(late), expected, id)
    }
  })

  it('is answered 204 by whoever has the end, on a connection that stays open', async (t) => {
    const upstream = await upstreamFor(t)
    const { job_id: jobId } = await scene.api.run(jobOf(upstream.origin))
    const client = await RawClient.connect(scene.server.port)
    t.after(() => client.destroy())
    for (const count of [1, 2]) {
      client.write(`GET /jobs/${String(jobId)}/stream HTTP/1.1\r\nHost: localhost\r\n` +
        'Last-Event-ID: completed\r\n\r\n')
      await client.waitForAnswers(count)
    }
    assert.deepEqual(client.statuses, [204, 204])
    assert.doesNotMatch(client.received, /content-length|transfer-encoding/i)
  })

  it('ends for a browser, which is told each event once', { skip: noBrowser }, async (t) => {
    let left = 1
    const upstream = await upstreamFor(t, (_request, response) => {
      if (left-- > 0) response.writeHead(503).end()
      else response.end('done')
    })
    // A page of the server's own origin, since no other may read its answers.
    const { page, requests } = await openPage(t, `${scene.server.url}/health`,
      { width: 400, height: 300 })
    const jobId = await scene.api.accept(jobOf(upstream.origin))
    const told = await page.evaluate(followTo(`/jobs/${jobId}/stream`))
    assert.deepEqual(told, ['queued', 'dispatching', 'retrying', 'dispatching', 'completed'])
    const asked = requests.filter((address) => address.endsWith('/stream'))
    assert.equal(asked.length, 2, 'once for the events, once to hear that there are no more')
  })
})

describe('when all streams have ended', () => {
  it('none is counted any more', async () => {
    let { streams } = (await scene.api.health()).admission
    while (streams > 0) ({ streams } = (await scene.api.health()).admission)
  })
})
