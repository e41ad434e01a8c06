// The transport over TLS, on real sockets: whom it trusts, and which name it checks.

import assert from 'node:assert/strict'
import { type Socket, connect } from 'node:net'
import { type TestContext, describe, it } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { FailureReason } from '../../shards/signals/response.ts'
import { refusingOriginFor, startUpstream } from '../support/scene.ts'
import { startTransport } from '../support/started-transport.ts'
import { LOCAL_CERTIFICATE, OTHER_CERTIFICATE } from '../support/tls.ts'
import { type Heard, outgoing } from '../support/transport-recorder.ts'
import { RawUpstream } from '../support/upstream.ts'

describe('TLS', () => {
  it('refuses an unknown authority', async (t) => {
    const upstream = await startUpstream(t, { certificate: LOCAL_CERTIFICATE })
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin))
    assert.equal((await heard.waitFor(1)).reason, 'tls_error')
    await upstream.connections.waitForOpen(0)
  })

  it('trusts the authorities that the operator adds', async (t) => {
    const upstream = await startUpstream(t, { certificate: LOCAL_CERTIFICATE })
    const { heard } = startTransport(t, { extraCaPem: LOCAL_CERTIFICATE.cert })
    heard.send(1, outgoing(upstream.origin, { method: 'POST', body: Buffer.from('secret') }))
    assert.equal((await heard.waitFor(1)).body, 'ok')
    assert.equal(upstream.requests[0]?.body.toString(), 'secret')
  })

  it('checks the name in the URL, whatever the Host header says', async (t) => {
    const right = await startUpstream(t, { certificate: LOCAL_CERTIFICATE })
    const wrong = await startUpstream(t, { certificate: OTHER_CERTIFICATE })
    const { heard } = startTransport(t, {
      extraCaPem: LOCAL_CERTIFICATE.cert + OTHER_CERTIFICATE.cert,
    })
    const headers = ['Host', 'other.test']
    heard.send(1, outgoing(right.origin, { headers }))
    heard.send(2, outgoing(wrong.origin, { headers }))
    heard.send(3, outgoing(wrong.origin))
    assert.equal((await heard.waitFor(1)).body, 'ok')
    assert.equal((await heard.waitFor(2)).reason, 'tls_error')
    assert.equal((await heard.waitFor(3)).reason, 'tls_error')
    assert.equal(wrong.requests.length, 0)
  })

  it('goes on with its session on the next connection', async (t) => {
    const reused: boolean[] = []
    const upstream = await RawUpstream.startTls(LOCAL_CERTIFICATE, (socket) => {
      reused.push(socket.isSessionReused())
      socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    })
    t.after(() => upstream.close())
    const { heard } = startTransport(t, { extraCaPem: LOCAL_CERTIFICATE.cert })
    for (const attemptId of [1, 2]) {
      heard.send(attemptId, outgoing(upstream.origin))
      await heard.waitFor(attemptId)
    }
    assert.deepEqual(reused, [false, true])
  })

  it('fails against a server that does not speak it', async (t) => {
    const upstream = await startUpstream(t)
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin.replace('http:', 'https:')))
    assert.equal((await heard.waitFor(1)).reason, 'tls_error')
  })
})

describe('the end of a TLS connection', () => {
  const WITHOUT_LENGTH = 'HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nsome of it'
  const WITH_LENGTH = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nwell'

  /** What becomes of a request that is answered so. */
  async function answered(
    t: TestContext, answer: (socket: TLSSocket, upstream: RawUpstream) => void,
  ): Promise<Heard> {
    const upstream = await RawUpstream.startTls(
      LOCAL_CERTIFICATE, (socket) => answer(socket, upstream))
    t.after(() => upstream.close())
    const { heard } = startTransport(t, {
      extraCaPem: LOCAL_CERTIFICATE.cert, responseBytesMax: 8 * 1024 * 1024,
    })
    heard.send(1, outgoing(upstream.origin))
    return await heard.waitFor(1)
  }

  for (const how of ['end', 'reset'] as const) {
    it(`without close_notify leaves a body without a length incomplete: ${how}`, async (t) => {
      const { reason, events, detail } = await answered(t, (socket, { connections }) => {
        socket.write(WITHOUT_LENGTH, () => {
          setImmediate(() => setImmediate(() => void connections.closeAll(how)))
        })
      })
      assert.deepEqual([reason, events], ['connection_error', ['head', 'failed']], detail)
    })
  }

  it('with the last bytes, by a reset, leaves such a body incomplete too', async (t) => {
    const { reason, detail } = await answered(t, (socket, { connections }) => {
      socket.write(WITHOUT_LENGTH)
      void connections.closeAll('reset')
    })
    assert.equal(reason, 'connection_error', detail)
  })

  it('without close_notify takes nothing from a body with a length', async (t) => {
    const { body, events } = await answered(t, (socket, { connections }) => {
      socket.write(WITH_LENGTH, () => void connections.closeAll('end'))
    })
    assert.deepEqual([body, events], ['well', ['head', 'end']])
  })

  it('with close_notify makes a body without a length whole, however long', async (t) => {
    for (const bytes of [0, 1, 7_000_000]) {
      const rest = 'x'.repeat(bytes)
      const { body } = await answered(t, (socket) => socket.end(WITHOUT_LENGTH + rest))
      assert.equal(body?.length, 'some of it'.length + bytes)
    }
  })

  it('with close_notify is enough, whatever TCP does', async (t) => {
    const { body } = await answered(t, (socket, { connections }) => {
      socket.end(WITHOUT_LENGTH, () => void connections.closeAll('reset'))
    })
    assert.equal(body, 'some of it')
  })
})

