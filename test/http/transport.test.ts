// The transport over real sockets, against an upstream that speaks HTTP as it should: what goes
// out, what comes back, and which connections it takes. Misbehaviour: transport-faults.test.ts.

import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { gzipSync } from 'node:zlib'
import { RESPONSE_BUFFER_BYTES_MAX } from '../../shards/memory/socket-limits.ts'
import { LINE_FREE, LINE_NO_CONNECTION } from '../../shards/transport/transport.ts'
import { startUpstream } from '../support/scene.ts'
import { startTransport } from '../support/started-transport.ts'
import { LOCAL_CERTIFICATE } from '../support/tls.ts'
import { outgoing } from '../support/transport-recorder.ts'
import { RawUpstream } from '../support/upstream.ts'

describe('a request on the wire', () => {
  it('carries method, path, headers in their case and order, and body', async (t) => {
    const upstream = await startUpstream(t)
    const { heard } = startTransport(t)
    const headers = [
      'X-Second', '2', 'content-type', 'text/plain', 'X-first', '1', 'X-Second', 'again',
    ]
    heard.send(1, outgoing(upstream.origin, {
      method: 'PATCH', path: '/a/b?c=%20d', headers, body: Buffer.from('hällo'),
    }))
    await heard.waitFor(1)
    const [request] = upstream.requests
    assert.equal(request?.method, 'PATCH')
    assert.equal(request.path, '/a/b?c=%20d')
    assert.equal(request.body.toString(), 'hällo')
    const host = new URL(upstream.origin).host
    assert.deepEqual(request.rawHeaders, [
      'host', host, 'connection', 'keep-alive', ...headers, 'content-length', '6',
    ])
  })

  it('tells when it is written, which is after it was sent', async (t) => {
    const upstream = await startUpstream(t)
    const { transport, heard } = startTransport(t)
    const to = heard.numberOf(upstream.origin)
    assert.equal(transport.lineTo(to), LINE_NO_CONNECTION)
    heard.send(1, outgoing(upstream.origin))
    await heard.waitFor(1)
    assert.equal(heard.of(1).written, true)
    assert.equal(transport.lineTo(to), LINE_FREE)
    const held: (() => void)[] = []
    upstream.respond = (_request, response) => {
      held.push(() => response.end())
      if (held.length === 2) for (const answer of held) answer()
    }
    heard.send(2, outgoing(upstream.origin, { method: 'POST', body: Buffer.from('body') }))
    assert.equal(heard.of(2).written, undefined)
    assert.equal(transport.lineTo(to), LINE_NO_CONNECTION)
    heard.send(3, outgoing(upstream.origin))
    for (const attemptId of [2, 3]) assert.equal((await heard.waitFor(attemptId)).written, true)
    assert.equal(upstream.connections.opened, 2)
  })

  it('adds neither body nor length to a GET, and a length of 0 to an empty POST', async (t) => {
    const upstream = await startUpstream(t)
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin))
    await heard.waitFor(1)
    heard.send(2, outgoing(upstream.origin, { method: 'POST' }))
    await heard.waitFor(2)
    const [get, post] = upstream.requests
    assert.deepEqual(Object.keys(get?.headers ?? {}), ['host', 'connection'])
    assert.equal(post?.headers['content-length'], '0')
  })

  it('has the configured User-Agent unless the caller gives one', async (t) => {
    const upstream = await startUpstream(t)
    const { heard } = startTransport(t, { userAgent: 'sluice/1' })
    heard.send(1, outgoing(upstream.origin, { headers: ['X-A', 'b'] }))
    await heard.waitFor(1)
    heard.send(2, outgoing(upstream.origin, { headers: ['USER-agent', 'mine'] }))
    await heard.waitFor(2)
    assert.deepEqual(
      upstream.requests.map((request) => request.headers['user-agent']), ['sluice/1', 'mine'])
  })

  it('passes the caller’s Host', async (t) => {
    const upstream = await startUpstream(t)
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin, { headers: ['Host', 'tenant.example'] }))
    await heard.waitFor(1)
    assert.equal(upstream.requests[0]?.headers.host, 'tenant.example')
  })

  it('is refused after send has returned when it cannot be written', async (t) => {
    const upstream = await startUpstream(t)
    const { heard } = startTransport(t)
    heard.send(0, outgoing(upstream.origin))
    await heard.waitFor(0)
    const body = Buffer.from('four')
    const refused = [
      outgoing(upstream.origin, { headers: ['X-Split', 'a\r\nX-Evil: 1'] }),
      outgoing(upstream.origin, { headers: ['bad name', 'a'] }),
      outgoing(upstream.origin, { headers: ['Transfer-Encoding', 'chunked'] }),
      outgoing(upstream.origin, { path: '/a b' }),
      outgoing(upstream.origin, { path: 'relative' }),
      outgoing(upstream.origin, { method: 'CONNECT' }),
      outgoing(upstream.origin, { method: 'POST', headers: ['Content-Length', '5'], body }),
      outgoing('ftp://127.0.0.1'),
      outgoing('http://127.0.0.1:99999'),
      outgoing(`${upstream.origin}/`),
      outgoing(''),
    ]
    for (const [at, request] of refused.entries()) {
      const attemptId = at + 1
      heard.send(attemptId, request)
      assert.deepEqual(heard.of(attemptId).events, [], 'told before send returned')
      const outcome = await heard.waitFor(attemptId)
      assert.equal(outcome.reason, 'request_refused', JSON.stringify(request))
    }
    heard.send(99, outgoing(upstream.origin))
    assert.equal((await heard.waitFor(99)).body, 'ok')
    assert.equal(upstream.requests.length, 2, 'a refused request reached the upstream')
    assert.equal(upstream.connections.opened, 1, 'a refused request cost a connection')
  })
})

