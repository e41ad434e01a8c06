// Servers on the loopback that a test controls: an HTTP server that records its requests, and a raw
// TCP server that answers with any bytes. Both count their connections.

import { EventEmitter, once } from 'node:events'
import {
  type IncomingHttpHeaders, type IncomingMessage, type ServerResponse, createServer,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import {
  type AddressInfo, type Server, type Socket, connect, createServer as createRawServer,
} from 'node:net'
import { type TLSSocket, type TlsOptions, createServer as createRawTlsServer } from 'node:tls'
import { monotonicUs } from '../../shards/base/clock.ts'
import type { Micros } from '../../shards/base/units.ts'
import type { TestCertificate } from './tls.ts'

/** One complete request. */
export interface RecordedRequest {
  /** When its head arrived. */
  readonly atUs: Micros
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Name, value, …, in the order and spelling of arrival. */
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
}

/** Answers a request; it may also never answer, send slowly, or destroy `request.socket`. */
export type Respond = (
  request: IncomingMessage, response: ServerResponse, record: RecordedRequest,
) => void

/** The connections of a server: counts, and waiting for a count. */
class Connections {
  readonly #open = new Set<Socket>()
  readonly #changed = new EventEmitter().setMaxListeners(0)
  /** Connections ever accepted. */
  opened = 0

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      this.opened += 1
      this.#open.add(socket)
      socket.on('error', () => { /* the other side may do what it likes */ })
      socket.on('close', () => {
        this.#open.delete(socket)
        this.#changed.emit('changed')
      })
      this.#changed.emit('changed')
    })
  }

  get openCount(): number {
    return this.#open.size
  }

  /** Resolves when exactly `count` connections are open, at once if they are. */
  async waitForOpen(count: number): Promise<void> {
    while (this.#open.size !== count) await once(this.#changed, 'changed')
  }

  /** Resolves when `count` connections have been accepted, at once if they have. */
  async waitForOpened(count: number): Promise<void> {
    while (this.opened < count) await once(this.#changed, 'changed')
  }

  /** Closes the open ones, by a reset or an end; resolves when that has been sent. */
  async closeAll(how: 'reset' | 'end'): Promise<void> {
    await Promise.all([...this.#open].map(async (socket) => {
      const sent = once(socket, how === 'reset' ? 'close' : 'finish')
      if (how === 'reset') socket.resetAndDestroy()
      else socket.end()
      await sent
    }))
  }
}

/** An HTTP upstream, or a receiver of webhooks: answers 200 `ok` by default. */
export class TestUpstream {
  /** Called for each complete request; may be replaced at any time. */
  respond: Respond = (_request, response) => { response.end('ok') }
  readonly requests: RecordedRequest[] = []
  readonly connections: Connections
  readonly origin: string
  readonly #server: Server
  readonly #arrived = new EventEmitter().setMaxListeners(0)

  private constructor(server: Server, origin: string, connections: Connections) {
    this.#server = server
    this.origin = origin
    this.connections = connections
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.#receive(request, response)
    })
  }

  /** Listens on a free port of 127.0.0.1; with a certificate, over TLS. */
  static async start(options: {
    respond?: Respond
    certificate?: TestCertificate
  } = {}): Promise<TestUpstream> {
    const { certificate, respond } = options
    const server: Server = certificate === undefined
      ? createServer({ keepAliveTimeout: 60_000 })
      : createTlsServer({ ...certificate, keepAliveTimeout: 60_000 })
    const connections = new Connections(server)
    const port = await listen(server)
    const scheme = certificate === undefined ? 'http' : 'https'
    const upstream = new TestUpstream(server, `${scheme}://127.0.0.1:${port}`, connections)
    if (respond !== undefined) upstream.respond = respond
    return upstream
  }

  /** Resolves with all requests when `count` of them have arrived, at once if they have. */
  async waitFor(count: number): Promise<RecordedRequest[]> {
    while (this.requests.length < count) await once(this.#arrived, 'request')
    return this.requests
  }

  /** Stops listening, resets open connections, and resolves when none is left. */
  close(): Promise<void> {
    return shut(this.#server, this.connections)
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const atUs = monotonicUs()
    const chunks: Buffer[] = []
    request.on('error', () => { /* a sender may break off */ })
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const record: RecordedRequest = {
        atUs, method: request.method ?? '', path: request.url ?? '', headers: request.headers,
        rawHeaders: request.rawHeaders, body: Buffer.concat(chunks),
      }
      this.requests.push(record)
      this.respond(request, response, record)
      this.#arrived.emit('request')
    })
  }
}

/** A raw TCP upstream: the test decides what it does with a connection. */
export class RawUpstream {
  readonly connections: Connections
  readonly origin: string
  readonly #server: Server

  private constructor(server: Server, origin: string, connections: Connections) {
    this.#server = server
    this.origin = origin
    this.connections = connections
  }

  /** Calls `onData` for each chunk that arrives, with the number of its connection, from 1. */
  static async start(
    onData: (socket: Socket, chunk: Buffer, connection: number) => void,
    onConnection: (socket: Socket) => void = () => {},
  ): Promise<RawUpstream> {
    const server = createRawServer()
    const connections = new Connections(server)
    server.on('connection', (socket: Socket) => {
      const connection = connections.opened
      socket.on('data', (chunk) => onData(socket, chunk, connection))
      onConnection(socket)
    })
    const port = await listen(server)
    return new RawUpstream(server, `http://127.0.0.1:${port}`, connections)
  }

  /** The same over TLS; `connections` are the TCP connections below it. */
  static async startTls(
    options: TlsOptions, onData: (socket: TLSSocket, chunk: Buffer) => void,
  ): Promise<RawUpstream> {
    const server = createRawTlsServer(options)
    const connections = new Connections(server)
    server.on('secureConnection', (socket: TLSSocket) => {
      socket.on('error', () => { /* the other side may do what it likes */ })
      socket.on('data', (chunk) => onData(socket, chunk))
    })
    const port = await listen(server)
    return new RawUpstream(server, `https://127.0.0.1:${port}`, connections)
  }

  /** Stops listening, resets open connections, and resolves when none is left. */
  close(): Promise<void> {
    return shut(this.#server, this.connections)
  }
}

/**
 * A port of 127.0.0.1 at which every connection is refused until it is closed. An unused port might
 * be given to an upstream of the next test; this is the local end of a connection of its own.
 */
export class RefusingUpstream {
  readonly origin: string
  readonly #server: Server
  readonly #connection: Socket

  private constructor(server: Server, connection: Socket) {
    this.origin = `http://127.0.0.1:${connection.localPort}`
    this.#server = server
    this.#connection = connection
  }

  static async start(): Promise<RefusingUpstream> {
    const server = createRawServer((socket) => { socket.resume().on('error', () => {}) })
    const connection = connect(await listen(server), '127.0.0.1')
    await once(connection, 'connect')
    return new RefusingUpstream(server, connection)
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#connection.destroy()
    await closed
  }
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function shut(server: Server, connections: Connections): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  await connections.closeAll('reset')
  await closed
}
