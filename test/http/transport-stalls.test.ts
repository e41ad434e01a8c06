// Connections that stall in the making: others are made beside them, and a deadline of their own
// ends them.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net'
import { type TestContext, describe, it } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { Moves } from '../../shards/dns/moves.ts'
import type { NameAnswer, NameSource } from '../../shards/dns/name-source.ts'
import type { Names } from '../../shards/dns/names.ts'
import { Resolver } from '../../shards/dns/resolver.ts'
import { CONNECTIONS_MAKING_MIN, CONNECT_STALLED_MS } from '../../shards/memory/socket-limits.ts'
import { startTransport } from '../support/started-transport.ts'
import { LOCAL_CERTIFICATE } from '../support/tls.ts'
import { outgoing } from '../support/transport-recorder.ts'
import { VirtualTime } from '../support/virtual-clock.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** An origin of which some connections stall in the handshake, by their number from 1. */
class Stalling {
  readonly origin: string
  opened = 0
  readonly #server: Server
  /** What answers a request. */
  respond = (socket: Socket): void => { socket.write(OK) }

  private constructor(server: Server) {
    this.#server = server
    this.origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  static async start(t: TestContext, stalls: (connection: number) => boolean): Promise<Stalling> {
    const open = new Set<Socket>()
    const server = createServer((socket) => {
      open.add(socket)
      socket.on('error', () => {}).on('close', () => open.delete(socket))
      if (!stalls(++stalling.opened)) behind.emit('connection', socket)
    })
    const behind = createTlsServer(LOCAL_CERTIFICATE, (socket) => {
      socket.on('error', () => {}).on('data', () => stalling.respond(socket))
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const stalling = new Stalling(server)
    t.after(() => {
      server.close()
      for (const socket of open) socket.destroy()
    })
    return stalling
  }

  async waitForOpened(count: number): Promise<void> {
    while (this.opened < count) await once(this.#server, 'connection')
  }
}

function namesBy(source: NameSource, time: VirtualTime): Names {
  const families = (): { v4: boolean, v6: boolean } => ({ v4: true, v6: false })
  const resolver = new Resolver({ source, clock: time.clock(), families })
  return { resolver, moves: new Moves(resolver, time.clock()), close: () => resolver.close() }
}

function start(t: TestContext, connectTimeoutMs = 60_000, source?: NameSource) {
  const time = new VirtualTime()
  const names = source === undefined ? {} : { names: namesBy(source, time) }
  const { heard } = startTransport(t, {
    clock: time.clock(), connectionsPerOriginMax: 64, connectTimeoutMs,
    extraCaPem: LOCAL_CERTIFICATE.cert, ...names,
  })
  heard.connectTimeoutMs = 60_000
  const pass = (ms: number): void => time.advanceTo((time.nowUs() + msToUs(ms)) as Micros)
  return { heard, pass }
}

describe('connections that stall in the handshake', () => {
  it('keep nobody from an origin that the next one reaches', async (t) => {
    const origin = await Stalling.start(t, (connection) => connection <= CONNECTIONS_MAKING_MIN)
    const { heard, pass } = start(t)
    for (let id = 1; id <= 20; id++) heard.send(id, outgoing(origin.origin))
    await origin.waitForOpened(CONNECTIONS_MAKING_MIN)
    assert.deepEqual(heard.of(1).events, [])
    pass(CONNECT_STALLED_MS)
    for (let id = 1; id <= 20; id++) assert.equal((await heard.waitFor(id)).body, 'ok')
  })

  it('are doubled for a single request, whose next connection would be the ninth', async (t) => {
    const origin = await Stalling.start(t, (connection) => connection <= CONNECTIONS_MAKING_MIN)
    const { heard, pass } = start(t)
    heard.send(1, outgoing(origin.origin))
    for (let opened = 1; opened <= CONNECTIONS_MAKING_MIN; opened = origin.opened) {
      await origin.waitForOpened(opened)
      pass(CONNECT_STALLED_MS)
      await origin.waitForOpened(opened + 1)
    }
    assert.equal((await heard.waitFor(1)).body, 'ok')
    assert.ok(origin.opened <= 2 * CONNECTIONS_MAKING_MIN, `${origin.opened} for one request`)
  })

  it('are none while the name is looked up', async (t) => {
    const named = await Stalling.start(t, () => false)
    const stalling = await Stalling.start(t, (connection) => connection === 1)
    const { promise: asked, resolve: ask } = Promise.withResolvers<(answer: NameAnswer) => void>()
    const { heard, pass } = start(t, 60_000, {
      known: () => undefined,
      ask: (_name, done) => {
        ask(done)
        return () => {}
      },
    })
    heard.send(1, outgoing(named.origin.replace('127.0.0.1', 'localhost')))
    const answer = await asked
    heard.send(2, outgoing(stalling.origin))
    await stalling.waitForOpened(1)
    pass(CONNECT_STALLED_MS)
    await stalling.waitForOpened(2) // both have been looked at
    answer({ kind: 'found', addresses: ['127.0.0.1'], ttlMs: 1000 })
    assert.equal((await heard.waitFor(1)).body, 'ok')
    assert.equal(named.opened, 1)
  })

  it('are given up in the time that connecting has, whatever an attempt may take', async (t) => {
    const origin = await Stalling.start(t, () => true)
    const { heard, pass } = start(t, 5000)
    heard.send(1, outgoing(origin.origin))
    await origin.waitForOpened(1)
    pass(5000)
    assert.equal((await heard.waitFor(1)).reason, 'timeout')
  })

  it('fail nobody while another connection is at work, who is next on that', async (t) => {
    const origin = await Stalling.start(t, (connection) => connection > 1)
    const { heard, pass } = start(t, 5000)
    const { promise: asked, resolve: ask } = Promise.withResolvers<Socket>()
    origin.respond = ask
    heard.send(1, outgoing(origin.origin))
    const socket = await asked
    origin.respond = (other) => other.write(OK)
    heard.send(2, outgoing(origin.origin))
    await origin.waitForOpened(2)
    pass(5000)
    await origin.waitForOpened(3) // the second was given up, and nobody was told
    assert.deepEqual(heard.of(2).events, [])
    socket.write(OK)
    assert.equal((await heard.waitFor(2)).body, 'ok')
  })
})
