// What each route does: what is read of a request before it is over, and who answers it.

import type { ErrorCode } from '../errors.ts'
import type { Readiness } from '../health.ts'
import { isBatchType } from './batch-splitter.ts'
import { Exchange, wantsMsgpack } from './exchange.ts'
import { asksIsolation } from './isolation.ts'
import { type BodyFormat, formatOf } from './parse-body.ts'
import type { BodyHandler, BodyReceiver } from './receive.ts'
import type { RequestHandlers } from './server.ts'
import type { Joining } from './sse.ts'
import { asciiOf, type HttpRequest, type HttpResponse, type StreamedResponse } from './uws.ts'

const ACCEPT = asciiOf('accept')
const CONTENT_LENGTH = asciiOf('content-length')
const CONTENT_TYPE = asciiOf('content-type')
const IDEMPOTENCY_KEY = asciiOf('idempotency-key')
const LAST_EVENT_ID = asciiOf('last-event-id')

/** What the headers of a submitting request say. */
export interface Submission {
  readonly format: BodyFormat
  /** The Idempotency-Key header, '' for none. */
  readonly idempotencyKey: string
  /** The caller asks for account queues at the job's upstream. */
  readonly isolate: boolean
}

/** What nearly all of them say. */
const USUAL: Submission = { format: 'json', idempotencyKey: '', isolate: false }

/** What the routes need of the front door. */
export interface Door {
  /** Of the process. */
  readonly readiness: Readiness
  /** 503 for a reason that needs no body to be known; undefined: go on. */
  refusal(): ErrorCode | undefined
  /** @param body is only valid inside the call. */
  submit(exchange: Exchange, body: Uint8Array, submission: Submission): void
  /** Reads jobs from the request's body and answers each, as they come. */
  submitBatch(exchange: Exchange, response: StreamedResponse, isolate: boolean): void
  /** A body was refused before it was one: 413 and 415. */
  countInvalid(): void
  /** A body was given up because too much was arriving. */
  countUnavailable(): void
  show(exchange: Exchange, jobId: string): void
  cancel(exchange: Exchange, jobId: string): void
  follow(joining: Joining): void
  health(): object
  unavailable(exchange: Exchange, code: ErrorCode): void
}

/** The methods of every path; HEAD only where an answer costs nothing. */
const METHODS: readonly (readonly [path: RegExp, allow: string])[] = [
  [/^\/jobs$/, 'POST'],
  [/^\/jobs\/batch$/, 'POST'],
  [/^\/jobs\/[^/]+$/, 'GET, DELETE'],
  [/^\/jobs\/[^/]+\/stream$/, 'GET'],
  [/^\/(health|ready)$/, 'GET, HEAD'],
]

/** The Allow header of a path, or undefined when there is none such. */
const allowedMethods = (path: string): string | undefined =>
  METHODS.find(([pattern]) => pattern.test(path))?.[1]

/** The handlers of all routes but that for sockets. */
export function routeHandlers(
  door: Door, receiver: BodyReceiver,
): Omit<RequestHandlers, 'upgrade'> {
  const submit: BodyHandler<Submission> =
    (exchange, body, submission) => door.submit(exchange, body, submission)
  return {
    postJob: (response, request) => {
      const exchange = open(response, request)
      const submission = readSubmission(door, exchange, request)
      if (submission === undefined) return
      const announced = request.getHeader(CONTENT_LENGTH)
      receiver.receive(response, exchange, announced, submission, submit)
    },
    postBatch: (response, request) => postBatch(door, response, request),
    getJob: (response, request) => {
      door.show(open(response, request), request.getParameter(0) ?? '')
    },
    deleteJob: (response, request) => {
      door.cancel(open(response, request), request.getParameter(0) ?? '')
    },
    followJob: (response, request) => {
      door.follow({
        exchange: open(response, request), jobId: request.getParameter(0) ?? '',
        lastEventId: request.getHeader(LAST_EVENT_ID),
      })
    },
    health: (response, request) => sendHealth(door, open(response, request)),
    ready: (response, request) => sendReady(door, open(response, request)),
    other: (response, request) => anyOther(door, response, request),
  }
}

const open = (response: HttpResponse, request: HttpRequest, isHead = false): Exchange =>
  new Exchange(response, wantsMsgpack(request.getHeader(ACCEPT)), isHead)

/** Undefined: nothing can be submitted, which has been answered. */
function readSubmission(
  door: Door, exchange: Exchange, request: HttpRequest,
): Submission | undefined {
  const refusal = door.refusal()
  if (refusal !== undefined) {
    door.unavailable(exchange, refusal)
    return undefined
  }
  const format = formatOf(request.getHeader(CONTENT_TYPE))
  if (format === undefined) {
    door.countInvalid()
    exchange.sendError('unsupported_media_type',
      'Content-Type must be application/json or application/msgpack')
    return undefined
  }
  const idempotencyKey = request.getHeader(IDEMPOTENCY_KEY)
  const isolate = asksIsolation(request)
  if (format === 'json' && idempotencyKey === '' && !isolate) return USUAL
  return { format, idempotencyKey, isolate }
}

function postBatch(door: Door, response: StreamedResponse, request: HttpRequest): void {
  const exchange = open(response, request)
  const refusal = door.refusal()
  if (refusal !== undefined) return door.unavailable(exchange, refusal)
  if (!isBatchType(request.getHeader(CONTENT_TYPE))) {
    door.countInvalid()
    return exchange.sendError('unsupported_media_type',
      'Content-Type must be application/x-ndjson or application/json')
  }
  door.submitBatch(exchange, response, asksIsolation(request))
}

function sendHealth(door: Door, exchange: Exchange): void {
  exchange.send(200, door.health())
}

function sendReady(door: Door, exchange: Exchange): void {
  const status = door.readiness
  exchange.send(status === 'ready' ? 200 : 503, { status })
}

function anyOther(door: Door, response: HttpResponse, request: HttpRequest): void {
  const path = request.getUrl()
  const isHead = request.getMethod() === 'head'
  const exchange = open(response, request, isHead)
  if (isHead && path === '/health') return sendHealth(door, exchange)
  if (isHead && path === '/ready') return sendReady(door, exchange)
  if (path === '/ws') {
    return exchange.sendError('upgrade_required', 'this path takes WebSocket upgrades only')
  }
  const allow = allowedMethods(path)
  if (allow === undefined) return exchange.sendError('not_found', 'there is no such path')
  exchange.sendError('method_not_allowed', `this path takes ${allow}`, undefined, { allow })
}
