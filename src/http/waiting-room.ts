// Where requests wait while the process takes over from another: connections are taken already, but
// nobody can judge what they bring. In the end all are let in, in the order in which they came.

import { LET_IN_AT_ONCE, REQUESTS_PENDING_MAX } from '../../shards/limits.ts'
import type { ClientBytes } from '../client-bytes.ts'
import { unavailable } from '../errors.ts'
import { Exchange, wantsMsgpack } from './exchange.ts'
import { HeldRequest, type Holder, type RouteName } from './held-request.ts'
import { RequestHead, refuseFraming } from './request-head.ts'
import type { Answering, RequestHandlers } from './server.ts'
import type { HttpRequest, HttpResponse, RouteHandler } from './uws.ts'

/** Those who wait, and after them whoever answers. */
export class WaitingRoom implements Answering, Holder {
  readonly #version: string
  readonly #held = new Set<HeldRequest>()
  readonly #hold: RequestHandlers
  readonly pool: ClientBytes
  #inside: Answering | undefined

  constructor(version: string, pool: ClientBytes) {
    this.#version = version
    this.pool = pool
    const wait = (route: RouteName): RouteHandler => (response, request) => {
      if (this.#isFull()) return turnAway(response, request)
      const fault = new RequestHead().read(request)
      if (fault !== undefined) return refuseFraming(response, fault)
      this.#held.add(HeldRequest.hold(route, response, request, this))
    }
    this.#hold = {
      postJob: wait('postJob'), postBatch: wait('postBatch'), getJob: wait('getJob'),
      deleteJob: wait('deleteJob'), followJob: wait('followJob'), other: wait('other'),
      upgrade: (response, request, context) => {
        if (this.#isFull()) turnAway(response, request)
        else this.#held.add(HeldRequest.holdUpgrade(response, request, context, this))
        return true
      },
      // What comes is taken and answered, if later: balancers may send it here.
      ready: (response) => new Exchange(response, false).send(200, { status: 'taking_over' }),
      health: (response) => new Exchange(response, false).send(200, {
        status: 'taking_over', version: this.#version, waiting: this.#held.size, shards: [],
      }),
    }
  }

  get handlers(): RequestHandlers {
    return this.#inside === undefined || this.#held.size > 0 ? this.#hold : this.#inside.handlers
  }

  /** Lets in all who wait, some at a time, and whoever comes after them. */
  letIn(inside: Answering): void {
    this.#inside = inside
    let left = LET_IN_AT_ONCE
    for (const held of this.#held) {
      if (left-- === 0) return void setImmediate(() => this.letIn(inside))
      this.gone(held)
      held.give(inside.handlers)
    }
  }

  /** Answers all who wait with 503. */
  sendAway(): void {
    for (const held of this.#held) {
      this.gone(held)
      held.release()
      if (!held.isGone) new Exchange(held.response, false).denied(0, unavailable('draining'))
    }
  }

  gone(held: HeldRequest): void {
    this.#held.delete(held)
  }

  #isFull(): boolean {
    return this.#held.size >= REQUESTS_PENDING_MAX || this.pool.isFull
  }
}

function turnAway(response: HttpResponse, request: HttpRequest): void {
  new Exchange(response, wantsMsgpack(request.getHeader('accept')))
    .denied(0, unavailable('overloaded'))
}
