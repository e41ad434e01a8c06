// One request on its way: what undici tells of it, as the transport's listener hears it.
// Thread: shard. Memory: the response's body while it arrives.
// Never: opens or chooses a connection; it has one when it begins.
// Events after an attempt is settled are noise.

import type { Dispatcher } from 'undici'
import { assert } from '../base/assert.ts'
import { FAILURE_DETAIL_LENGTH_MAX } from '../memory/limits.ts'
import { INTERIM_RESPONSES_MAX } from '../memory/socket-limits.ts'
import type { FailureReason, ResponseHeaders } from '../signals/response.ts'
import { failureReason } from '../signals/verdict.ts'
import type { ClientConnection } from './client-connection.ts'
import type { OriginPool } from './origin-pool.ts'
import type { ReadScheduler, Reading, Reader } from './read-scheduler.ts'
import { ResponseBody } from './response-body.ts'
import type { BytesHeld, ResponseMemory, ResponseReader } from './response-memory.ts'
import type { OutgoingRequest, TransportEvents } from './transport.ts'

/** undici's hand on a request in flight. */
type Controller = Dispatcher.DispatchController

/** What the attempts of one transport share. */
export interface InFlight {
  /** By attempt. Not a Map, for the reason that fifo.ts gives against a Set. */
  readonly attempts: (WireAttempt | undefined)[]
  readonly memory: ResponseMemory
  readonly reads: ReadScheduler
  readonly events: TransportEvents
}

/** Where an attempt goes. */
export interface AttemptPath {
  readonly pool: OriginPool<ClientConnection>
  readonly held: BytesHeld
  readonly reading: Reading
  /** Its connections are not used again. */
  readonly isForgotten: boolean
  /** A response has come over one of the connections. */
  answered(): void
  /** A connection that was given a request had been lost before. */
  lostUnused(connection: ClientConnection): void
}

/** One attempt on its way: undici's handler of its request. */
export class WireAttempt implements Dispatcher.DispatchHandler, ResponseReader, Reader {
  readonly #attemptId: number
  readonly #path: AttemptPath
  readonly #inFlight: InFlight
  readonly #connection: ClientConnection
  readonly #body = new ResponseBody()
  #controller: Controller | undefined
  #interim = 0
  /** The upstream has said that it closes the connection behind this response. */
  #isLast = false
  /** Only the end of the connection says that the response is whole (RFC 9112, 6.3). */
  #isUntilEnd = false
  /** It waits for memory, or for its turn. */
  #paused = false
  #awaitsTurn = false
  /** The client is being handed the request: what fails now is told after `send` has returned. */
  #dispatching = true
  #written = false
  /** Its response has ended. */
  #isWhole = false
  /** It ended since the connection broke off. */
  #isCut = false
  #settled = false

  /** Begins it, on a connection that is free. */
  constructor(attemptId: number, request: OutgoingRequest, path: AttemptPath, inFlight: InFlight) {
    this.#attemptId = attemptId
    this.#path = path
    this.#inFlight = inFlight
    this.#connection = path.pool.take()
    inFlight.attempts[attemptId] = this
    this.#connection.begin(request, this)
    this.#dispatching = false
  }

  onRequestStart(): void {
    this.#written = true
  }

