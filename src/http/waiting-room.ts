// Where requests wait while the process takes over from another: connections are taken already, but
// nobody can judge what they bring. In the end all are let in, in the order in which they came.

import {
  LET_IN_AT_ONCE, RECEIVING_BYTES_MAX, REQUESTS_PENDING_MAX,
} from '../../shards/limits.ts'
import { unavailable } from '../errors.ts'
import { Exchange, wantsMsgpack } from './exchange.ts'
import { HeldRequest, type Holder, type RouteName } from './held-request.ts'
import type { Answering, RequestHandlers } from './server.ts'
import type { HttpRequest, HttpResponse, RouteHandler } from './uws.ts'

/** Those who wait, and after them whoever answers. */
export class WaitingRoom implements Answering, Holder {
  readonly #version: string
  readonly #held = new Set<HeldRequest>()
  readonly #hold: RequestHandlers
  #inside: Answering | undefined
  #bytes = 0

  constructor(version: string) {
    this.#version = version
    const wait = (route: RouteName): RouteHandler => (response, request) => {
      if (this.#isFull()) return turnAway(response, request)
      this.#held.add(HeldRequest.hold(route, response, request, this))
    }
    this.#hold = {
      postJob: wait('postJob'), postBatch: wait('postBatch'), getJob: wait('getJob'),
      deleteJob: wait('deleteJob'), followJob: wait('followJob'), other: wait('other'),
      upgrade: (response, request, context) => {
        if (this.#isFull()) return turnAway(response, request)
        this.#held.add(HeldRequest.holdUpgrade(response, request, context, this))
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
      if (!held.isGone) new Exchange(held.response, false).denied(0, unavailable('draining'))
    }
  }

  gone(held: HeldRequest): void {
    if (this.#held.delete(held)) this.#bytes -= held.heldBytes
  }

  grew(bytes: number): void {
    this.#bytes += bytes
  }

  #isFull(): boolean {
    return this.#held.size >= REQUESTS_PENDING_MAX || this.#bytes >= RECEIVING_BYTES_MAX
  }
}

function turnAway(response: HttpResponse, request: HttpRequest): void {
  new Exchange(response, wantsMsgpack(request.getHeader('accept')))
    .denied(0, unavailable('overloaded'))
}
