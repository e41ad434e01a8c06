// POST /jobs as its callers know it: what is accepted, what reaches the upstream, and what the
// other paths and formats are answered with.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decodeUntrusted, encodeValue } from '../../shards/wire/codec.ts'
import { jobOf } from '../support/api-client.ts'
import { Scene, UNPACED, upstreamFor } from '../support/scene.ts'

const BODY_BYTES_MAX = 64 * 1024
const scene = new Scene({ flags: [...UNPACED, '--shards', '2', '--body-limit', '64KiB'] })

describe('a job that is accepted', () => {
  it('is answered 201 with its id, and is sent as given', async (t) => {
    const upstream = await upstreamFor(t)
    const answer = await scene.api.post(jobOf(`${upstream.origin}/a/b?c=d&e=%20#f`, {
      method: 'POST', body: '{"hällo":"wörld"}',
      headers: { 'Content-Type': 'application/vnd.api+json; charset=utf-8', 'x-LoWeR': '1' },
    }))
    assert.equal(answer.status, 201)
    assert.equal(answer.headers['content-type'], 'application/json')
    assert.match(String(answer.body.job_id), /^[0-9a-f]{24}$/)
    assert.deepEqual(answer.body, { job_id: answer.body.job_id, status: 'queued' })
    const [request] = await upstream.waitFor(1)
    assert.equal(request?.method, 'POST')
    assert.equal(request.path, '/a/b?c=d&e=%20')
    assert.equal(request.body.toString(), '{"hällo":"wörld"}')
    assert.equal(request.headers['content-type'], 'application/vnd.api+json; charset=utf-8')
  })

  it('keeps the caller\'s headers: values, order and the case of their names', async (t) => {
    const upstream = await upstreamFor(t)
    const headers = {
      Authorization: 'Bearer abc', 'X-mIxEd-CaSe': ' padded? no', Accept: 'text/plain;q=0.5',
      'Content-Type': 'text/x-Custom', 'user-agent': 'caller/1.0', 'X-Empty': '', 'x-z': 'ÿ\t~',
    }
    await scene.api.accept(jobOf(upstream.origin, { headers, method: 'PUT', body: 'x' }))
    const [request] = await upstream.waitFor(1)
    const raw = request?.rawHeaders ?? []
    const names = new Set(Object.keys(headers))
    const sent: string[][] = []
    for (let at = 0; at < raw.length; at += 2) {
      if (names.has(raw[at] as string)) sent.push([raw[at] as string, raw[at + 1] as string])
    }
    const expected = Object.entries(headers).map(([name, value]) => [name, value.trim()])
    assert.deepEqual(sent, expected)
  })

  it('may have any of the methods, in any case', async (t) => {
    const upstream = await upstreamFor(t)
    const methods = ['get', 'HEAD', 'Post', 'pUT', 'patch', 'DELETE', 'oPtIoNs']
    for (const method of methods) {
      const { result } = await scene.api.run(jobOf(upstream.origin, { method }))
      assert.equal(result?.response_status, 200, method)
    }
    assert.deepEqual(upstream.requests.map(({ method }) => method),
      methods.map((method) => method.toUpperCase()))
  })

  it('carries bytes of any kind as body_base64', async (t) => {
    const upstream = await upstreamFor(t)
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    await scene.api.accept(jobOf(upstream.origin, {
      method: 'POST', body_base64: bytes.toString('base64'),
    }))
    const [request] = await upstream.waitFor(1)
    assert.deepEqual(request?.body, bytes)
    assert.equal(request.headers['content-length'], '256')
  })

  it('may be as large as the limit, and not a byte larger', async (t) => {
    const upstream = await upstreamFor(t)
    const job = jobOf(upstream.origin, { method: 'POST', body: '' })
    const body = 'b'.repeat(BODY_BYTES_MAX - JSON.stringify(job).length)
    assert.equal((await scene.api.post({ ...job, body: `${body}!` })).status, 413)
    assert.equal((await scene.api.post({ ...job, body })).status, 201)
    const [request] = await upstream.waitFor(1)
    assert.equal(request?.body.length, body.length)
  })

  it('may have unknown fields, which are ignored', async (t) => {
    const upstream = await upstreamFor(t)
    const text = JSON.stringify(jobOf(upstream.origin, { colour: 'red', deep: { er: [1] } }))
    const { status } = await scene.api.send('POST', '/jobs', {
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body: text.replace('{', '{"__proto__":{"user_id":7},'),
    })
    assert.equal(status, 201)
  })

  it('needs no webhook when it is polled or streamed', async (t) => {
    const upstream = await upstreamFor(t)
    for (const delivery of ['poll', 'stream']) {
      await scene.api.accept(jobOf(upstream.origin, { delivery }))
    }
    await upstream.waitFor(2)
  })

  it('may be told its key by the Idempotency-Key header', async (t) => {
    const upstream = await upstreamFor(t)
    const job = { ...jobOf(upstream.origin), idempotent_key: undefined }
    const key = { 'idempotency-key': 'from-the-header' }
    const jobId = await scene.api.accept(job, key)
    const again = await scene.api.post({ ...job, idempotent_key: 'from-the-header' })
    assert.equal(again.status, 200)
    assert.equal(again.body.job_id, jobId)
    const both = await scene.api.post({ ...job, idempotent_key: 'from-the-header' }, key)
    assert.equal(both.status, 200, 'the same key twice is no contradiction')
    const torn = await scene.api.post({ ...job, idempotent_key: 'another' }, key)
    assert.equal(torn.status, 400)
    assert.equal(torn.body.field, 'idempotent_key')
  })
})

