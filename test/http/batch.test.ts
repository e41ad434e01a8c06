// POST /jobs/batch: each job alone, answers in order, as they come.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { type TestContext, describe, test } from 'node:test'
import { type JobFields, jobOf } from '../support/api-client.ts'
import { Scene, UNPACED, upstreamFor } from '../support/scene.ts'

const JOBS_MAX = 3000
const BODY_BYTES_MAX = 64 * 1024
const scene = new Scene({
  flags: [
    ...UNPACED, '--batch-limit', String(JOBS_MAX), '--body-limit', '64KiB',
    '--default-account-queue-by-caller', 'on',
  ],
})

type Line = Readonly<Record<string, unknown>>

interface BatchAnswer {
  readonly status: number
  readonly type: unknown
  readonly lines: readonly Line[]
}

async function post(body: string | Buffer, type = 'application/x-ndjson', more = {}):
  Promise<BatchAnswer> {
  const { bytes, headers, status } = await scene.api.send('POST', '/jobs/batch',
    { headers: { 'content-type': type, ...more }, body })
  return {
    status, type: headers['content-type'],
    lines: bytes.toString().split('\n').filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line),
  }
}

const linesOf = (jobs: readonly JobFields[]): string =>
  jobs.map((job) => JSON.stringify(job)).join('\n')

describe('what is answered', () => {
  test('in the order of the jobs, the same as to single posts', async (t) => {
    const upstream = await upstreamFor(t)
    const jobs = Array.from({ length: 500 },
      (_, at) => jobOf(upstream.origin, { user_id: `user-${at % 17}` }))
    const known = String((await scene.api.post(jobs[7])).body.job_id)
    await scene.api.finished(known)
    const bad = jobOf('ftp://nowhere')
    jobs[9] = bad
    for (const [body, type] of [
      [linesOf(jobs), 'application/x-ndjson'], [JSON.stringify(jobs), 'application/json'],
      [`\r\n ${linesOf(jobs).replaceAll('\n', '\r\n\n')}\n`, 'application/jsonl; charset=utf-8'],
      [` \n${JSON.stringify(jobs, null, 2)}\n`, ''],
    ] as const) {
      const { lines, status, type: answered } = await post(body, type)
      assert.equal(status, 200)
      assert.equal(answered, 'application/x-ndjson')
      assert.equal(lines.length, jobs.length)
      assert.deepEqual(lines[9], (await scene.api.post(bad)).body)
      assert.equal(lines[7]?.['job_id'], known)
      assert.equal(lines[7]?.['duplicate'], true)
      for (const at of [0, 100, 499]) {
        const { body: single } = await scene.api.post(jobs[at])
        assert.equal(single.job_id, lines[at]?.['job_id'], `job ${at}`)
      }
    }
    await Promise.all(jobs.filter((job) => job !== bad).map(async (job) =>
      scene.api.finished(String((await scene.api.post(job)).body.job_id))))
    assert.equal(upstream.requests.length, jobs.length - 1, 'each key ran once')
  })

  test('nothing, for nothing', async () => {
    for (const body of ['', ' \n\r\n ', '[]', ' [ ] \n']) {
      assert.deepEqual((await post(body)).lines, [], JSON.stringify(body))
    }
  })

  test('each fault in its place', async (t) => {
    const upstream = await upstreamFor(t)
    const job = (): string => JSON.stringify(jobOf(upstream.origin))
    const codesOf = async (body: string): Promise<unknown[]> =>
      (await post(body)).lines.map(({ code, status }) => code ?? status)
    assert.deepEqual(await codesOf(`${job()}\nnonsense\n7\n${job()}`),
      ['queued', 'invalid_json', 'not_an_object', 'queued'])
    assert.deepEqual(await codesOf(`[${job()},,"x",${job()},]`),
      ['queued', 'invalid_json', 'not_an_object', 'queued', 'invalid_json'])
    assert.deepEqual(await codesOf(`[${job()}`), ['invalid_json'])
    assert.deepEqual(await codesOf(`[${job()}] and more`), ['queued', 'invalid_json'])
    const long = JSON.stringify(jobOf(upstream.origin, { body: 'x'.repeat(BODY_BYTES_MAX) }))
    assert.deepEqual(await codesOf(`${job()}\n${long}\n${job()}`),
      ['queued', 'body_too_large', 'queued'])
    assert.deepEqual(await codesOf(`[${job()},${long},${job()}]`),
      ['queued', 'body_too_large', 'queued'])
  })

  test('the rest is not read, beyond the configured number', async (t) => {
    const upstream = await upstreamFor(t)
    const jobs = Array.from({ length: JOBS_MAX + 10 }, () => jobOf(upstream.origin))
    const { lines } = await post(linesOf(jobs))
    assert.equal(lines.length, JOBS_MAX + 1)
    assert.ok(lines.slice(0, JOBS_MAX).every(({ status }) => status === 'queued'))
    assert.deepEqual([lines.at(-1)?.['code'], lines.at(-1)?.['limit']], ['too_many_jobs', JOBS_MAX])
  })

  test('other types and methods are refused', async () => {
    assert.equal((await post('x', 'text/csv')).status, 415)
    const { headers, status } = await scene.api.send('PUT', '/jobs/batch')
    assert.deepEqual([status, headers['allow']], [405, 'POST'])
  })
})

