// The headers of a request, in one look at all: what is wanted of them, and whether they say where
// the request ends. A proxy in front may have read the same bytes as another number of
// requests (RFC 9112, 11.2). What the library hides is in docs/REVERSE-PROXY.md.

import { ACCOUNT_QUEUE_HEADERS } from '../../shards/signals/pace-headers.ts'
import { Exchange } from './exchange.ts'
import type { HttpRequest, HttpResponse } from './uws.ts'

const ACCOUNT_QUEUES: readonly string[] = ACCOUNT_QUEUE_HEADERS

/** The headers of the request that was read last; of those given twice, the first. */
export class RequestHead {
  accept = ''
  contentLength = ''
  contentType = ''
  idempotencyKey = ''
  /** There is a header that is about account queues. */
  hasAccountQueue = false
  #lengths = 0
  #hosts = 0
  #host = ''
  #codings = 0
  #coding = ''

  /** Reads them; the fault of the framing in words, undefined for none. */
  read(request: HttpRequest): string | undefined {
    this.accept = this.contentLength = this.contentType = this.idempotencyKey = ''
    this.hasAccountQueue = false
    this.#lengths = this.#hosts = this.#codings = 0
    this.#host = this.#coding = ''
    request.forEach(this.#take)
    const isUsual = this.#hosts === 1 && this.#host !== '' && this.#codings === 0 &&
      this.#lengths <= 1
    return isUsual ? undefined : this.#fault()
  }

  readonly #take = (name: string, value: string): void => {
    switch (name) {
      case 'host':
        this.#hosts++
        this.#host ||= value
        return
      case 'content-length':
        if (this.#lengths++ === 0) this.contentLength = value
        return
      case 'content-type':
        this.contentType ||= value
        return
      case 'accept':
        this.accept ||= value
        return
      case 'idempotency-key':
        this.idempotencyKey ||= value
        return
      case 'transfer-encoding':
        this.#codings++
        this.#coding = value
        return
      default:
        // Nearly all names begin otherwise.
        if (name.startsWith('x-')) this.hasAccountQueue ||= ACCOUNT_QUEUES.includes(name)
    }
  }

  #fault(): string | undefined {
    if (this.#hosts !== 1 || this.#host === '') return 'Host is not given once'
    if (this.#lengths > 1) return 'Content-Length is given more than once'
    if (this.#codings > 1 || this.#coding.toLowerCase() !== 'chunked') {
      return 'Transfer-Encoding is not just chunked'
    }
    return this.#lengths > 0 ? 'Content-Length and Transfer-Encoding are both given' : undefined
  }
}

/**
 * Nobody can say where such a request ends, so the connection does. The answer comes a turn later:
 * the library reads on behind an answer, even one that ends the connection, but closes at once
 * where another request follows one that is not answered.
 */
export function refuseFraming(response: HttpResponse, fault: string): void {
  const exchange = new Exchange(response, false)
  setImmediate(() => exchange.sendError('invalid_framing', fault, undefined, { close: true }))
}
