// Sends over real sockets: HTTP/1.1 on keep-alive connections, parsed by undici.
// Thread: shard. Memory: none shared; what is in flight, and response bodies while they arrive.
// Never: keeps a deadline, follows a redirect, decompresses, or repeats what was written.
//
// One undici Client per connection rather than its Pool: an aborted attempt must take down a
// connection that is still being made, and a Pool does not tell which one that is. What undici
// does with a keep-alive socket that the upstream closes while it is idle:
//   closed before the request was written   it goes out on a fresh connection; nothing is told
//   closed after it was written             connection_error, for the upstream may have acted on it
// Only the first is safe to repeat. When the idle socket ends in an error instead (a reset, garbage
// behind the last response), undici fails the unwritten request too; it is moved here all the same.

import { Socket } from 'node:net'
import { createSecureContext, getCACertificates } from 'node:tls'
import { Client, type Dispatcher, buildConnector } from 'undici'
import { assert } from './assert.ts'
import { ContinueFilter } from './continue-filter.ts'
import { ACCOUNT_QUEUE_HEADERS, CONCURRENT_HEADERS, PACE_HEADERS } from './headers.ts'
import { knowHeardHeaders, knowSentHeaders } from './known-headers.ts'
import {
  CONNECTION_IDLE_MARGIN_MS, CONNECTION_IDLE_MS_DEFAULT, CONNECTION_IDLE_MS_MAX,
  FAILURE_DETAIL_LENGTH_MAX, INTERIM_RESPONSES_MAX, RESPONSE_HEADERS_BYTES_MAX,
} from './limits.ts'
import { loadHeaderNames } from './load-headers.ts'
import { OriginPool, type PooledConnection } from './origin-pool.ts'
import { type Connect, connectByName } from './name-connector.ts'
import type { Names } from './names.ts'
import { failureReason } from './outcome.ts'
import { connectPlain } from './plain-socket.ts'
import { ResponseBody } from './response-body.ts'
import type {
  FailureReason, OutgoingRequest, ResponseHeaders, Transport, TransportEvents,
} from './transport.ts'

/** What a UndiciTransport is made with. */
export interface UndiciTransportOptions {
  /** Connections to one origin at once, 1 or more; what is beyond waits for a free one. */
  readonly connectionsPerOriginMax: number
  /** Bytes of a response's body that are kept; at the first byte beyond, the attempt ends. */
  readonly responseBytesMax: number
  /** PEM of authorities to trust besides Node's own and NODE_EXTRA_CA_CERTS, or ''. */
  readonly extraCaPem: string
  /** Finds hosts; left out, sockets ask the system. */
  readonly names?: Names
  /** Sent when the caller gives no User-Agent; without it, or when it is empty, none is sent. */
  readonly userAgent?: string
}

type Pool = OriginPool<Attempt, ClientConnection>

knowSentHeaders(loadHeaderNames())
knowHeardHeaders([...PACE_HEADERS, ...CONCURRENT_HEADERS, ...ACCOUNT_QUEUE_HEADERS])

/** The transport of a shard. It makes no more pools than the caller names origins. */
export class UndiciTransport implements Transport {
  readonly #options: UndiciTransportOptions
  readonly #connect: Connect
  readonly #inFlight: InFlight
  readonly #pools = new Map<string, Pool>()

