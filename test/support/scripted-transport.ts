// A transport without a network: it keeps what is sent, and answers when and as the test says.

import assert from 'node:assert/strict'
import type {
  FailureReason, OutgoingRequest, ResponseHeaders, Transport, TransportEvents,
} from '../../shards/transport.ts'
import type { Micros } from '../../shards/units.ts'

/** One request that a shard has sent. */
export interface Sent {
  readonly token: number
  readonly atUs: Micros
  readonly request: OutgoingRequest
  /** Names in the case in which they were sent. */
  readonly headers: Readonly<Record<string, string>>
  /** Whether an answer, a failure or the shard itself has ended it. */
  isOver: boolean
  isAborted: boolean
}

/** What an upstream answers; 200 without headers and body unless said. */
export interface Answer {
  readonly status?: number
  readonly headers?: ResponseHeaders
  readonly body?: string | Uint8Array
  readonly truncated?: boolean
}

/** Sends nothing anywhere. */
export class ScriptedTransport implements Transport {
  readonly sent: Sent[] = []
  bufferedBytes = 0
  /** What becomes of a request: written at once or by write(), for which it may have to wait. */
  writes: 'at once' | 'later' | 'waiting' = 'at once'
  readonly #nowUs: () => Micros
  #events: TransportEvents | undefined

  constructor(nowUs: () => Micros) {
    this.#nowUs = nowUs
  }

  start(events: TransportEvents): void {
    this.#events = events
  }

  send(token: number, request: OutgoingRequest): void {
    assert.ok(!this.#inFlight().some((sent) => sent.token === token), 'a token in use was reused')
    const headers: Record<string, string> = {}
    for (let at = 0; at < request.headers.length; at += 2) {
      headers[request.headers[at] as string] = request.headers[at + 1] as string
    }
    const atUs = this.#nowUs()
    this.sent.push({ token, atUs, request, headers, isOver: false, isAborted: false })
    if (this.writes === 'at once') this.#listener().written(token)
    else if (this.writes === 'waiting') this.#listener().waiting(token)
  }

  abort(token: number): void {
    const sent = this.#inFlight().find((other) => other.token === token)
    if (sent === undefined) return
    sent.isOver = true
    sent.isAborted = true
  }

  forget(): void {}

  close(): Promise<void> {
    return Promise.resolve()
  }

  /** A request goes out. */
  write(sent: Sent): void {
    this.#listener().written(sent.token)
  }

  /** The response's headers come, and its end does not. */
  head(sent: Sent, { status = 200, headers = {} }: Answer): void {
    assert.ok(!sent.isOver, 'an answer to a request that is over')
    this.#listener().head(sent.token, status, headers)
  }

  /** A whole response comes. */
  respond(sent: Sent, answer: Answer): void {
    this.head(sent, answer)
    sent.isOver = true
    const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body
    this.#listener().end(sent.token, body ?? new Uint8Array(0), answer.truncated ?? false)
  }

  fail(sent: Sent, reason: FailureReason): void {
    assert.ok(!sent.isOver, 'a failure of a request that is over')
    sent.isOver = true
    this.#listener().failed(sent.token, reason, 'as the test wants it')
  }

  #inFlight(): Sent[] {
    return this.sent.filter((sent) => !sent.isOver)
  }

  #listener(): TransportEvents {
    assert.ok(this.#events !== undefined, 'nobody listens')
    return this.#events
  }
}
