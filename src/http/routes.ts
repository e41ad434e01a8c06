// The route handlers: read what they need of a request while it is valid, and pass it on.

import type { Asked, Unchecked } from '../access/authenticator.ts'
import type { Principal } from '../access/principal.ts'
import type { Readiness } from '../base/door-state.ts'
import type { Denial, ErrorCode } from '../base/errors.ts'
import type { ListenerKind } from '../config/listeners.ts'
import { formatOf } from '../job/parse-body.ts'
import type { Submission } from '../submit/submission.ts'
import { asksAccountQueue } from './account-queue.ts'
import { isBatchType } from './batch-splitter.ts'
import { Exchange, type ExchangeOptions, wantsMsgpack } from './exchange.ts'
import type { BodyHandler, BodyReceiver } from './receive.ts'
import { RequestHead, refuseFraming } from './request-head.ts'
import { allowedMethods, askedOf, type HttpRouteName, routeOf } from './route-table.ts'
import type { Joining } from './sse.ts'
import {
  asciiOf, type Connected, type HttpRequest, type RouteHandler, type StreamedResponse,
} from './uws.ts'

const SOCKET_PATH = routeOf('upgrade').path
const LAST_EVENT_ID = asciiOf('last-event-id')

/** The values for nearly all submissions. */
const USUAL: Submission = { format: 'json', idempotencyKey: '', wantsAccountQueue: false }

/** A request that is denied, for the log. */
export interface DeniedFrom {
  readonly response: Connected
  readonly request: HttpRequest
}

/** Who may ask. */
export interface RouteAccess {
  /** Who asks on a listener, or why it is refused. */
  judge(head: RequestHead, kind: ListenerKind, asked: Asked): Principal | Denial | Unchecked
  /** Answers a denial of judge(). */
  deny(exchange: Exchange, denial: Denial, from: DeniedFrom): void
  /** Keeps a request until its token is checked, and then begins anew with it. */
  hold(
    kind: ListenerKind, name: HttpRouteName, response: StreamedResponse, request: HttpRequest,
    unchecked: Unchecked,
  ): void
}

/** What the routes need of the front door. */
export interface Door {
  readonly access: RouteAccess
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
  /** In full for operators, else the status alone. */
  health(principal: Principal): object
  unavailable(exchange: Exchange, code: ErrorCode): void
}

/** Answers a request whose principal may make it, and whose head has been read. */
type Handler = (exchange: Exchange, response: StreamedResponse, request: HttpRequest) => void

/** The handlers of all routes of a listener except the WebSocket upgrade. */
export function routeHandlers(
  door: Door, receiver: BodyReceiver, kind: ListenerKind,
): Readonly<Record<HttpRouteName, RouteHandler>> {
  const submit: BodyHandler<Submission> =
    (exchange, body, submission) => door.submit(exchange, body, submission)
  const head = new RequestHead()
  /** The only way to a handler: who asks is known, and may do it. */
  const guarded = (name: HttpRouteName, handle: Handler): RouteHandler => {
    const asked = askedOf(name)
    const mayBeHead = asked.methods.length === 0 || asked.methods.includes('HEAD')
    return (response, request) => {
      const fault = head.read(request)
      if (fault !== undefined) {
        door.countInvalid()
        return refuseFraming(response, fault)
      }
      const judged = door.access.judge(head, kind, asked)
      if ('token' in judged) return door.access.hold(kind, name, response, request, judged)
      const isHead = mayBeHead && request.getMethod() === 'head'
      const exchange = new Exchange(response, wantsMsgpack(head.accept), isHead
        ? { ...door.exchangeOptions, isHead } : door.exchangeOptions)
      if (!('caller' in judged)) {
        return door.access.deny(exchange, judged, { response, request })
      }
      exchange.principal = judged
      handle(exchange, response, request)
    }
  }
  const jobOf = (request: HttpRequest): string => request.getParameter(0) ?? ''
  return {
    postJob: guarded('postJob', (exchange, response, request) => {
      const submission = readSubmission(door, exchange, head, request)
      if (submission === undefined) return
      receiver.receive(response, exchange, head.contentLength, submission, submit)
    }),
    postBatch: guarded('postBatch', (exchange, response, request) =>
      postBatch(door, exchange, response, head, request)),
    getJob: guarded('getJob', (exchange, _, request) => door.show(exchange, jobOf(request))),
    deleteJob: guarded('deleteJob', (exchange, _, request) =>
      door.cancel(exchange, jobOf(request))),
    streamJob: guarded('streamJob', (exchange, _, request) => door.stream({
      exchange, jobId: jobOf(request), lastEventId: request.getHeader(LAST_EVENT_ID),
    })),
    health: guarded('health', (exchange) => exchange.send(200, door.health(exchange.principal))),
    ready: guarded('ready', (exchange) => sendReady(door, exchange)),
    other: guarded('other', (exchange, _, request) => sendOther(exchange, kind, request.getUrl())),
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

function sendReady(door: Door, exchange: Exchange): void {
  const { atBound, readiness: status } = door
  exchange.send(status === 'ready' ? 200 : 503,
    atBound.length === 0 ? { status } : { status, at_bound: atBound })
}

/** Answers what matches no route. */
function sendOther(exchange: Exchange, kind: ListenerKind, path: string): void {
  if (kind === 'callers' && path === SOCKET_PATH) {
    return exchange.sendError('upgrade_required', 'this path takes WebSocket upgrades only')
  }
  const allow = allowedMethods(kind, path)
  if (allow === undefined) return exchange.sendError('not_found', 'there is no such path')
  exchange.sendError('method_not_allowed', `this path takes ${allow}`, undefined, { allow })
}
