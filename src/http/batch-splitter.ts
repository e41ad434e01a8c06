// Splits the body of a batch into jobs as it arrives: one on each line, or the elements of one
// array. Finds only where a job ends; its content is not validated here.

import { type ClientBytes, GrowingBytes } from '../base/client-bytes.ts'

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const BLANK = 0x20
const TAB = 0x09
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const BRACKET_OPEN = 0x5b
const BRACKET_CLOSE = 0x5d
const BRACE_OPEN = 0x7b
const BRACE_CLOSE = 0x7d

const TYPES = new Set([
  '', 'application/json', 'application/x-ndjson', 'application/ndjson', 'application/jsonl',
])

/** Whether a Content-Type may be that of a batch. */
export const isBatchType = (contentType: string): boolean =>
  TYPES.has((contentType.split(';')[0] ?? '').trim().toLowerCase())

/** A result of next(). */
export type Piece =
  /** The bytes of one job, without surrounding blanks. */
  | { readonly kind: 'job'; readonly bytes: Buffer }
  /** A job that exceeds the limit; its bytes are not kept. */
  | { readonly kind: 'too long' }
  /** The array was not closed, or something follows it; no more pieces come. */
  | { readonly kind: 'broken' }

const TOO_LONG: Piece = { kind: 'too long' }
const BROKEN: Piece = { kind: 'broken' }

/** Splits one body. */
export class BatchSplitter {
  readonly #jobBytesMax: number
  #mode: 'start' | 'lines' | 'array' | 'behind' | 'over' = 'start'
  readonly #held: GrowingBytes
  /** The bytes in #held. */
  #bytes: Buffer
  /** The start of the current job, and the scan position. */
  #from = 0
  #at = 0
  #isEnded = false
  /** The current job exceeds the limit already. */
  #isSkipping = false
  // State inside an element of an array.
  #depth = 0
  #isText = false
  #isEscaped = false
  #elements = 0

  /** @param pool counts the bytes that are kept until more arrive. */
  constructor(jobBytesMax: number, pool: ClientBytes) {
    this.#jobBytesMax = jobBytesMax
    this.#held = new GrowingBytes(pool)
    this.#bytes = this.#held.bytes
  }

  /** Bytes that are kept until more arrive. */
  get keptBytes(): number {
    return this.#bytes.length - this.#from
  }

  /** The size of their buffer. */
  get heldBytes(): number {
    return this.#held.heldBytes
  }

  /** Whether next() has returned everything and the body has ended. */
  get isDone(): boolean {
    return this.#mode === 'over' ||
      (this.#isEnded && this.#mode !== 'lines' && this.#at === this.#bytes.length)
  }

  /** Appends a part of the body; the chunk is copied. False when the pool has no room for it. */
  push(chunk: Uint8Array): boolean {
    this.#held.drop(this.#from)
    this.#at -= this.#from
    this.#from = 0
    const isHeld = this.#held.append(chunk)
    this.#bytes = this.#held.bytes
    return isHeld
  }

  /** Call it when next() has returned all it can: shrinks the buffer to what is left. */
  shrink(): void {
    this.#held.drop(this.#from)
    this.#held.shrink()
    this.#at -= this.#from
    this.#from = 0
    this.#bytes = this.#held.bytes
  }

  /** Drops everything; next() must not be called any more. */
  release(): void {
    this.#held.release()
    this.#bytes = this.#held.bytes
    this.#from = this.#at = 0
  }

  /** The body is complete. */
  end(): void {
    this.#isEnded = true
  }

  /** The next job; undefined when it is incomplete, or when all have been returned. */
  next(): Piece | undefined {
    if (this.#mode === 'start') this.#start()
    switch (this.#mode) {
      case 'lines': return this.#nextLine()
      case 'array': return this.#nextElement()
      case 'behind': return this.#behind()
      default: return undefined
    }
  }

  /** The first non-blank byte tells lines from an array. */
  #start(): void {
    this.#skipBlanks()
    if (this.#at === this.#bytes.length) return
    const isArray = this.#bytes[this.#at] === BRACKET_OPEN
    this.#mode = isArray ? 'array' : 'lines'
    if (isArray) this.#from = ++this.#at
  }

  #nextLine(): Piece | undefined {
    for (;;) {
      const end = this.#bytes.indexOf(LINE_FEED, this.#at)
      const isWhole = end >= 0 || this.#isEnded
      this.#at = end < 0 ? this.#bytes.length : end
      const piece = this.#cut(isWhole)
      if (end < 0) {
        if (isWhole) this.#mode = 'over'
        return piece
      }
      this.#from = ++this.#at
      if (piece !== undefined) return piece
    }
  }

  #nextElement(): Piece | undefined {
    const bytes = this.#bytes
    for (; this.#at < bytes.length; this.#at++) {
      const byte = bytes[this.#at] as number
      if (this.#isText) this.#passText(byte)
      else if (byte === QUOTE) this.#isText = true
      else if (byte === BRACKET_OPEN || byte === BRACE_OPEN) this.#depth++
      else if (this.#depth > 0) {
        if (byte === BRACKET_CLOSE || byte === BRACE_CLOSE) this.#depth--
      } else if (byte === COMMA || byte === BRACKET_CLOSE) {
        return this.#element(byte === BRACKET_CLOSE)
      }
    }
    if (this.#isEnded) {
      this.#mode = 'over'
      return BROKEN
    }
    return this.#cut(false)
  }

  #passText(byte: number): void {
    if (this.#isEscaped) this.#isEscaped = false
    else if (byte === BACKSLASH) this.#isEscaped = true
    else if (byte === QUOTE) this.#isText = false
  }

  /** At an element's end. An empty element is passed on, to be refused, except in `[]`. */
  #element(isLast: boolean): Piece | undefined {
    const piece = this.#cut(true)
    this.#from = ++this.#at
    if (isLast) this.#mode = 'behind'
    if (piece === undefined && isLast && this.#elements === 0) return this.#behind()
    this.#elements++
    return piece ?? { kind: 'job', bytes: Buffer.alloc(0) }
  }

  #behind(): Piece | undefined {
    this.#skipBlanks()
    this.#from = this.#at
    if (this.#at === this.#bytes.length) return undefined
    this.#mode = 'over'
    this.#from = this.#bytes.length
    return BROKEN
  }

  /** The bytes between #from and #at, if they are a complete job; drops those over the limit. */
  #cut(isWhole: boolean): Piece | undefined {
    const isLong = this.#isSkipping || this.#at - this.#from > this.#jobBytesMax
    if (!isWhole) {
      if (isLong) {
        this.#isSkipping = true
        this.#from = this.#at
      }
      return undefined
    }
    this.#isSkipping = false
    if (isLong) return TOO_LONG
    let from = this.#from
    let to = this.#at
    while (from < to && isBlank(this.#bytes[from])) from++
    while (to > from && isBlank(this.#bytes[to - 1])) to--
    return from === to ? undefined : { kind: 'job', bytes: this.#bytes.subarray(from, to) }
  }

  #skipBlanks(): void {
    while (this.#at < this.#bytes.length && isBlank(this.#bytes[this.#at])) this.#at++
  }
}

const isBlank = (byte: number | undefined): boolean =>
  byte === BLANK || byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === TAB
