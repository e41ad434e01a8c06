// Sends over real sockets: HTTP/1.1 on keep-alive connections, parsed by undici.
// Thread: shard. Memory: none shared; attempts in flight, and response bodies while they arrive.
// Never: enforces an attempt's timeout, follows a redirect, decompresses, or repeats a request that
// was written.
//
// One undici Client per connection rather than its Pool: an aborted attempt must close its
// connection, and requests must not wait for connections inside a library.

import { lookup as systemLookup } from 'node:dns'
import { assert } from '../base/assert.ts'
import { type Clock, SystemClock, lookEvery } from '../base/clock.ts'
import type { Names } from '../dns/names.ts'
import { CONNECTS_LOOK_EVERY_MS } from '../memory/socket-limits.ts'
import { ACCOUNT_QUEUE_HEADERS, CONCURRENT_HEADERS, PACE_HEADERS } from '../signals/pace-headers.ts'
import { loadHeaderNames } from '../signals/queue-headers.ts'
import type { FailureReason } from '../signals/response.ts'
import type { EgressSettings } from '../wire/contract.ts'
import { ConnectionRoom } from './connection-room.ts'
import { Destination, type DestinationsShared } from './destination.ts'
import { Egress } from './egress.ts'
import { judgedLookup } from './judged-lookup.ts'
import { type Connect, connectByName, portOf } from './name-connector.ts'
import { connectPlain } from './plain-socket.ts'
import { ReadScheduler } from './read-scheduler.ts'
import { ResponseMemory } from './response-memory.ts'
import { SecureConnector } from './secure-socket.ts'
import {
  type Line, LINE_FREE, LINE_NO_CONNECTION, LINE_NO_MEMORY, type OutgoingRequest, type Transport,
  type TransportEvents,
} from './transport.ts'
import { addHeaderNames } from './undici-header-tables.ts'
import { type InFlight, WireAttempt, surface } from './wire-attempt.ts'

/** Options of a UndiciTransport. */
export interface UndiciTransportOptions {
  readonly clock: Clock
  /** Connections to all origins at once; each origin has a share. */
  readonly connectionsMax: number
  /** Connections to one origin at once, 1 or more. */
  readonly connectionsPerOriginMax: number
  /** Connect timeout; connect() may allow less. */
  readonly connectTimeoutMs: number
  /** Bytes of a response's body that are kept; the first byte beyond ends the attempt. */
  readonly responseBytesMax: number
  /** PEM of authorities to trust besides Node's own and NODE_EXTRA_CA_CERTS, or ''. */
  readonly extraCaPem: string
  /** Resolves host names; without it, sockets use the system's look-up. */
  readonly names?: Names
  /** Where requests may go; without it, everywhere but where none ever may. */
  readonly egress?: EgressSettings
  /** The default User-Agent; if undefined or empty, none is added. */
  readonly userAgent?: string
  /** Called if undici's internals are not as expected; everything works, but more slowly. */
  readonly onUnknownUndici?: (reason: string) => void
}

const unknownUndici = addHeaderNames(
  loadHeaderNames(), [...PACE_HEADERS, ...CONCURRENT_HEADERS, ...ACCOUNT_QUEUE_HEADERS])

/** The transport of a shard. */
export class UndiciTransport implements Transport {
  readonly #options: UndiciTransportOptions
  readonly #memory: ResponseMemory
  readonly #shared: DestinationsShared
  readonly #destinations: (Destination | undefined)[] = []
  readonly #attempts: (WireAttempt | undefined)[] = []
  #inFlight: InFlight | undefined
  readonly #stopLooking: () => void

