// A transport without a network: it records what is sent, and answers as the test says.

import assert from 'node:assert/strict'
import type { Micros } from '../../shards/base/units.ts'
import type { FailureReason, ResponseHeaders } from '../../shards/signals/response.ts'
import {
  type Line, LINE_FREE, type OutgoingRequest, type Transport, type TransportEvents,
} from '../../shards/transport/transport.ts'

/** One request that a shard has sent. */
export interface Sent {
  readonly attemptId: number
  readonly atUs: Micros
  readonly request: OutgoingRequest
  /** Header names as they were sent. */
  readonly headers: Readonly<Record<string, string>>
  /** Whether an answer, a failure or the shard itself has ended it. */
  isOver: boolean
  isAborted: boolean
}

/** The answer of an upstream; by default 200 without headers and body. */
export interface Answer {
  readonly status?: number
  readonly headers?: ResponseHeaders
  readonly body?: string | Uint8Array
  readonly truncated?: boolean
}

/** Records requests instead of sending them. */
export class ScriptedTransport implements Transport {
  readonly sent: Sent[] = []
  /** Whether a request is written at once, or by write(). */
  writes: 'at once' | 'later' = 'at once'
  /** The state of connections, at every destination. */
  line: Line = LINE_FREE
  /** Requested connections, in order. */
  readonly asked: { readonly to: number; readonly origin: string; readonly count: number }[] = []
  /** Destinations that were forgotten, in order. */
  readonly forgotten: number[] = []
  readonly #nowUs: () => Micros
  #events: TransportEvents | undefined

  constructor(nowUs: () => Micros) {
    this.#nowUs = nowUs
  }

  start(events: TransportEvents): void {
    this.#events = events
  }

  lineTo(): Line {
    return this.line
  }

  connect(to: number, origin: string, count: number): void {
    this.asked.push({ to, origin, count })
  }

  send(attemptId: number, _to: number, request: OutgoingRequest): void {
    assert.equal(this.line, LINE_FREE, 'a send that finds no free connection')
    assert.ok(!this.#inFlight().some((sent) => sent.attemptId === attemptId),
      'the id of an attempt in flight was reused')
    const headers: Record<string, string> = {}
    for (let at = 0; at < request.headers.length; at += 2) {
      headers[request.headers[at] as string] = request.headers[at + 1] as string
    }
    const atUs = this.#nowUs()
    this.sent.push({ attemptId, atUs, request, headers, isOver: false, isAborted: false })
    if (this.writes === 'at once') this.#listener().written(attemptId)
  }

  abort(attemptId: number): void {
    const sent = this.#inFlight().find((other) => other.attemptId === attemptId)
    if (sent === undefined) return
    sent.isOver = true
    sent.isAborted = true
  }

  forget(to: number): void {
    this.forgotten.push(to)
  }

  forgetAll(): void {}

  close(): Promise<void> {
    return Promise.resolve()
  }

  /** Reports that a connection is free, or that one may be requested again. */
  free(to: number): void {
    this.#listener().free(to)
  }

  unreachable(to: number, reason: FailureReason, detail = 'as the test wants it'): void {
    this.#listener().unreachable(to, reason, detail)
  }

  /** Reports that a request's connection was lost before it was written. */
  giveBack(sent: Sent): void {
    assert.ok(!sent.isOver, 'a request that is over is given back')
    sent.isOver = true
    this.#listener().returned(sent.attemptId)
  }

  /** Reports that a request was written. */
  write(sent: Sent): void {
    this.#listener().written(sent.attemptId)
  }

  /** Reports a response's headers, but not its end. */
  head(sent: Sent, { status = 200, headers = {} }: Answer): void {
    assert.ok(!sent.isOver, 'an answer to a request that is over')
    this.#listener().head(sent.attemptId, status, headers)
  }

  /** Reports a complete response. */
  respond(sent: Sent, answer: Answer): void {
    this.head(sent, answer)
    sent.isOver = true
    const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body
    this.#listener().end(sent.attemptId, body ?? new Uint8Array(0), answer.truncated ?? false)
  }

  fail(sent: Sent, reason: FailureReason): void {
    assert.ok(!sent.isOver, 'a failure of a request that is over')
    sent.isOver = true
    this.#listener().failed(sent.attemptId, reason, 'as the test wants it')
  }

  #inFlight(): Sent[] {
    return this.sent.filter((sent) => !sent.isOver)
  }

  #listener(): TransportEvents {
    assert.ok(this.#events !== undefined, 'nobody listens')
    return this.#events
  }
}
