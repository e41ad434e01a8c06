// One connection: its socket is opened first; undici's client gets it with the first request.
// Thread: shard. Memory: one undici client.
// Never: opens a second socket: a connection that has lost its socket is over, and its request, if
// any, is notified.
//
// If the upstream closes a keep-alive socket before a request is written, undici asks for another
// socket. It does not get one here, so the request is returned. If it closes after that, the
// request fails, since the upstream may have processed it. Only the first is safe to repeat.

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

/** Receives the events of a connection. */
export interface ConnectionOwner {
  /** The first address is tried; before the two below, unless the host has no address. */
  begun(connection: ClientConnection): void
  /** The socket is open. */
  made(connection: ClientConnection): void
  /** The socket could not be opened; at most once. */
  notMade(connection: ClientConnection, error: Error): void
  /** The socket is closed, or its address is no longer one of its host's name. */
  lost(connection: ClientConnection): void
}

/** One connection to an origin. */
export class ClientConnection implements PooledConnection {
  idleIndex = -1
  inTheMaking = false
  isStalled = false
  openedAfter = 0
  /** By when it must be open, and later be used; in ms of the owner's clock. */
  deadlineMs = 0
  /** When it counts as stalled if it is not open yet; same clock. */
  stallsAtMs = Infinity
  /** It has been given a request. */
  isUsed = false
  /** Its address is no longer one of its host's name: it is not reused. */
  hasMoved = false
  readonly #owner: ConnectionOwner
  readonly #client: Client
  readonly #socket: Socket
  #filter: ContinueFilter | undefined
  #isGiven = false
  #isEnded = false

  /** @param account the route of the account for which it is opened. */
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
      owner.lost(this) // if it is in use, it is closed when it is released
    }, account)
    assert(socket instanceof Socket, 'the connector returned no socket')
    this.#socket = socket
    socket.once('connectionAttempt', () => owner.begun(this))
  }

  /** Nothing more can be sent on it. */
  get isClosed(): boolean {
    return this.#socket.destroyed || this.#socket.readableEnded
  }

  /** Whether the peer has ended the connection properly, rather than by a reset or truncation. */
  get isEnded(): boolean {
    const socket = this.#socket
    if (!socket.readableEnded) return false
    return socket instanceof TLSSocket ? !isCutOff(socket) : !wasReset(socket)
  }

  begin(request: OutgoingRequest, handler: Dispatcher.DispatchHandler): void {
    const { path, method, headers, body } = request
    this.isUsed = true
    this.#filter?.expect()
    // Not blocking: undici would check at each head for more requests here, and there are none.
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
    // Nothing reads the socket before the first request: any event before it means its end.
    this.#socket.once('readable', this.#onEarlyEvent)
    this.#socket.once('close', this.#onEarlyEvent)
    this.#owner.made(this)
  }

  readonly #onEarlyEvent = (): void => this.#owner.lost(this)

  /** Passes the open socket to undici; if undici asks again, there is no other. */
  #give(callback: buildConnector.Callback): void {
    const socket = this.#socket
    // Later: before this has returned, undici does not check again for requests to send.
    queueMicrotask(() => {
      socket.removeListener('readable', this.#onEarlyEvent)
      socket.removeListener('close', this.#onEarlyEvent)
      const isGone = socket.destroyed || socket.readableEnded || socket.readableLength > 0 ||
        this.#isGiven
      this.#isGiven = true
      // Not a SocketError: undici would ask again repeatedly before it returned the request.
      if (isGone) return callback(new Error('the connection is over'), null)
      this.#filter = new ContinueFilter(socket)
      this.#filter.expect()
      callback(null, socket)
    })
  }
}

/**
 * The target of a socket. Without the server name that undici takes from the caller's Host header:
 * a certificate is checked against the name in the URL, whatever Host says.
 */
function targetOf(origin: string): buildConnector.Options {
  const { protocol, host, hostname, port } = new URL(origin)
  return {
    protocol, host, port,
    hostname: hostname.startsWith('[') ? hostname.slice(1, -1) : hostname,
  }
}