describe('a response', () => {
  it('tells status and headers before the body has come', async (t) => {
    const upstream = await startUpstream(t)
    let finish = (): void => {}
    upstream.respond = (_request, response) => {
      response.writeHead(429, { 'X-Aqueduct-Rps': '3', 'Retry-After': '1' })
      response.flushHeaders()
      finish = () => response.end('slow down')
    }
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin))
    const { status, headers, events } = await heard.waitFor(1, 'head')
    assert.equal(status, 429)
    assert.equal(headers?.['x-aqueduct-rps'], '3')
    assert.deepEqual(events, ['head'])
    finish()
    const { body, truncated } = await heard.waitFor(1)
    assert.equal(body, 'slow down')
    assert.equal(truncated, false)
  })

  it('keeps all values of a repeated header, and odd names', async (t) => {
    const upstream = await startUpstream(t)
    upstream.respond = (_request, response) => {
      response.writeHead(200, ['X-A', '1', 'x-a', '2', '__proto__', 'x', 'Constructor', 'y']).end()
    }
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin))
    const { headers = {} } = await heard.waitFor(1)
    assert.deepEqual(headers['x-a'], ['1', '2'])
    assert.equal(Object.hasOwn(headers, '__proto__'), true)
    assert.equal(headers['constructor'], 'y')
  })

  it('is given as it is: no redirect followed, nothing decompressed', async (t) => {
    const upstream = await startUpstream(t)
    const zipped = gzipSync('plain')
    upstream.respond = (_request, response) => {
      response.writeHead(302, { location: '/elsewhere', 'content-encoding': 'gzip' }).end(zipped)
    }
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin))
    const { status, body } = await heard.waitFor(1)
    assert.equal(status, 302)
    assert.equal(body, zipped.toString('latin1'))
    assert.equal(upstream.requests.length, 1)
  })

  it('has no body to HEAD, and with 204 and 304', async (t) => {
    const upstream = await startUpstream(t)
    upstream.respond = (request, response) => {
      response.writeHead(Number(request.url?.slice(1)), { 'X-A': 'b' }).end()
    }
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin, { method: 'HEAD', path: '/200' }))
    heard.send(2, outgoing(upstream.origin, { path: '/204' }))
    heard.send(3, outgoing(upstream.origin, { path: '/304' }))
    for (const [attemptId, status] of [[1, 200], [2, 204], [3, 304]] as const) {
      const outcome = await heard.waitFor(attemptId)
      assert.deepEqual([outcome.status, outcome.body, outcome.truncated], [status, '', false])
    }
  })

  for (const scheme of ['http', 'https'] as const) {
    it(`swallows a 100 Continue that was not asked for, over ${scheme}`, async (t) => {
      const upstream = await startUpstream(
        t, scheme === 'https' ? { certificate: LOCAL_CERTIFICATE } : {})
      upstream.respond = (_request, response) => {
        response.writeContinue()
        response.writeProcessing()
        response.writeContinue()
        response.end('final')
      }
      const { heard } = startTransport(t, { extraCaPem: LOCAL_CERTIFICATE.cert })
      for (const attemptId of [1, 2]) {
        heard.send(attemptId, outgoing(upstream.origin, { method: 'POST', body: Buffer.from('b') }))
        const { status, body, events } = await heard.waitFor(attemptId)
        assert.deepEqual([status, body, events], [200, 'final', ['head', 'end']])
      }
      assert.equal(upstream.connections.opened, 1)
      assert.equal(upstream.requests.length, 2)
    })
  }

  it('that stalls with its share of the memory holds up nobody else, and goes on', async (t) => {
    const bytes = 48 * 1024 * 1024
    const finish = Promise.withResolvers<void>()
    const hog = await startUpstream(t)
    hog.respond = (_request, response) => {
      response.writeHead(200, { 'Content-Length': bytes })
      response.write(Buffer.alloc(bytes - 1, 'x'))
      void finish.promise.then(() => response.end('x'))
    }
    const other = await startUpstream(t)
    const { transport, heard } = startTransport(t, { responseBytesMax: bytes })
    heard.send(1, outgoing(hog.origin))
    heard.send(2, outgoing(hog.origin))
    while (transport.bufferedBytes < RESPONSE_BUFFER_BYTES_MAX / 2) {
      heard.send(9, outgoing(other.origin))
      assert.equal((await heard.waitFor(9)).body, 'ok')
      heard.forget(9)
    }
    assert.ok(transport.bufferedBytes <= RESPONSE_BUFFER_BYTES_MAX)
    heard.send(9, outgoing(other.origin))
    assert.equal((await heard.waitFor(9)).body, 'ok')
    heard.abort(2)
    finish.resolve()
    assert.equal((await heard.waitFor(1)).body?.length, bytes)
    assert.equal(transport.bufferedBytes, 0)
  })

  it('swallows 1xx responses', async (t) => {
    const upstream = await startUpstream(t)
    upstream.respond = (_request, response) => {
      response.writeProcessing()
      response.writeEarlyHints({ link: '</a.css>; rel=preload' }, () => response.end('final'))
    }
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin))
    const { status, body, events } = await heard.waitFor(1)
    assert.deepEqual([status, body, events], [200, 'final', ['head', 'end']])
  })

  it('has a head that comes in pieces, other responses between them', async (t) => {
    const first = Promise.withResolvers<Socket>()
    const upstream = await RawUpstream.start((socket, _chunk, connection) => {
      if (connection === 1) {
        socket.write('HTTP/1.1 200 OK\r\nX-Whole: first\r\nX-Bro')
        first.resolve(socket)
      } else {
        const others = 'X-Other: other\r\n'.repeat(9)
        socket.write(`HTTP/1.1 201 OK\r\n${others}Content-Length: 0\r\n\r\n`)
      }
    })
    t.after(() => upstream.close())
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin))
    const socket = await first.promise
    heard.send(2, outgoing(upstream.origin))
    await heard.waitFor(2)
    socket.write('ken: second\r\nContent-Length: 4\r\n\r\nbody')
    const { status, headers, body } = await heard.waitFor(1)
    assert.deepEqual([status, body], [200, 'body'])
    assert.deepEqual({ ...headers },
      { 'x-whole': 'first', 'x-broken': 'second', 'content-length': '4' })
  })

  it('is kept up to the limit and cut beyond it, which costs the connection', async (t) => {
    const upstream = await startUpstream(t)
    upstream.respond = (request, response) => {
      response.end('x'.repeat(Number(request.url?.slice(1))))
    }
    const { transport, heard } = startTransport(t, { responseBytesMax: 200_000 })
    heard.send(1, outgoing(upstream.origin, { path: '/200000' }))
    const whole = await heard.waitFor(1)
    assert.deepEqual([whole.body?.length, whole.truncated], [200_000, false])
    assert.equal(upstream.connections.openCount, 1)
    heard.send(2, outgoing(upstream.origin, { path: '/5000000' }))
    const cut = await heard.waitFor(2)
    assert.deepEqual([cut.body?.length, cut.truncated], [200_000, true])
    await upstream.connections.waitForOpen(0)
    assert.equal(transport.bufferedBytes, 0)
  })

  it('drips in byte by byte, and is counted while it does', async (t) => {
    const upstream = await startUpstream(t)
    const { transport, heard } = startTransport(t)
    const text = 'abcdefghijklmnopqrstuvwxyz'.repeat(20)
    let heldBytesMax = 0
    upstream.respond = (_request, response) => {
      response.socket?.setNoDelay(true)
      let at = 0
      const drip = (): void => {
        heldBytesMax = Math.max(heldBytesMax, transport.bufferedBytes)
        if (at === text.length) response.end()
        else response.write(text.charAt(at++), () => setImmediate(drip))
      }
      drip()
    }
    heard.send(1, outgoing(upstream.origin))
    assert.equal((await heard.waitFor(1)).body, text)
    assert.ok(heldBytesMax > 0 && heldBytesMax <= 64 * 1024, String(heldBytesMax))
    assert.equal(transport.bufferedBytes, 0)
  })
})

