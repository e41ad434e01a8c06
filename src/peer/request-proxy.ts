// Requests that still come to a process from which another has taken over: each is proxied to the
// other and answered with what that says. If the other turns out to be gone, and this process is to
// go on after all, they are given back to those who have answered before.

import type { ClientRequest } from 'node:http'
import type { ClientBytes } from '../base/client-bytes.ts'
import { unavailable } from '../base/errors.ts'
import { PROXY_TRIES_MAX } from '../base/limits.ts'
import { Exchange } from '../http/exchange.ts'
import { RequestHead, refuseFraming } from '../http/request-head.ts'
import type { Address, Answering, RequestHandlers } from '../http/server.ts'
import type { HttpRequest, RouteHandler, StreamedResponse } from '../http/uws.ts'
import { HeldRequest, type RouteName } from './held-request.ts'
import { type Again, begin, localAddress, writeBack } from './peer-request.ts'

/** What passing on needs. */
export interface RequestProxyParts {
  /** Where the other process listens. */
  readonly address: Address
  /** Who has answered before, and does so again if all goes back. */
  readonly before: Answering
  readonly bodyBytesMax: number
  readonly pool: ClientBytes
  readonly again: Again
}

/** Passes all requests on but those to open a socket. */
export class RequestProxy implements Answering {
  readonly handlers: RequestHandlers
  readonly #parts: RequestProxyParts
  readonly #address: Address
  /** Ends those answers that are under way. */
  readonly #open = new Set<() => void>()
  #passed = 0
  #isBack = false

  constructor(parts: RequestProxyParts) {
    this.#parts = parts
    this.#address = localAddress(parts.address)
    const pass = (route: RouteName): RouteHandler => (response, request) =>
      this.#take(route, response, request)
    this.handlers = {
      postJob: pass('postJob'), getJob: pass('getJob'), deleteJob: pass('deleteJob'),
      streamJob: pass('streamJob'), health: pass('health'), ready: pass('ready'),
      other: pass('other'),
      postBatch: (response, request) => this.#stream(response, request),
      // Its socket is told to come again, and then it comes to the other.
      upgrade: (response, request, context, tier) =>
        parts.before.handlers.upgrade(response, request, context, tier),
    }
  }

  /** Requests that were proxied. */
  get passed(): number {
    return this.#passed
  }

  /** The other is gone, and this process goes on. */
  giveBack(): void {
    this.#isBack = true
  }

  /** Ends what is still under way. */
  close(): void {
    for (const end of this.#open) end()
  }

  #take(route: RouteName, response: StreamedResponse, request: HttpRequest): void {
    const fault = new RequestHead().read(request)
    if (fault !== undefined) return refuseFraming(response, fault)
    this.#passed++
    const held = HeldRequest.hold(
      route, response, request, { pool: this.#parts.pool, gone: () => {} })
    held.whole(this.#parts.bodyBytesMax, (isWhole) => {
      // What is too large for anybody, or for now, can be said here.
      if (isWhole) this.#try(held, response, 1)
      else held.give(this.#parts.before.handlers)
    })
  }

  #try(held: HeldRequest, response: StreamedResponse, tries: number): void {
    if (held.isGone) return
    if (this.#isBack) return held.give(this.#parts.before.handlers)
    const method = held.getMethod()
    const sent = begin(this.#address, { method, target: held.target, headers: held.headers }, {
      answered: (answer) => {
        if (held.isGone) return void answer.destroy()
        held.release()
        const end = writeBack(answer, response, method, () => { this.#open.delete(end) })
        this.#open.add(end)
      },
      failed: () => {
        if (tries < PROXY_TRIES_MAX) {
          return this.#parts.again.later(() => this.#try(held, response, tries + 1))
        }
        if (held.isGone) return
        held.release()
        new Exchange(response, false).denied(0, unavailable('answer_unknown'))
      },
    })
    sent.end(held.body)
  }

  /** A batch may be larger than what can be held, and is answered while it comes. */
  #stream(response: StreamedResponse, request: HttpRequest): void {
    const fault = new RequestHead().read(request)
    if (fault !== undefined) return refuseFraming(response, fault)
    this.#passed++
    const headers = new Map<string, string>()
    request.forEach((name, value) => headers.set(name, value))
    let isGone = false
    const sent: ClientRequest = begin(this.#address, {
      method: request.getMethod(), target: request.getUrl(), headers,
    }, {
      answered: (answer) => {
        if (isGone) return void answer.destroy()
        const end = writeBack(answer, response, 'post', () => {
          this.#open.delete(end)
          isGone = true
          sent.destroy()
        })
        this.#open.add(end)
      },
      failed: () => {
        if (!isGone) new Exchange(response, false).denied(0, unavailable('answer_unknown'))
        isGone = true
      },
    })
    response.onAborted(() => {
      isGone = true
      sent.destroy()
    })
    sent.on('drain', () => { if (!isGone) response.resume() })
    response.onData((chunk, isLast) => {
      if (isGone) return
      const isTaken = sent.write(Buffer.from(chunk.slice(0)))
      if (isLast) sent.end()
      else if (!isTaken) response.pause()
    })
  }
}
