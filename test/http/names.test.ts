// Connections by host name over real sockets: a host that moves is followed, an aborted attempt
// lets its look-up go, TLS is told the name without its dot, a failed look-up says so.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { Worker } from 'node:worker_threads'
import { SystemClock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { Moves } from '../../shards/dns/moves.ts'
import type { NameAnswer, NameSource } from '../../shards/dns/name-source.ts'
import { Resolver } from '../../shards/dns/resolver.ts'
import { LOOKUPS_MAX } from '../../shards/memory/name-limits.ts'
import { CONNECTS_PER_TURN_MAX } from '../../shards/memory/socket-limits.ts'
import { UndiciTransport } from '../../shards/transport/undici-transport.ts'
import { LOCAL_CERTIFICATE } from '../support/tls.ts'
import { TransportRecorder, outgoing } from '../support/transport-recorder.ts'
import { VirtualTime } from '../support/virtual-clock.ts'

const TTL_MS = 2000
const CONNECT_TIMEOUT_MS = 10_000

/** Says what is in `says`, and nothing of a name that is not there. */
class ScriptedSource implements NameSource {
  readonly says = new Map<string, NameAnswer>()
  readonly silent = new Set<string>()
  /** Is called when a look-up is let go. */
  letGo: () => void = () => {}

  known(): undefined {
    return undefined
  }

  ask(name: string, done: (answer: NameAnswer) => void): () => void {
    const answer = this.says.get(name)
    if (answer === undefined) this.silent.add(name)
    else queueMicrotask(() => done(answer))
    return () => {
      this.silent.delete(name)
      this.letGo()
    }
  }

  found(name: string, ...addresses: readonly string[]): void {
    this.says.set(name, { kind: 'found', addresses, ttlMs: TTL_MS })
  }
}

function startScene(t: TestContext) {
  const time = new VirtualTime()
  const source = new ScriptedSource()
  const families = (): { v4: boolean; v6: boolean } => ({ v4: true, v6: false })
  const resolver = new Resolver({ source, clock: time.clock(), families })
  const moves = new Moves(resolver, time.clock())
  const transport = new UndiciTransport({
    clock: new SystemClock(), connectionsMax: 1000,
    connectionsPerOriginMax: 4, connectTimeoutMs: CONNECT_TIMEOUT_MS,
    responseBytesMax: 1024, extraCaPem: LOCAL_CERTIFICATE.cert,
    names: { resolver, moves, close: () => resolver.close() },
  })
  const heard = new TransportRecorder(transport)
  t.after(() => transport.close())
  const pass = (ms: number): void => time.advanceTo((time.nowUs() + msToUs(ms)) as Micros)
  return { source, transport, heard, pass }
}

/** Answers each request with its own address, when told to. */
async function startHost(
  t: TestContext, host: string, port: number, release: Promise<void> = Promise.resolve(),
): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', () => {
      void release.then(() => socket.write(
        `HTTP/1.1 200 OK\r\nContent-Length: ${host.length}\r\n\r\n${host}`))
    })
  })
  server.listen(port, host)
  await once(server, 'listening')
  t.after(() => { server.close() })
  return (server.address() as AddressInfo).port
}

/** No SYN is answered at the address any more: a listener's queue is full. @returns its port. */
async function startDeaf(t: TestContext, host: string): Promise<number> {
  const worker = new Worker(`
    const server = require('node:net').createServer()
    server.listen({ host: '${host}', port: 0, backlog: 1 }, () => {
      require('node:worker_threads').parentPort.postMessage(server.address().port)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    })`, { eval: true })
  t.after(() => worker.terminate())
  const port = await new Promise<number>((resolve) => { worker.once('message', resolve) })
  for (const waiting of [connect(port, host), connect(port, host)]) {
    t.after(() => waiting.destroy())
    await once(waiting.on('error', () => {}), 'connect')
  }
  return port
}

