// Where a socket's limits are, and what is said there: windows, sizes, nonsense, silence, and
// readers that do not read.

import assert from 'node:assert/strict'
import { type Socket, connect } from 'node:net'
import { type TestContext, describe, test } from 'node:test'
import { pack } from 'msgpackr'
import { MESSAGE_JOBS_MAX, SOCKET_WARN_BYTES, SOCKET_WINDOW_JOBS } from '../../src/base/limits.ts'
import { ApiClient, jobOf } from '../support/api-client.ts'
import { Scene, UNPACED, upstreamFor } from '../support/scene.ts'
import { startServer } from '../support/server.ts'
import { type Format, SocketClient } from '../support/socket-client.ts'

const BODY_BYTES_MAX = 64 * 1024
const scene = new Scene({ flags: [...UNPACED, '--body-limit', '64KiB', '--socket-idle', '8s'] })

async function open(t: TestContext, format: Format = 'json'): Promise<SocketClient> {
  const client = await SocketClient.open(scene.server.url, format)
  t.after(() => client.ws.terminate())
  return client
}

describe('frames that make no sense get an error that names the fault', () => {
  const job = jobOf('http://127.0.0.1:1/')
  const TEXTS: readonly (readonly [text: string, code: string, field: string])[] = [
    ['', 'invalid_json', ''], ['{', 'invalid_json', ''], ['nonsense', 'invalid_json', ''],
    ['7', 'not_an_object', ''], ['[]', 'not_an_object', ''], ['null', 'not_an_object', ''],
    ['{}', 'invalid_message', 'type'], ['{"type":7}', 'invalid_message', 'type'],
    ['{"type":"dance"}', 'invalid_message', 'type'],
    ['{"type":"ping","ref":-1}', 'invalid_ref', 'ref'],
    ['{"type":"ping","ref":1.5}', 'invalid_ref', 'ref'],
    [`{"type":"ping","ref":"${'x'.repeat(65)}"}`, 'invalid_ref', 'ref'],
    ['{"type":"enqueue"}', 'missing_field', 'jobs'],
    ['{"type":"enqueue","jobs":{}}', 'wrong_type', 'jobs'],
    ['{"type":"enqueue","jobs":[],"job":{}}', 'conflicting_fields', 'jobs'],
    ['{"type":"enqueue","jobs":[],"account_queue":"perhaps"}', 'wrong_type', 'account_queue'],
    ['{"type":"enqueue","jobs":[],"account_queue":true}', 'wrong_type', 'account_queue'],
    ['{"type":"watch"}', 'missing_field', 'job_id'],
    ['{"type":"watch","job_id":7}', 'wrong_type', 'job_id'],
    ['{"type":"cancel","job_ids":"x"}', 'wrong_type', 'job_ids'],
    ['{"type":"unwatch","job_ids":["x",7]}', 'wrong_type', 'job_ids'],
    ['{"type":"watch","job_ids":[],"job_id":"x"}', 'conflicting_fields', 'job_ids'],
  ]

  test('as text', async (t) => {
    const client = await open(t)
    for (const [text, code, field] of TEXTS) {
      client.ws.send(text)
      const error = await client.take('error')
      assert.deepEqual([error['code'], error['field']], [code, field], text)
      assert.equal(typeof error['error'], 'string')
    }
    await client.accept({ ref: 1, ...job })
  })

  test('as MessagePack', async (t) => {
    const client = await open(t, 'msgpack')
    for (const [text, code, field] of TEXTS) {
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch {
        continue
      }
      client.ws.send(pack(value))
      const error = await client.take('error')
      assert.deepEqual([error['code'], error['field']], [code, field], text)
    }
    const extension = Buffer.from([0xd4, 0x72, 0x40])
    const cut = pack({ type: 'enqueue', jobs: [job] }).subarray(0, 60)
    for (const bytes of [Buffer.alloc(0), extension, cut, Buffer.from([0xc1])]) {
      client.ws.send(bytes)
      const error = await client.take('error')
      assert.equal(error['code'], 'invalid_msgpack', bytes.toString('hex'))
    }
    await client.accept({ ref: 1, ...job })
  })

  test('no job of a message with too many is taken', async (t) => {
    const client = await open(t)
    const jobs = Array.from({ length: MESSAGE_JOBS_MAX + 1 }, (_, ref) => ({ ref, ...job }))
    for (const format of ['json', 'msgpack']) {
      const message = { type: 'enqueue', jobs, ref: 'all' }
      client.ws.send(format === 'json' ? JSON.stringify(message) : pack(message))
      const error = await client.take('error')
      assert.deepEqual([error['code'], error['limit'], error['ref']],
        ['too_many_jobs', MESSAGE_JOBS_MAX, 'all'])
    }
    assert.deepEqual(client.messages, [])
  })
})