describe('connections', () => {
  it('are kept and used again, also by what is sent from the end of a response', async (t) => {
    const upstream = await startUpstream(t)
    const { heard } = startTransport(t)
    heard.onEvent = (attemptId, event) => {
      if (event === 'end' && attemptId < 10) heard.send(attemptId + 1, outgoing(upstream.origin))
    }
    heard.send(1, outgoing(upstream.origin))
    await heard.waitFor(10)
    heard.send(11, outgoing(upstream.origin))
    await heard.waitFor(11)
    assert.equal(upstream.connections.opened, 1)
  })

  for (const connectionsPerOriginMax of [1, 3]) {
    it(`are never more than ${connectionsPerOriginMax} when no more are allowed`, async (t) => {
      const upstream = await startUpstream(t)
      const { heard } = startTransport(t, { connectionsPerOriginMax })
      const attemptIds = Array.from({ length: 20 }, (_, at) => at + 1)
      for (const attemptId of attemptIds) {
        heard.send(attemptId, outgoing(upstream.origin, { path: `/${attemptId}` }))
      }
      for (const attemptId of attemptIds) await heard.waitFor(attemptId)
      assert.equal(upstream.connections.opened, connectionsPerOriginMax)
      if (connectionsPerOriginMax > 1) return
      const order = upstream.requests.map((request) => Number(request.path.slice(1)))
      assert.deepEqual(order, attemptIds, 'who waits is not served in order of arrival')
    })
  }

  it('are closed by forget when idle, and only then', async (t) => {
    const upstream = await startUpstream(t)
    const { heard } = startTransport(t)
    let finish = (): void => {}
    heard.send(1, outgoing(upstream.origin))
    await heard.waitFor(1)
    upstream.respond = (request, response) => {
      if (request.url === '/late') finish = () => response.end('late')
      else response.end('ok')
    }
    heard.send(2, outgoing(upstream.origin, { path: '/late' }))
    heard.send(3, outgoing(upstream.origin))
    await heard.waitFor(3)
    assert.equal(upstream.connections.openCount, 2)
    heard.closeIdle(upstream.origin)
    heard.closeIdle('http://unknown.example')
    await upstream.connections.waitForOpen(1)
    finish()
    assert.equal((await heard.waitFor(2)).body, 'late')
    heard.closeIdle(upstream.origin)
    await upstream.connections.waitForOpen(0)
  })

  it('are given up when they have idled for as long as the upstream keeps them', async (t) => {
    const upstream = await startUpstream(t)
    upstream.respond = (_request, response) => {
      response.setHeader('Keep-Alive', 'timeout=2')
      response.end('ok')
    }
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin))
    await heard.waitFor(1)
    await upstream.connections.waitForOpen(0) // the upstream itself would keep it for a minute
    heard.send(2, outgoing(upstream.origin))
    assert.equal((await heard.waitFor(2)).body, 'ok')
  })

  it('are closed by close, without a word to those in flight', async (t) => {
    const upstream = await startUpstream(t, { respond: () => {} })
    const { transport, heard } = startTransport(t, { connectionsPerOriginMax: 2 })
    for (let id = 1; id <= 4; id++) heard.send(id, outgoing(upstream.origin))
    await upstream.waitFor(2)
    await transport.close()
    await upstream.connections.waitForOpen(0)
    for (let id = 1; id <= 4; id++) assert.deepEqual(heard.of(id).events, [])
    assert.equal(upstream.requests.length, 2)
  })
})

