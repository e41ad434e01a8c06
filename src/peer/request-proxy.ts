// Proxies the requests that still arrive at a process after another has started to take over: each
// is forwarded to the peer and answered with the peer's answer. If the peer turns out to be gone,
// and this process continues after all, they are given back to its own handlers.

import type { ClientRequest } from 'node:http'
import type { ClientBytes } from '../base/client-bytes.ts'
import { unavailable } from '../base/errors.ts'
import { PROXY_TRIES_MAX } from '../base/limits.ts'
import { byKind, type Listener, type ListenerKind } from '../config/listeners.ts'
import { Exchange } from '../http/exchange.ts'
import type { PausedRequests } from '../http/paused-requests.ts'
import { RequestHead, refuseFraming } from '../http/request-head.ts'
import type { HttpRouteName } from '../http/route-table.ts'
import type { Answering, Handlers, RequestHandlers } from '../http/server.ts'
import type { HttpRequest, RouteHandler, StreamedResponse } from '../http/uws.ts'
import { HeldRequest, type HeldRoute } from './held-request.ts'
import { type Address, type Again, begin, localAddress, writeBack } from './peer-request.ts'

/** What a proxy needs. */
export interface RequestProxyParts {
  /** Where both processes listen. */
  readonly listeners: readonly Listener[]
  /** The local handlers, which answer again if the take-over fails. */
  readonly before: Answering
  readonly bodyBytesMax: number
  readonly pool: ClientBytes
  readonly paused: PausedRequests
  readonly again: Again
}

/** Proxies all requests but WebSocket upgrades. */
export class RequestProxy implements Answering {
  readonly handlers: Handlers
  readonly #parts: RequestProxyParts
  readonly #addresses: Readonly<Record<ListenerKind, Address>>
  /** Ends the answers that are in progress. */
  readonly #open = new Set<() => void>()
  #passed = 0
  #isBack = false

  constructor(parts: RequestProxyParts) {
    this.#parts = parts
    this.#addresses = byKind((kind) => localAddress(parts.listeners, kind))
    this.handlers = byKind((kind) => this.#handlersOf(kind))
  }

  /** Number of proxied requests. */
  get passed(): number {
    return this.#passed
  }

  /** The peer is gone, and this process continues. */
  giveBack(): void {
    this.#isBack = true
  }

  /** Ends the answers that are still in progress. */
  close(): void {
    for (const end of this.#open) end()
  }

  #handlersOf(kind: ListenerKind): RequestHandlers {
    const proxied = (name: HttpRouteName): RouteHandler => (response, request) =>
      this.#take({ kind, name }, response, request)
    return {
      postJob: proxied('postJob'), getJob: proxied('getJob'), deleteJob: proxied('deleteJob'),
      streamJob: proxied('streamJob'), health: proxied('health'), ready: proxied('ready'),
      other: proxied('other'),
      postBatch: (response, request) => this.#stream(this.#addresses[kind], response, request),
      // Such a socket is closed at once with a request to reconnect, which reaches the peer.
      upgrade: (response, request, context, tier) =>
        this.#parts.before.handlers[kind].upgrade(response, request, context, tier),
    }
  }

  #take(route: HeldRoute, response: StreamedResponse, request: HttpRequest): void {
    const fault = new RequestHead().read(request)
    if (fault !== undefined) return refuseFraming(response, fault)
    this.#passed++
    const held = HeldRequest.hold(
      route, response, request, { pool: this.#parts.pool, gone: () => {} })
    held.whole(this.#parts.bodyBytesMax, (isWhole) => {
      // The local handlers can refuse a body that is too large, or that memory has no room for.
      if (isWhole) this.#try(this.#addresses[route.kind], held, response, 1)
      else held.give(this.#parts.before.handlers)
    })
  }

  #try(to: Address, held: HeldRequest, response: StreamedResponse, tries: number): void {
    if (held.isGone) return
    if (this.#isBack) return held.give(this.#parts.before.handlers)
    const method = held.getMethod()
    const sent = begin(to, { method, target: held.target, headers: held.headers }, {
      answered: (answer) => {
        if (held.isGone) return void answer.destroy()
        held.release()
        const end = writeBack(answer, response, method, () => { this.#open.delete(end) })
        this.#open.add(end)
      },
      failed: () => {
        if (tries < PROXY_TRIES_MAX) {
          return this.#parts.again.later(() => this.#try(to, held, response, tries + 1))
        }
        if (held.isGone) return
        held.release()
        new Exchange(response, false).denied(0, unavailable('answer_unknown'))
      },
    })
    sent.end(held.body)
  }

  /** A batch may be too large to be held, and is answered while it is read. */
  #stream(to: Address, response: StreamedResponse, request: HttpRequest): void {
    const fault = new RequestHead().read(request)
    if (fault !== undefined) return refuseFraming(response, fault)
    this.#passed++
    const headers: (readonly [string, string])[] = []
    request.forEach((name, value) => headers.push([name, value]))
    const { paused } = this.#parts
    let isGone = false
    const over = (): void => {
      isGone = true
      paused.forget(response)
    }
    const sent: ClientRequest = begin(to, {
      method: request.getMethod(), target: request.getUrl(), headers,
    }, {
      answered: (answer) => {
        if (isGone) return void answer.destroy()
        const end = writeBack(answer, response, 'post', () => {
          this.#open.delete(end)
          over()
          sent.destroy()
        })
        this.#open.add(end)
      },
      failed: () => {
        if (!isGone) new Exchange(response, false).denied(0, unavailable('answer_unknown'))
        over()
      },
    })
    response.onAborted(() => {
      over()
      sent.destroy()
    })
    sent.on('drain', () => { if (!isGone) paused.resume(response) })
    response.onData((chunk, isLast) => {
      if (isGone) return
      const isTaken = sent.write(Buffer.from(chunk.slice(0)))
      if (isLast) sent.end()
      else if (!isTaken) paused.pause(response)
    })
  }
}