  /** Throws what node:tls throws when `extraCaPem` is not empty and not PEM. */
  constructor(options: UndiciTransportOptions) {
    assert(options.connectionsPerOriginMax >= 1, 'no connection is allowed')
    assert(options.responseBytesMax >= 0, 'a negative limit on response bytes')
    this.#options = options
    this.#inFlight = new InFlight(options.responseBytesMax)
    const { names } = options
    const lookup = names === undefined ? {} : { lookup: names.resolver.lookup }
    const connectSecurely = buildConnector({
      ...lookup,
      allowH2: false,
      timeout: 0, // deadlines are the shard's: an abort reaches a connection being made
      rejectUnauthorized: true, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
      secureContext: createSecureContext(options.extraCaPem === '' ? {} : {
        ca: [...getCACertificates('default'), options.extraCaPem],
      }),
    })
    this.#connect = connectByName(names, (target, callback) => target.protocol === 'https:'
      ? connectSecurely(target, callback) : connectPlain(target, callback, lookup))
  }

  get bufferedBytes(): number {
    return this.#inFlight.heldBytes
  }

  start(events: TransportEvents): void {
    assert(this.#inFlight.events === undefined, 'the transport was started before')
    this.#inFlight.events = events
  }

  send(token: number, request: OutgoingRequest): void {
    const { events } = this.#inFlight
    assert(events !== undefined, 'nobody listens to the transport')
    assert(this.#inFlight.attempts[token] === undefined, 'the token is still in flight')
    assert(!(request.body?.buffer instanceof SharedArrayBuffer), 'a body in shared memory')
    const pool = this.#poolOf(request.origin)
    const attempt = new Attempt(token, this.#dressed(request), pool, this.#inFlight)
    this.#inFlight.attempts[token] = attempt
    if (pool === undefined) {
      queueMicrotask(() => attempt.fail('request_refused', 'not an http or https origin'))
    } else {
      pool.begin(attempt)
      if (attempt.connection?.reused !== true) events.waiting(token)
    }
  }

  abort(token: number): void {
    this.#inFlight.attempts[token]?.abort()
  }

  forget(origin: string): void {
    this.#pools.get(origin)?.closeIdle()
  }

  async close(): Promise<void> {
    for (const attempt of this.#inFlight.attempts) attempt?.settle()
    const closed = [...this.#pools.values()].map((pool) => pool.close())
    this.#pools.clear()
    await Promise.all(closed)
  }

  #poolOf(origin: string): Pool | undefined {
    const known = this.#pools.get(origin)
    if (known !== undefined) return known
    if (!isHttpOrigin(origin)) return undefined
    const pool: Pool = new OriginPool<Attempt, ClientConnection>({
      connectionsMax: this.#options.connectionsPerOriginMax,
      open: () => new ClientConnection(origin, this.#connect, pool),
      onEmpty: () => this.#pools.delete(origin),
    })
    this.#pools.set(origin, pool)
    return pool
  }

  /** The request, with the default User-Agent if there is one and the caller gave none. */
  #dressed(request: OutgoingRequest): OutgoingRequest {
    const { userAgent } = this.#options
    if (userAgent === undefined || userAgent === '' || hasUserAgent(request.headers)) {
      return request
    }
    return { ...request, headers: [...request.headers, 'User-Agent', userAgent] }
  }
}

/** What the attempts of one transport share. */
class InFlight {
  /** By token. Not a Map, for the reason that waiting-line.ts gives against a Set. */
  readonly attempts: (Attempt | undefined)[] = []
  readonly responseBytesMax: number
  events: TransportEvents | undefined
  heldBytes = 0

  constructor(responseBytesMax: number) {
    this.responseBytesMax = responseBytesMax
  }

  // The listener is called outside of undici's reach: undici would take an error of the listener
  // (a failed assertion, say) for one of the request, where it must end the shard.

  tellWaiting(token: number): void {
    try {
      this.events?.waiting(token)
    } catch (error) {
      surface(error)
    }
  }

  tellWritten(token: number): void {
    try {
      this.events?.written(token)
    } catch (error) {
      surface(error)
    }
  }

  tellHead(token: number, status: number, headers: ResponseHeaders): void {
    try {
      this.events?.head(token, status, headers)
    } catch (error) {
      surface(error)
    }
  }

  tellEnd(token: number, body: Uint8Array, truncated: boolean): void {
    try {
      this.events?.end(token, body, truncated)
    } catch (error) {
      surface(error)
    }
  }

  tellFailed(token: number, reason: FailureReason, detail: string): void {
    try {
      this.events?.failed(token, reason, detail)
    } catch (error) {
      surface(error)
    }
  }
}

/** A rejection that nobody handles: Node makes it an uncaught exception, the error unchanged. */
function surface(fault: unknown): void {
  void Promise.reject(fault)
}

/** One token on its way: undici's handler of its request. Events after it is settled are noise. */
class Attempt implements Dispatcher.DispatchHandler {
  readonly token: number
  readonly request: OutgoingRequest
  readonly #pool: Pool | undefined
  readonly #inFlight: InFlight
  readonly #body = new ResponseBody()
  /** Set while the attempt has a connection, which may still be in the making. */
  connection: ClientConnection | undefined
  /** The client is being handed the request: what fails now is told after `send` has returned. */
  dispatching = false
  #written = false
  #settled = false
  /** 1xx responses so far. */
  #interim = 0

  constructor(
    token: number, request: OutgoingRequest, pool: Pool | undefined, inFlight: InFlight,
  ) {
    this.token = token
    this.request = request
    this.#pool = pool
    this.#inFlight = inFlight
  }

  onRequestStart(): void {
    this.#written = true
  }

  /** Only now: between the start of the writing and its end the thread may have been held up. */
  onRequestSent(): void {
    this.connection?.forgetAttempt()
    if (!this.#settled) this.#inFlight.tellWritten(this.token)
  }

  /** Tells that the request cannot go out yet. */
  wait(): void {
    if (!this.#settled) this.#inFlight.tellWaiting(this.token)
  }

  onResponseStart(_: unknown, status: number, headers: ResponseHeaders): void {
    if (this.#settled) return
    if (status < 200) {
      if (++this.#interim <= INTERIM_RESPONSES_MAX) return
      return this.fail('protocol_error', 'too many interim responses')
    }
    this.#inFlight.tellHead(this.token, status, headers)
  }

  onResponseData(_: unknown, chunk: Uint8Array): void {
    if (this.#settled) return
    const heldBefore = this.#body.heldBytes
    const whole = this.#body.append(chunk, this.#inFlight.responseBytesMax)
    this.#inFlight.heldBytes += this.#body.heldBytes - heldBefore
    if (!whole) this.#end(true)
  }

  onResponseEnd(): void {
    if (!this.#settled) this.#end(false)
  }

  onResponseError(_: unknown, error: Error): void {
    if (this.#settled) return
    const handshaking = !this.#written && this.request.origin.startsWith('https:')
    const reason = failureReason(error, handshaking)
    const { connection } = this
    if (this.dispatching) {
      queueMicrotask(() => this.fail(reason, error.message))
    } else if (reason !== 'request_refused' && this.#leftUntouched(connection)) {
      // The connection broke before anything of this request was on it: safe to start over.
      this.connection = undefined
      this.wait()
      this.#pool?.replace(connection, this)
    } else {
      this.fail(reason, error.message)
    }
  }

  /** Tells the failure, unless the attempt was aborted meanwhile. */
  fail(reason: FailureReason, detail: string): void {
    if (!this.settle()) return
    const { connection } = this
    if (reason === 'request_refused' && this.#leftUntouched(connection)) {
      connection.forgetAttempt()
      this.#pool?.release(connection) // others need not pay for what this caller asks
    } else if (connection !== undefined) {
      this.#pool?.drop(connection)
    }
    this.#inFlight.tellFailed(this.token, reason, detail.slice(0, FAILURE_DETAIL_LENGTH_MAX))
  }

  /** Ends the attempt without a word. */
  abort(): void {
    if (!this.settle()) return
    if (this.connection !== undefined) this.#pool?.drop(this.connection)
    else this.#pool?.withdraw(this)
  }

  /** Makes the attempt a thing of the past; false when it was already. */
  settle(): boolean {
    if (this.#settled) return false
    this.#settled = true
    this.#inFlight.heldBytes -= this.#body.heldBytes
    const { attempts } = this.#inFlight
    assert(attempts[this.token] === this, 'an unsettled attempt is not in flight')
    attempts[this.token] = undefined
    return true
  }

  /** Whether the connection has served others, and has seen nothing of this request. */
  #leftUntouched(connection: ClientConnection | undefined): connection is ClientConnection {
    return !this.#written && connection?.reused === true
  }

  /** The connection is free before the listener hears of it: what it sends next may reuse it. */
  #end(truncated: boolean): void {
    const { connection } = this
    assert(connection !== undefined, 'a response came without a connection')
    this.settle()
    if (truncated || connection.hasMoved) this.#pool?.drop(connection)
    else this.#pool?.release(connection)
    this.#inFlight.tellEnd(this.token, this.#body.bytes, truncated)
  }
}

/** One connection, that undici opens when it is first needed and again after it was closed. */
class ClientConnection implements PooledConnection<Attempt> {
  idleIndex = -1
  inTheMaking = false
  openedAfter = 0
  /** It has served an attempt since its socket was opened. */
  reused = false
  /** Its host's name leads elsewhere by now: it is not used again. */
  hasMoved = false
  readonly #client: Client
  /** Is told of each socket that is opened or lost. */
  readonly #pool: Pool
  #connecting: Socket | undefined
  /** Not which one: an idle connection would keep alive all that its last attempt was about. */
  #hasServed = false
  /** Of its socket, once that is open. */
  #filter: ContinueFilter | undefined
  /** The attempt that it has still to write. */
  #unwritten: Attempt | undefined

  constructor(
    origin: string, connect: Connect, pool: Pool,
  ) {
    this.#pool = pool
    this.#client = new Client(origin, {
      connect: (options, callback) => this.#open(connect, options, callback),
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: CONNECTION_IDLE_MS_DEFAULT,
      keepAliveMaxTimeout: CONNECTION_IDLE_MS_MAX,
      keepAliveTimeoutThreshold: CONNECTION_IDLE_MARGIN_MS,
      maxHeaderSize: RESPONSE_HEADERS_BYTES_MAX,
    })
    this.#client.on('disconnect', () => {
      this.reused = false
      this.#unwritten?.wait() // while another socket is opened for it
      pool.lost(this)
    })
  }

  begin(attempt: Attempt): void {
    this.reused = this.#hasServed
    this.#hasServed = true
    attempt.connection = this
    this.#unwritten = attempt
    this.#filter?.expect()
    attempt.dispatching = true
    const { path, method, headers, body } = attempt.request
    // Not blocking: undici would look at each head for more to send here, and there is no more.
    this.#client.dispatch({ path, method, headers, body, blocking: false }, attempt)
    attempt.dispatching = false
  }

  /** The attempt was written, or will not be. */
  forgetAttempt(): void {
    this.#unwritten = undefined
  }

  async destroy(): Promise<void> {
    this.#connecting?.destroy()
    await this.#client.destroy()
  }

  /**
   * Opens the socket. Without the server name that undici takes from the caller's Host header:
   * a certificate is checked against the name in the URL, whatever Host says.
   */
  #open(
    connect: Connect, options: buildConnector.Options,
    callback: buildConnector.Callback,
  ): void {
    const { servername: _, ...rest } = options
    this.hasMoved = false
    const socket: unknown = connect(rest, (...outcome) => {
      this.#connecting = undefined
      const [error, opened] = outcome
      if (error === null) {
        this.#filter = new ContinueFilter(opened)
        this.#filter.expect()
      }
      callback(...outcome)
      if (error === null) this.#pool.made(this)
    }, () => {
      this.hasMoved = true
      this.#pool.lost(this) // one that is at work goes when it is released
    })
    assert(socket instanceof Socket, 'the connector keeps its socket to itself')
    this.#connecting = socket
  }
}

/** Whether the text is an http or https origin, spelled as URL spells it. */
function isHttpOrigin(origin: string): boolean {
  const url = URL.parse(origin)
  return url !== null && url.origin === origin &&
    (url.protocol === 'http:' || url.protocol === 'https:')
}

function hasUserAgent(headers: readonly string[]): boolean {
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string
    if (name.length === 10 && name.toLowerCase() === 'user-agent') return true
  }
  return false
}
