// Who may ask: a server beyond loopback is locked until its first key, one on loopback is open to
// this machine and to no web page, and a key can be added, limited and revoked while it is used.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { WebSocket } from 'ws'
import { type Answer, get, post, send } from '../support/client.ts'
import { EventStream } from '../support/event-stream.ts'
import { KeyedServer, type TestKey } from '../support/keyed-server.ts'
import { Gate, upstreamFor } from '../support/scene.ts'
import { PROTOCOL, SocketClient, socketUrl } from '../support/socket-client.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const BEYOND = ['--host', '0.0.0.0', '--egress-allow', '127.0.0.0/8']

const codeOf = (answer: Answer): unknown => [answer.status, answer.json()['code']]

const jobFor = (origin: string, key: string, changes: object = {}): object => ({
  idempotent_key: key, url: `${origin}/`, method: 'GET', delivery: 'poll', ...changes,
})

/** The status with which an upgrade is refused; 101 when it is not. */
function upgrade(url: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const socket = new WebSocket(socketUrl(url), [PROTOCOL], { headers })
  socket.on('open', () => {
    socket.close()
    resolve(101)
  })
  socket.on('unexpected-response', (_, response) => {
    response.resume()
    resolve(response.statusCode ?? 0)
  })
  socket.on('error', () => { /* told by its status */ })
  return promise
}

describe('a server beyond loopback', () => {
  it('is locked until its first key, which the refusal tells how to make', async (t) => {
    const upstream = await upstreamFor(t)
    const keyed = await KeyedServer.start(t, { flags: BEYOND })
    const { server, url } = keyed
    const job = jobFor(upstream.origin, 'k')
    const refused = await post(`${url}/jobs`, { ...job, user_id: 'ann' })
    assert.deepEqual(codeOf(refused), [401, 'locked'])
    assert.match(String(refused.json()['error']), /sluice keys add/)
    assert.match(refused.headers['www-authenticate'] ?? '', /^Bearer/)
    for (const [method, target] of [
      ['POST', '/jobs/batch'], ['GET', '/jobs/x'], ['DELETE', '/jobs/x'], ['GET', '/jobs/x/stream'],
      ['GET', '/ws'], ['GET', '/'], ['OPTIONS', '/jobs'],
    ] as const) {
      assert.equal((await send(method, url + target)).status, 401, `${method} ${target}`)
    }
    assert.equal(await upgrade(url, {}), 401)
    assert.deepEqual((await get(`${url}/health`)).json(), { status: 'ok' })
    assert.deepEqual((await get(`${url}/ready`)).json(), { status: 'ready' })
    const notices = server.stderr.match(/there are no keys, and the server/g)
    assert.equal(notices?.length, 1, server.stderr)
    const key = await keyed.add({ name: 'first' })
    assert.deepEqual(codeOf(await post(`${url}/jobs`, job)), [401, 'key_required'])
    for (const headers of [
      key.headers, { authorization: `Bearer ${key.text}` }, { 'x-api-key': key.text },
    ]) {
      const accepted = await post(`${url}/jobs`, job, headers)
      assert.ok(accepted.status === 201 || accepted.status === 200, accepted.text)
    }
    assert.equal(upstream.requests.length <= 1, true)
  })

  it('answers everybody with --insecure-no-auth, and says so', async (t) => {
    const upstream = await upstreamFor(t)
    const { server, url } =
      await KeyedServer.start(t, { flags: [...BEYOND, '--insecure-no-auth'] })
    const job = jobFor(upstream.origin, 'k', { user_id: 'ann' })
    assert.equal((await post(`${url}/jobs`, job, { host: 'anywhere.example' })).status, 201)
    assert.match(server.stderr, /--insecure-no-auth is on/)
  })
})

