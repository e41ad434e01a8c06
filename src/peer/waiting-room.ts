// Holds requests while this process takes over: it accepts connections already, but cannot answer
// yet. In the end all are admitted, in order of arrival, and no faster than the shards process
// them, so that no request that has waited finds a ring full.

import { type Clock, lookEvery } from '../../shards/base/clock.ts'
import { msToUs } from '../../shards/base/units.ts'
import type { ClientBytes } from '../base/client-bytes.ts'
import { unavailable } from '../base/errors.ts'
import {
  LET_IN_ARRIVING_MAX, LET_IN_ARRIVING_MS_MAX, LET_IN_AT_ONCE, LET_IN_EVERY_MS,
  REQUESTS_PENDING_MAX,
} from '../base/limits.ts'
import { byKind, type ListenerKind } from '../config/listeners.ts'
import { Exchange, wantsMsgpack } from '../http/exchange.ts'
import { RequestHead, refuseFraming } from '../http/request-head.ts'
import type { HttpRouteName } from '../http/route-table.ts'
import type { Answering, Handlers, RequestHandlers } from '../http/server.ts'
import type { HttpRequest, HttpResponse, RouteHandler } from '../http/uws.ts'
import { HeldRequest, type Holder } from './held-request.ts'

/** The handlers that answer in the end. */
export interface Inside extends Answering {
  /** Whether there is room for one more request on its way to the shards. */
  readonly hasRoom: boolean
}

/** Holds requests, and admits them to the handlers later. */
export class WaitingRoom implements Answering, Holder {
  readonly #version: string
  /** Only read. */
  readonly #clock: Clock
  readonly #held = new Set<HeldRequest>()
  readonly #hold: Handlers
  readonly pool: ClientBytes
  #inside: Inside | undefined
  /** Large bodies whose rest is being read, each with a deadline. */
  #arriving: { untilUs: number }[] = []

  constructor(version: string, pool: ClientBytes, clock: Clock) {
    this.#version = version
    this.#clock = clock
    this.pool = pool
    this.#hold = byKind((kind) => this.#holdersOf(kind))
  }

  #holdersOf(kind: ListenerKind): RequestHandlers {
    const wait = (name: HttpRouteName): RouteHandler => (response, request) => {
      if (this.#isFull()) return refuseOverload(response, request)
      const fault = new RequestHead().read(request)
      if (fault !== undefined) return refuseFraming(response, fault)
      this.#held.add(HeldRequest.hold({ kind, name }, response, request, this))
    }
    return {
      postJob: wait('postJob'), postBatch: wait('postBatch'), getJob: wait('getJob'),
      deleteJob: wait('deleteJob'), streamJob: wait('streamJob'), other: wait('other'),
      upgrade: (response, request, context) => {
        if (this.#isFull()) refuseOverload(response, request)
        else this.#held.add(HeldRequest.holdUpgrade(response, request, context, this))
        return true
      },
      // Load balancers may send requests here: they are accepted and answered, if later.
      ready: (response, request) =>
        answerNow(response, request).send(200, { status: 'taking_over' }),
      health: (response, request) => answerNow(response, request).send(200, {
        status: 'taking_over', ...kind === 'operators' &&
          { version: this.#version, waiting: this.#held.size, shards: [] },
      }),
    }
  }

  /** While held requests are being admitted, a new one waits only if there is no room. */
  get handlers(): Handlers {
    const inside = this.#inside
    const isOpen = inside !== undefined && (this.#held.size === 0 || inside.hasRoom)
    return isOpen ? inside.handlers : this.#hold
  }

  /** Admits all held requests, some at a time, and then new ones directly. */
  letIn(inside: Inside): void {
    this.#inside = inside
    const stop = lookEvery(LET_IN_EVERY_MS, () => {
      this.#admitSome(inside)
      if (this.#held.size === 0) stop()
    })
  }

  #admitSome(inside: Inside): void {
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

  /** Whether the rest of a large body may be read now: few are at the same time. */
  #mayArrive(held: HeldRequest, nowUs: number): boolean {
    if (this.#arriving.length >= LET_IN_ARRIVING_MAX) return false
    const arriving = { untilUs: nowUs + msToUs(LET_IN_ARRIVING_MS_MAX) }
    this.#arriving.push(arriving)
    held.onArrived(() => { arriving.untilUs = nowUs })
    return true
  }

  /** Answers all held requests with 503. */
  sendAway(): void {
    for (const held of this.#held) {
      this.gone(held)
      held.deny(unavailable('draining'))
    }
  }

  gone(held: HeldRequest): void {
    this.#held.delete(held)
  }

  #isFull(): boolean {
    return this.#held.size >= REQUESTS_PENDING_MAX || this.pool.isFull
  }
}

const answerNow = (response: HttpResponse, request: HttpRequest): Exchange =>
  new Exchange(response, false,
    { isHead: request.getMethod() === 'head', isLast: false, pool: undefined })

function refuseOverload(response: HttpResponse, request: HttpRequest): void {
  new Exchange(response, wantsMsgpack(request.getHeader('accept')))
    .denied(0, unavailable('overloaded'))
}
