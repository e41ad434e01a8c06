// A second process that takes over the port and the data folder of a running one: what callers, and
// upstreams, notice of it. And when it may not, or ends in the midst of it.

import assert from 'node:assert/strict'
import http from 'node:http'
import { type TestContext, describe, it } from 'node:test'
import { callControl } from '../../src/control/client.ts'
import { lockFile } from '../../src/control/place.ts'
import { ApiClient, type JobFields, jobOf } from '../support/api-client.ts'
import { get } from '../support/client.ts'
import { EventStream } from '../support/event-stream.ts'
import { Gate, UNPACED, upstreamFor } from '../support/scene.ts'
import { SluiceProcess, type TestServer, startServer } from '../support/server.ts'
import { SocketClient } from '../support/socket-client.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** More than is held of a body while its request waits. */
const LARGE_BODY_BYTES = 900_000
/** Is held as a whole. */
const HELD_BODY_BYTES = 120_000

interface Stage {
  readonly data: string
  readonly first: TestServer
  readonly api: ApiClient
}

const flagsOf = (data: string): string[] =>
  ['--journal', 'interval', '--data', data, '--shards', '2', '--memory', '128MiB', ...UNPACED]

async function begin(t: TestContext, flags: readonly string[] = []): Promise<Stage> {
  const data = temporaryFolder(t)
  const first = await startServer({ flags: [...flagsOf(data), ...flags] }, t)
  const api = new ApiClient(first.url)
  t.after(() => api.close())
  return { data, first, api }
}

/** Starts a process that takes over, and does not wait for it. */
function takeOver(t: TestContext, { data, first }: Stage, flags: readonly string[] = []):
  SluiceProcess {
  const second = new SluiceProcess(
    ['serve', '--port', String(first.port), ...flagsOf(data), '--take-over', ...flags])
  t.after(() => second.kill())
  return second
}

/** The header with a new key of a tenant; its user is `mine`. */
async function keyOf(data: string, tenant: string): Promise<Record<string, string>> {
  const answer = await callControl(lockFile(data),
    { command: 'keys-add', name: 'mine', tenant }).answer
  assert.ok(answer.ok, answer.ok ? '' : answer.error)
  return { 'x-sluice-key': String(answer.fields?.['text']) }
}

const listening = async (server: SluiceProcess): Promise<void> => {
  assert.ok(await server.waitFor('stdout', /^listening on /m), server.stderr)
}

const passing = (server: SluiceProcess): Promise<unknown> =>
  server.waitFor('stderr', /new connections go there/)

/** POSTs a job on a connection of its own; the status. */
function postAlone(url: string, job: JobFields): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = http.request(`${url}/jobs`, {
      method: 'POST', agent: false, headers: { 'content-type': 'application/json' },
    }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end(JSON.stringify(job))
  })
}

const healthOf = async (api: ApiClient): Promise<string> =>
  (await api.send('GET', '/health')).bytes.toString()

/** A take-over while a job is in flight, held by the gate; one more waits at the second process. */
async function beginMidway(t: TestContext) {
  const stage = await begin(t)
  const { api, first } = stage
  const gate = new Gate()
  const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
  const jobId = await api.accept(jobOf(upstream.origin))
  await upstream.waitFor(1)
  const second = takeOver(t, stage)
  await passing(first)
  const waiting = postAlone(first.url, jobOf(upstream.origin))
  return { api, first, gate, jobId, second, upstream, waiting }
}