describe('a server on loopback without keys', () => {
  it('is not for web pages, whatever name they reach it by', async (t) => {
    const upstream = await upstreamFor(t)
    const { server, url } =
      await KeyedServer.start(t, { flags: ['--allowed-hosts', 'sluice.internal'] })
    const job = (key: string): object => jobFor(upstream.origin, key, { user_id: 'ann' })
    for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example',
      '10.0.0.1', '[::2]:80', 'evil.example:4000']) {
      for (const target of ['/jobs/x', '/health', '/ready', '/nothing']) {
        assert.deepEqual(codeOf(await get(url + target, { host })), [421, 'foreign_host'], host)
      }
      assert.deepEqual(codeOf(await post(`${url}/jobs`, job('h'), { host })), [421, 'foreign_host'])
      assert.equal(await upgrade(url, { host }), 421)
    }
    for (const host of ['localhost', 'localhost:4000', '127.0.0.1', '127.1.2.3:80', '[::1]:4000',
      'a.localhost', 'SLUICE.internal:4000', 'localhost.']) {
      assert.equal((await get(`${url}/ready`, { host })).status, 200, host)
    }
    const own = `http://127.0.0.1:${server.port}`
    for (const origin of ['http://evil.example', 'null', `https://127.0.0.1:${server.port + 1}`]) {
      const headers = { origin }
      assert.deepEqual(codeOf(await post(`${url}/jobs`, job('o'), headers)),
        [403, 'forbidden_origin'])
      assert.equal((await send('DELETE', `${url}/jobs/x`, undefined, headers)).status, 403)
      assert.equal(await upgrade(url, headers), 403)
    }
    assert.equal((await post(`${url}/jobs`, job('mine'), { origin: own })).status, 201)
    assert.equal(await upgrade(url, { origin: own }), 101)
  })
})

