// Responses of 1xx over real sockets: passed over, whatever pieces they come in, and bounded.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { INTERIM_HEAD_BYTES_MAX, INTERIM_RESPONSES_MAX } from '../../shards/memory/socket-limits.ts'
import { startTransport } from '../support/started-transport.ts'
import { outgoing } from '../support/transport-recorder.ts'
import { RawUpstream } from '../support/upstream.ts'

describe('a response', () => {
  it('passes over what nobody asked to continue, in whatever pieces it comes', async (t) => {
    const interim = 'HTTP/1.1 100 Continue\r\nX-Why: none\r\n\r\n'
    const whole = `${interim}HTTP/1.1 103 Early\r\n\r\n${interim}` +
      'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n100 HTTP'
    const upstream = await RawUpstream.start((socket, _chunk, connection) => {
      const sizes = [whole.length, 1, 7, 24]
      const size = sizes[connection % sizes.length] as number
      socket.setNoDelay(true)
      for (let at = 0; at < whole.length; at += size) socket.write(whole.slice(at, at + size))
    })
    t.after(() => upstream.close())
    const { heard } = startTransport(t)
    for (let id = 0; id < 8; id++) heard.send(id, outgoing(upstream.origin))
    for (let attemptId = 0; attemptId < 8; attemptId++) {
      const { status, body, events } = await heard.waitFor(attemptId)
      assert.deepEqual([status, body, events], [200, '100 HTTP', ['head', 'end']])
    }
  })

  it('follows an interim one that is too large to be held', async (t) => {
    const filler = `X-Filler: ${'f'.repeat(INTERIM_HEAD_BYTES_MAX)}\r\n`
    const whole = `HTTP/1.1 103 Early\r\n${filler}\r\n` +
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal'
    const upstream = await RawUpstream.start((socket) => {
      socket.setNoDelay(true)
      for (let at = 0; at < whole.length; at += 1000) socket.write(whole.slice(at, at + 1000))
    })
    t.after(() => upstream.close())
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin))
    const { status, body } = await heard.waitFor(1)
    assert.deepEqual([status, body], [200, 'final'])
  })

  for (const status of ['100 Continue', '103 Early Hints']) {
    it(`fails that is nothing but ${status}`, async (t) => {
      const upstream = await RawUpstream.start((socket) => {
        socket.write(`HTTP/1.1 ${status}\r\n\r\n`.repeat(INTERIM_RESPONSES_MAX + 1))
      })
      t.after(() => upstream.close())
      const { heard } = startTransport(t)
      heard.send(1, outgoing(upstream.origin))
      assert.equal((await heard.waitFor(1)).reason, 'protocol_error')
    })
  }
})
