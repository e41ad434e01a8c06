// Every message of sluice.v1, in both formats, with a client that is not Sluice's own.

import assert from 'node:assert/strict'
import { type TestContext, describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { encodeValue } from '../../shards/wire/codec.ts'
import { jobOf } from '../support/api-client.ts'
import { Gate, Scene, UNPACED, rawUpstreamFor, upstreamFor } from '../support/scene.ts'
import {
  type Entry, type Format, type Message, refusedUpgrade, SocketClient, socketUrl,
} from '../support/socket-client.ts'

const scene = new Scene({ flags: [...UNPACED, '--default-account-queue-by-caller', 'on'] })

async function open(t: TestContext, format: Format = 'json'): Promise<SocketClient> {
  const client = await SocketClient.open(scene.server.url, format)
  t.after(() => client.ws.terminate())
  return client
}

const byRef = (entries: readonly Entry[]): Map<unknown, Entry> =>
  new Map(entries.map((entry) => [entry.ref, entry]))

for (const format of ['json', 'msgpack'] as const) {
  describe(`over frames of ${format}`, () => {
    test('jobs are taken, each under its own ref, and run', async (t) => {
      const upstream = await upstreamFor(t)
      const client = await open(t, format)
      const refs = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 40, 'a', 'ä', '"\\']
      const entries = byRef(await client.enqueue(
        refs.map((ref) => ({ ref, ...jobOf(upstream.origin, { body: `of ${ref}` }) }))))
      for (const ref of refs) {
        const entry = entries.get(ref)
        assert.match(String(entry?.job_id), /^[0-9a-f]{24}$/, `ref ${ref}`)
        assert.deepEqual(Object.keys(entry ?? {}), ['ref', 'job_id'])
        const shown = await scene.api.finished(String(entry?.job_id))
        assert.equal(shown.status, 'completed')
      }
    })

    test('one job at a time, in a message of its own', async (t) => {
      const upstream = await upstreamFor(t)
      const client = await open(t, format)
      client.send({ type: 'enqueue', job: { ref: 'only', ...jobOf(upstream.origin) } })
      const [entry] = await client.answers(1)
      assert.equal(entry?.ref, 'only')
      assert.ok(entry.job_id)
    })

    test('a known key is answered as a duplicate, with the result if there is one', async (t) => {
      const gate = new Gate()
      const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end('done')))
      const client = await open(t, format)
      const job = { ref: 7, ...jobOf(upstream.origin) }
      const jobId = await client.accept(job)
      const [waiting] = await client.enqueue([job])
      assert.equal(waiting?.job_id, jobId)
      assert.equal(waiting.duplicate, true)
      assert.equal(waiting.result, undefined)
      gate.open()
      await scene.api.finished(jobId)
      const [finished] = await client.enqueue([job])
      assert.equal(finished?.status, 'completed')
      assert.equal(finished.result?.['body'], 'done')
      assert.equal(upstream.requests.length, 1, 'a key runs once')
    })

    test('a bad job is refused alone, with the error that HTTP gives', async (t) => {
      const upstream = await upstreamFor(t)
      const client = await open(t, format)
      const bad = { ...jobOf(upstream.origin), url: 'ftp://x' }
      const entries = await client.enqueue([
        { ref: 1, ...jobOf(upstream.origin) }, { ref: 2, ...bad }, 7, { ...bad }, { ref: -1 },
        { ref: 3, ...jobOf(upstream.origin), watch: 'yes' }, { ref: 4, ...jobOf(upstream.origin) },
      ] as object[])
      const refs = byRef(entries)
      const http = (await scene.api.post(bad)).body
      const { ref, ...error } = refs.get(2) ?? {}
      assert.equal(ref, 2)
      assert.deepEqual(error, http)
      assert.ok(refs.get(1)?.job_id)
      assert.ok(refs.get(4)?.job_id)
      assert.equal(refs.get(3)?.field, 'watch')
      const unnamed = entries.filter((entry) => entry.ref === undefined)
        .map(({ index, code }) => [index, code])
      assert.deepEqual(unnamed, [[2, 'not_an_object'], [3, 'invalid_ref'], [4, 'invalid_ref']])
    })

    test('a watched job tells its events, the last with the result', async (t) => {
      let asked = 0
      const upstream = await upstreamFor(t, (_request, response) => {
        asked += 1
        response.statusCode = asked === 1 ? 503 : 200
        response.end(`answer ${asked}`)
      })
      const client = await open(t, format)
      const jobId = await client.accept({ ref: 1, watch: true, ...jobOf(upstream.origin) })
      const of = (message: Message): boolean => message['job_id'] === jobId
      assert.equal((await client.take('dispatching', of))['attempt'], 1)
      const retrying = await client.take('retrying', of)
      assert.equal(retrying['response_status'], 503)
      assert.equal((await client.take('dispatching', of))['attempt'], 2)
      const completed = await client.take('completed', of)
      assert.deepEqual(completed, { type: 'completed', job_id: jobId, status: 'completed',
        response_status: 200, body: 'answer 2' })
    })

    test('a job is watched later, by another socket, and unwatched', async (t) => {
      const gate = new Gate()
      const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end('x')))
      const client = await open(t, format)
      const jobId = await client.accept({ ref: 1, ...jobOf(upstream.origin) })
      await client.close()
      const later = await open(t, format)
      later.send({ type: 'watch', job_id: jobId, ref: 'w' })
      const watched = await later.take('watched')
      assert.equal(watched['job_id'], jobId)
      assert.equal(watched['ref'], 'w')
      const leaving = await open(t, format)
      leaving.send({ type: 'watch', job_ids: [jobId] })
      await leaving.take('watched')
      leaving.send({ type: 'unwatch', job_ids: [jobId], ref: 5 })
      assert.deepEqual(await leaving.take('unwatched'),
        { type: 'unwatched', ref: 5, job_id: jobId })
      gate.open()
      assert.equal((await later.take('completed'))['job_id'], jobId)
      await leaving.sync()
      assert.deepEqual(leaving.messages, [], 'who has left hears nothing')
      later.send({ type: 'watch', job_id: jobId })
      await later.take('watched', (message) => message['status'] === 'completed')
      assert.equal((await later.take('completed'))['body'], 'x', 'who comes late hears the end')
    })

    test('a waiting job is cancelled; one that was sent is not', async (t) => {
      const gate = new Gate()
      const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end('x')))
      const client = await open(t, format)
      const fields = { headers: { 'X-Api-Key': `one at a time ${format}` } }
      const sent = await client.accept(
        { ref: 1, watch: true, ...jobOf(upstream.origin, fields) })
      await client.take('dispatching')
      client.send({ type: 'cancel', job_id: sent, ref: 1 })
      const refused = await client.take('error')
      assert.equal(refused['code'], 'not_cancellable')
      assert.equal(refused['job_id'], sent)
      assert.equal(refused['ref'], 1)
      gate.open()
      await client.take('completed')
      const closedPort = await rawUpstreamFor(t, (socket) => socket.destroy())
      const retried = await client.accept({ ref: 2, watch: true, ...jobOf(closedPort.origin) })
      await client.take('retrying')
      client.send({ type: 'cancel', job_ids: [retried] })
      assert.deepEqual(await client.take('cancelled'),
        { type: 'cancelled', job_id: retried, status: 'cancelled' })
      await client.sync()
      assert.deepEqual(client.messages.filter(({ type }) => type === 'cancelled'), [],
        'who cancels hears of it once')
    })

    test('jobs that do not exist', async (t) => {
      const client = await open(t, format)
      for (const type of ['watch', 'cancel']) {
        for (const id of ['0123456789abcdef01234567', 'nonsense', '']) {
          client.send({ type, job_id: id, ref: 9 })
          const { code, job_id: jobId, ref } = await client.take('error')
          assert.deepEqual([code, jobId, ref], ['job_not_found', id, 9])
        }
      }
    })

    test('ping, with and without a ref', async (t) => {
      const client = await open(t, format)
      client.send({ type: 'ping' })
      assert.deepEqual(await client.take('pong'), { type: 'pong' })
      client.send({ type: 'ping', ref: 'here' })
      assert.deepEqual(await client.take('pong'), { type: 'pong', ref: 'here' })
    })
  })
}

