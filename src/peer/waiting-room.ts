// Where requests wait while the process takes over from another: connections are taken already, but
// nobody can judge what they bring. In the end all are let in, in the order in which they came, and
// no faster than the shards take what they bring: whoever has waited finds no ring full.

import { type Clock, lookEvery } from '../../shards/base/clock.ts'
import { msToUs } from '../../shards/base/units.ts'
import type { ClientBytes } from '../base/client-bytes.ts'
import { unavailable } from '../base/errors.ts'
import {
  LET_IN_ARRIVING_MAX, LET_IN_ARRIVING_MS_MAX, LET_IN_AT_ONCE, LET_IN_EVERY_MS,
  REQUESTS_PENDING_MAX,
} from '../base/limits.ts'
import { Exchange, wantsMsgpack } from '../http/exchange.ts'
import { RequestHead, refuseFraming } from '../http/request-head.ts'
import type { Answering, RequestHandlers } from '../http/server.ts'
import type { HttpRequest, HttpResponse, RouteHandler } from '../http/uws.ts'
import { HeldRequest, type Holder, type RouteName } from './held-request.ts'

/** Who answers in the end. */
export interface Inside extends Answering {
  /** Whether what one more request brings would find room on its way to the shards. */
  readonly hasRoom: boolean
}

/** Those who wait, and after them whoever answers. */
export class WaitingRoom implements Answering, Holder {
  readonly #version: string
  /** Only read. */
  readonly #clock: Clock
  readonly #held = new Set<HeldRequest>()
  readonly #hold: RequestHandlers
  readonly pool: ClientBytes
  #inside: Inside | undefined
  /** Large bodies of which the rest is being read, and until when that is waited for. */
  #arriving: { untilUs: number }[] = []

  constructor(version: string, pool: ClientBytes, clock: Clock) {
    this.#version = version
    this.#clock = clock
    this.pool = pool
    const wait = (route: RouteName): RouteHandler => (response, request) => {
      if (this.#isFull()) return turnAway(response, request)
      const fault = new RequestHead().read(request)
      if (fault !== undefined) return refuseFraming(response, fault)
      this.#held.add(HeldRequest.hold(route, response, request, this))
    }
    this.#hold = {
      postJob: wait('postJob'), postBatch: wait('postBatch'), getJob: wait('getJob'),
      deleteJob: wait('deleteJob'), streamJob: wait('streamJob'), other: wait('other'),
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

  /** While others are let in, whoever comes waits only where there is no room. */
  get handlers(): RequestHandlers {
    const inside = this.#inside
    const isOpen = inside !== undefined && (this.#held.size === 0 || inside.hasRoom)
    return isOpen ? inside.handlers : this.#hold
  }

  /** Lets in all who wait, some at a time, and whoever comes after them. */
  letIn(inside: Inside): void {
    this.#inside = inside
    const stop = lookEvery(LET_IN_EVERY_MS, () => {
      this.#letSomeIn(inside)
      if (this.#held.size === 0) stop()
    })
  }

  #letSomeIn(inside: Inside): void {
    const nowUs = this.#clock.nowUs()
    this.#arriving = this.#arriving.filter(({ untilUs }) => untilUs > nowUs)
    let left = LET_IN_AT_ONCE
    for (const held of this.#held) {
      if (!inside.hasRoom || left === 0) return
      if (held.isPaused && !this.#mayArrive(held, nowUs)) continue
      left--
      this.gone(held)
      held.give(inside.handlers)
    }
  }

  /** Whether the rest of a large body may be read now, since few others are being read. */
  #mayArrive(held: HeldRequest, nowUs: number): boolean {
    if (this.#arriving.length >= LET_IN_ARRIVING_MAX) return false
    const arriving = { untilUs: nowUs + msToUs(LET_IN_ARRIVING_MS_MAX) }
    this.#arriving.push(arriving)
    held.onArrived(() => { arriving.untilUs = nowUs })
    return true
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