describe('a take-over', { concurrency: 2 }, () => {
  it('is noticed by no caller, and each job is executed once, in its order', async (t) => {
    // One at a time, so that requests cannot pass each other on their way.
    const stage = await begin(t, ['--default-max-concurrent', '1'])
    const { first } = stage
    const upstream = await upstreamFor(t)
    const failures: unknown[] = []
    const over = { isIt: false }
    type Post = (job: JobFields) => Promise<number>
    const call = async (name: string, post: Post): Promise<number> => {
      let sent = 0
      while (!over.isIt) {
        const job = jobOf(`${upstream.origin}/${name}/${sent}`, { user_id: name })
        const status = await post(job).catch((error: unknown) => error)
        if (status === 201) sent++
        else failures.push(status)
      }
      return sent
    }
    const calls = [0, 1, 2, 3, 4, 5].map((caller) => {
      const api = new ApiClient(first.url, 1)
      t.after(() => api.close())
      return call(`kept-${caller}`, async (job) => (await api.post(job)).status)
    })
    for (const caller of [0, 1, 2, 3]) {
      calls.push(call(`fresh-${caller}`, (job) => postAlone(first.url, job)))
    }
    await upstream.waitFor(50)
    const second = takeOver(t, stage)
    await listening(second)
    const { code } = await first.ended()
    await upstream.waitFor(upstream.requests.length + 50)
    over.isIt = true
    const sent = (await Promise.all(calls)).reduce((sum, each) => sum + each, 0)
    await upstream.waitFor(sent)
    assert.deepEqual([code, failures], [0, []], first.stderr)
    const paths = upstream.requests.map(({ path }) => path)
    assert.equal(new Set(paths).size, paths.length, 'no job was executed twice')
    assert.equal(paths.length, sent)
    const next = new Map<string, number>()
    for (const path of paths) {
      const [, name = '', number] = path.split('/')
      assert.equal(Number(number), next.get(name) ?? 0, `${path} is not in its order`)
      next.set(name, Number(number) + 1)
    }
    assert.equal(await second.stop(), 0)
  })

  it('waits for what is in flight, answers those who wait, and keeps keys', async (t) => {
    const stage = await begin(t, ['--default-max-concurrent', '1'])
    const { api, first } = stage
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end('said')))
    const jobs = [0, 1, 2].map((at) => jobOf(`${upstream.origin}/${at}`))
    const ids = await Promise.all(jobs.map((job) => api.accept(job)))
    await upstream.waitFor(1)
    const stream = await EventStream.join(first.url, String(ids[0]))
    const socket = await SocketClient.open(first.url)
    const second = takeOver(t, stage)
    // On one connection, which would be closed if it idled: the last answer of the first process.
    let ready = await api.send('GET', '/ready')
    while (ready.headers['connection'] !== 'close') ready = await api.send('GET', '/ready')
    assert.equal(ready.status, 200)
    await passing(first)
    assert.equal((await socket.closed).code, 1012)
    const waiting = [api.post(jobs[0]), api.post(jobOf(`${upstream.origin}/3`)),
      postAlone(first.url, jobOf(`${upstream.origin}/4`)), api.show(String(ids[1]))] as const
    const large = { method: 'POST', body: 'x'.repeat(LARGE_BODY_BYTES) }
    const larger = [api.post(jobOf(`${upstream.origin}/6`, large)),
      postAlone(first.url, jobOf(`${upstream.origin}/7`, large))] as const
    const again = SocketClient.open(first.url)
    assert.doesNotMatch(second.stdout, /listening/)
    gate.open()
    await stream.ended()
    assert.equal(stream.events.at(-1)?.name, 'completed')
    const [known, fresh, alone, shown] = await Promise.all(waiting)
    assert.deepEqual([known.status, known.body.duplicate, known.body.job_id],
      [200, true, ids[0]])
    assert.deepEqual([fresh.status, alone, shown.status], [201, 201, 200])
    assert.deepEqual([(await larger[0]).status, await larger[1]], [201, 201])
    const [entry] = await (await again).enqueue([jobOf(`${upstream.origin}/5`, { ref: 1 })])
    assert.ok(entry?.job_id)
    assert.equal((await first.ended()).code, 0, first.stderr)
    for (const id of ids) assert.equal((await api.finished(String(id))).status, 'completed')
    await upstream.waitFor(8)
    const paths = upstream.requests.map(({ path }) => path)
    assert.deepEqual(paths.slice(0, 3), ['/0', '/1', '/2'])
    assert.deepEqual(paths.toSorted(), ['/0', '/1', '/2', '/3', '/4', '/5', '/6', '/7'])
    for (const { body, path } of upstream.requests) {
      if (path > '/5') assert.equal(body.length, LARGE_BODY_BYTES)
    }
    assert.match((await api.send('GET', '/health')).bytes.toString(), /"taken_over":\{"at":\d+/)
  })

  it('lets those who wait in as fast as they are taken, and refuses none of them', async (t) => {
    // A ring of 2 MiB.
    const flags = ['--body-limit', '256KiB', '--response-limit', '64KiB']
    const stage = await begin(t, ['--default-max-concurrent', '1', ...flags])
    const { api, first } = stage
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
    await api.accept(jobOf(upstream.origin))
    await upstream.waitFor(1)
    const second = takeOver(t, stage, flags)
    await passing(first)
    const waiting = Array.from({ length: 60 }, (_, at) => postAlone(first.url,
      jobOf(`${upstream.origin}/${at}`, {
        method: 'POST', body: 'x'.repeat(at % 2 === 0 ? 2 * HELD_BODY_BYTES : HELD_BODY_BYTES),
      })))
    // A body of which no more comes keeps nobody waiting for long.
    const stalled = http.request(`${first.url}/jobs`, {
      method: 'POST', agent: false, headers: { 'content-type': 'application/json' },
    }).on('error', () => {})
    t.after(() => { stalled.destroy() })
    stalled.write('x'.repeat(2 * HELD_BODY_BYTES))
    gate.open()
    const statuses = await Promise.all(waiting)
    assert.deepEqual(new Set(statuses), new Set([201]), statuses.join(' '))
    assert.equal((await first.ended()).code, 0, first.stderr)
    assert.equal(await second.stop(), 0)
  })

  it('leaves deliveries to a receiver that hangs to the second process', async (t) => {
    const stage = await begin(t, ['--webhook-timeout', '60s', '--grace', '60s'])
    const { api, first } = stage
    const upstream = await upstreamFor(t)
    const deliveries: http.ServerResponse[] = []
    const receiver = await upstreamFor(t, (_request, response) => {
      // The first has no answer.
      if (deliveries.push(response) > 1) response.end()
    })
    const id = await api.accept(
      jobOf(upstream.origin, { delivery: 'webhook', webhook_url: receiver.origin }))
    await receiver.waitFor(1)
    const second = takeOver(t, stage)
    await listening(second)
    assert.equal((await first.ended()).code, 0, first.stderr)
    assert.match(first.stderr, /"jobs":0,"webhooks":1,"msg":"requests in flight were cut off"/)
    const delivered = async (): Promise<boolean> =>
      (await api.show(id)).bytes.toString().includes('"delivered"')
    while (!await delivered()) { /* asks again */ }
    assert.equal(upstream.requests.length, 1)
  })

  it('takes bodies along that have begun to arrive, as jobs of their key', async (t) => {
    const stage = await begin(t)
    const { data, first } = stage
    const key = await keyOf(data, '7')
    const upstream = await upstreamFor(t)
    const lines = [0, 1, 2].map((at) =>
      JSON.stringify(jobOf(`${upstream.origin}/${at}`, { user_id: 'mine' })))
    const open = (path: string, type: string): { request: http.ClientRequest,
      answer: Promise<{ status: number, text: string }> } => {
      const { promise: answer, resolve, reject } =
        Promise.withResolvers<{ status: number, text: string }>()
      const request = http.request(`${first.url}${path}`, {
        method: 'POST', agent: false,
        headers: { ...key, 'content-type': type, 'transfer-encoding': 'chunked' },
      }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      }).on('error', reject)
      return { request, answer }
    }
    const single = open('/jobs', 'application/json')
    const batch = open('/jobs/batch', 'application/x-ndjson')
    single.request.write(lines[0]?.slice(0, 20))
    batch.request.write(`${lines[1]}\n`)
    await upstream.waitFor(1)
    const second = takeOver(t, stage)
    await passing(first)
    single.request.end(lines[0]?.slice(20))
    batch.request.end(`${lines[2]}\n`)
    const { status, text } = await single.answer
    assert.equal(status, 201, text)
    const told = [...(await batch.answer).text.trim().split('\n'), text]
      .map((line) => JSON.parse(line) as { job_id: string, status: string })
    assert.deepEqual(told.map((entry) => entry.status), ['queued', 'queued', 'queued'])
    await upstream.waitFor(3)
    await listening(second)
    const other = await keyOf(data, '8')
    for (const { job_id: jobId } of told) {
      assert.equal((await get(`${first.url}/jobs/${jobId}`, key)).status, 200)
      assert.equal((await get(`${first.url}/jobs/${jobId}`, other)).status, 404)
    }
    assert.equal((await first.ended()).code, 0, first.stderr)
  })

  it('can be repeated', async (t) => {
    const stage = await begin(t)
    const second = takeOver(t, stage)
    await listening(second)
    assert.equal((await stage.first.ended()).code, 0)
    const third = takeOver(t, stage)
    await listening(third)
    assert.equal((await second.ended()).code, 0, second.stderr)
    const upstream = await upstreamFor(t)
    assert.equal((await stage.api.run(jobOf(upstream.origin))).status, 'completed')
    assert.equal(await third.stop(), 0)
  })
})

