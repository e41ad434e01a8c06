// A request of which it is decided later who answers it: the library's own request is gone with the
// call in which it came, so what it says is kept, and what comes of its body.

import { HELD_BODY_BYTES_MAX } from '../../shards/limits.ts'
import type { RequestHandlers } from './server.ts'
import type {
  Ascii, HttpRequest, HttpResponse, StreamedResponse, UpgradableResponse, UpgradeContext,
} from './uws.ts'

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
  /** The client has gone away before it was given to anybody. */
  gone(held: HeldRequest): void
  /** So much more of a body is held. */
  grew(bytes: number): void
}

type OnData = (chunk: ArrayBuffer, isLast: boolean) => void

/** A request on hold. Of a large body the rest is not read until it is. */
export class HeldRequest implements HttpRequest {
  readonly #response: StreamedResponse | UpgradableResponse
  readonly #answer: Came['answer']
  readonly #holder: Holder
  readonly #headers = new Map<string, string>()
  readonly #parameter: string | undefined
  readonly #url: string
  readonly #query: string
  readonly #method: string
  #chunks: ArrayBuffer[] = []
  #bytes = 0
  #isWhole = false
  #isPaused = false
  #isGone = false
  #onWhole: (() => void) | undefined
  #bytesMax = HELD_BODY_BYTES_MAX

  private constructor({ answer, holder, request, response }: Came) {
    this.#response = response
    this.#answer = answer
    this.#holder = holder
    request.forEach((name, value) => this.#headers.set(name, value))
    this.#parameter = request.getParameter(0)
    this.#url = request.getUrl()
    this.#query = request.getQuery()
    this.#method = request.getMethod()
    response.onAborted(() => {
      this.#isGone = true
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
      answer: (handlers, to, from) => to.cork(() =>
        handlers.upgrade(to as UpgradableResponse, from, context)),
    })
  }

  /** Bytes of the body that are held. */
  get heldBytes(): number {
    return this.#bytes
  }

  /** The client has gone away. */
  get isGone(): boolean {
    return this.#isGone
  }

  /** The body, as far as it is held. */
  get body(): Buffer {
    return Buffer.concat(this.#chunks.map((chunk) => Buffer.from(chunk)))
  }

  get response(): HttpResponse {
    return this.#response
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
    if (this.#isWhole || this.#bytes > bytesMax) this.#onWhole()
  }

  /** Lets these answer it; no-op if the client has gone. */
  give(handlers: RequestHandlers): void {
    if (this.#isGone) return
    this.#answer(handlers, this.#asResponse(), this)
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

  // --- inside ---

  #take(response: StreamedResponse, chunk: ArrayBuffer, isLast: boolean): void {
    if (chunk.byteLength > 0) this.#chunks.push(chunk.slice(0))
    this.#bytes += chunk.byteLength
    this.#holder.grew(chunk.byteLength)
    this.#isWhole = isLast
    const isTooLarge = this.#bytes > this.#bytesMax
    if (isTooLarge && !isLast && !this.#isPaused) {
      this.#isPaused = true
      response.pause()
    }
    if (isLast || isTooLarge) this.#onWhole?.()
  }

  /** The library's own, but for the body, of which some has come already. */
  #asResponse(): HttpResponse {
    const response = this.#response
    const onData = (handler: OnData): HttpResponse => {
      const chunks = this.#chunks
      this.#chunks = []
      this.#bytes = 0
      if (!this.#isWhole) response.onData(handler)
      for (const [at, chunk] of chunks.entries()) {
        handler(chunk, this.#isWhole && at === chunks.length - 1)
      }
      if (this.#isWhole && chunks.length === 0) handler(new ArrayBuffer(0), true)
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