test('the greeting says what is spoken and what is allowed', async (t) => {
  const ws = new WebSocket(socketUrl(scene.server.url), ['sluice.v1', 'sluice.v2'])
  t.after(() => ws.terminate())
  const { version, ...hello } = await new SocketClient(ws, 'json').take('hello')
  assert.match(String(version), /^\d+\.\d+\.\d+/)
  assert.deepEqual(hello, {
    type: 'hello', protocol: 'sluice.v1', window: 4096, limits: {
      jobs_per_message: 1024, frame_bytes: 1_114_112, body_bytes: 1_048_576, ref_bytes: 64,
      watched_jobs: 16_384, unread_bytes: 1_048_576, idle_s: 60,
    },
  })
  assert.equal(ws.protocol, 'sluice.v1')
})

test('answers come in the format of the last frame', async (t) => {
  const client = await open(t)
  const kinds: boolean[] = []
  client.ws.on('message', (_data, isBinary) => kinds.push(isBinary))
  const packed = await SocketClient.open(scene.server.url, 'msgpack')
  t.after(() => packed.ws.terminate())
  client.send({ type: 'ping' })
  await client.take('pong')
  Object.defineProperty(client, 'format', { value: 'msgpack' })
  client.send({ type: 'ping' })
  await client.take('pong')
  assert.deepEqual(kinds, [false, true])
})