describe('a take-over that fails', { concurrency: 2 }, () => {
  it('goes back when the second process ends while the first drains', async (t) => {
    const stage = await begin(t, ['--default-max-concurrent', '1'])
    const { api, first } = stage
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
    const ids = await Promise.all([0, 1].map(() => api.accept(jobOf(upstream.origin))))
    await upstream.waitFor(1)
    const stream = await EventStream.join(first.url, String(ids[0]))
    const second = takeOver(t, stage)
    await passing(first)
    // It waits with the second process, and is answered by the first.
    const waiting = api.accept(jobOf(upstream.origin))
    await api.send('GET', '/ready')
    await second.kill()
    ids.push(await waiting)
    assert.match(first.stderr, /is gone: this one goes on/)
    assert.equal(stream.closed, false)
    gate.open()
    for (const id of ids) assert.equal((await api.finished(String(id))).status, 'completed')
    await stream.ended()
    const third = takeOver(t, stage)
    await listening(third)
    assert.equal((await first.ended()).code, 0)
    assert.equal(upstream.requests.length, 3)
  })

  it('leaves all to the next start when both processes end', async (t) => {
    const stage = await begin(t, ['--default-max-concurrent', '1'])
    const { api, data, first } = stage
    const upstream = await upstreamFor(t)
    const jobId = String((await api.run(jobOf(upstream.origin))).job_id)
    const second = takeOver(t, stage)
    await second.waitFor('stderr', /the other server has handed over/)
    await second.kill()
    assert.equal((await first.ended()).code, 1)
    assert.match(first.stderr, /a start on the data folder brings all jobs back/)
    const next = await startServer({ flags: flagsOf(data) }, t)
    const after = new ApiClient(next.url)
    t.after(() => after.close())
    assert.equal((await after.show(jobId)).body.status, 'completed')
    assert.equal(upstream.requests.length, 1)
  })

  it('is a start after a crash when the first process ends', async (t) => {
    const { api, first, gate, jobId, second, waiting } = await beginMidway(t)
    await first.kill()
    gate.open()
    assert.equal(await waiting, 201, second.stderr)
    await listening(second)
    assert.match(second.stderr, /ended in the midst/)
    assert.equal((await api.finished(jobId)).status, 'completed')
  })

  it('goes on when the first process is told to stop', async (t) => {
    const { api, first, gate, jobId, second, upstream, waiting } = await beginMidway(t)
    first.signal('SIGTERM')
    await first.waitFor('stderr', /stopping/)
    gate.open()
    assert.equal((await first.ended()).code, 0)
    assert.equal(await waiting, 201, second.stderr)
    await listening(second)
    assert.equal((await api.finished(jobId)).status, 'completed')
    await upstream.waitFor(2)
    assert.equal(upstream.requests.length, 2)
  })

  it('covers the listener of operators', async (t) => {
    const stage = await begin(t, ['--operate-listen', '127.0.0.1:0'])
    const { api, first } = stage
    const place = /^operators +http:\/\/(\S+)$/m.exec(first.stdout)?.[1] ?? ''
    const [kept, fresh] = [new ApiClient(`http://${place}`, 1), new ApiClient(`http://${place}`)]
    t.after(() => Promise.all([kept.close(), fresh.close()]).then(() => {}))
    assert.match(await healthOf(kept), /^\{"status":"ok","version"/)
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
    const jobId = await api.accept(jobOf(upstream.origin))
    await upstream.waitFor(1)
    const second = takeOver(t, stage, ['--operate-listen', place])
    // On one connection: the last answer of the first process is the peer's.
    let passed = await kept.send('GET', '/health')
    while (passed.headers['connection'] !== 'close') passed = await kept.send('GET', '/health')
    const beside = /^\{"status":"taking_over","version":"[^"]+","waiting":\d+,"shards":\[\]\}$/
    assert.match(passed.bytes.toString(), beside)
    await passing(first)
    assert.match(await healthOf(fresh), beside)
    assert.equal(await healthOf(api), '{"status":"taking_over"}')
    const held = fresh.send('GET', '/nothing')
    gate.open()
    await listening(second)
    assert.equal((await held).body.code, 'not_found')
    assert.match(await healthOf(fresh), /^\{"status":"ok",.*"taken_over":\{"at":\d+/)
    assert.equal((await first.ended()).code, 0, first.stderr)
    assert.equal((await api.finished(jobId)).status, 'completed')
    assert.equal(await second.stop(), 0)
  })

  it('is refused with its reason', async (t) => {
    const stage = await begin(t)
    const { first } = stage
    const refusal = async (flags: readonly string[]): Promise<string> => {
      const run = takeOver(t, stage, flags)
      const { code } = await run.ended()
      return `${code}: ${run.stderr}`
    }
    assert.match(await refusal(['--data', temporaryFolder(t)]), /^1: .*nobody to take over from/s)
    assert.match(await refusal(['--journal', 'off']), /^2: .*needs a journal/s)
    assert.match(await refusal(['--port', '1']), /^1: .*the server listens on 127/s)
    assert.match(await refusal(['--operate-listen', '127.0.0.1:1']),
      /^1: .*the server listens on 127[.\d:]+, and whoever .* --port and --operate-listen/s)
    assert.match(await refusal(['--memory', '64MiB', '--shards', '1']),
      /^2: .*cannot change --shards 1 where the running server has 2: jobs .* moved/s)
    assert.match(await refusal(['--completed-ttl', 'soon']), /^2: .*completed-ttl/s)
    const plain = new SluiceProcess(['serve', '--port', String(first.port), '--journal', 'off'])
    t.after(() => plain.kill())
    assert.equal((await plain.ended()).code, 1)
    assert.match(plain.stderr, /the port is taken/)
    assert.equal(await first.stop(), 0)
  })
})
