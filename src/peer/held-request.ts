// A request on hold: which process answers it is decided later. The library's request object is
// valid only during its handler, so its headers are copied, and its body is buffered.

import { type ClientBytes, GrowingBytes } from '../base/client-bytes.ts'
import { type Denial, unavailable } from '../base/errors.ts'
import { HELD_BODY_BYTES_MAX } from '../base/limits.ts'
import type { ListenerKind } from '../config/listeners.ts'
import { Exchange } from '../http/exchange.ts'
import type { HttpRouteName } from '../http/route-table.ts'
import type { Handlers } from '../http/server.ts'
import type {
  Ascii, HttpRequest, HttpResponse, StreamedResponse, UpgradableResponse, UpgradeContext,
} from '../http/uws.ts'

/** The arguments of the library's handler, and what to do with them later. */
interface Came {
  readonly response: StreamedResponse | UpgradableResponse
  readonly request: HttpRequest
  /** Passes the request to the handlers that answer it in the end. */
  readonly answer: (handlers: Handlers, response: HttpResponse, request: HttpRequest) => void
  readonly holder: Holder
}

/** The route that a request came in by. */
export interface HeldRoute {
  readonly kind: ListenerKind
  readonly name: HttpRouteName
}

/** Holds requests. */
export interface Holder {
  /** Counts the buffered bodies. */
  readonly pool: ClientBytes
  /** The client has disconnected while the request was on hold. */
  gone(held: HeldRequest): void
}

type OnData = (chunk: ArrayBuffer, isLast: boolean) => void

/**
 * A request on hold. The rest of a large body is not read until it is given to handlers; that its
 * client has disconnected is not noticed before then either, so the hold must have an end.
 */
export class HeldRequest implements HttpRequest {
  readonly #response: StreamedResponse | UpgradableResponse
  readonly #answer: Came['answer']
  /** In their order: a header may be there more than once. */
  readonly #headers: (readonly [name: string, value: string])[] = []
  readonly #parameter: string | undefined
  readonly #url: string
  readonly #query: string
  readonly #method: string
  readonly #held: GrowingBytes
  #isWhole = false
  #isPaused = false
  #isGone = false
  /** It is on hold no more: what still comes of its body is not this object's. */
  #isOver = false
  #onWhole: (() => void) | undefined
  #onArrived: (() => void) | undefined
  #bytesMax = HELD_BODY_BYTES_MAX