describe('a TLS handshake', () => {
  const faults: readonly {
    readonly name: string, readonly misbehave: (socket: Socket) => void
  }[] = [
    { name: 'closed in the midst of it', misbehave: (socket) => socket.end() },
    { name: 'reset in the midst of it', misbehave: (socket) => socket.resetAndDestroy() },
    { name: 'answered with an alert',
      misbehave: (socket) => socket.end(Buffer.from([21, 3, 3, 0, 2, 2, 40])) },
    { name: 'answered with a record that is cut',
      misbehave: (socket) => socket.end(Buffer.from([22, 3, 3, 0, 90, 2, 0])) },
  ]
  const REASON: FailureReason = 'tls_error'
  /** In a client's second flight: behind a change_cipher_spec and the head of the next record. */
  const LAST_WORDS_AT = 20
  for (const { name, misbehave } of faults) {
    it(`${name} says so`, async (t) => {
      const upstream = await RawUpstream.start(misbehave)
      t.after(() => upstream.close())
      const { heard } = startTransport(t)
      heard.send(1, outgoing(upstream.origin.replace('http:', 'https:')))
      const { reason, detail } = await heard.waitFor(1)
      assert.equal(reason, REASON, detail)
    })
  }

  it('that asks for a certificate of the client says so', async (t) => {
    const upstream = await RawUpstream.startTls({
      ...LOCAL_CERTIFICATE, requestCert: true, rejectUnauthorized: true, maxVersion: 'TLSv1.2',
    }, () => {})
    t.after(() => upstream.close())
    const { heard } = startTransport(t, { extraCaPem: LOCAL_CERTIFICATE.cert })
    heard.send(1, outgoing(upstream.origin))
    const { reason, detail } = await heard.waitFor(1)
    assert.equal(reason, REASON, detail)
  })

  // What a server of TLS 1.3 thinks of a client's last words, its certificate say, comes when the
  // client has a session already. Here these words are damaged on their way.
  it('that is refused when the client has done its part says so', async (t) => {
    const behind = await RawUpstream.startTls(
      { ...LOCAL_CERTIFICATE, minVersion: 'TLSv1.3' }, () => {})
    t.after(() => behind.close())
    const further = new Map<Socket, Socket>()
    const upstream = await RawUpstream.start((socket, chunk) => {
      const known = further.get(socket)
      if (known === undefined) {
        const next = connect(Number(new URL(behind.origin).port), '127.0.0.1')
        next.on('error', () => {})
        socket.on('close', () => next.destroy())
        further.set(socket, next)
        next.pipe(socket)
        next.write(chunk)
      } else {
        chunk[LAST_WORDS_AT] = (chunk[LAST_WORDS_AT] ?? 0) ^ 1
        known.write(chunk)
      }
    })
    t.after(() => upstream.close())
    const { heard } = startTransport(t, { extraCaPem: LOCAL_CERTIFICATE.cert })
    heard.send(1, outgoing(upstream.origin.replace('http:', 'https:')))
    const { reason, detail, written } = await heard.waitFor(1)
    assert.deepEqual([reason, written], [REASON, true], detail)
  })

  it('that never comes about since nobody listens is no error of TLS', async (t) => {
    const { heard } = startTransport(t)
    const origin = (await refusingOriginFor(t)).replace('http:', 'https:')
    heard.send(1, outgoing(origin))
    assert.equal((await heard.waitFor(1)).reason, 'connection_error')
  })
})
