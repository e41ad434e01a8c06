// Requests that outlive the thread which sent them: a shard's old thread keeps its sockets until
// the last of them has ended, and relays what it hears to the new one, which sends its own itself.
// Thread: shard; one end of the port in each. Memory: none shared; a set of tokens at each end.
// Never: gives one token to two requests, or tells of a token that was aborted here: what the other
// side had said by then is not heard.
// Whoever relays may be relayed from, too: what its predecessor says passes on to its successor.

import { assert, unreachable } from '../base/assert.ts'
import type { FailureReason, ResponseHeaders } from '../signals/response.ts'
import type { Line, OutgoingRequest, Transport, TransportEvents } from './transport.ts'

/** One end of the channel between the two threads: a MessagePort, or what a test puts there. */
export interface RelayPort {
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void
  on(event: 'message' | 'close', listener: (message: object) => void): unknown
  close(): void
}

/** What the old thread says, after its baton. */
type Relayed =
  | { readonly kind: 'written' | 'returned'; readonly token: number }
  | { readonly kind: 'head'; readonly token: number; readonly status: number
      readonly headers: ResponseHeaders }
  | { readonly kind: 'end'; readonly token: number; readonly body: Uint8Array<ArrayBuffer>
      readonly truncated: boolean }
  | { readonly kind: 'failed'; readonly token: number; readonly reason: FailureReason
      readonly detail: string }

/** What the new thread says. */
interface Abort {
  readonly abort: number
}

const GONE = 'the thread that held the connection has ended'

/** A transport of its own, and the requests of the thread before. */
export class RelayedTransport implements Transport {
  readonly #own: Transport
  #events: TransportEvents | undefined
  #port: RelayPort | undefined
  /** Requests that the thread before has in flight for this one. */
  readonly #tokens = new Set<number>()
  #onRelieved: () => void = () => {}

  constructor(own: Transport) {
    this.#own = own
  }

  start(events: TransportEvents): void {
    this.#events = events
    this.#own.start({
      free: (to) => this.#events?.free(to),
      unreachable: (to, reason, detail) => this.#events?.unreachable(to, reason, detail),
      written: (token) => this.#events?.written(token),
      returned: (token) => this.#events?.returned(token),
      head: (token, status, headers) => this.#events?.head(token, status, headers),
      end: (token, body, truncated) => this.#events?.end(token, body, truncated),
      failed: (token, reason, detail) => this.#events?.failed(token, reason, detail),
    })
  }

  lineTo(to: number): Line {
    return this.#own.lineTo(to)
  }

  connect(to: number, origin: string, count: number, timeoutMs: number, account: number): void {
    this.#own.connect(to, origin, count, timeoutMs, account)
  }

  send(token: number, to: number, request: OutgoingRequest): void {
    assert(!this.#tokens.has(token), 'the token is in flight in the thread before')
    this.#own.send(token, to, request)
  }

  abort(token: number): void {
    if (!this.#tokens.has(token)) return this.#own.abort(token)
    const message: Abort = { abort: token }
    this.#port?.postMessage(message)
    this.#settle(token)
  }

  forget(to: number): void {
    this.#own.forget(to)
  }

  /** Also lets the thread before give up what it has in flight. */
  async close(): Promise<void> {
    this.#tokens.clear()
    this.#port?.close()
    await this.#own.close()
  }

  /**
   * These tokens' requests are with the thread at the other end of the port; should that end, they
   * have failed. To be called once, before anything is sent. @param relieved none is left.
   */
  receiveFrom(port: RelayPort, tokens: Iterable<number>, relieved: () => void): void {
    assert(this.#port === undefined, 'there is only one thread before')
    this.#port = port
    this.#onRelieved = relieved
    for (const token of tokens) this.#tokens.add(token)
    port.on('message', (message) => this.#hear(message as Relayed))
    port.on('close', () => {
      for (const token of this.#tokens) {
        this.#settle(token)
        this.#events?.failed(token, 'connection_error', GONE)
      }
    })
    if (this.#tokens.size === 0) relieved()
  }

  /**
   * From now on everything is told to the thread at the other end of the port, and nobody here.
   * @param tokens what is in flight. @returns a relay that says when it is over.
   */
  relayTo(port: RelayPort, tokens: Iterable<number>): Relay {
    const relay = new Relay(port, this, tokens)
    this.#events = relay
    return relay
  }

  #hear(message: Relayed): void {
    const { token } = message
    if (!this.#tokens.has(token)) return
    switch (message.kind) {
      case 'written': return this.#events?.written(token)
      case 'returned':
        this.#settle(token)
        return this.#events?.returned(token)
      case 'head': return this.#events?.head(token, message.status, message.headers)
      case 'end':
        this.#settle(token)
        return this.#events?.end(token, message.body, message.truncated)
      case 'failed':
        this.#settle(token)
        return this.#events?.failed(token, message.reason, message.detail)
      default: unreachable(message)
    }
  }

  #settle(token: number): void {
    this.#tokens.delete(token)
    if (this.#tokens.size === 0) this.#onRelieved()
  }
}

/** The old thread's end: passes on what becomes of its requests. */
class Relay implements TransportEvents {
  /** Resolves when no request is left, or nobody listens any more. */
  readonly over: Promise<void>
  readonly #port: RelayPort
  readonly #transport: Transport
  readonly #tokens: Set<number>
  readonly #end: () => void

  constructor(port: RelayPort, transport: Transport, tokens: Iterable<number>) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.over = promise
    this.#end = resolve
    this.#port = port
    this.#transport = transport
    this.#tokens = new Set(tokens)
    port.on('message', (message) => {
      const { abort: token } = message as Abort
      if (!this.#tokens.has(token)) return // its end was under way
      this.#transport.abort(token)
      this.#settle(token)
    })
    port.on('close', () => resolve())
    if (this.#tokens.size === 0) resolve()
  }

  free(): void {} // nothing more is sent from here

  unreachable(): void {}

  written(token: number): void {
    this.#tell({ kind: 'written', token })
  }

  returned(token: number): void {
    this.#tell({ kind: 'returned', token })
    this.#settle(token)
  }

  head(token: number, status: number, headers: ResponseHeaders): void {
    this.#tell({ kind: 'head', token, status, headers })
  }

  end(token: number, body: Uint8Array, truncated: boolean): void {
    const copy = Uint8Array.from(body) // it may be a part of something larger
    this.#tell({ kind: 'end', token, body: copy, truncated }, [copy.buffer])
    this.#settle(token)
  }

  failed(token: number, reason: FailureReason, detail: string): void {
    this.#tell({ kind: 'failed', token, reason, detail })
    this.#settle(token)
  }

  #tell(message: Relayed, transfer: readonly ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer)
  }

  #settle(token: number): void {
    this.#tokens.delete(token)
    if (this.#tokens.size === 0) this.#end()
  }
}