test('a known key with a long result, many times over: each line has it in turn', async (t) => {
  const result = 'r'.repeat(400_000)
  const upstream = await upstreamFor(t,
    ({ url }, response) => response.end(url === '/long' ? result : 'short'))
  const known = jobOf(upstream.origin, { url: `${upstream.origin}/long` })
  const { job_id: jobId } = await scene.api.run(known)
  const jobs = Array.from({ length: 300 },
    (_, at) => at % 10 === 9 ? known : jobOf(upstream.origin))
  const { lines } = await post(linesOf(jobs))
  assert.equal(lines.length, jobs.length)
  for (const [at, line] of lines.entries()) {
    if (at % 10 !== 9) assert.equal(line['status'], 'queued')
    else {
      assert.equal(line['job_id'], jobId)
      assert.equal(line['duplicate'], true)
      assert.equal((line['result'] as { body: string }).body, result)
    }
  }
  const health = await scene.api.health() as unknown as { clients: { memory_bytes: number } }
  assert.equal(health.clients.memory_bytes, 0)
})

test('jobs are answered while the rest is still to come', async (t) => {
  const upstream = await upstreamFor(t)
  const request = http.request(`${scene.server.url}/jobs/batch`,
    { method: 'POST', headers: { 'content-type': 'application/x-ndjson' } })
  t.after(() => request.destroy())
  const response = await new Promise<http.IncomingMessage>((resolve) => {
    request.on('response', resolve)
    request.write(`${JSON.stringify(jobOf(upstream.origin))}\n`)
  })
  const lines = response[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  const nextLine = async (): Promise<Line> =>
    JSON.parse(String((await lines.next()).value)) as Line
  const first = await nextLine()
  await scene.api.finished(String(first['job_id']))
  for (let round = 0; round < 5; round++) {
    const text = `${JSON.stringify(jobOf(upstream.origin))}\n`
    request.write(text.slice(0, 20))
    request.write(text.slice(20))
    assert.equal((await nextLine())['status'], 'queued')
  }
  request.end(JSON.stringify(jobOf(upstream.origin)))
  assert.equal((await nextLine())['status'], 'queued')
  assert.equal((await lines.next()).done, true)
})

test('account queues are asked for by the header', async (t) => {
  const upstream = await upstreamFor(t)
  const { lines } = await post(linesOf([jobOf(upstream.origin)]), 'application/json',
    { 'x-aqueduct-account-queue': 'enabled' })
  await scene.api.finished(String(lines[0]?.['job_id']))
  assert.equal(
    upstream.requests[0]?.headers['x-ezthrottle-current-account-queue-enabled'], 'true')
})

test('a client that goes away in the middle leaves nothing behind', async (t) => {
  const upstream = await upstreamFor(t)
  for (let round = 0; round < 20; round++) {
    const request = http.request(`${scene.server.url}/jobs/batch`, { method: 'POST' })
    request.on('error', () => {})
    const gone = new Promise((resolve) => { request.on('close', resolve) })
    request.write(linesOf(Array.from({ length: 100 }, () => jobOf(upstream.origin))))
    request.write('{"user_id":"half')
    await new Promise<void>((resolve) => {
      request.on('response', (response) => response.once('data', () => resolve()))
    })
    request.destroy()
    await gone
  }
  assert.equal((await post(linesOf([jobOf(upstream.origin)]))).lines.length, 1)
  assert.equal((await scene.api.health()).admission.pending, 0)
})

/** A client that sends a batch whose answers do not fit into its connection, and reads nothing. */
async function deaf(t: TestContext): Promise<{ client: net.Socket, lines: number }> {
  const upstream = await upstreamFor(t, (_request, response) => response.end('r'.repeat(400_000)))
  const known = jobOf(upstream.origin)
  await scene.api.run(known)
  const lines = 60
  const body = `${JSON.stringify(known)}\n`.repeat(lines)
  const { hostname, port } = new URL(scene.server.url)
  const client = net.connect(Number(port), hostname)
  t.after(() => client.destroy())
  client.on('error', () => {})
  client.pause()
  client.write('POST /jobs/batch HTTP/1.1\r\nHost: localhost\r\n' +
    `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n`)
  // The server holds an answer that the connection has no room for.
  while ((await clients()).memory_bytes < 400_000);
  return { client, lines }
}

const clients = async (): Promise<{ connections: number, memory_bytes: number }> =>
  (await scene.api.health() as unknown as {
    clients: { connections: number, memory_bytes: number }
  }).clients

describe('a client that sends on and does not read', () => {
  test('leaves nothing behind when it resets its connection', async (t) => {
    const { connections } = await clients()
    const { client } = await deaf(t)
    client.resetAndDestroy()
    for (;;) {
      const now = await clients()
      if (now.memory_bytes === 0 && now.connections <= connections) break
    }
  })

  test('is answered once it reads', async (t) => {
    const { client, lines } = await deaf(t)
    let count = 0
    client.write('0\r\n\r\n')
    client.resume()
    for (let ended = ''; !ended.endsWith('\r\n0\r\n\r\n');) {
      const [chunk] = await once(client, 'data') as [Buffer]
      const text = ended + chunk.toString('latin1')
      count += text.split('"duplicate"').length - 1
      ended = text.slice(-10)
    }
    assert.equal(count, lines)
  })
})

describe('origins that nothing is ever sent to', () => {
  test('leave nothing behind once their jobs have ended', async () => {
    const before = (await scene.api.health()).admission.upstreams
    const jobs = Array.from({ length: 150 }, (_, at) =>
      jobOf(`http://host-${at}.example`, { user_id: 'noisy', execute_before: 1 }))
    const { lines } = await post(linesOf(jobs))
    assert.ok(lines.every(({ status }) => status === 'queued'))
    while ((await scene.api.health()).admission.upstreams > before);
  })
})
