// Finds the end and the status of each HTTP/1.1 response on a connection, in whatever pieces it
// arrives. Parses nothing else: the load generator must cost less than what it measures.

/** Limit of a response's head, status line included. */
const HEAD_BYTES_MAX = 16 * 1024
const HEAD_END = Buffer.from('\r\n\r\n')
const STATUS_LINE = /^HTTP\/1\.[01] (\d{3})(?: |\r\n)/
const CONTENT_LENGTH = /\r\ncontent-length: *(\d{1,15}) *\r\n/i
const CLOSES = /\r\n(?:connection: *close|transfer-encoding:)/i

/** Receives the responses as they end. */
export interface ResponseSink {
  onResponse(status: number): void
}

/** One connection's parser. */
export class ResponseParser {
  readonly #sink: ResponseSink
  /** The start of a head that has not arrived completely. */
  #head: Buffer | undefined
  #status = 0
  #bodyBytesLeft = 0
  /** The last head, since most servers send the same one again and again. */
  #knownHead = Buffer.alloc(0)
  #knownStatus = 0
  #knownBodyBytes = 0

  constructor(sink: ResponseSink) {
    this.#sink = sink
  }

  /**
   * Parses the next `length` bytes of the connection; the buffer may be reused afterwards. Returns
   * why the connection cannot be used any more, or undefined.
   */
  take(bytes: Buffer, length: number): string | undefined {
    let at = 0
    while (at < length) {
      if (this.#bodyBytesLeft > 0) {
        const taken = Math.min(this.#bodyBytesLeft, length - at)
        at += taken
        this.#bodyBytesLeft -= taken
        if (this.#bodyBytesLeft === 0) this.#sink.onResponse(this.#status)
        continue
      }
      const next = this.#head === undefined
        ? this.#takeKnownHead(bytes, at, length) ?? this.#takeHead(bytes, at, length)
        : this.#takeRestOfHead(bytes, at, length)
      if (typeof next === 'string') return next
      at = next
    }
    return undefined
  }

  /** The offset after the head if it equals the last one, without parsing it. */
  #takeKnownHead(bytes: Buffer, at: number, length: number): number | undefined {
    const known = this.#knownHead
    const end = at + known.length
    if (known.length === 0 || end > length) return undefined
    if (bytes.compare(known, 0, known.length, at, end) !== 0) return undefined
    this.#begin(this.#knownStatus, this.#knownBodyBytes)
    return end
  }

  #takeHead(bytes: Buffer, at: number, length: number): number | string {
    const found = bytes.subarray(at, length).indexOf(HEAD_END)
    if (found !== -1) {
      const end = at + found + HEAD_END.length
      return this.#read(bytes.subarray(at, end)) ?? end
    }
    if (length - at > HEAD_BYTES_MAX) return 'a response head is too long'
    this.#head = Buffer.from(bytes.subarray(at, length))
    return length
  }

  #takeRestOfHead(bytes: Buffer, at: number, length: number): number | string {
    const before = this.#head?.length ?? 0
    const joined = Buffer.concat([this.#head ?? HEAD_END, bytes.subarray(at, length)])
    this.#head = undefined
    const end = this.#takeHead(joined, 0, joined.length)
    return typeof end === 'string' ? end : at + end - before
  }

  /** Parses a complete head; returns what is wrong with it. */
  #read(head: Buffer): string | undefined {
    const text = head.toString('latin1')
    const status = STATUS_LINE.exec(text)
    if (status === null) return 'not a response of HTTP/1.1'
    const length = CONTENT_LENGTH.exec(text)
    if (CLOSES.test(text)) return `a response with ${status[1]} that ends the connection`
    if (length === null) return `a response with ${status[1]} and no Content-Length`
    this.#knownHead = Buffer.from(head)
    this.#knownStatus = Number(status[1])
    this.#knownBodyBytes = Number(length[1])
    this.#begin(this.#knownStatus, this.#knownBodyBytes)
    return undefined
  }

  #begin(status: number, bodyBytes: number): void {
    this.#status = status
    this.#bodyBytesLeft = bodyBytes
    if (bodyBytes === 0) this.#sink.onResponse(status)
  }
}
