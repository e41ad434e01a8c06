// The sockets under undici: the bytes of both directions, in order, whatever the buffers that all
// connections share are used for meanwhile.

import assert from 'node:assert/strict'
import { lookup } from 'node:dns'
import { once } from 'node:events'
import { type Server, type Socket, createServer } from 'node:net'
import { type TestContext, describe, it } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import type { buildConnector } from 'undici'
import { Prng } from '../../shards/base/prng.ts'
import { SOCKET_READ_BYTES, SOCKET_WRITE_BYTES } from '../../shards/memory/socket-limits.ts'
import { connectPlain } from '../../shards/transport/plain-socket.ts'
import { SecureConnector } from '../../shards/transport/secure-socket.ts'
import { refusingOriginFor } from '../support/scene.ts'
import { LOCAL_CERTIFICATE } from '../support/tls.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261)

/** More than the system holds of one connection. */
const FULL_BYTES = 16 * 1024 * 1024
const SCHEMES = ['http', 'https'] as const
type Scheme = (typeof SCHEMES)[number]

const target = (port: number) =>
  ({ hostname: '127.0.0.1', port: String(port), protocol: 'http:' })

/** A connection, and its other end. */
interface Pair {
  readonly socket: Socket
  readonly peer: Socket
}

async function listen(t: TestContext, scheme: Scheme): Promise<Server> {
  const server = scheme === 'http'
    ? createServer({ pauseOnConnect: true }) : createTlsServer(LOCAL_CERTIFICATE)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return server
}

function targetOf(server: Server): ReturnType<typeof target> {
  const address = server.address()
  assert(address !== null && typeof address === 'object')
  return target(address.port)
}

/** As the transport opens them. */
const open = (scheme: Scheme, server: Server, callback: buildConnector.Callback): Socket =>
  scheme === 'http' ? connectPlain(targetOf(server), callback, lookup)
    : new SecureConnector(LOCAL_CERTIFICATE.cert).connect(targetOf(server), callback, lookup)

const accept = (scheme: Scheme, server: Server): Promise<[Socket]> =>
  once(server, scheme === 'http' ? 'connection' : 'secureConnection') as Promise<[Socket]>

async function connect(scheme: Scheme, server: Server, t: TestContext): Promise<Pair> {
  const accepted = accept(scheme, server)
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opened = open(scheme, server, (...[error]) => {
      if (error === null) resolve(opened)
      else reject(error)
    })
  })
  const [peer] = await accepted
  t.after(() => {
    socket.destroy()
    peer.destroy()
  })
  return { socket, peer }
}

/** What comes until so many bytes are here. */
async function take(peer: Socket, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  const hear = (part: Buffer): void => {
    parts.push(part)
    length += part.length
    if (length >= bytes) resolve()
  }
  peer.on('data', hear).resume()
  await promise
  peer.off('data', hear)
  return Buffer.concat(parts)
}

function writeTogether(socket: Socket, head: string, body: Buffer): void {
  socket.cork()
  socket.write(head, 'latin1')
  socket.write(body)
  socket.uncork()
}