describe('abort', () => {
  it('closes the connection of a request in flight, whose id can be used again', async (t) => {
    const upstream = await startUpstream(t, { respond: () => {} })
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin))
    await upstream.waitFor(1)
    heard.abort(1)
    await upstream.connections.waitForOpen(0)
    assert.deepEqual(heard.of(1).events, [])
    heard.forget(1)
    upstream.respond = (_request, response) => { response.end('second') }
    heard.send(1, outgoing(upstream.origin))
    assert.equal((await heard.waitFor(1)).body, 'second')
    heard.abort(1)
    heard.abort(77)
  })

  it('reaches a connection that is still being made', async (t) => {
    const silent = await RawUpstream.start(() => {})
    t.after(() => silent.close())
    const { heard } = startTransport(t)
    heard.send(1, outgoing(silent.origin.replace('http:', 'https:')))
    await silent.connections.waitForOpened(1)
    heard.abort(1)
    await silent.connections.waitForOpen(0)
    assert.deepEqual(heard.of(1).events, [])
  })

  it('takes back what waits for a connection, and lets the next one have it', async (t) => {
    const upstream = await startUpstream(t, { respond: () => {} })
    const { heard } = startTransport(t, { connectionsPerOriginMax: 1 })
    for (let attemptId = 1; attemptId <= 3; attemptId++) {
      heard.send(attemptId, outgoing(upstream.origin, { path: `/${attemptId}` }))
    }
    await upstream.waitFor(1)
    heard.abort(2)
    upstream.respond = (_request, response) => { response.end('ok') }
    heard.abort(1)
    await heard.waitFor(3)
    assert.deepEqual(upstream.requests.map((request) => request.path), ['/1', '/3'])
  })

  it('may come from the listener, at the head and in the middle of the body', async (t) => {
    const upstream = await startUpstream(t)
    upstream.respond = (_request, response) => { response.end('x'.repeat(50_000)) }
    const { transport, heard } = startTransport(t)
    heard.onEvent = (id, event) => { if (event === 'head' && id < 9) heard.abort(id) }
    for (let id = 1; id <= 8; id++) heard.send(id, outgoing(upstream.origin))
    await upstream.waitFor(8)
    await upstream.connections.waitForOpen(0)
    heard.send(9, outgoing(upstream.origin))
    await heard.waitFor(9)
    for (let id = 1; id <= 8; id++) assert.deepEqual(heard.of(id).events, ['head'])
    assert.equal(transport.bufferedBytes, 0)
  })

  it('silences a refusal that has not been told yet', async (t) => {
    const upstream = await startUpstream(t)
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin, { path: 'relative' }))
    heard.abort(1)
    heard.send(2, outgoing('nowhere'))
    heard.abort(2)
    heard.send(3, outgoing(upstream.origin))
    await heard.waitFor(3)
    assert.deepEqual([heard.of(1).events, heard.of(2).events], [[], []])
  })
})

