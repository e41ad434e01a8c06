// The route handlers: read what they need of a request while it is valid, and pass it on.

import type { Readiness } from '../base/door-state.ts'
import type { ErrorCode } from '../base/errors.ts'
import { formatOf } from '../job/parse-body.ts'
import type { Submission } from '../submit/submission.ts'
import { asksAccountQueue } from './account-queue.ts'
import { isBatchType } from './batch-splitter.ts'
import { Exchange, type ExchangeOptions, wantsMsgpack } from './exchange.ts'
import type { BodyHandler, BodyReceiver } from './receive.ts'
import { RequestHead, refuseFraming } from './request-head.ts'
import type { RequestHandlers } from './server.ts'
import type { Joining } from './sse.ts'
import {
  asciiOf, type HttpRequest, type HttpResponse, type RouteHandler, type StreamedResponse,
} from './uws.ts'

const LAST_EVENT_ID = asciiOf('last-event-id')

/** The values for nearly all submissions. */
const USUAL: Submission = { format: 'json', idempotencyKey: '', wantsAccountQueue: false }

/** What the routes need of the front door. */
export interface Door {
  /** State of the process. */
  readonly readiness: Readiness
  readonly exchangeOptions: ExchangeOptions
  /** Limits of the front door that are reached, so that requests may be refused. */
  readonly atBound: readonly string[]
  /** Why jobs are refused whatever the body is (503); undefined: continue. */
  refusal(): ErrorCode | undefined
  /** @param body valid only until it returns. */
  submit(exchange: Exchange, body: Uint8Array, submission: Submission): void
  /** Reads jobs from the request's body and answers each, as they arrive. */
  submitBatch(exchange: Exchange, response: StreamedResponse, wantsAccountQueue: boolean): void
  /** Counts a request that was refused before its jobs were read: 400, 413 and 415. */
  countInvalid(): void
  /** Counts a body that was dropped because the pool had no room. */
  countUnavailable(): void
  show(exchange: Exchange, jobId: string): void
  cancel(exchange: Exchange, jobId: string): void
  stream(joining: Joining): void
  health(): object
  unavailable(exchange: Exchange, code: ErrorCode): void
}

/** The methods of every path; HEAD only where an answer is cheap. */
const METHODS: readonly (readonly [path: RegExp, allow: string])[] = [
  [/^\/jobs$/, 'POST'],
  [/^\/jobs\/batch$/, 'POST'],
  [/^\/jobs\/[^/]+$/, 'GET, DELETE'],
  [/^\/jobs\/[^/]+\/stream$/, 'GET'],
  [/^\/(health|ready)$/, 'GET, HEAD'],
]

/** The Allow header of a path, or undefined for an unknown path. */
const allowedMethods = (path: string): string | undefined =>
  METHODS.find(([pattern]) => pattern.test(path))?.[1]

/** The handlers of all routes except the WebSocket upgrade. */
export function routeHandlers(
  door: Door, receiver: BodyReceiver,
): Omit<RequestHandlers, 'upgrade'> {
  const submit: BodyHandler<Submission> =
    (exchange, body, submission) => door.submit(exchange, body, submission)
  const head = new RequestHead()
  const open = (response: HttpResponse): Exchange =>
    new Exchange(response, wantsMsgpack(head.accept), door.exchangeOptions)
  /** Reads the head, and refuses a request whose framing is ambiguous. */
  const isRefused = (response: HttpResponse, request: HttpRequest): boolean => {
    const fault = head.read(request)
    if (fault === undefined) return false
    door.countInvalid()
    refuseFraming(response, fault)
    return true
  }
  const aboutJob = (
    ask: (exchange: Exchange, jobId: string, request: HttpRequest) => void,
  ): RouteHandler => (response, request) => {
    if (isRefused(response, request)) return
    ask(open(response), request.getParameter(0) ?? '', request)
  }
  return {
    postJob: (response, request) => {
      if (isRefused(response, request)) return
      const exchange = open(response)
      const submission = readSubmission(door, exchange, head, request)
      if (submission === undefined) return
      receiver.receive(response, exchange, head.contentLength, submission, submit)
    },
    postBatch: (response, request) => {
      if (!isRefused(response, request)) postBatch(door, open(response), response, head, request)
    },
    getJob: aboutJob((exchange, jobId) => door.show(exchange, jobId)),
    deleteJob: aboutJob((exchange, jobId) => door.cancel(exchange, jobId)),
    streamJob: aboutJob((exchange, jobId, request) =>
      door.stream({ exchange, jobId, lastEventId: request.getHeader(LAST_EVENT_ID) })),
    health: (response, request) => {
      if (!isRefused(response, request)) sendHealth(door, open(response))
    },
    ready: (response, request) => {
      if (!isRefused(response, request)) sendReady(door, open(response))
    },
    other: (response, request) => {
      if (!isRefused(response, request)) anyOther(door, response, head, request)
    },
  }
}

/** Undefined: nothing can be submitted, and that has been answered. */
function readSubmission(
  door: Door, exchange: Exchange, head: RequestHead, request: HttpRequest,
): Submission | undefined {
  const refusal = door.refusal()
  if (refusal !== undefined) {
    door.unavailable(exchange, refusal)
    return undefined
  }
  const format = formatOf(head.contentType)
  if (format === undefined) {
    door.countInvalid()
    exchange.sendError('unsupported_media_type',
      'Content-Type must be application/json or application/msgpack')
    return undefined
  }
  const { idempotencyKey } = head
  const wantsAccountQueue = head.hasAccountQueue && asksAccountQueue(request)
  if (format === 'json' && idempotencyKey === '' && !wantsAccountQueue) return USUAL
  return { format, idempotencyKey, wantsAccountQueue }
}

function postBatch(
  door: Door, exchange: Exchange, response: StreamedResponse, head: RequestHead,
  request: HttpRequest,
): void {
  const refusal = door.refusal()
  if (refusal !== undefined) return door.unavailable(exchange, refusal)
  if (!isBatchType(head.contentType)) {
    door.countInvalid()
    return exchange.sendError('unsupported_media_type',
      'Content-Type must be application/x-ndjson or application/json')
  }
  door.submitBatch(exchange, response, asksAccountQueue(request))
}

function sendHealth(door: Door, exchange: Exchange): void {
  exchange.send(200, door.health())
}

function sendReady(door: Door, exchange: Exchange): void {
  const { atBound, readiness: status } = door
  exchange.send(status === 'ready' ? 200 : 503,
    atBound.length === 0 ? { status } : { status, at_bound: atBound })
}

function anyOther(
  door: Door, response: HttpResponse, head: RequestHead, request: HttpRequest,
): void {
  const path = request.getUrl()
  const isHead = request.getMethod() === 'head'
  const exchange = new Exchange(response, wantsMsgpack(head.accept),
    { ...door.exchangeOptions, isHead })
  if (isHead && path === '/health') return sendHealth(door, exchange)
  if (isHead && path === '/ready') return sendReady(door, exchange)
  if (path === '/ws') {
    return exchange.sendError('upgrade_required', 'this path takes WebSocket upgrades only')
  }
  const allow = allowedMethods(path)
  if (allow === undefined) return exchange.sendError('not_found', 'there is no such path')
  exchange.sendError('method_not_allowed', `this path takes ${allow}`, undefined, { allow })
}
