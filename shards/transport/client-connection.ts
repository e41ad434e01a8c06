// One connection: its socket is opened first, and undici's client put on it with the first request.
// Thread: shard. Memory: one undici client.
// Never: opens a second socket: a connection that has lost its own is over, and whoever had a
// request on it is told so.
//
// What undici does with a keep-alive socket that the upstream closes while it is idle: closed
// before a request was written, it asks for another socket, which it does not get here, so that the
// request is given back; closed after that, the request has failed, for the upstream may have
// acted on it. Only the first is safe to repeat.

import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { Client, type Dispatcher, type buildConnector } from 'undici'
import { assert } from '../base/assert.ts'
import { RESPONSE_HEADERS_BYTES_MAX } from '../memory/limits.ts'
import {
  CONNECTION_IDLE_MARGIN_MS, CONNECTION_IDLE_MS_DEFAULT, CONNECTION_IDLE_MS_MAX,
} from '../memory/socket-limits.ts'
import { ContinueFilter } from './continue-filter.ts'
import type { Connect } from './name-connector.ts'
import type { PooledConnection } from './origin-pool.ts'
import { wasReset } from './plain-socket.ts'
import { isCutOff } from './secure-socket.ts'
import type { OutgoingRequest } from './transport.ts'

/** Who hears of a connection. */
export interface ConnectionOwner {
  /** The first of its host's addresses is tried; told before the two below, unless it has none. */
  begun(connection: ClientConnection): void
  /** Its socket is open. */
  made(connection: ClientConnection): void
  /** Its socket could not be opened; told once. */
  notMade(connection: ClientConnection, error: Error): void
  /** Its socket is gone, or leads where its host's name no longer points to. */
  lost(connection: ClientConnection): void
}

/** One connection to an origin. */
export class ClientConnection implements PooledConnection {
  idleIndex = -1
  inTheMaking = false
  isStalled = false
  openedAfter = 0
  /** By when it must be open, and then used, in ms of whoever keeps that time. */
  deadlineMs = 0
  /** When it is passed over if it is not open by then, in the same time. */
  stallsAtMs = Infinity
  /** It has been given a request. */
  isUsed = false
  /** Its host's name leads elsewhere by now: it is not used again. */
  hasMoved = false
  readonly #owner: ConnectionOwner
  readonly #client: Client
  readonly #socket: Socket
  #filter: ContinueFilter | undefined
  #isGiven = false
  #isEnded = false

  /** @param account the route of the account that it is opened for. */
  constructor(origin: string, connect: Connect, owner: ConnectionOwner, account: number) {
    this.#owner = owner
    this.#client = new Client(origin, {
      connect: (_, callback) => this.#give(callback),
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: CONNECTION_IDLE_MS_DEFAULT,
      keepAliveMaxTimeout: CONNECTION_IDLE_MS_MAX,
      keepAliveTimeoutThreshold: CONNECTION_IDLE_MARGIN_MS,
      maxHeaderSize: RESPONSE_HEADERS_BYTES_MAX,
    })
    this.#client.on('disconnect', () => owner.lost(this))
    const target = targetOf(origin)
    const socket: unknown = connect(target, (...[error]) => this.#opened(error), () => {
      this.hasMoved = true
      owner.lost(this) // one that is at work goes when it is released
    }, account)
    assert(socket instanceof Socket, 'the connector keeps its socket to itself')
    this.#socket = socket
    socket.once('connectionAttempt', () => owner.begun(this))
  }

  /** Nothing more can be sent on it. */
  get isClosed(): boolean {
    return this.#socket.destroyed || this.#socket.readableEnded
  }

  /** Whether its other end has said that nothing more comes, rather than broken off. */
  get isEnded(): boolean {
    const socket = this.#socket
    if (!socket.readableEnded) return false
    return socket instanceof TLSSocket ? !isCutOff(socket) : !wasReset(socket)
  }

  begin(request: OutgoingRequest, handler: Dispatcher.DispatchHandler): void {
    const { path, method, headers, body } = request
    this.isUsed = true
    this.#filter?.expect()
    // Not blocking: undici would look at each head for more to send here, and there is no more.
    this.#client.dispatch({ path, method, headers, body, blocking: false }, handler)
  }

  async destroy(): Promise<void> {
    this.#isEnded = true
    const socket = this.#socket.destroy()
    await this.#client.destroy()
    if (!socket.closed) await new Promise<void>((resolve) => { socket.once('close', resolve) })
  }

  #opened(error: Error | null): void {
    if (this.#isEnded) return
    if (error !== null) return this.#owner.notMade(this, error)
    // Until a request comes nobody reads: whatever the socket has to say then is its end.
    this.#socket.once('readable', this.#unfit)
    this.#socket.once('close', this.#unfit)
    this.#owner.made(this)
  }

  readonly #unfit = (): void => this.#owner.lost(this)

  /** Hands the open socket to undici; there is no other, should it ask again. */
  #give(callback: buildConnector.Callback): void {
    const socket = this.#socket
    // Not at once: undici does not look again for what it may send before it has returned.
    queueMicrotask(() => {
      socket.removeListener('readable', this.#unfit)
      socket.removeListener('close', this.#unfit)
      const isGone = socket.destroyed || socket.readableEnded || socket.readableLength > 0 ||
        this.#isGiven
      this.#isGiven = true
      // Not a SocketError: undici would ask again, and again, before it gave the request back.
      if (isGone) return callback(new Error('the connection is over'), null)
      this.#filter = new ContinueFilter(socket)
      this.#filter.expect()
      callback(null, socket)
    })
  }
}

/**
 * What a socket is opened to. Without the server name that undici takes from the caller's Host
 * header: a certificate is checked against the name in the URL, whatever Host says.
 */
function targetOf(origin: string): buildConnector.Options {
  const { protocol, host, hostname, port } = new URL(origin)
  return {
    protocol, host, port,
    hostname: hostname.startsWith('[') ? hostname.slice(1, -1) : hostname,
  }
}
