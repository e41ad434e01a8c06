// Listens to a transport for a test: keeps what became of each token, checks the order of events,
// and lets the test wait for them.

import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type {
  FailureReason, OutgoingRequest, ResponseHeaders, TransportEvents,
} from '../../shards/transport.ts'

/** What has been heard of one token. */
export interface Heard {
  /** No connection was free. */
  waited?: boolean
  /** It was on its way. */
  written?: boolean
  status?: number
  headers?: ResponseHeaders
  body?: string
  truncated?: boolean
  reason?: FailureReason
  detail?: string
  /** Events in their order: `head`, `end`, `failed`. */
  readonly events: string[]
}

/** A listener that remembers. */
export class TransportRecorder implements TransportEvents {
  readonly #heard = new Map<number, Heard>()
  readonly #changed = new EventEmitter().setMaxListeners(0)
  /** Called with each event after it was recorded; a test may send or abort from it. */
  onEvent: (token: number, event: string) => void = () => {}

  waiting(token: number): void {
    const heard = this.of(token)
    assert.deepEqual(heard.events, [], `token ${token} waits out of turn`)
    heard.waited = true
  }

  written(token: number): void {
    const heard = this.of(token)
    assert.deepEqual(heard.events, [], `a write out of turn of token ${token}`)
    assert.equal(heard.written, undefined, `token ${token} written twice`)
    heard.written = true
  }

  head(token: number, status: number, headers: ResponseHeaders): void {
    const heard = this.of(token)
    assert.deepEqual(heard.events, [], `a second event sequence of token ${token}`)
    Object.assign(heard, { status, headers })
    this.#record(token, 'head')
  }

  end(token: number, body: Uint8Array, truncated: boolean): void {
    const heard = this.of(token)
    assert.deepEqual(heard.events, ['head'], `an end out of turn of token ${token}`)
    Object.assign(heard, { body: Buffer.from(body).toString('latin1'), truncated })
    this.#record(token, 'end')
  }

  failed(token: number, reason: FailureReason, detail: string): void {
    const heard = this.of(token)
    const open = heard.events.length === 0 || heard.events.join() === 'head'
    assert.ok(open, `a failure out of turn of token ${token}: ${heard.events}`)
    Object.assign(heard, { reason, detail })
    this.#record(token, 'failed')
  }

  /** What has been heard of the token so far. */
  of(token: number): Heard {
    let heard = this.#heard.get(token)
    if (heard === undefined) {
      heard = { events: [] }
      this.#heard.set(token, heard)
    }
    return heard
  }

  /** Forgets the token, so that it can be used again. */
  forget(token: number): void {
    this.#heard.delete(token)
  }

  /** Resolves when the token has had the event, `done` being either end; at once if it has. */
  async waitFor(token: number, event: 'head' | 'done' = 'done'): Promise<Heard> {
    const heard = this.of(token)
    const happened = (): boolean => event === 'head'
      ? heard.events.length > 0
      : heard.events.includes('end') || heard.events.includes('failed')
    while (!happened()) await once(this.#changed, 'changed')
    return heard
  }

  #record(token: number, event: string): void {
    this.of(token).events.push(event)
    this.#changed.emit('changed')
    this.onEvent(token, event)
  }
}

/** A request with the parts that a test cares for; else `GET /` without headers and body. */
export function outgoing(origin: string, parts: Partial<OutgoingRequest> = {}): OutgoingRequest {
  return { origin, path: '/', method: 'GET', headers: [], body: null, ...parts }
}