test('account queues are asked for by header or in a message', async (t) => {
  const upstream = await upstreamFor(t)
  const byHeader = await SocketClient.open(scene.server.url, 'msgpack',
    { headers: { 'X-Aqueduct-Account-Queue': 'enabled' } })
  t.after(() => byHeader.ws.terminate())
  await scene.api.finished(await byHeader.accept({ ref: 1, ...jobOf(upstream.origin) }))
  const header = 'x-ezthrottle-current-account-queue-enabled'
  assert.equal(upstream.requests[0]?.headers[header], 'true')
  const other = await upstreamFor(t)
  const client = await open(t)
  const [entry] = await client.enqueue([{ ref: 1, ...jobOf(other.origin) }],
    { account_queue: 'enabled' })
  await scene.api.finished(String(entry?.job_id))
  assert.equal(other.requests[0]?.headers[header], 'true')
})

test('a job with a text that is not UTF-8 is refused, and those beside it are taken', async (t) => {
  const upstream = await upstreamFor(t)
  const client = await SocketClient.open(scene.server.url, 'msgpack')
  t.after(() => client.ws.terminate())
  const jobs = Array.from({ length: 6 }, (_, ref) =>
    ({ ref, ...jobOf(upstream.origin, { idempotent_key: `kee${ref}`, body: 'plain' }) }))
  // Again and again, so that the later ones are not decoded any more.
  for (let round = 0; round < 4; round++) {
    for (const [hole, last] of [['kee3', 0xe9], ['kee3', 0xe8], ['plain', 0xff]] as const) {
      const frame = Buffer.from(encodeValue({ type: 'enqueue', jobs }))
      const at = frame.indexOf(hole, hole === 'plain' ? frame.indexOf('kee3') : 0)
      frame[at + hole.length - 1] = last
      client.ws.send(frame)
      const entries = await client.answers(jobs.length)
      const refused = entries.filter(({ code }) => code !== undefined)
      assert.deepEqual(refused.map(({ code, index }) => [code, index]), [['invalid_msgpack', 3]])
    }
  }
})

describe('upgrades that are refused', () => {
  test('without the subprotocol', async () => {
    for (const protocols of [[], ['sluice.v2'], ['chat', 'mqtt']]) {
      const { status, body } = await refusedUpgrade(scene.server.url, protocols)
      assert.deepEqual([status, body['code']], [400, 'unsupported_protocol'])
    }
  })

  test('from a page of another origin', async (t) => {
    const { status, body } = await refusedUpgrade(scene.server.url, ['sluice.v1'],
      { origin: 'https://evil.example' })
    assert.deepEqual([status, body['code']], [403, 'forbidden_origin'])
    const same = await SocketClient.open(scene.server.url, 'json', { origin: scene.server.url })
    t.after(() => same.ws.terminate())
  })

  test('a request that is no upgrade', async () => {
    for (const method of ['GET', 'POST']) {
      const { status, body } = await scene.api.send(method, '/ws')
      assert.deepEqual([status, body.code], [426, 'upgrade_required'])
    }
  })
})