describe('keys', () => {
  let keyed: KeyedServer
  before(async () => { keyed = await KeyedServer.start() })
  after(() => keyed.server.kill())

  it('may do what their scopes say, over HTTP and over a socket', async (t) => {
    const upstream = await upstreamFor(t)
    const { url } = keyed
    const may = Object.fromEntries(await Promise.all(['submit', 'read', 'operate', 'admin'].map(
      async (scope) => [scope, await keyed.add({ name: 'me', scopes: scope })]))) as
      Record<'submit' | 'read' | 'operate' | 'admin', TestKey>
    const job = jobFor(upstream.origin, 'k')
    for (const scope of ['read', 'operate'] as const) {
      const answer = await post(`${url}/jobs`, job, may[scope].headers)
      assert.deepEqual(codeOf(answer), [403, 'insufficient_scope'])
      assert.equal(answer.json()['scope'], 'submit')
    }
    const jobId = String((await post(`${url}/jobs`, job, may.submit.headers)).json()['job_id'])
    const target = `${url}/jobs/${jobId}`
    assert.equal((await get(target, may.submit.headers)).status, 403)
    assert.equal((await send('DELETE', target, undefined, may.operate.headers)).status, 403)
    assert.equal((await get(target, may.read.headers)).status, 200)
    assert.equal((await get(target, may.admin.headers)).status, 200)
    assert.ok('shards' in (await get(`${url}/health`, may.operate.headers)).json())
    assert.ok(!('shards' in (await get(`${url}/health`, may.read.headers)).json()))
    const reader = await SocketClient.open(url, 'json', { headers: may.read.headers })
    reader.send({ type: 'enqueue', ref: 1, jobs: [{ ...job, ref: 1 }] })
    assert.equal((await reader.take('error'))['code'], 'insufficient_scope')
    reader.send({ type: 'watch', job_id: jobId })
    await reader.take('watched')
    const submitter = await SocketClient.open(url, 'msgpack', { headers: may.submit.headers })
    submitter.send({ type: 'watch', job_id: jobId })
    assert.equal((await submitter.take('error'))['code'], 'insufficient_scope')
    submitter.send({
      type: 'enqueue', jobs: [{ ...job, ref: 2, idempotent_key: 'w', watch: true }],
    })
    const [entry] = (await submitter.take('accepted'))['jobs'] as Record<string, unknown>[]
    assert.equal(entry?.['code'], 'insufficient_scope')
    for (const socket of [reader, submitter]) socket.ws.close()
  })

  it('are one account, unless they name users', async (t) => {
    const upstream = await upstreamFor(t)
    const one = await keyed.add({ name: 'billing', tenant: '3' })
    const rotated = await keyed.add({ name: 'billing', tenant: '3' })
    const many = await keyed.add({ name: 'app', tenant: '3', users: 'many' })
    const jobs = `${keyed.url}/jobs`
    const job = jobFor(upstream.origin, 'k')
    const { job_id: jobId } = (await post(jobs, job, one.headers)).json()
    const again = await post(jobs, { ...job, user_id: 'billing' }, rotated.headers)
    assert.equal(again.json()['job_id'], jobId, 'a key that follows is the same account')
    const other = await post(jobs, { ...job, user_id: 'ann' }, one.headers)
    assert.deepEqual([...codeOf(other) as unknown[], other.json()['field']],
      [403, 'user_not_allowed', 'user_id'])
    assert.match(String(other.json()['error']), /jobs of the user "billing" only/)
    assert.deepEqual(codeOf(await post(jobs, job, many.headers)), [400, 'missing_field'])
    const named = await post(jobs, { ...job, user_id: 'billing' }, many.headers)
    assert.equal(named.json()['job_id'], jobId, 'the same user of the same tenant')
    assert.equal((await post(jobs, { ...job, user_id: 'ann' }, many.headers)).status, 201)
  })

  it('have limits of their own: jobs, submissions a second, streams, sockets', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_, response) => response.end('ok')))
    t.after(() => gate.open())
    const { url } = keyed
    const few = await keyed.add({ name: 'few', 'jobs-queued': '2', streams: '1', sockets: '1' })
    const slow = await keyed.add({ name: 'slow', rate: '1' })
    const submit = (key: TestKey, name: string): Promise<Answer> =>
      post(`${url}/jobs`, jobFor(upstream.origin, name), key.headers)
    const ids = [await submit(few, 'a'), await submit(few, 'b')]
      .map((answer) => String(answer.json()['job_id']))
    const full = await submit(few, 'c')
    assert.deepEqual([full.status, full.json()['limit_reason'], full.json()['limit']],
      [429, 'key_jobs', 2])
    const stream = await EventStream.join(url, ids[0] ?? '', undefined, few.headers)
    const second = await get(`${url}/jobs/${ids[1]}/stream`, few.headers)
    assert.deepEqual([second.status, second.json()['limit_reason']], [429, 'key_streams'])
    const socket = await SocketClient.open(url, 'json', { headers: few.headers })
    assert.equal(await upgrade(url, few.headers), 429)
    assert.equal(await upgrade(url, slow.headers), 101, 'others have theirs')
    socket.ws.close()
    await socket.closed
    gate.open()
    await stream.waitFor('completed')
    while ((await submit(few, 'd')).status === 429) await new Promise(setImmediate)
    assert.equal((await submit(slow, 'a')).status, 201)
    const paced = await submit(slow, 'b')
    assert.deepEqual([paced.status, paced.json()['limit_reason']], [429, 'key_rate'])
    assert.equal(paced.headers['ratelimit-policy'], '"submissions";q=1;w=1')
    assert.match(String(paced.headers['ratelimit']), /^"submissions";r=0;t=[12]$/)
    assert.match(String(paced.headers['retry-after']), /^[12]$/)
  })

  it('end with their streams and sockets when they are revoked', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_, response) => response.end('ok')))
    t.after(() => gate.open())
    const { url } = keyed
    const [gone, kept] = [await keyed.add({ name: 'a' }), await keyed.add({ name: 'a' })]
    const submitted = await post(`${url}/jobs`, jobFor(upstream.origin, 'k'), gone.headers)
    const jobId = String(submitted.json()['job_id'])
    const open = async (key: TestKey): Promise<readonly [EventStream, SocketClient]> => [
      await EventStream.join(url, jobId, undefined, key.headers),
      await SocketClient.open(url, 'json', { headers: key.headers }),
    ]
    const [stream, socket] = await open(gone)
    const [otherStream, otherSocket] = await open(kept)
    await keyed.revoke(gone)
    assert.equal((await socket.closed).code, 1008)
    await stream.ended()
    assert.ok(!otherStream.closed && !otherSocket.isClosed)
    assert.deepEqual(codeOf(await get(`${url}/jobs/${jobId}`, gone.headers)), [401, 'invalid_key'])
    gate.open()
    await otherStream.waitFor('completed')
    otherSocket.ws.close()
  })

  it('that are wrong are refused by the thousand, and lock nobody out', async (t) => {
    const upstream = await upstreamFor(t)
    const { server, url } = keyed
    const key = await keyed.add({ name: 'good', scopes: 'submit,read,operate' })
    const denied = async (): Promise<number> => {
      const health = (await get(`${url}/health`, key.headers)).json()
      return (health as { admission: { denied: number } }).admission.denied
    }
    const deniedBefore = await denied()
    const wrong = (at: number): Promise<Answer> => get(`${url}/jobs/x`, {
      'x-sluice-key': key.text.slice(0, -4) + String(at % 10_000).padStart(4, '0'),
    })
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(Array.from({ length: 100 }, (_, at) =>
        wrong(100 * round + at)))
      assert.ok(answers.every(({ status }) => status === 401))
      const job = jobFor(upstream.origin, `k${round}`)
      assert.equal((await post(`${url}/jobs`, job, key.headers)).status, 201)
    }
    assert.equal(await denied() - deniedBefore, 2000)
    const lines = server.stderr.match(/a request was denied/g) ?? []
    assert.ok(lines.length < 20, server.stderr)
  })

  it('are in no file, no log line and no request to an upstream', async (t) => {
    const upstream = await upstreamFor(t)
    const folder = temporaryFolder(t)
    const marked = await KeyedServer.start(t, {
      flags: ['--journal', 'always', '--data', path.join(folder, 'data'), '--log-level', 'trace',
        '--log-file', path.join(folder, 'log'), '--keys-file', path.join(folder, 'keys.json')],
    })
    const { server, url } = marked
    const key = await marked.add({ name: 'mark' })
    const secret = key.text.split('_')[2] ?? ''
    const jobs = `${url}/jobs`
    for (const headers of [key.headers, { authorization: `Bearer ${key.text}` },
      { 'x-api-key': key.text }]) {
      await post(jobs, jobFor(upstream.origin, `k${Object.keys(headers)[0]}`,
        { webhook_url: `${upstream.origin}/hook` }), headers)
      await get(`${url}/jobs/x`, headers)
    }
    for (const name of ['X-Sluice-Key', 'Authorization', 'X-Other']) {
      const answer = await post(jobs, jobFor(upstream.origin, `own-${name}`,
        { headers: { [name]: `Bearer ${key.text}` } }), key.headers)
      assert.deepEqual([...codeOf(answer) as unknown[], answer.json()['field']],
        [400, 'invalid_header', `headers.${name}`])
      assert.ok(!answer.text.includes(secret))
    }
    await get(`${url}/jobs/x`, { 'x-sluice-key': `${key.text}x` })
    await marked.revoke(key)
    await post(jobs, jobFor(upstream.origin, 'late'), key.headers)
    while (upstream.requests.length < 6) await new Promise(setImmediate)
    for (const { rawHeaders, path: target } of upstream.requests) {
      assert.ok(!`${target} ${rawHeaders.join(' ')}`.includes(secret))
    }
    assert.equal(await server.stop('SIGTERM'), 0)
    assert.ok(!(server.stdout + server.stderr).includes(secret))
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .map((name) => path.join(folder, name)).filter((file) => statSync(file).isFile())
    assert.ok(files.some((file) => file.endsWith('keys.json')), files.join())
    for (const file of files) assert.ok(!readFileSync(file).includes(secret), file)
    assert.ok(readFileSync(path.join(folder, 'log')).includes(key.id), 'the log names the key')
  })
})
