// Sends over a transport for a test, each request when a connection is free for it; records the
// events of each attempt, checks their order, and lets the test wait for them.

import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { FailureReason, ResponseHeaders } from '../../shards/signals/response.ts'
import {
  LINE_FREE, type OutgoingRequest, type Transport, type TransportEvents,
} from '../../shards/transport/transport.ts'

const CONNECT_TIMEOUT_MS = 10_000

/** The recorded events of one attempt. */
export interface Heard {
  /** It was written. */
  written?: boolean
  /** How often it was returned unsent, and sent again. */
  returned?: number
  status?: number
  headers?: ResponseHeaders
  body?: string
  truncated?: boolean
  reason?: FailureReason
  detail?: string
  /** Events in their order: `head`, `end`, `failed`. */
  readonly events: string[]
}

/** A destination, and requests that wait for a connection. */
interface Destination {
  readonly origin: string
  readonly waiting: { readonly attemptId: number; readonly request: OutgoingRequest }[]
}

/** Records events. */
export class TransportRecorder implements TransportEvents {
  readonly #transport: Transport
  readonly #heard = new Map<number, Heard>()
  readonly #destinations: Destination[] = []
  /** The attempts in flight. */
  readonly #requests = new Map<number, OutgoingRequest>()
  readonly #changed = new EventEmitter().setMaxListeners(0)
  /** Connect timeout. */
  connectTimeoutMs = CONNECT_TIMEOUT_MS
  /** Called with each event after it was recorded; a test may send or abort in it. */
  onEvent: (attemptId: number, event: string) => void = () => {}

  /** Starts the transport. */
  constructor(transport: Transport) {
    this.#transport = transport
    transport.start(this)
  }

  /** Sends when a connection is free. */
  send(attemptId: number, request: OutgoingRequest): void {
    const to = this.numberOf(request.origin)
    this.#destinations[to]?.waiting.push({ attemptId, request })
    this.#pump(to)
  }

  /** Aborts the attempt, whether it was sent or not. */
  abort(attemptId: number): void {
    for (const { waiting } of this.#destinations) {
      const at = waiting.findIndex((other) => other.attemptId === attemptId)
      if (at !== -1) waiting.splice(at, 1)
    }
    this.#requests.delete(attemptId)
    this.#transport.abort(attemptId)
  }

  /** Closes the idle connections to an origin. */
  closeIdle(origin: string): void {
    this.#transport.forget(this.numberOf(origin))
  }

  /** The number of an origin's destination. */
  numberOf(origin: string): number {
    const known = this.#destinations.findIndex((other) => other.origin === origin)
    return known === -1 ? this.#destinations.push({ origin, waiting: [] }) - 1 : known
  }

  free(to: number): void {
    this.#pump(to)
  }

  unreachable(to: number, reason: FailureReason, detail: string): void {
    const waiting = this.#destinations[to]?.waiting ?? [] // a test may request connections itself
    for (const { attemptId } of waiting.splice(0)) this.#fail(attemptId, reason, detail)
  }

  written(attemptId: number): void {
    const heard = this.of(attemptId)
    assert.deepEqual(heard.events, [], `a write out of turn of attemptId ${attemptId}`)
    assert.equal(heard.written, undefined, `attemptId ${attemptId} written twice`)
    heard.written = true
  }

  returned(attemptId: number): void {
    const heard = this.of(attemptId)
    assert.deepEqual(heard.events, [], `attemptId ${attemptId} is returned out of turn`)
    assert.equal(heard.written, undefined, `attemptId ${attemptId} is returned and was written`)
    heard.returned = (heard.returned ?? 0) + 1
    const request = this.#requests.get(attemptId)
    assert.ok(request !== undefined, `attemptId ${attemptId} is returned and not in flight`)
    this.send(attemptId, request)
  }

  head(attemptId: number, status: number, headers: ResponseHeaders): void {
    const heard = this.of(attemptId)
    assert.deepEqual(heard.events, [], `a second event sequence of attemptId ${attemptId}`)
    Object.assign(heard, { status, headers })
    this.#record(attemptId, 'head')
  }

  end(attemptId: number, body: Uint8Array, truncated: boolean): void {
    const heard = this.of(attemptId)
    assert.deepEqual(heard.events, ['head'], `an end out of turn of attemptId ${attemptId}`)
    Object.assign(heard, { body: Buffer.from(body).toString('latin1'), truncated })
    this.#record(attemptId, 'end')
  }

  failed(attemptId: number, reason: FailureReason, detail: string): void {
    const { events } = this.of(attemptId)
    const open = events.length === 0 || events.join() === 'head'
    assert.ok(open, `a failure out of turn of attemptId ${attemptId}: ${events}`)
    this.#fail(attemptId, reason, detail)
  }

  /** The events of the attempt so far. */
  of(attemptId: number): Heard {
    let heard = this.#heard.get(attemptId)
    if (heard === undefined) {
      heard = { events: [] }
      this.#heard.set(attemptId, heard)
    }
    return heard
  }

  /** Forgets the attempt, so that it can be used again. */
  forget(attemptId: number): void {
    this.#heard.delete(attemptId)
  }

  /** Resolves when the attempt has had the event; `done` is either end. */
  async waitFor(attemptId: number, event: 'head' | 'done' = 'done'): Promise<Heard> {
    const heard = this.of(attemptId)
    const happened = (): boolean => event === 'head'
      ? heard.events.length > 0
      : heard.events.includes('end') || heard.events.includes('failed')
    while (!happened()) await once(this.#changed, 'changed')
    return heard
  }

  #pump(to: number): void {
    const { origin, waiting } = this.#destinations[to] as Destination
    while (waiting.length > 0) {
      if (this.#transport.lineTo(to) !== LINE_FREE) {
        return this.#transport.connect(to, origin, waiting.length, this.connectTimeoutMs, 0)
      }
      const { attemptId, request } = waiting.shift() as Destination['waiting'][number]
      this.#requests.set(attemptId, request)
      this.#transport.send(attemptId, to, request)
    }
  }

  #fail(attemptId: number, reason: FailureReason, detail: string): void {
    Object.assign(this.of(attemptId), { reason, detail })
    this.#record(attemptId, 'failed')
  }

  #record(attemptId: number, event: string): void {
    this.of(attemptId).events.push(event)
    this.#changed.emit('changed')
    this.onEvent(attemptId, event)
  }
}

/** A request with the given parts; else `GET /` without headers and body. */
export function outgoing(origin: string, parts: Partial<OutgoingRequest> = {}): OutgoingRequest {
  return { origin, path: '/', method: 'GET', headers: [], body: null, ...parts }
}