test('where an address does not answer, or refuses, the name\'s next one is tried', async (t) => {
  const { source, heard } = startScene(t)
  const port = await startDeaf(t, '127.0.0.2')
  const server = createTlsServer(LOCAL_CERTIFICATE, (socket) => {
    socket.on('error', () => {})
    socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => { server.close() })
  const plainPort = await startHost(t, '127.0.0.1', 0)
  source.found('localhost', '127.0.0.2', '127.0.0.1')
  heard.send(1, outgoing(`https://localhost:${port}`))
  assert.equal((await heard.waitFor(1)).body, 'ok')
  for (const attemptId of [2, 3]) { // whichever begins
    heard.send(attemptId, outgoing(`http://localhost:${plainPort}`))
    assert.equal((await heard.waitFor(attemptId)).body, '127.0.0.1')
    heard.closeIdle(`http://localhost:${plainPort}`)
  }
})

test('an idle connection to where a host was is not used again', async (t) => {
  const { source, heard, pass } = startScene(t)
  const port = await startHost(t, '127.0.0.1', 0)
  await startHost(t, '127.0.0.2', port)
  source.found('moves.test', '127.0.0.1')
  heard.send(1, outgoing(`http://moves.test:${port}`))
  assert.equal((await heard.waitFor(1)).body, '127.0.0.1')
  source.found('moves.test', '127.0.0.2')
  pass(TTL_MS / 2)
  heard.send(2, outgoing(`http://moves.test:${port}`))
  assert.equal((await heard.waitFor(2)).body, '127.0.0.1', 'its answer still holds')
  pass(TTL_MS)
  await new Promise(setImmediate) // what the look-up brought
  heard.send(3, outgoing(`http://moves.test:${port}`))
  assert.equal((await heard.waitFor(3)).body, '127.0.0.2')
})

test('look-ups are those of the accounts whose attempts need them', async (t) => {
  const { source, transport } = startScene(t)
  transport.connect(0, 'http://quiet.example', 1, CONNECT_TIMEOUT_MS, 1)
  for (let to = 1; to <= 2 * LOOKUPS_MAX; to++) {
    transport.connect(to, `http://zone${to}.test`, 1, CONNECT_TIMEOUT_MS, 2)
  }
  assert.equal(source.silent.size, CONNECTS_PER_TURN_MAX, 'so many take long enough')
  for (let left = 2 * LOOKUPS_MAX; left > 0; left -= CONNECTS_PER_TURN_MAX) {
    await new Promise(setImmediate)
  }
  assert.ok(source.silent.has('quiet.example'))
  assert.ok(source.silent.size <= LOOKUPS_MAX * 3 / 4 + 1)
})

test('a request that is under way ends where it began', async (t) => {
  const { source, heard, pass } = startScene(t)
  const { promise, resolve } = Promise.withResolvers<void>()
  const port = await startHost(t, '127.0.0.1', 0, promise)
  await startHost(t, '127.0.0.2', port)
  source.found('moves.test', '127.0.0.1')
  const written = new Promise<void>((done) => {
    const tell = heard.written.bind(heard)
    heard.written = (attemptId) => {
      tell(attemptId)
      done()
    }
  })
  heard.send(1, outgoing(`http://moves.test:${port}`))
  await written
  source.found('moves.test', '127.0.0.2')
  pass(2 * TTL_MS)
  await new Promise(setImmediate)
  resolve()
  assert.equal((await heard.waitFor(1)).body, '127.0.0.1')
  heard.send(2, outgoing(`http://moves.test:${port}`))
  assert.equal((await heard.waitFor(2)).body, '127.0.0.2')
})

test('a connection that is given up lets its look-up go', async (t) => {
  const { source, heard } = startScene(t)
  for (const scheme of ['http', 'https']) {
    const letGo = new Promise<void>((resolve) => { source.letGo = resolve })
    const origin = `${scheme}://silent.test`
    heard.send(1, outgoing(origin))
    assert.deepEqual([...source.silent], ['silent.test'])
    heard.closeIdle(origin)
    heard.abort(1)
    await letGo
    assert.deepEqual([...source.silent], [], scheme)
  }
})

test('a name without an address, or without an answer, is a dns_error', async (t) => {
  const { source, heard } = startScene(t)
  source.says.set('none.test', { kind: 'none', detail: 'no such name' })
  source.says.set('failed.test', { kind: 'failed', detail: 'no answer' })
  heard.send(1, outgoing('http://none.test'))
  heard.send(2, outgoing('https://failed.test'))
  assert.equal((await heard.waitFor(1)).reason, 'dns_error')
  assert.equal((await heard.waitFor(2)).reason, 'dns_error')
})

test('TLS is told a name without its trailing dot', async (t) => {
  const { source, heard } = startScene(t)
  const names: string[] = []
  const server = createTlsServer({
    ...LOCAL_CERTIFICATE,
    SNICallback: (name, callback) => {
      names.push(name)
      callback(null)
    },
  }, (socket) => {
    socket.on('error', () => {})
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => { server.close() })
  source.found('sluice.test.', '127.0.0.1')
  heard.send(1, outgoing(`https://sluice.test.:${(server.address() as AddressInfo).port}`))
  await heard.waitFor(1)
  assert.deepEqual(names, ['sluice.test'])
})
