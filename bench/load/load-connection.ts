// One connection of the load generator: sends prepared requests, several at once if allowed, and
// reports their answers. Answers arrive in the order of the requests.

import { type Socket, connect } from 'node:net'
import { ResponseParser, type ResponseSink } from './response-parser.ts'

/** All connections read into this buffer; each read is parsed before the next one. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024)

/** The user of a connection. */
export interface ConnectionOwner {
  /** @param startedMs the argument of send() for this request. */
  onAnswer(connection: LoadConnection, status: number, startedMs: number): void
  /** All answers of one read have been reported: the time to send more, in one write. */
  onAnswersEnd(connection: LoadConnection): void
  /** @param lost number of requests that will have no answer. */
  onBroken(connection: LoadConnection, reason: string, lost: number): void
}

/** A connection with room for `depth` requests at once. */
export class LoadConnection implements ResponseSink {
  readonly #owner: ConnectionOwner
  readonly #socket: Socket
  readonly #parser: ResponseParser
  readonly #startedMs: Float64Array
  readonly #buffers: (Buffer | undefined)[][]
  #oldest = 0
  #outstanding = 0
  #closed = false

  private constructor(socket: Socket, owner: ConnectionOwner, depth: number) {
    this.#socket = socket
    this.#owner = owner
    this.#parser = new ResponseParser(this)
    this.#startedMs = new Float64Array(depth)
    this.#buffers = Array.from({ length: depth }, () => [])
  }

  /** Rejects when it cannot connect. */
  static open(
    address: { readonly host: string; readonly port: number }, owner: ConnectionOwner,
    depth: number,
  ): Promise<LoadConnection> {
    const { promise, resolve, reject } = Promise.withResolvers<LoadConnection>()
    let connection: LoadConnection | undefined
    const socket = connect({
      ...address, noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (length: number) => {
          connection?.take(length)
          return true
        },
      },
    })
    connection = new LoadConnection(socket, owner, depth)
    const opened = connection
    socket.once('connect', () => resolve(opened))
    socket.on('error', (error) => {
      reject(error)
      opened.end(error.message)
    })
    socket.on('close', () => opened.end('the server closed the connection'))
    return promise
  }

  /** Unanswered requests. */
  get outstanding(): number {
    return this.#outstanding
  }

  get hasRoom(): boolean {
    return !this.#closed && this.#outstanding < this.#startedMs.length
  }

  /**
   * A buffer for the next request of a pattern, copied from it on first use; it is reused once that
   * request is answered.
   */
  bytesFor(pattern: number, original: Buffer): Buffer {
    const place = this.#buffers[this.#next()] as (Buffer | undefined)[]
    return place[pattern] ??= Buffer.from(original)
  }

  /** Sends a buffer of bytesFor(). */
  send(bytes: Buffer, startedMs: number): void {
    this.#startedMs[this.#next()] = startedMs
    this.#outstanding += 1
    this.#socket.write(bytes)
  }

  /** Everything sent between cork() and uncork() is one write. */
  cork(): void {
    this.#socket.cork()
  }

  uncork(): void {
    this.#socket.uncork()
  }

  /** Parses what has just been read. */
  take(length: number): void {
    const broken = this.#parser.take(readBuffer, length)
    if (broken !== undefined) return this.end(broken)
    this.#owner.onAnswersEnd(this)
  }

  onResponse(status: number): void {
    // An answer without a request: the parser will report the protocol error.
    if (this.#outstanding === 0) return
    const startedMs = this.#startedMs[this.#oldest] as number
    this.#oldest = (this.#oldest + 1) % this.#startedMs.length
    this.#outstanding -= 1
    this.#owner.onAnswer(this, status, startedMs)
  }

  /** Closes it and notifies the owner, once. */
  end(reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket.destroy()
    this.#owner.onBroken(this, reason, this.#outstanding)
  }

  /** Closes it without notifying the owner. */
  close(): void {
    this.#closed = true
    this.#socket.destroy()
  }

  #next(): number {
    return (this.#oldest + this.#outstanding) % this.#startedMs.length
  }
}