describe('MessagePack', () => {
  const MSGPACK = { 'content-type': 'application/msgpack' }

  it('is read where a body is read, bytes included', async (t) => {
    const upstream = await upstreamFor(t)
    const bytes = Buffer.from([0, 255, 128, 10])
    const answer = await scene.api.send('POST', '/jobs', {
      headers: MSGPACK,
      body: Buffer.from(encodeValue(jobOf(upstream.origin, { method: 'POST', body: bytes }))),
    })
    assert.equal(answer.status, 201, answer.bytes.toString())
    assert.equal(answer.headers['content-type'], 'application/json')
    const [request] = await upstream.waitFor(1)
    assert.deepEqual(request?.body, bytes)
  })

  it('is answered to who accepts it', async (t) => {
    const upstream = await upstreamFor(t)
    const answer = await scene.api.post(jobOf(upstream.origin), { accept: 'application/msgpack' })
    assert.equal(answer.status, 201)
    assert.equal(answer.headers['content-type'], 'application/msgpack')
    const decoded = decodeUntrusted(answer.bytes)
    assert.ok(decoded.ok)
    const value = decoded.value as { job_id: string, status: string }
    assert.equal(value.status, 'queued')
    assert.equal((await scene.api.show(value.job_id)).status, 200)
  })

  it('that is none, or holds more than one value, is answered 400', async () => {
    const job = Buffer.from(encodeValue(jobOf('http://127.0.0.1:9/')))
    const bad = [
      Buffer.alloc(0), Buffer.from([0xc1]), job.subarray(0, -1), Buffer.concat([job, job]),
      Buffer.from([0xdf, 255, 255, 255, 255]), Buffer.alloc(5000, 0x91),
    ]
    for (const body of bad) {
      const answer = await scene.api.send('POST', '/jobs', { headers: MSGPACK, body })
      assert.equal(answer.status, 400, body.subarray(0, 8).toString('hex'))
      assert.equal(answer.body.code, 'invalid_msgpack')
    }
  })
})

describe('what is not accepted', () => {
  it('is 415 for a body of another type', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp']) {
      const answer = await scene.api.post(jobOf('http://127.0.0.1:9/'), { 'content-type': type })
      assert.equal(answer.status, 415, type)
      assert.equal(answer.body.code, 'unsupported_media_type')
      assert.equal(typeof answer.body.error, 'string')
    }
  })

  it('is 413 for a body over the limit', async () => {
    const answer = await scene.api.post({ body: 'b'.repeat(BODY_BYTES_MAX) })
    assert.equal(answer.status, 413)
    assert.equal(answer.body.code, 'body_too_large')
    assert.equal(typeof answer.body.error, 'string')
  })

  it('leaves no trace: the key of a refused job is free, and nothing was counted', async (t) => {
    const upstream = await upstreamFor(t)
    const job = jobOf(upstream.origin)
    const { accepted } = (await scene.api.health()).admission
    assert.equal((await scene.api.post({ ...job, method: 'BREW' })).status, 400)
    assert.equal((await scene.api.post({ ...job, body: 'b'.repeat(BODY_BYTES_MAX) })).status, 413)
    assert.equal((await scene.api.post(job, { 'content-type': 'text/css' })).status, 415)
    assert.equal((await scene.api.health()).admission.accepted, accepted)
    assert.equal((await scene.api.post(job)).status, 201)
    await upstream.waitFor(1)
    assert.equal(upstream.requests.length, 1)
  })
})

describe('other paths', () => {
  it('are 404 with a code where there are none', async () => {
    const paths = ['/', '/job', '/jobs/', '/jobs/a/b', '/jobs/a/stream/c', '/%00', '/health/']
    for (const path of paths) {
      const answer = await scene.api.send('GET', path)
      assert.equal(answer.status, 404, path)
      assert.equal(answer.body.code, 'not_found', path)
      assert.equal(typeof answer.body.error, 'string')
    }
  })

  it('are 405 with Allow for another method', async () => {
    const table = [
      ['GET', '/jobs', 'POST'], ['PUT', '/jobs', 'POST'], ['POST', '/jobs/abc', 'GET, DELETE'],
      ['POST', '/jobs/abc/stream', 'GET'], ['POST', '/health', 'GET, HEAD'],
      ['DELETE', '/ready', 'GET, HEAD'],
    ] as const
    for (const [method, path, allow] of table) {
      const answer = await scene.api.send(method, path)
      assert.equal(answer.status, 405, `${method} ${path}`)
      assert.equal(answer.headers['allow'], allow)
      assert.equal(answer.body.code, 'method_not_allowed')
    }
  })

  it('tell that the server is ready, and how it is', async () => {
    const ready = await scene.api.send('GET', '/ready')
    assert.equal(ready.status, 200)
    assert.deepEqual(ready.body, { status: 'ready' })
    for (const path of ['/ready', '/health']) {
      const head = await scene.api.send('HEAD', path)
      assert.equal(head.status, 200)
      assert.equal(head.bytes.length, 0)
    }
    const health = await scene.api.health()
    assert.equal(health.status, 'ok')
    assert.match(health.version, /^\d+\.\d+\.\d+/)
    assert.ok(Number.isInteger(health.uptime_s))
    assert.deepEqual(health.shards.map(({ shard, up }) => [shard, up]), [[0, true], [1, true]])
    assert.deepEqual(Object.keys(health.queues), ['active', 'backlog'])
    assert.ok(health.admission.accepted > 0)
  })
})
