// One request and its answer, from the route's handler until the answer is written or the client
// has disconnected. Keeps the response, because a shard's answer arrives later.

import { encodeValue } from '../../shards/wire/codec.ts'
import type { JobResult, JobStatus } from '../../shards/wire/contract.ts'
import { formatJobId, JOB_ID_DIGITS, writeJobId } from '../../shards/wire/job-id.ts'
import { type Principal, STRANGER } from '../access/principal.ts'
import type { ClientBytes } from '../base/client-bytes.ts'
import { ANSWER_BYTES_UNCOUNTED_MAX } from '../base/client-limits.ts'
import { type Denial, type ErrorCode, ERRORS, type RateLimit, unavailable } from '../base/errors.ts'
import type { Asker, Ref, Ticket } from '../job/asker.ts'
import { asciiOf, type HttpResponse } from './uws.ts'

/** The status lines in use. */
const STATUS_LINES: Readonly<Record<number, string>> = {
  200: '200 OK', 201: '201 Created', 204: '204 No Content',
  400: '400 Bad Request', 401: '401 Unauthorized', 403: '403 Forbidden',
  404: '404 Not Found', 405: '405 Method Not Allowed', 409: '409 Conflict',
  413: '413 Payload Too Large', 415: '415 Unsupported Media Type',
  421: '421 Misdirected Request', 422: '422 Unprocessable Content', 426: '426 Upgrade Required',
  429: '429 Too Many Requests',
  500: '500 Internal Server Error', 503: '503 Service Unavailable',
  504: '504 Gateway Timeout',
}

export const JSON_TYPE = 'application/json'
export const MSGPACK_TYPE = 'application/msgpack'

/** Whether an Accept header asks for MessagePack. */
export const wantsMsgpack = (accept: string): boolean =>
  accept !== '' && accept.toLowerCase().includes(MSGPACK_TYPE)

/** Optional parts of an answer. */
export interface ReplyOptions {
  /** Seconds, for the Retry-After header. */
  readonly retryAfterSeconds?: number
  /** For the RateLimit fields. */
  readonly rateLimit?: RateLimit
  /** For the Allow header. */
  readonly allow?: string
  /** Closes the connection, since the rest of the request is not read. */
  readonly close?: boolean
}

const NO_OPTIONS: ReplyOptions = {}

/** Properties of a request that its answer depends on. */
export interface ExchangeOptions {
  readonly isHead: boolean
  /** The connection is closed with the answer, because there are too many connections. */
  readonly isLast: boolean
  /** Counts long answers until they are read; undefined: they are not counted. */
  readonly pool: ClientBytes | undefined
}

const USUAL: ExchangeOptions = { isHead: false, isLast: false, pool: undefined }

/** The answer to nearly every request, prepared as bytes. */
const ACCEPTED_STATUS = asciiOf(STATUS_LINES[201] as string)
const TYPE_NAME = asciiOf('content-type')
const JSON_TYPE_BYTES = asciiOf(JSON_TYPE)
const ACCEPTED_HEAD = '{"job_id":"'
const ACCEPTED = asciiOf(`${ACCEPTED_HEAD}${'0'.repeat(JOB_ID_DIGITS)}","status":"queued"}`)
const ACCEPTED_BYTES = Buffer.from(ACCEPTED)

/** Argument of writeAccepted(), a global so that no closure is made: cork() calls it at once. */
let accepting: HttpResponse
let isAcceptingLast = false

const writeAccepted = (): void => {
  accepting.writeStatus(ACCEPTED_STATUS)
  accepting.writeHeader(TYPE_NAME, JSON_TYPE_BYTES)
  // The server copies it before the call returns.
  accepting.end(ACCEPTED, isAcceptingLast)
}

/** A request that is answered once, or never if its client disconnects. */
export class Exchange implements Asker {
  readonly isBulk = false
  /** Set once it is known. */
  principal: Principal = STRANGER
  /** Called once if the client disconnects before the answer is complete. */
  onGone: (() => void) | undefined
  readonly #msgpack: boolean
  readonly #options: ExchangeOptions
  #response: HttpResponse | undefined

  constructor(
    response: HttpResponse, msgpack: boolean, options: ExchangeOptions = USUAL,
  ) {
    this.#response = response
    this.#msgpack = msgpack
    this.#options = options
    response.onAborted(() => {
      this.#response = undefined
      this.onGone?.()
    })
  }

  /** False once it is answered or the client has disconnected. */
  get isOpen(): boolean {
    return this.#response !== undefined
  }

