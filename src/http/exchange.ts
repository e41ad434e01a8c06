// One request and its answer, from the route's handler until the answer is written or the client
// has gone. Holds the response, because a shard's answer comes in a later turn of the event loop.

import { encodeValue } from '../../shards/codec.ts'
import { type ErrorCode, ERRORS, type Refusal } from '../errors.ts'
import type { HttpResponse } from './uws.ts'

/** Status lines, as far as they are used. */
const STATUS_LINES: Readonly<Record<number, string>> = {
  200: '200 OK', 201: '201 Created', 400: '400 Bad Request', 404: '404 Not Found',
  405: '405 Method Not Allowed', 409: '409 Conflict', 413: '413 Payload Too Large',
  415: '415 Unsupported Media Type', 429: '429 Too Many Requests', 503: '503 Service Unavailable',
}

export const JSON_TYPE = 'application/json'
export const MSGPACK_TYPE = 'application/msgpack'

/** Whether an Accept header asks for MessagePack. */
export const wantsMsgpack = (accept: string): boolean =>
  accept !== '' && accept.toLowerCase().includes(MSGPACK_TYPE)

/** What the waiting shard answer is for. */
export type Purpose = 'submit' | 'get' | 'cancel' | 'watch'

/** What an answer has besides its status and value. */
export interface ReplyOptions {
  /** Seconds, for the Retry-After header. */
  readonly retryAfterSeconds?: number
  /** For the Allow header. */
  readonly allow?: string
  /** Ends the connection, since the rest of the request is not wanted. */
  readonly close?: boolean
}

const NO_OPTIONS: ReplyOptions = {}

/** A request that is answered once, or never when its client goes away. */
export class Exchange {
  purpose: Purpose = 'submit'
  /** The shard that is asked, for a submission the one that its user lives on. */
  shard = 0
  /** The job that the request is about; a submission's is new. */
  jobId = ''
  /** Called once if the client goes away before the answer has ended. */
  onGone: (() => void) | undefined
  readonly #msgpack: boolean
  readonly #isHead: boolean
  #response: HttpResponse | undefined

  constructor(response: HttpResponse, msgpack: boolean, isHead = false) {
    this.#response = response
    this.#msgpack = msgpack
    this.#isHead = isHead
    response.onAborted(() => {
      this.#response = undefined
      this.onGone?.()
    })
  }

  /** False once it is answered or the client has gone. */
  get isOpen(): boolean {
    return this.#response !== undefined
  }

  /** Answers with a value, in the format that the client accepts. No-op when it is not open. */
  send(status: number, value: object, options = NO_OPTIONS): void {
    if (this.#msgpack) this.#write(status, encodeValue(value), MSGPACK_TYPE, options)
    else this.#write(status, JSON.stringify(value), JSON_TYPE, options)
  }

  /** 201: the answer to nearly every request, so it is put together by hand. */
  sendAccepted(): void {
    if (this.#msgpack) return this.send(201, { job_id: this.jobId, status: 'queued' })
    this.#write(201, `{"job_id":"${this.jobId}","status":"queued"}`, JSON_TYPE, NO_OPTIONS)
  }

  /** Answers with an error and its table's status; `extra` goes into the value. */
  sendError(code: ErrorCode, error: string, extra?: object, options = NO_OPTIONS): void {
    this.send(ERRORS[code].status, { error, code, ...extra }, options)
  }

  /** Answers that the body is no valid job. */
  sendRefusal({ code, error, field }: Refusal): void {
    this.send(ERRORS[code].status, { error, code, field })
  }

  /**
   * Begins an event stream and hands the response over: to be written to and ended by the caller,
   * until `onGone` says that it is void. Undefined when the client has gone.
   */
  beginStream(): HttpResponse | undefined {
    const response = this.#response
    response?.cork(() => {
      response.writeStatus('200 OK')
        .writeHeader('content-type', 'text/event-stream')
        .writeHeader('cache-control', 'no-store')
        .writeHeader('x-accel-buffering', 'no')
    })
    return response
  }

  #write(status: number, body: string | Uint8Array, type: string, options: ReplyOptions): void {
    const response = this.#response
    if (response === undefined) return
    this.#response = undefined
    this.onGone = undefined
    response.cork(() => {
      response.writeStatus(STATUS_LINES[status] ?? String(status))
      response.writeHeader('content-type', type)
      if (options.retryAfterSeconds !== undefined) {
        response.writeHeader('retry-after', String(options.retryAfterSeconds))
      }
      if (options.allow !== undefined) response.writeHeader('allow', options.allow)
      if (this.#isHead) response.endWithoutBody(Buffer.byteLength(body), options.close)
      else response.end(body, options.close)
    })
  }
}
