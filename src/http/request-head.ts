// The headers of a request, in one pass over all: the values that are used, and whether they define
// the end of the request unambiguously. If not, a proxy in front may split the same bytes into
// other requests (RFC 9112, 11.2). docs/REVERSE-PROXY.md says what the library does not expose.

import { ACCOUNT_QUEUE_HEADERS } from '../../shards/signals/pace-headers.ts'
import { PEER_HEADER } from '../access/peer-proof.ts'
import type { Presented } from '../access/presented.ts'
import { Exchange } from './exchange.ts'
import type { HttpRequest, HttpResponse } from './uws.ts'

const ACCOUNT_QUEUES: readonly string[] = ACCOUNT_QUEUE_HEADERS

/** The headers of the last read request; of a repeated header, the first value. */
export class RequestHead implements Presented {
  host = ''
  origin = ''
  sluiceKey = ''
  authorization = ''
  apiKey = ''
  peer = ''
  isAmbiguous = false
  accept = ''
  contentLength = ''
  contentType = ''
  idempotencyKey = ''
  /** There is a header that concerns account queues. */
  hasAccountQueue = false
  #lengths = 0
  #hosts = 0
  #codings = 0
  #coding = ''

  /** Reads the headers; returns a description of the framing fault, undefined for none. */
  read(request: HttpRequest): string | undefined {
    this.accept = this.contentLength = this.contentType = this.idempotencyKey = ''
    this.host = this.origin = this.sluiceKey = this.authorization = this.apiKey = ''
    this.peer = ''
    this.isAmbiguous = false
    this.hasAccountQueue = false
    this.#lengths = this.#hosts = this.#codings = 0
    this.#coding = ''
    request.forEach(this.#take)
    const isUsual = this.#hosts === 1 && this.host !== '' && this.#codings === 0 &&
      this.#lengths <= 1
    return isUsual ? undefined : this.#fault()
  }

  readonly #take = (name: string, value: string): void => {
    switch (name) {
      case 'host':
        this.#hosts++
        this.host ||= value
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
      case 'authorization':
        this.isAmbiguous ||= this.authorization !== '' && this.authorization !== value
        this.authorization ||= value
        return
      case 'origin':
        this.origin ||= value
        return
      case 'x-sluice-key':
        this.isAmbiguous ||= this.sluiceKey !== '' && this.sluiceKey !== value
        this.sluiceKey ||= value
        return
      case PEER_HEADER:
        this.peer ||= value
        return
      case 'x-api-key':
        this.isAmbiguous ||= this.apiKey !== '' && this.apiKey !== value
        this.apiKey ||= value
        return
      case 'transfer-encoding':
        this.#codings++
        this.#coding = value
        return
      default:
        // Nearly all names begin otherwise, so the list is rarely searched.
        if (name.startsWith('x-')) this.hasAccountQueue ||= ACCOUNT_QUEUES.includes(name)
    }
  }

  #fault(): string | undefined {
    if (this.#hosts !== 1 || this.host === '') return 'Host is not given once'
    if (this.#lengths > 1) return 'Content-Length is given more than once'
    if (this.#codings > 1 || this.#coding.toLowerCase() !== 'chunked') {
      return 'Transfer-Encoding is not just chunked'
    }
    return this.#lengths > 0 ? 'Content-Length and Transfer-Encoding are both given' : undefined
  }
}

/**
 * The end of such a request is ambiguous, so the connection is closed. The answer is sent in the
 * next iteration of the event loop: the library keeps reading behind an answer, even one that
 * closes the connection, but closes at once where a request follows one that is not answered.
 */
export function refuseFraming(response: HttpResponse, fault: string): void {
  const exchange = new Exchange(response, false)
  setImmediate(() => exchange.sendError('invalid_framing', fault, undefined, { close: true }))
}