describe('an error of the listener', () => {
  for (const event of ['free', 'head']) {
    it(`ends the thread rather than passing for another's: ${event}`, async (t) => {
      const upstream = await startUpstream(t)
      const module = (name: string): string =>
        JSON.stringify(new URL(`../../shards/${name}.ts`, import.meta.url).href)
      const origin = JSON.stringify(upstream.origin)
      const worker = new Worker(`
        Promise.all([
          import(${module('transport/undici-transport')}), import(${module('base/clock')}),
        ]).then(([{ UndiciTransport }, { SystemClock }]) => {
            const transport = new UndiciTransport({
              clock: new SystemClock(), connectionsMax: 9, connectionsPerOriginMax: 1,
              connectTimeoutMs: 9000, responseBytesMax: 10, extraCaPem: '',
            })
            const request = { origin: ${origin}, path: '/', method: 'GET', headers: [], body: null }
            const boom = () => { throw new RangeError('a bug of the listener') }
            transport.start({
              free: () => transport.send(1, 0, request), unreachable: () => {}, written: () => {},
              returned: () => {}, head: () => {}, end: () => {}, failed: () => {}, ${event}: boom,
            })
            transport.connect(0, request.origin, 1, 9000)
          })`, { eval: true })
      const error = await new Promise<unknown>((resolve) => { worker.once('error', resolve) })
      assert.ok(error instanceof RangeError && error.message === 'a bug of the listener')
    })
  }
})