  /** Throws what node:tls throws when `extraCaPem` is not empty and not PEM. */
  constructor(options: UndiciTransportOptions) {
    assert(options.connectionsPerOriginMax >= 1, 'no connection is allowed')
    assert(options.responseBytesMax >= 0, 'a negative limit on response bytes')
    if (unknownUndici !== undefined) options.onUnknownUndici?.(unknownUndici)
    this.#options = options
    this.#memory = new ResponseMemory(options.responseBytesMax,
      (to) => this.#notifyFree(to))
    this.#shared = {
      clock: options.clock,
      connect: connectorOf(options),
      room: new ConnectionRoom({
        connectionsMax: options.connectionsMax, clock: new SystemClock(), soon: queueMicrotask,
        nextTurn: setImmediate,
      }),
      connectionsPerOriginMax: options.connectionsPerOriginMax,
      connectTimeoutMs: options.connectTimeoutMs,
      open: new Set(),
      free: (to) => this.#notifyFree(to),
      unreachable: (to, reason, detail) => this.#notifyUnreachable(to, reason, detail),
    }
    this.#stopLooking = lookEvery(CONNECTS_LOOK_EVERY_MS, () => this.#look())
  }

  /** Bytes allocated for response bodies that are still arriving. */
  get bufferedBytes(): number {
    return this.#memory.usedBytes
  }

  start(events: TransportEvents): void {
    assert(this.#inFlight === undefined, 'the transport was started before')
    this.#inFlight = {
      attempts: this.#attempts, memory: this.#memory, events,
      reads: new ReadScheduler(setImmediate),
    }
  }

  lineTo(to: number): Line {
    const destination = this.#destinations[to]
    if (destination === undefined || destination.pool.freeCount === 0) return LINE_NO_CONNECTION
    if (!this.#memory.isOver(destination.held)) return LINE_FREE
    this.#memory.await(destination.held)
    return LINE_NO_MEMORY
  }

  connect(to: number, origin: string, count: number, timeoutMs: number, account: number): void {
    const known = this.#destinations[to]
    assert(known === undefined || known.origin === origin, 'a destination stands for two origins')
    if (known === undefined && !isOrigin(origin)) {
      return queueMicrotask(() => this.#notifyUnreachable(to, 'request_refused', 'no such origin'))
    }
    const destination = known ?? new Destination(to, origin, this.#shared)
    this.#destinations[to] = destination
    destination.want(count, timeoutMs, account)
  }

  send(attemptId: number, to: number, request: OutgoingRequest): void {
    const destination = this.#destinations[to]
    assert(destination !== undefined, 'a destination without a connection')
    assert(this.#attempts[attemptId] === undefined, 'the attempt is still in flight')
    assert(!(request.body?.buffer instanceof SharedArrayBuffer), 'a body in shared memory')
    const attempt = new WireAttempt(attemptId, this.#prepared(request), destination, this.#listener)
    assert(this.#attempts[attemptId] === attempt, 'an attempt that is not in the table')
  }

  abort(attemptId: number): void {
    this.#attempts[attemptId]?.abort()
  }

  forget(to: number): void {
    this.#destinations[to]?.forget()
    this.#destinations[to] = undefined
  }

  forgetAll(): void {
    for (const to of this.#destinations.keys()) this.forget(to)
  }

  async close(): Promise<void> {
    this.#stopLooking()
    for (const attempt of this.#attempts) attempt?.settle()
    const closed = [...this.#shared.open].map(({ pool }) => pool.close())
    this.#shared.open.clear()
    await Promise.all(closed)
  }

  get #listener(): InFlight {
    assert(this.#inFlight !== undefined, 'the transport was not started')
    return this.#inFlight
  }

  #notifyFree(to: number): void {
    try {
      this.#listener.events.free(to)
    } catch (error) {
      surface(error)
    }
  }

  #notifyUnreachable(to: number, reason: FailureReason, detail: string): void {
    try {
      this.#listener.events.unreachable(to, reason, detail)
    } catch (error) {
      surface(error)
    }
  }

  #look(): void {
    this.#memory.look()
    this.#shared.room.look()
    const nowMs = this.#options.clock.nowUs() / 1000
    for (const destination of this.#shared.open) destination.look(nowMs)
  }

  /** The request, with the default User-Agent if there is one and the caller gave none. */
  #prepared(request: OutgoingRequest): OutgoingRequest {
    const { userAgent } = this.#options
    if (userAgent === undefined || userAgent === '' || hasUserAgent(request.headers)) {
      return request
    }
    return { ...request, headers: [...request.headers, 'User-Agent', userAgent] }
  }
}

function connectorOf(options: UndiciTransportOptions): Connect {
  const { names } = options
  const egress = new Egress(options.egress)
  const secure = new SecureConnector(options.extraCaPem)
  return connectByName(names, egress, (target, callback) => {
    const lookup = judgedLookup(names?.resolver.lookup ?? systemLookup, egress, portOf(target))
    return target.protocol === 'https:'
      ? secure.connect(target, callback, lookup) : connectPlain(target, callback, lookup)
  })
}

/** Whether it is spelled as `URL.origin` does, with a supported scheme. */
function isOrigin(origin: string): boolean {
  const url = URL.parse(origin)
  return url?.origin === origin && (url.protocol === 'http:' || url.protocol === 'https:')
}

function hasUserAgent(headers: readonly string[]): boolean {
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string
    if (name.length === 10 && name.toLowerCase() === 'user-agent') return true
  }
  return false
}