  /** Only now: between the start of the writing and its end the thread may have been held up. */
  onRequestSent(): void {
    if (this.#settled) return
    try {
      this.#inFlight.events.written(this.#attemptId)
    } catch (error) {
      surface(error)
    }
  }

  onResponseStart(controller: Controller, status: number, headers: ResponseHeaders): void {
    if (this.#settled) return
    if (status < 200) {
      if (++this.#interim <= INTERIM_RESPONSES_MAX) return
      return this.#fail('protocol_error', 'too many interim responses')
    }
    this.#controller = controller
    this.#isLast = headers['connection'] !== undefined && isClose(headers['connection'])
    const length = headers['content-length']
    this.#isUntilEnd = length === undefined && !isChunked(headers['transfer-encoding'])
    if (length !== undefined) this.#body.announce(Number(length))
    this.#path.answered()
    try {
      this.#inFlight.events.head(this.#attemptId, status, headers)
    } catch (error) {
      surface(error)
    }
  }

  onResponseData(_: unknown, chunk: Uint8Array): void {
    if (this.#settled) return
    const { memory, reads } = this.#inFlight
    const { held, reading } = this.#path
    const heldBefore = this.#body.heldBytes
    const whole = this.#body.append(chunk, memory.bytesMaxFrom(heldBefore))
    memory.add(held, this, this.#body.heldBytes - heldBefore)
    const isInTurn = reads.spend(reading, chunk.length)
    if (!whole) return this.#end(true)
    // At the end of its socket undici goes on with a response that is paused.
    if (this.#paused) return
    if (memory.mayGoOn(held, this)) {
      if (isInTurn) return
      reads.await(reading, this)
      this.#awaitsTurn = true
    }
    this.#paused = true
    this.#controller?.pause()
  }

  /** There is memory for more of the response. Not at once: undici's parser may be at work. */
  resume(): void {
    this.#paused = false
    queueMicrotask(() => {
      if (!this.#settled && !this.#paused) this.#controller?.resume()
    })
  }

  /** Its turn has come, in which nothing else is read. */
  goOn(): void {
    this.#awaitsTurn = false
    this.#paused = false
    this.#controller?.resume()
  }

  /** Not at once: only when it has returned does undici close what the upstream does not keep. */
  onResponseEnd(): void {
    if (this.#settled) return
    this.#isWhole = true
    this.#isCut = this.#isUntilEnd && this.#connection.isClosed && !this.#connection.isEnded
    process.nextTick(endOf, this)
  }

  /** What follows onResponseEnd(). */
  finish(): void {
    if (this.#settled) return
    if (this.#isCut) this.#fail('connection_error', 'the connection broke off in the response')
    else this.#end(false)
  }

  onResponseError(_: unknown, error: Error): void {
    if (this.#settled || this.#isWhole) return
    const reason = failureReason(error)
    if (this.#dispatching) {
      queueMicrotask(() => this.#fail(reason, error.message))
    } else if (reason !== 'request_refused' && !this.#written) {
      // The connection broke before anything of this request was on it: safe to send once more.
      this.#return()
    } else {
      this.#fail(reason, error.message)
    }
  }

  /** Ends the attempt without a word. */
  abort(): void {
    if (this.settle()) this.#path.pool.drop(this.#connection)
  }

  /** Makes the attempt a thing of the past; false when it was already. */
  settle(): boolean {
    if (this.#settled) return false
    this.#settled = true
    const { attempts, memory, reads } = this.#inFlight
    assert(attempts[this.#attemptId] === this, 'an unsettled attempt is not in flight')
    attempts[this.#attemptId] = undefined
    memory.settle(this.#path.held, this, this.#body.heldBytes)
    if (this.#awaitsTurn) reads.leave(this.#path.reading, this)
    return true
  }

  #return(): void {
    this.settle()
    try {
      this.#inFlight.events.returned(this.#attemptId)
    } catch (error) {
      surface(error)
    }
    this.#path.lostUnused(this.#connection)
  }

  /** Tells the failure, unless the attempt was aborted meanwhile. */
  #fail(reason: FailureReason, detail: string): void {
    if (!this.settle()) return
    // Others need not pay for what this caller asks.
    if (reason === 'request_refused' && !this.#written) this.#path.pool.release(this.#connection)
    else this.#path.pool.drop(this.#connection)
    try {
      const brief = detail.slice(0, FAILURE_DETAIL_LENGTH_MAX)
      this.#inFlight.events.failed(this.#attemptId, reason, brief)
    } catch (error) {
      surface(error)
    }
  }

  /** The connection is free before the listener hears of it: what it sends next may reuse it. */
  #end(truncated: boolean): void {
    this.settle()
    const connection = this.#connection
    const isOver = truncated || this.#isLast || connection.hasMoved || connection.isClosed ||
      this.#path.isForgotten
    if (isOver) this.#path.pool.drop(connection)
    else this.#path.pool.release(connection)
    try {
      this.#inFlight.events.end(this.#attemptId, this.#body.bytes, truncated)
    } catch (error) {
      surface(error)
    }
  }
}

const endOf = (attempt: WireAttempt): void => attempt.finish()

/** What a Connection header says of what comes behind the response. */
function isClose(value: string | string[]): boolean {
  return typeof value === 'string' && value.toLowerCase() === 'close'
}

/** Whether what a Transfer-Encoding header says of a response has an end of its own. */
function isChunked(value: string | string[] | undefined): boolean {
  if (value === undefined) return false
  return /(?:^|,)[ \t]*chunked[ \t]*$/i.test(typeof value === 'string' ? value : value.join())
}

/**
 * A rejection that nobody handles: Node makes it an uncaught exception, the error unchanged. The
 * listener is called out of undici's reach by it: undici would take an error of the listener (a
 * failed assertion, say) for one of the request, where it must end the shard.
 */
export function surface(fault: unknown): void {
  void Promise.reject(fault)
}