  private constructor({ answer, holder, request, response }: Came) {
    this.#response = response
    this.#answer = answer
    this.#held = new GrowingBytes(holder.pool)
    request.forEach((name, value) => this.#headers.push([name, value]))
    this.#parameter = request.getParameter(0)
    this.#url = request.getUrl()
    this.#query = request.getQuery()
    this.#method = request.getMethod()
    response.onAborted(() => {
      this.#isGone = true
      this.#held.release()
      holder.gone(this)
    })
  }

  /** Holds a request of a route. */
  static hold(
    { kind, name }: HeldRoute, response: StreamedResponse, request: HttpRequest, holder: Holder,
  ): HeldRequest {
    const held = new HeldRequest({
      response, request, holder,
      answer: (handlers, to, from) => handlers[kind][name](to as StreamedResponse, from),
    })
    response.onData((chunk, isLast) => held.#take(response, chunk, isLast))
    return held
  }

  /** Holds a WebSocket upgrade request. */
  static holdUpgrade(
    response: UpgradableResponse, request: HttpRequest, context: UpgradeContext, holder: Holder,
  ): HeldRequest {
    return new HeldRequest({
      response, request, holder,
      // It is too late to try the route of the next frame size.
      answer: (handlers, to, from) => to.cork(() => {
        if (handlers.callers.upgrade(to as UpgradableResponse, from, context, 0)) return
        new Exchange(to, false).denied(0, unavailable('overloaded'))
      }),
    })
  }

  /** The client has disconnected. */
  get isGone(): boolean {
    return this.#isGone
  }

  /** The buffered part of the body; valid until the request is given to handlers. */
  get body(): Buffer {
    return this.#held.bytes
  }

  /** Reading is paused: the rest of its body is read after it is given to handlers. */
  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Calls back when the handlers have received the rest of the body. */
  onArrived(then: () => void): void {
    this.#onArrived = then
  }

  get headers(): Iterable<readonly [name: string, value: string]> {
    return this.#headers
  }

  /** Path and query. */
  get target(): string {
    return this.#query === '' ? this.#url : `${this.#url}?${this.#query}`
  }

  /** Calls back, at once or later: true with the whole body, false if it exceeds the limit. */
  whole(bytesMax: number, then: (isWhole: boolean) => void): void {
    this.#bytesMax = bytesMax
    this.#onWhole = () => {
      this.#onWhole = undefined
      then(this.#isWhole)
    }
    if (this.#isWhole || this.#isPaused || this.#held.length > bytesMax) this.#onWhole()
  }

  /** Drops the body. */
  release(): void {
    this.#held.release()
  }

  /** Gives the request to handlers; no-op if the client has disconnected. */
  give(handlers: Handlers): void {
    if (this.#isGone) return
    this.#endHold()
    this.#answer(handlers, this.#asResponse(), this)
    // A handler that did not ask for the body has answered without it.
    this.#held.release()
  }

  /** Answers it without handlers; no-op if the client has disconnected. */
  deny(denial: Denial): void {
    if (this.#isGone) return
    this.#endHold()
    this.#held.release()
    new Exchange(this.#response, false).denied(0, denial)
  }

  // --- as HttpRequest ---

  getHeader(name: string | Ascii): string {
    const wanted = typeof name === 'string' ? name : Buffer.from(name).toString()
    return this.#headers.find(([given]) => given === wanted)?.[1] ?? ''
  }

  getParameter(index: number): string | undefined {
    return index === 0 ? this.#parameter : undefined
  }

  getUrl(): string {
    return this.#url
  }

  getQuery(): string {
    return this.#query
  }

  getMethod(): string {
    return this.#method
  }

  forEach(tell: (name: string, value: string) => void): void {
    for (const [name, value] of this.#headers) tell(name, value)
  }

  /** No-op: it has left its route. */
  setYield(): void {}

  // --- inside ---

  /**
   * To be called before it is answered: the library ends the process of whoever touches a response
   * that is over. No data comes before this iteration of the event loop has ended.
   */
  #endHold(): void {
    this.#isOver = true
    if (!this.#isPaused) return
    this.#isPaused = false
    const { resume } = this.#response as StreamedResponse
    resume.call(this.#response)
  }

  #take(response: StreamedResponse, chunk: ArrayBuffer, isLast: boolean): void {
    if (this.#isOver) return
    const bytes = new Uint8Array(chunk)
    const isHeld = this.#held.append(bytes)
    // The chunk is in memory already, so it is kept; but reading is paused.
    if (!isHeld) this.#held.appendAnyway(bytes)
    this.#isWhole = isLast
    const isToPause = !isHeld || this.#held.length > this.#bytesMax
    if (isToPause && !isLast && !this.#isPaused) {
      this.#isPaused = true
      response.pause()
    }
    if (isLast || isToPause) this.#onWhole?.()
  }

  /** The library's response, with an onData() that delivers the buffered part of the body first. */
  #asResponse(): HttpResponse {
    const response = this.#response
    const onData = (handler: OnData): HttpResponse => {
      const come = new Uint8Array(this.#held.bytes).buffer
      this.#held.release()
      if (!this.#isWhole) {
        response.onData((chunk, isLast) => {
          handler(chunk, isLast)
          if (isLast) this.#onArrived?.()
        })
      }
      if (this.#isWhole || come.byteLength > 0) handler(come, this.#isWhole)
      return response
    }
    return new Proxy(response, {
      get: (target, name) => {
        if (name === 'onData') return onData
        const value = Reflect.get(target, name) as unknown
        return typeof value === 'function' ? value.bind(target) as unknown : value
      },
    })
  }
}
