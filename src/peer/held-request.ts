// A request of which it is decided later who answers it: the library's own request is gone with the
// call in which it came, so what it says is kept, and what comes of its body.

import { type ClientBytes, GrowingBytes } from '../base/client-bytes.ts'
import { unavailable } from '../base/errors.ts'
import { HELD_BODY_BYTES_MAX } from '../base/limits.ts'
import { Exchange } from '../http/exchange.ts'
import type { RequestHandlers } from '../http/server.ts'
import type {
  Ascii, HttpRequest, HttpResponse, StreamedResponse, UpgradableResponse, UpgradeContext,
} from '../http/uws.ts'

/** The routes of requests that are answered by HTTP. */
export type RouteName = Exclude<keyof RequestHandlers, 'upgrade'>

/** What came with the call. */
interface Came {
  readonly response: StreamedResponse | UpgradableResponse
  readonly request: HttpRequest
  /** Gives it to whoever answers it in the end. */
  readonly answer: (
    handlers: RequestHandlers, response: HttpResponse, request: HttpRequest) => void
  readonly holder: Holder
}

/** Who keeps requests on hold. */
export interface Holder {
  /** What bodies take is counted there. */
  readonly pool: ClientBytes
  /** The client has gone away before it was given to anybody. */
  gone(held: HeldRequest): void
}

type OnData = (chunk: ArrayBuffer, isLast: boolean) => void

/** A request on hold. Of a large body the rest is not read until it is. */
export class HeldRequest implements HttpRequest {
  readonly #response: StreamedResponse | UpgradableResponse
  readonly #answer: Came['answer']
  readonly #headers = new Map<string, string>()
  readonly #parameter: string | undefined
  readonly #url: string
  readonly #query: string
  readonly #method: string
  readonly #held: GrowingBytes
  #isWhole = false
  #isPaused = false
  #isGone = false
  #onWhole: (() => void) | undefined
  #onArrived: (() => void) | undefined
  #bytesMax = HELD_BODY_BYTES_MAX

  private constructor({ answer, holder, request, response }: Came) {
    this.#response = response
    this.#answer = answer
    this.#held = new GrowingBytes(holder.pool)
    request.forEach((name, value) => this.#headers.set(name, value))
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

  /** A request of a route. */
  static hold(
    route: RouteName, response: StreamedResponse, request: HttpRequest, holder: Holder,
  ): HeldRequest {
    const held = new HeldRequest({
      response, request, holder,
      answer: (handlers, to, from) => handlers[route](to as StreamedResponse, from),
    })
    response.onData((chunk, isLast) => held.#take(response, chunk, isLast))
    return held
  }

  /** The same for a request to open a socket. */
  static holdUpgrade(
    response: UpgradableResponse, request: HttpRequest, context: UpgradeContext, holder: Holder,
  ): HeldRequest {
    return new HeldRequest({
      response, request, holder,
      // The next tier's route cannot be asked any more.
      answer: (handlers, to, from) => to.cork(() => {
        if (handlers.upgrade(to as UpgradableResponse, from, context, 0)) return
        new Exchange(to, false).denied(0, unavailable('overloaded'))
      }),
    })
  }

  /** The client has gone away. */
  get isGone(): boolean {
    return this.#isGone
  }

  /** The body, as far as it is held; valid until it is given to somebody. */
  get body(): Buffer {
    return this.#held.bytes
  }

  get response(): HttpResponse {
    return this.#response
  }

  /** Some of its body is not read before it is given to somebody. */
  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Calls back when the rest of the body has come to whom it was given. */
  onArrived(then: () => void): void {
    this.#onArrived = then
  }

  get headers(): ReadonlyMap<string, string> {
    return this.#headers
  }

  /** Path and query. */
  get target(): string {
    return this.#query === '' ? this.#url : `${this.#url}?${this.#query}`
  }

  /** Calls back, at once or later, with whether the whole body is held or is too large for that. */
  whole(bytesMax: number, then: (isWhole: boolean) => void): void {
    this.#bytesMax = bytesMax
    this.#onWhole = () => {
      this.#onWhole = undefined
      then(this.#isWhole)
    }
    if (this.#isWhole || this.#isPaused || this.#held.length > bytesMax) this.#onWhole()
  }

  /** Its body is not needed any more. */
  release(): void {
    this.#held.release()
  }

  /** Lets these answer it; no-op if the client has gone. */
  give(handlers: RequestHandlers): void {
    if (this.#isGone) return
    this.#answer(handlers, this.#asResponse(), this)
    // Who did not ask for the body has answered without it.
    this.#held.release()
    if (!this.#isPaused || this.#isGone) return
    this.#isPaused = false
    const { resume } = this.#response as StreamedResponse
    resume.call(this.#response)
  }

  // --- as a request ---

  getHeader(name: string | Ascii): string {
    return this.#headers.get(typeof name === 'string' ? name : Buffer.from(name).toString()) ?? ''
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

  /** It has left its route. */
  setYield(): void {}

  // --- inside ---

  #take(response: StreamedResponse, chunk: ArrayBuffer, isLast: boolean): void {
    const bytes = new Uint8Array(chunk)
    const isHeld = this.#held.append(bytes)
    // It has come already; but no more is read.
    if (!isHeld) this.#held.appendAnyway(bytes)
    this.#isWhole = isLast
    const isToPause = !isHeld || this.#held.length > this.#bytesMax
    if (isToPause && !isLast && !this.#isPaused) {
      this.#isPaused = true
      response.pause()
    }
    if (isLast || isToPause) this.#onWhole?.()
  }

  /** The library's own, but for the body, of which some has come already. */
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
