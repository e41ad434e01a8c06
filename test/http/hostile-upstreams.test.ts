// Upstreams that do what they must not: the job that meets the fault fails or is tried again, the
// next one at the same upstream gets through, and other upstreams notice nothing.

import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { jobOf } from '../support/api-client.ts'
import { Scene, UNPACED, rawUpstreamFor, refusingOriginFor, upstreamFor } from '../support/scene.ts'
import { TestUpstream } from '../support/upstream.ts'

const TIMEOUT_MS = 1500
const scene = new Scene({
  flags: [...UNPACED, '--shards', '1', '--default-timeout', `${TIMEOUT_MS}ms`],
})

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const DRIP_MS = 20

/** Writes the text character by character, for as long as the socket lets it. */
function drip(socket: Socket, head: string): void {
  socket.write(head)
  const timer = setInterval(() => socket.write('x'), DRIP_MS)
  socket.on('close', () => clearInterval(timer))
}

interface Fault {
  readonly name: string
  readonly reason: string
  readonly misbehave: (socket: Socket) => void
}

const FAULTS: readonly Fault[] = [
  { name: 'never answers', reason: 'timeout', misbehave: () => { /* nothing */ } },
  { name: 'never ends its headers', reason: 'timeout',
    misbehave: (socket) => socket.write('HTTP/1.1 200 OK\r\nX-A:') },
  { name: 'drips its headers', reason: 'timeout',
    misbehave: (socket) => drip(socket, 'HTTP/1.1 200 OK\r\nX-Drip: ') },
  { name: 'drips its body', reason: 'timeout',
    misbehave: (socket) => drip(socket, 'HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n') },
  { name: 'drips a body without a length', reason: 'timeout',
    misbehave: (socket) => drip(socket, 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n') },
  { name: 'closes without a byte', reason: 'connection_error',
    misbehave: (socket) => socket.end() },
  { name: 'resets without a byte', reason: 'connection_error',
    misbehave: (socket) => socket.resetAndDestroy() },
  { name: 'closes in the middle of its headers', reason: 'connection_error',
    misbehave: (socket) => socket.end('HTTP/1.1 200 OK\r\nConte') },
  { name: 'closes in the middle of its body', reason: 'connection_error',
    misbehave: (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive.') },
  { name: 'resets in the middle of its body', reason: 'connection_error',
    misbehave: (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive.',
      () => setImmediate(() => socket.resetAndDestroy())) },
  { name: 'resets in the middle of a body that its end was to delimit', reason: 'connection_error',
    misbehave: (socket) => socket.write('HTTP/1.1 200 OK\r\nX-Aqueduct-Rps: 50\r\n\r\nhalf of',
      () => setImmediate(() => socket.resetAndDestroy())) },
  { name: 'closes in the middle of a chunk', reason: 'connection_error',
    misbehave: (socket) =>
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort') },
  { name: 'sends garbage', reason: 'protocol_error',
    misbehave: (socket) => socket.write(Buffer.from([0, 255, 3, 13, 10, 13, 10])) },
  { name: 'speaks another protocol', reason: 'protocol_error',
    misbehave: (socket) => socket.write('220 mail.example ESMTP\r\n') },
  { name: 'sends a megabyte of headers', reason: 'response_headers_too_large',
    misbehave: (socket) =>
      socket.write(`HTTP/1.1 200 OK\r\n${'X-Large: yes, very\r\n'.repeat(55_000)}\r\n`) },
  { name: 'switches protocols', reason: 'protocol_error',
    misbehave: (socket) => socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\nhi') },
]

describe('an upstream that is hostile', { concurrency: true }, () => {
  let healthy: TestUpstream
  before(async () => { healthy = await TestUpstream.start() })
  after(() => healthy.close())

  for (const { name, reason, misbehave } of FAULTS) {
    it(`fails the one job: it ${name}`, async (t) => {
      const upstream = await rawUpstreamFor(t, (socket, chunk) => {
        if (chunk.includes('/fault')) misbehave(socket)
        else socket.write(OK)
      })
      const faulty = scene.api.accept(jobOf(`${upstream.origin}/fault`, { max_retries: 0 }))
      const others = Array.from({ length: 5 }, () => scene.api.run(jobOf(healthy.origin)))
      assert.equal((await scene.api.run(jobOf(upstream.origin))).result?.body, 'ok')
      for (const other of await Promise.all(others)) assert.equal(other.status, 'completed')
      const job = await scene.api.finished(await faulty)
      assert.equal(job.status, 'failed')
      assert.equal(job.result?.reason, reason)
      assert.equal((await scene.api.run(jobOf(upstream.origin))).result?.body, 'ok')
    })
  }

  it('is asked again, and may then answer', async (t) => {
    let faults = 0
    const upstream = await rawUpstreamFor(t, (socket) => {
      if (faults++ === 0) socket.end('what?')
      else socket.end(OK)
    })
    const job = await scene.api.run(jobOf(upstream.origin, { max_retries: 1 }))
    assert.equal(job.attempts, 2)
    assert.equal(job.result?.body, 'ok')
  })

  it('may be none at all: nobody listens, or the name has no address', async (t) => {
    const refused = await scene.api.run(jobOf(await refusingOriginFor(t), { max_retries: 0 }))
    assert.equal(refused.result?.reason, 'connection_error')
    const unknown = await scene.api.run(jobOf('http://name.invalid/', { max_retries: 0 }))
    assert.equal(unknown.status, 'failed')
    assert.ok(['dns_error', 'timeout'].includes(String(unknown.result?.reason)))
  })

  it('may speak HTTP where TLS was expected', async (t) => {
    const upstream = await upstreamFor(t)
    const origin = upstream.origin.replace('http:', 'https:')
    const job = await scene.api.run(jobOf(origin, { max_retries: 0 }))
    assert.equal(job.status, 'failed')
    assert.ok(['tls_error', 'connection_error'].includes(String(job.result?.reason)))
  })

  it('may close its idle connections at any time: no job fails of it', async (t) => {
    const upstream = await upstreamFor(t)
    for (let round = 0; round < 10; round++) {
      const job = await scene.api.run(jobOf(upstream.origin, { max_retries: 1 }))
      assert.equal(job.status, 'completed')
      upstream.connections.closeAll(round % 2 === 0 ? 'end' : 'reset')
      await upstream.connections.waitForOpen(0)
    }
  })

  it('may answer before it has read the request', async (t) => {
    const upstream = await rawUpstreamFor(t, (socket) => { socket.end(OK) })
    const job = await scene.api.run(jobOf(upstream.origin, {
      method: 'POST', body: 'b'.repeat(900_000), max_retries: 0,
    }))
    // The connection may break off before or after the answer was read.
    assert.deepEqual(job.result, job.status === 'completed'
      ? { status: 'completed', response_status: 200, body: 'ok' }
      : { status: 'failed', reason: 'connection_error' })
  })

  it('holds up none of the others while a thousand jobs wait for it', async (t) => {
    const silent = await rawUpstreamFor(t, () => { /* never answers */ })
    const jobs = Array.from({ length: 1000 }, () => jobOf(silent.origin, { max_retries: 0 }))
    const ids = await Promise.all(jobs.map((job) => scene.api.accept(job)))
    assert.equal((await scene.api.run(jobOf(healthy.origin))).status, 'completed')
    const results = await Promise.all(ids.map((id) => scene.api.finished(id)))
    for (const { result } of results) assert.equal(result?.reason, 'timeout')
    await silent.connections.waitForOpen(0)
  })
})