for (const scheme of SCHEMES) describe(`writing over ${scheme}`, () => {
  it('keeps what the system does not take at once from what is written after it', async (t) => {
    const server = await listen(t, scheme)
    const slow = await connect(scheme, server, t)
    const quick = await connect(scheme, server, t)
    const prng = new Prng(SEED)
    const sent: Buffer[] = []
    for (let length = 0; length < FULL_BYTES;) {
      const head = `é${prng.between(0, 1e6)}`.repeat(10)
      const body = Buffer.alloc(prng.between(1, SOCKET_WRITE_BYTES - 200), prng.between(0, 255))
      writeTogether(slow.socket, head, body)
      sent.push(Buffer.from(head, 'latin1'), body)
      length += body.length
      if (prng.chance(0.5)) await new Promise(setImmediate)
    }
    assert.ok(slow.socket.writableLength > 0, 'the system takes everything')
    writeTogether(quick.socket, 'other', Buffer.alloc(SOCKET_WRITE_BYTES - 5, 'bytes'))
    const expected = Buffer.concat(sent)
    const came = await take(slow.peer, expected.length)
    assert.ok(came.equals(expected), `seed ${SEED}: other bytes`)
  })

  it('takes more than the shared buffer holds', async (t) => {
    const { socket, peer } = await connect(scheme, await listen(t, scheme), t)
    const body = Buffer.alloc(SOCKET_WRITE_BYTES, 'x')
    writeTogether(socket, 'head', body)
    assert.equal((await take(peer, body.length + 4)).toString(), `head${body.toString()}`)
  })

  it('takes pieces before it is connected', async (t) => {
    const server = await listen(t, scheme)
    const accepted = accept(scheme, server)
    const socket = open(scheme, server, () => {})
    t.after(() => socket.destroy())
    writeTogether(socket, 'early ', Buffer.from('bytes'))
    const other = await connect(scheme, server, t)
    writeTogether(other.socket, 'something', Buffer.from(' else'))
    const [peer] = await accepted
    assert.equal((await take(peer, 11)).toString(), 'early bytes')
    peer.destroy()
  })
})

for (const scheme of SCHEMES) describe(`reading over ${scheme}`, () => {
  it('tells of each piece as it comes, and at last of the end', async (t) => {
    const { socket, peer } = await connect(scheme, await listen(t, scheme), t)
    const sent = Buffer.alloc(3 * SOCKET_READ_BYTES + 5)
    for (let at = 0; at < sent.length; at++) sent[at] = at % 251
    const came: Buffer[] = []
    let timesTold = 0
    socket.on('readable', () => {
      for (let part = socket.read(); part !== null; part = socket.read()) {
        came.push(Buffer.from(part as Buffer))
      }
      timesTold++
    })
    peer.end(sent)
    await once(socket, 'end')
    assert.ok(Buffer.concat(came).equals(sent))
    assert.ok(timesTold >= came.length, 'several pieces in one go')
  })

  it('keeps what nobody wanted yet, before what comes later', async (t) => {
    const { socket, peer } = await connect(scheme, await listen(t, scheme), t)
    let wanted = false
    const came: string[] = []
    const look = (): void => {
      if (!wanted) return
      for (let part = socket.read(); part !== null; part = socket.read()) came.push(String(part))
    }
    socket.on('readable', look)
    peer.write('first')
    await once(socket, 'readable')
    const other = await connect(scheme, await listen(t, scheme), t)
    other.socket.on('readable', () => other.socket.read())
    other.peer.write('other')
    await once(other.socket, 'readable')
    wanted = true
    peer.end('second')
    await once(socket, 'end')
    assert.equal(came.join(''), 'firstsecond')
  })

  it('takes back what was read too far', async (t) => {
    const { socket, peer } = await connect(scheme, await listen(t, scheme), t)
    const { promise, resolve } = Promise.withResolvers<string[]>()
    socket.once('readable', () => {
      const part = socket.read() as Buffer
      const first = part.toString()
      socket.unshift(part.subarray(2))
      resolve([first, String(socket.read())])
    })
    peer.write('abcd')
    assert.deepEqual(await promise, ['abcd', 'cd'])
  })
})

it('tells once why it could not connect', async (t) => {
  const port = Number(new URL(await refusingOriginFor(t)).port)
  const told: unknown[] = []
  const socket = connectPlain(target(port), (...outcome) => told.push(outcome), lookup)
  await new Promise((resolve) => { socket.on('close', resolve) })
  assert.equal(told.length, 1)
  const [[error, none]] = told as [[NodeJS.ErrnoException, null]]
  assert.equal(error.code, 'ECONNREFUSED')
  assert.equal(none, null)
})

it('tells nothing more once it is connected', async (t) => {
  const server = await listen(t, 'http')
  const told: unknown[] = []
  const socket = connectPlain(targetOf(server), (...outcome) => told.push(outcome), lookup)
  await once(socket, 'connect')
  const closed = new Promise((resolve) => { socket.on('close', resolve) })
  socket.destroy(new Error('broken'))
  await closed
  assert.deepEqual(told, [[null, socket]])
})
