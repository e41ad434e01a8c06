// Requests that outlive the thread that sent them: a shard's predecessor keeps its sockets until
// their requests have ended, and relays their events to the successor, which sends new requests
// itself.
// Thread: shard; one end of the port in each. Memory: none shared; a set of attempts at each end.
// Never: gives one attempt to two requests, or reports an attempt that was aborted here: events
// that the other side sent before are ignored. Relays may be chained: the events of a thread's
// predecessor are relayed to its own successor.

import { assert, unreachable } from '../base/assert.ts'
import type { FailureReason, ResponseHeaders } from '../signals/response.ts'
import type { Line, OutgoingRequest, Transport, TransportEvents } from './transport.ts'

/** One end of the channel between the two threads: a MessagePort, or a test's double. */
export interface RelayPort {
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void
  on(event: 'message' | 'close', listener: (message: object) => void): unknown
  close(): void
}

/** The predecessor's messages after its baton. */
type Relayed =
  | { readonly kind: 'written' | 'returned'; readonly attemptId: number }
  | { readonly kind: 'head'; readonly attemptId: number; readonly status: number
      readonly headers: ResponseHeaders }
  | { readonly kind: 'end'; readonly attemptId: number; readonly body: Uint8Array<ArrayBuffer>
      readonly truncated: boolean }
  | { readonly kind: 'failed'; readonly attemptId: number; readonly reason: FailureReason
      readonly detail: string }

/** The successor's message. */
interface Abort {
  readonly abort: number
}

const GONE = 'the thread that held the connection has ended'

/** A shard's own transport, combined with the requests of its predecessor. */
export class RelayedTransport implements Transport {
  readonly #own: Transport
  #events: TransportEvents | undefined
  #port: RelayPort | undefined
  /** Attempts that the predecessor has in flight for this thread. */
  readonly #attemptIds = new Set<number>()
  #onRelayEnded: () => void = () => {}

  constructor(own: Transport) {
    this.#own = own
  }

  start(events: TransportEvents): void {
    this.#events = events
    this.#own.start({
      free: (to) => this.#events?.free(to),
      unreachable: (to, reason, detail) => this.#events?.unreachable(to, reason, detail),
      written: (attemptId) => this.#events?.written(attemptId),
      returned: (attemptId) => this.#events?.returned(attemptId),
      head: (attemptId, status, headers) => this.#events?.head(attemptId, status, headers),
      end: (attemptId, body, truncated) => this.#events?.end(attemptId, body, truncated),
      failed: (attemptId, reason, detail) => this.#events?.failed(attemptId, reason, detail),
    })
  }

  lineTo(to: number): Line {
    return this.#own.lineTo(to)
  }

  connect(to: number, origin: string, count: number, timeoutMs: number, account: number): void {
    this.#own.connect(to, origin, count, timeoutMs, account)
  }

  send(attemptId: number, to: number, request: OutgoingRequest): void {
    assert(!this.#attemptIds.has(attemptId), 'the attempt is in flight in the thread before')
    this.#own.send(attemptId, to, request)
  }

  abort(attemptId: number): void {
    if (!this.#attemptIds.has(attemptId)) return this.#own.abort(attemptId)
    const message: Abort = { abort: attemptId }
    this.#port?.postMessage(message)
    this.#settle(attemptId)
  }

  forget(to: number): void {
    this.#own.forget(to)
  }

  forgetAll(): void {
    this.#own.forgetAll()
  }

  /** Also makes the predecessor drop what it has in flight. */
  async close(): Promise<void> {
    this.#attemptIds.clear()
    this.#port?.close()
    await this.#own.close()
  }

  /**
   * Receives the events of attempts that the thread at the other end of the port has in flight. If
   * that thread ends, they fail. To be called once, before anything is sent.
   * @param ended called when none is left.
   */
  receiveFrom(port: RelayPort, attemptIds: Iterable<number>, ended: () => void): void {
    assert(this.#port === undefined, 'there is only one predecessor')
    this.#port = port
    this.#onRelayEnded = ended
    for (const attemptId of attemptIds) this.#attemptIds.add(attemptId)
    port.on('message', (message) => this.#receive(message as Relayed))
    port.on('close', () => {
      for (const attemptId of this.#attemptIds) {
        this.#settle(attemptId)
        this.#events?.failed(attemptId, 'connection_error', GONE)
      }
    })
    if (this.#attemptIds.size === 0) ended()
  }

  /**
   * From now on all events go to the thread at the other end of the port instead of to this one.
   * Idle connections are closed at once: they were opened under this thread's settings, which say
   * where requests may go.
   * @param attemptIds the attempts in flight. @returns a relay, which resolves when it is over.
   */
  relayTo(port: RelayPort, attemptIds: Iterable<number>): Relay {
    const relay = new Relay(port, this, attemptIds)
    this.#events = relay
    this.#own.forgetAll()
    return relay
  }

  #receive(message: Relayed): void {
    const { attemptId } = message
    if (!this.#attemptIds.has(attemptId)) return
    switch (message.kind) {
      case 'written': return this.#events?.written(attemptId)
      case 'returned':
        this.#settle(attemptId)
        return this.#events?.returned(attemptId)
      case 'head': return this.#events?.head(attemptId, message.status, message.headers)
      case 'end':
        this.#settle(attemptId)
        return this.#events?.end(attemptId, message.body, message.truncated)
      case 'failed':
        this.#settle(attemptId)
        return this.#events?.failed(attemptId, message.reason, message.detail)
      default: unreachable(message)
    }
  }

  #settle(attemptId: number): void {
    this.#attemptIds.delete(attemptId)
    if (this.#attemptIds.size === 0) this.#onRelayEnded()
  }
}

/** The predecessor's end: relays the events of its requests. */
class Relay implements TransportEvents {
  /** Resolves when no request is left, or the successor has closed the port. */
  readonly over: Promise<void>
  readonly #port: RelayPort
  readonly #transport: Transport
  readonly #attemptIds: Set<number>
  readonly #end: () => void

  constructor(port: RelayPort, transport: Transport, attemptIds: Iterable<number>) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.over = promise
    this.#end = resolve
    this.#port = port
    this.#transport = transport
    this.#attemptIds = new Set(attemptIds)
    port.on('message', (message) => {
      const { abort: attemptId } = message as Abort
      if (!this.#attemptIds.has(attemptId)) return // its last event was already sent
      this.#transport.abort(attemptId)
      this.#settle(attemptId)
    })
    port.on('close', () => resolve())
    if (this.#attemptIds.size === 0) resolve()
  }

  free(): void {} // nothing more is sent from here

  unreachable(): void {}

  written(attemptId: number): void {
    this.#post({ kind: 'written', attemptId })
  }

  returned(attemptId: number): void {
    this.#post({ kind: 'returned', attemptId })
    this.#settle(attemptId)
  }

  head(attemptId: number, status: number, headers: ResponseHeaders): void {
    this.#post({ kind: 'head', attemptId, status, headers })
  }

  end(attemptId: number, body: Uint8Array, truncated: boolean): void {
    const copy = Uint8Array.from(body) // it may be a view of a larger buffer
    this.#post({ kind: 'end', attemptId, body: copy, truncated }, [copy.buffer])
    this.#settle(attemptId)
  }

  failed(attemptId: number, reason: FailureReason, detail: string): void {
    this.#post({ kind: 'failed', attemptId, reason, detail })
    this.#settle(attemptId)
  }

  #post(message: Relayed, transfer: readonly ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer)
  }

  #settle(attemptId: number): void {
    this.#attemptIds.delete(attemptId)
    if (this.#attemptIds.size === 0) this.#end()
  }
}
