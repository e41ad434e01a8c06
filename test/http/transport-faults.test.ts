// The transport against upstreams that do what they must not: each fault costs the one attempt that
// met it, is told once, leaves no connection behind, and the next request gets through.

import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { type TestContext, describe, it } from 'node:test'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { RESPONSE_HEADERS_BYTES_MAX } from '../../shards/memory/limits.ts'
import type { FailureReason } from '../../shards/signals/response.ts'
import { refusingOriginFor, startUpstream } from '../support/scene.ts'
import { type StartedTransport, startTransport } from '../support/started-transport.ts'
import { outgoing } from '../support/transport-recorder.ts'
import { RawUpstream, TestUpstream } from '../support/upstream.ts'
import { VirtualTime } from '../support/virtual-clock.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

interface Faulty extends StartedTransport {
  readonly time: VirtualTime
}

/** A transport of four connections whose clock the test moves. */
function startFew(t: TestContext): Faulty {
  const time = new VirtualTime()
  const started = startTransport(t, { clock: time.clock(), connectionsPerOriginMax: 4 })
  return { ...started, time }
}

/** An upstream that meets `/fault` with `misbehave` and answers all else. */
async function startFaulty(
  t: TestContext, misbehave: (socket: Socket) => void,
): Promise<RawUpstream> {
  const upstream = await RawUpstream.start((socket, chunk) => {
    if (chunk.includes('/fault')) misbehave(socket)
    else socket.write(OK)
  })
  t.after(() => upstream.close())
  return upstream
}

interface Fault {
  readonly name: string
  readonly reason: FailureReason
  readonly events: readonly string[]
  readonly misbehave: (socket: Socket) => void
}