describe('sizes', () => {
  test('a body over the limit is refused alone', async (t) => {
    for (const format of ['json', 'msgpack'] as const) {
      const client = await open(t, format)
      const body = 'x'.repeat(BODY_BYTES_MAX)
      const make = (ref: number, text: string): object =>
        ({ ref, ...jobOf('http://127.0.0.1:1/', { body: text, method: 'POST' }) })
      // Often enough that the job's shape is known.
      for (let round = 0; round < 4; round++) {
        const [whole] = await client.enqueue([make(1, body)])
        assert.ok(whole?.job_id, JSON.stringify(whole))
        const [large] = await client.enqueue([make(2, `${body}x`)])
        assert.equal(large?.code, 'body_too_large')
      }
    }
  })

  test('a frame over the limit ends the socket with 1009', async (t) => {
    const client = await open(t)
    client.ws.send(' '.repeat(BODY_BYTES_MAX + 64 * 1024 + 1))
    assert.equal((await client.closed).code, 1009)
    await (await open(t)).sync()
  })

  test('a frame far beyond it ends the socket before it has come', async (t) => {
    const client = await open(t)
    client.ws.send(Buffer.alloc(16 * 1024 * 1024))
    await client.closed
    await (await open(t)).sync()
  })
})

test('jobs past the window are refused, with a code that says so', async (t) => {
  const client = await open(t, 'msgpack')
  // The server's shard answers when the main thread sleeps: what one read brings is one burst.
  const socket = Reflect.get(client.ws, '_socket') as Socket
  const count = SOCKET_WINDOW_JOBS + 2 * MESSAGE_JOBS_MAX
  const jobs = Array.from({ length: count }, (_, ref) =>
    ({ ref, ...jobOf('http://127.0.0.1:1/', { url: 'http://a/', delivery: 'poll' }) }))
  let refused = 0
  // Whether more is sent than the shard answers meanwhile is a race, which is run until won.
  for (let round = 0; round < 50 && refused === 0; round++) {
    socket.cork()
    for (let at = 0; at < count; at += MESSAGE_JOBS_MAX) {
      client.send({ type: 'enqueue', jobs: jobs.slice(at, at + MESSAGE_JOBS_MAX) })
    }
    socket.uncork()
    const entries = await client.answers(count)
    assert.equal(new Set(entries.map(({ ref }) => ref)).size, count, 'each has one answer')
    for (const { code, job_id: jobId } of entries) {
      if (code === undefined) assert.ok(jobId)
      else assert.equal(code, 'window_full')
    }
    refused = entries.filter(({ code }) => code === 'window_full').length
  }
  assert.ok(refused > 0)
  const [entry] = await client.enqueue([jobs[0] as object])
  assert.ok(entry?.job_id, 'the window is open again')
})

interface SocketFigures {
  readonly sockets: number
  readonly sockets_unread_bytes: number
}

const socketFigures = async (): Promise<SocketFigures> =>
  (await scene.api.health()).admission as unknown as SocketFigures

/** Lets a socket's jobs finish, one after another, until the server says that it is enough. */
async function sendUntil(
  client: SocketClient, url: string, isEnough: (figures: SocketFigures) => boolean,
): Promise<string[]> {
  const jobIds: string[] = []
  const other = new ApiClient(scene.server.url)
  for (let ref = 0; !isEnough(await socketFigures()); ref++) {
    const job = jobOf(url)
    client.send({ type: 'enqueue', jobs: [{ ref, watch: true, ...job }] })
    // The same job by another way, which says when it is finished.
    jobIds.push(String((await other.post(job)).body.job_id))
    await other.finished(String(jobIds.at(-1)))
  }
  await other.close()
  return jobIds
}

test('who reads slowly is warned', async (t) => {
  const upstream = await upstreamFor(t, (_request, response) => response.end('y'.repeat(60_000)))
  const client = await open(t)
  client.ws.pause()
  await sendUntil(client, upstream.origin,
    ({ sockets_unread_bytes: unread }) => unread > SOCKET_WARN_BYTES + 200_000)
  client.ws.resume()
  const warning = await client.take('warning')
  assert.equal(warning['code'], 'slow_reader')
  assert.ok(Number(warning['unread_bytes']) >= SOCKET_WARN_BYTES)
  await client.sync()
  assert.equal((await socketFigures()).sockets_unread_bytes, 0)
})

test('a socket that reads nothing is cut, and its results can be polled', async (t) => {
  const upstream = await upstreamFor(t, (_request, response) => response.end('y'.repeat(60_000)))
  const client = await open(t)
  const { sockets } = await socketFigures()
  client.ws.pause()
  const jobIds = await sendUntil(client, upstream.origin, (now) => now.sockets < sockets)
  client.ws.resume()
  assert.equal((await client.closed).code, 1006)
  for (const jobId of jobIds) {
    assert.equal((await scene.api.finished(jobId)).result?.body?.length, 60_000)
  }
})

test('a silent client is pinged, and closed when it does not answer', async (t) => {
  const answering = await open(t)
  let pings = 0
  answering.ws.on('ping', () => { pings += 1 })
  const socket = connect(scene.server.port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write('GET /ws HTTP/1.1\r\nHost: localhost\r\n' +
    'Connection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
    'Sec-WebSocket-Protocol: sluice.v1\r\n\r\n')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  const bytes = Buffer.concat(chunks)
  assert.ok(bytes.includes('"type":"hello"'))
  assert.ok(bytes.includes(Buffer.from([0x89, 0])), 'it was pinged')
  await answering.sync()
  assert.ok(pings > 0)
})

test('a stopping server says goodbye', async (t) => {
  const server = await startServer({ flags: ['--grace', '0s'] }, t)
  const client = await SocketClient.open(server.url)
  assert.equal(await server.stop('SIGTERM'), 0)
  assert.equal((await client.closed).code, 1001)
})