  /** Answers with a value, in the format that the client accepts. No-op when it is not open. */
  send(status: number, value: object, options = NO_OPTIONS): void {
    if (this.#msgpack) this.#write(status, encodeValue(value), MSGPACK_TYPE, options)
    else this.#write(status, JSON.stringify(value), JSON_TYPE, options)
  }

  accepted({ route, idHigh, idLow }: Ticket): void {
    if (this.#msgpack) {
      return this.send(201, { job_id: formatJobId(route, idHigh, idLow), status: 'queued' })
    }
    const response = this.#close()
    if (response === undefined) return
    writeJobId(ACCEPTED_BYTES, ACCEPTED_HEAD.length, route, idHigh, idLow)
    accepting = response
    isAcceptingLast = this.#options.isLast
    response.cork(writeAccepted)
  }

  duplicate(_ticket: Ticket, jobId: string, status: JobStatus, result: JobResult | null): void {
    const answer = { job_id: jobId, status, duplicate: true }
    this.send(200, result === null ? answer : { ...answer, result })
  }

  denied(_ref: Ref, { code, error, more, rateLimit, retryAfterSeconds }: Denial): void {
    this.sendError(code, error, more, retryAfterSeconds === undefined ? NO_OPTIONS
      : { retryAfterSeconds, ...(rateLimit !== undefined && { rateLimit }) })
  }

  /** Answers with an error, with the status from the table; `extra` is added to the value. */
  sendError(code: ErrorCode, error: string, extra?: object, options = NO_OPTIONS): void {
    this.send(ERRORS[code].status, { error, code, ...extra }, options)
  }

  /** Answers 204: no events, now or later. */
  sendNothing(): void {
    const response = this.#close()
    response?.cork(() => { response.writeStatus(STATUS_LINES[204] as string).endWithoutBody() })
  }

  /**
   * Starts a streamed answer with status 200 and passes the response to the caller, which writes
   * and ends it unless `onGone` is called. Undefined when the client has disconnected.
   */
  beginStream(type = 'text/event-stream'): HttpResponse | undefined {
    const response = this.#response
    response?.cork(() => {
      response.writeStatus('200 OK')
        .writeHeader('content-type', type)
        .writeHeader('cache-control', 'no-store')
        .writeHeader('x-accel-buffering', 'no')
    })
    return response
  }

  /** Closes the exchange; returns the response if the client has not disconnected. */
  #close(): HttpResponse | undefined {
    const response = this.#response
    this.#response = undefined
    this.onGone = undefined
    return response
  }

  #write(status: number, body: string | Uint8Array, type: string, options: ReplyOptions): void {
    const { isHead, isLast, pool } = this.#options
    // A UTF-16 code unit takes three bytes at most.
    const isLong = body.length > ANSWER_BYTES_UNCOUNTED_MAX / 3 && !isHead
    if (isLong && pool !== undefined) return this.#writeLong(status, body, type, pool)
    const response = this.#close()
    response?.cork(() => {
      writeHead(response, status, type, options)
      const isToClose = options.close ?? isLast
      // With a length as its argument, endWithoutBody() ends the connection as well.
      if (!isHead) response.end(body, isToClose)
      else response.writeHeader('content-length', String(Buffer.byteLength(body))).endWithoutBody()
    })
  }

  /** The library would buffer an unread answer out of sight; here it is buffered and counted. */
  #writeLong(status: number, body: string | Uint8Array, type: string, pool: ClientBytes): void {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    if (!pool.take(0, bytes.length)) return this.denied(0, unavailable('overloaded'))
    const response = this.#close()
    if (response === undefined) return pool.give(bytes.length)
    let isOver = false
    const write = (from: number): boolean => {
      const [isTaken, isDone] = response.tryEnd(bytes.subarray(from), bytes.length)
      if (isDone) over()
      return isTaken
    }
    const over = (): void => {
      if (!isOver) pool.give(bytes.length)
      isOver = true
    }
    this.onGone = over
    response.onWritable((offset) => isOver || write(offset))
    response.cork(() => {
      writeHead(response, status, type, NO_OPTIONS)
      write(0)
    })
  }
}

function writeHead(
  response: HttpResponse, status: number, type: string, options: ReplyOptions,
): void {
  response.writeStatus(STATUS_LINES[status] ?? String(status))
  response.writeHeader('content-type', type)
  if (options.retryAfterSeconds !== undefined) {
    response.writeHeader('retry-after', String(options.retryAfterSeconds))
  }
  if (status === 401) response.writeHeader('www-authenticate', 'Bearer realm="Sluice"')
  if (options.rateLimit !== undefined) {
    // draft-ietf-httpapi-ratelimit-headers-10
    const { left, quota } = options.rateLimit
    response.writeHeader('ratelimit-policy', `"submissions";q=${quota};w=1`)
    response.writeHeader('ratelimit', `"submissions";r=${left};t=${options.retryAfterSeconds ?? 1}`)
  }
  if (options.allow !== undefined) response.writeHeader('allow', options.allow)
}