const FAULTS: readonly Fault[] = [
  {
    name: 'closes without a byte',
    reason: 'connection_error', events: ['failed'],
    misbehave: (socket) => socket.end(),
  },
  {
    name: 'resets without a byte',
    reason: 'connection_error', events: ['failed'],
    misbehave: (socket) => socket.resetAndDestroy(),
  },
  {
    name: 'closes in the middle of the headers',
    reason: 'connection_error', events: ['failed'],
    misbehave: (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Le'),
  },
  {
    name: 'sends a status line that is none',
    reason: 'protocol_error', events: ['failed'],
    misbehave: (socket) => socket.write('HTTQ/9 well\r\n\r\n'),
  },
  {
    name: 'sends bytes at random',
    reason: 'protocol_error', events: ['failed'],
    misbehave: (socket) => socket.write(Buffer.from([0, 255, 17, 3, 128, 10, 13, 0])),
  },
  {
    name: 'sends a status of four digits',
    reason: 'protocol_error', events: ['failed'],
    misbehave: (socket) => socket.write('HTTP/1.1 2000 OK\r\n\r\n'),
  },
  {
    name: 'breaks the line of a header',
    reason: 'protocol_error', events: ['failed'],
    misbehave: (socket) => socket.write('HTTP/1.1 200 OK\r\nno colon here\r\n\r\n'),
  },
  {
    name: 'gives two lengths', // undici calls it a length that does not match
    reason: 'connection_error', events: ['failed'],
    misbehave: (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!')
    },
  },
  {
    name: 'switches to a protocol that nobody asked for',
    reason: 'protocol_error', events: ['failed'],
    misbehave: (socket) => {
      socket.write('HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n')
    },
  },
  {
    name: 'sends a megabyte of headers',
    reason: 'response_headers_too_large', events: ['failed'],
    misbehave: (socket) => {
      const line = `X-Filler: ${'f'.repeat(1000)}\r\n`
      socket.write(`HTTP/1.1 200 OK\r\n${line.repeat(1000)}\r\n`)
    },
  },
  {
    name: 'sends one header as large as all may be',
    reason: 'response_headers_too_large', events: ['failed'],
    misbehave: (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nX: ${'f'.repeat(RESPONSE_HEADERS_BYTES_MAX)}\r\n\r\n`)
    },
  },
  {
    name: 'sends headers without end behind the body',
    reason: 'response_headers_too_large', events: ['head', 'failed'],
    misbehave: (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n')
      socket.write('X-Trailer: ttttttttttttttttttttttttt\r\n'.repeat(4000))
    },
  },
  {
    name: 'resets in the middle of the body',
    reason: 'connection_error', events: ['head', 'failed'],
    misbehave: (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nonly this', () => {
        setImmediate(() => setImmediate(() => socket.resetAndDestroy()))
      })
    },
  },
  {
    name: 'resets in the middle of a body that its end was to delimit',
    reason: 'connection_error', events: ['head', 'failed'],
    misbehave: (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nfirst half of the ', () => {
        setImmediate(() => setImmediate(() => socket.resetAndDestroy()))
      })
    },
  },
  {
    name: 'resets with the last bytes of a body that its end was to delimit',
    reason: 'connection_error', events: ['head', 'failed'],
    misbehave: (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nfirst half of the ')
      socket.resetAndDestroy()
    },
  },
  {
    name: 'resets in the middle of a body whose last coding is not chunked',
    reason: 'connection_error', events: ['head', 'failed'],
    misbehave: (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhalf', () => {
        setImmediate(() => setImmediate(() => socket.resetAndDestroy()))
      })
    },
  },
  {
    name: 'promises more bytes than it sends, and closes',
    reason: 'connection_error', events: ['head', 'failed'],
    misbehave: (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nonly this'),
  },
  {
    name: 'promises more bytes than it sends, and said that it would close',
    reason: 'connection_error', events: ['head', 'failed'],
    misbehave: (socket) => {
      socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 99\r\n\r\nonly this')
    },
  },
  {
    name: 'closes before the last chunk',
    reason: 'connection_error', events: ['head', 'failed'],
    misbehave: (socket) => {
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
    },
  },
  {
    name: 'closes before the last chunk, and said that it would close',
    reason: 'connection_error', events: ['head', 'failed'],
    misbehave: (socket) => {
      socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n' +
        '5\r\nhello\r\n')
    },
  },
  {
    name: 'breaks the framing of chunks',
    reason: 'protocol_error', events: ['head', 'failed'],
    misbehave: (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n')
    },
  },
]

describe('an upstream that', () => {
  for (const fault of FAULTS) {
    it(fault.name, async (t) => {
      const upstream = await startFaulty(t, fault.misbehave)
      const { transport, heard } = startFew(t)
      heard.send(1, outgoing(upstream.origin))
      await heard.waitFor(1)
      // One attempt meets the fault on a connection that has served before, one on a new one.
      heard.send(2, outgoing(upstream.origin, { path: '/fault' }))
      heard.send(3, outgoing(upstream.origin, { path: '/fault' }))
      for (const attemptId of [2, 3]) {
        const { reason, events, detail } = await heard.waitFor(attemptId)
        assert.equal(reason, fault.reason, detail)
        assert.deepEqual(events, fault.events)
      }
      heard.send(4, outgoing(upstream.origin))
      assert.equal((await heard.waitFor(4)).body, 'ok')
      assert.equal(transport.bufferedBytes, 0)
      heard.closeIdle(upstream.origin)
      await upstream.connections.waitForOpen(0)
      assert.deepEqual(heard.of(2).events, fault.events, 'a word after the end')
    })
  }

  it('ends a body without a length by closing: it is whole', async (t) => {
    const upstream = await RawUpstream.start((socket) => {
      socket.end('HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nall there is')
    })
    t.after(() => upstream.close())
    const { heard } = startFew(t)
    heard.send(1, outgoing(upstream.origin))
    assert.equal((await heard.waitFor(1)).body, 'all there is')
  })

  it('keeps no connection, and does not say so: none is used for a second request', async (t) => {
    const upstream = await RawUpstream.start((socket) => {
      socket.end('HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
    t.after(() => upstream.close())
    const { heard } = startFew(t)
    heard.onEvent = (attemptId, event) => {
      if (attemptId < 5 && event === 'end') heard.send(attemptId + 1, outgoing(upstream.origin))
    }
    heard.send(1, outgoing(upstream.origin))
    for (let attemptId = 1; attemptId <= 5; attemptId++) {
      const { body, returned } = await heard.waitFor(attemptId)
      assert.deepEqual([body, returned], ['ok', undefined])
    }
  })

  it('does not listen', async (t) => {
    const { heard } = startFew(t)
    const origin = await refusingOriginFor(t)
    for (let attemptId = 1; attemptId <= 10; attemptId++) heard.send(attemptId, outgoing(origin))
    for (let attemptId = 1; attemptId <= 10; attemptId++) {
      assert.equal((await heard.waitFor(attemptId)).reason, 'connection_error')
    }
  })

  it('never finishes a TLS handshake: given up in time', async (t) => {
    const silent = await RawUpstream.start(() => {})
    t.after(() => silent.close())
    const { heard, time } = startFew(t)
    heard.connectTimeoutMs = 60_000
    heard.send(1, outgoing(silent.origin.replace('http:', 'https:')))
    await silent.connections.waitForOpened(1)
    assert.deepEqual(heard.of(1).events, [])
    time.advanceTo((time.nowUs() + msToUs(heard.connectTimeoutMs)) as Micros)
    assert.equal((await heard.waitFor(1)).reason, 'timeout')
    await silent.connections.waitForOpen(0)
  })

  it('closes each connection before it is used: not tried for ever', async (t) => {
    const upstream = await RawUpstream.start(() => {}, (socket) => socket.end())
    t.after(() => upstream.close())
    const { heard } = startFew(t)
    heard.send(1, outgoing(upstream.origin))
    assert.equal((await heard.waitFor(1)).reason, 'connection_error')
  })

  it('sends more than it promised: the surplus is no response to anyone', async (t) => {
    const upstream = await startFaulty(t, (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndoneHTTP/1.1 200 OK\r\n' +
        'Content-Length: 4\r\n\r\nevil')
    })
    const { heard } = startFew(t)
    heard.send(1, outgoing(upstream.origin, { path: '/fault' }))
    assert.equal((await heard.waitFor(1)).body, 'done')
    heard.send(2, outgoing(upstream.origin))
    assert.equal((await heard.waitFor(2)).body, 'ok')
    assert.equal(upstream.connections.opened, 2)
  })

  for (const surplus of ['garbage\0', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil']) {
    it(`sends ${surplus.slice(0, 4)} behind a body, to a request handed over`, async (t) => {
      const upstream = await startFaulty(t, (socket) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone${surplus}`)
      })
      const { heard } = startFew(t)
      heard.onEvent = (attemptId, event) => {
        if (attemptId === 1 && event === 'end') heard.send(2, outgoing(upstream.origin))
      }
      heard.send(1, outgoing(upstream.origin, { path: '/fault' }))
      const { body, reason } = await heard.waitFor(2)
      assert.deepEqual([heard.of(1).body, body, reason], ['done', 'ok', undefined])
      assert.equal(upstream.connections.opened, 2)
    })
  }

  it('answers before it has read the request, and closes', async (t) => {
    let unread: Socket | undefined
    const upstream = await RawUpstream.start((socket, chunk) => {
      if (!chunk.includes('POST')) return
      unread = socket.pause()
      socket.end('HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig')
    })
    t.after(() => upstream.close())
    const { heard } = startFew(t)
    const body = Buffer.alloc(8 * 1024 * 1024, 'b')
    heard.send(1, outgoing(upstream.origin, { method: 'POST', body }))
    const { status, body: answer, events } = await heard.waitFor(1)
    assert.deepEqual([status, answer, events], [413, 'big', ['head', 'end']])
    unread?.resume()
    await upstream.connections.waitForOpen(0)
  })

  it('closes a connection that idles: the next request takes another', async (t) => {
    const upstream = await TestUpstream.start()
    t.after(() => upstream.close())
    const { heard } = startFew(t)
    for (const how of ['end', 'reset', 'end', 'reset'] as const) {
      const attemptId = upstream.requests.length + 1
      heard.send(attemptId, outgoing(upstream.origin, { method: 'POST' }))
      assert.equal((await heard.waitFor(attemptId)).body, 'ok')
      await upstream.connections.closeAll(how)
      await upstream.connections.waitForOpen(0)
    }
    assert.equal(upstream.requests.length, 4)
  })

  it('closes a kept connection upon the next request: told, and never sent twice', async (t) => {
    let faults = 0
    const upstream = await startFaulty(t, (socket) => {
      faults += 1
      socket.end()
    })
    const { heard } = startFew(t)
    heard.send(1, outgoing(upstream.origin))
    await heard.waitFor(1)
    heard.send(2, outgoing(upstream.origin, { path: '/fault' }))
    assert.equal((await heard.waitFor(2)).reason, 'connection_error')
    assert.equal(faults, 1)
  })

  it('dies with many requests in flight: each is told once', async (t) => {
    const upstream = await TestUpstream.start({ respond: () => {} })
    t.after(() => upstream.close())
    const { heard } = startFew(t)
    for (let id = 1; id <= 4; id++) heard.send(id, outgoing(upstream.origin))
    await upstream.waitFor(4)
    await upstream.connections.closeAll('reset')
    for (let attemptId = 1; attemptId <= 4; attemptId++) {
      const { reason, events } = await heard.waitFor(attemptId)
      assert.deepEqual([reason, events], ['connection_error', ['failed']])
    }
  })
})

it('a flood of chunks of one byte leaves the others their turns', async (t) => {
  const chunks = 100_000
  const hog = await RawUpstream.start((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    socket.write('1\r\nx\r\n'.repeat(chunks))
    socket.write('0\r\n\r\n')
  })
  t.after(() => hog.close())
  const other = await startUpstream(t)
  const { heard } = startTransport(t, { responseBytesMax: chunks })
  const floods = Array.from({ length: 8 }, (_, attemptId) => attemptId)
  for (const attemptId of floods) heard.send(attemptId, outgoing(hog.origin))
  let served = 0
  while (floods.some((attemptId) => heard.of(attemptId).events.at(-1) !== 'end') && served < 5000) {
    heard.send(9, outgoing(other.origin))
    assert.equal((await heard.waitFor(9)).body, 'ok')
    heard.forget(9)
    served++
  }
  for (const attemptId of floods) assert.equal(heard.of(attemptId).body?.length, chunks)
  // In each turn of the event loop some 2048 chunks are read, and a request takes a few turns.
  assert.ok(served >= 40, `${served} requests were served meanwhile`)
})
