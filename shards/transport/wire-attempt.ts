// One request in flight: translates undici's events to those of the transport's listener.
// Thread: shard. Memory: the response's body while it arrives.
// Never: opens or chooses a connection; it has one when it begins.
// Events after an attempt is settled are ignored.

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

/** undici's controller of a request in flight. */
type Controller = Dispatcher.DispatchController

/** What the attempts of one transport share. */
export interface InFlight {
  /** By attempt. Not a Map, for the reason that fifo.ts gives for not using a Set. */
  readonly attempts: (WireAttempt | undefined)[]
  readonly memory: ResponseMemory
  readonly reads: ReadScheduler
  readonly events: TransportEvents
}

/** The destination of an attempt. */
export interface AttemptPath {
  readonly pool: OriginPool<ClientConnection>
  readonly held: BytesHeld
  readonly reading: Reading
  /** Its connections are not reused. */
  readonly isForgotten: boolean
  /** A response was received on one of the connections. */
  answered(): void
  /** A connection was lost before its request was written. */
  lostUnused(connection: ClientConnection): void
}

/** One attempt in flight: undici's handler of its request. */
export class WireAttempt implements Dispatcher.DispatchHandler, ResponseReader, Reader {
  readonly #attemptId: number
  readonly #path: AttemptPath
  readonly #inFlight: InFlight
  readonly #connection: ClientConnection
  readonly #body = new ResponseBody()
  #controller: Controller | undefined
  #interim = 0
  /** The upstream closes the connection after this response (`Connection: close`). */
  #isLast = false
  /** Only the end of the connection marks the end of the response (RFC 9112, 6.3). */
  #isUntilEnd = false
  /** It waits for memory, or for the read scheduler. */
  #paused = false
  #awaitsTurn = false
  /** undici is being passed the request: a failure now is reported after `send` has returned. */
  #dispatching = true
  #written = false
  /** Its response has ended. */
  #isWhole = false
  /** It ended since the connection was lost. */
  #isCut = false
  #settled = false

  /** Begins the attempt, on a free connection. */
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

  /** Reports `written` only now: the thread may have been delayed since the start of the write. */
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
    // At the end of its socket undici continues a paused response.
    if (this.#paused) return
    if (memory.mayGoOn(held, this)) {
      if (isInTurn) return
      reads.await(reading, this)
      this.#awaitsTurn = true
    }
    this.#paused = true
    this.#controller?.pause()
  }

  /** There is memory for more of the response. Resumes later: undici's parser may be running. */
  resume(): void {
    this.#paused = false
    queueMicrotask(() => {
      if (!this.#settled && !this.#paused) this.#controller?.resume()
    })
  }

  /** Called by the read scheduler, when nothing else is read. */
  goOn(): void {
    this.#awaitsTurn = false
    this.#paused = false
    this.#controller?.resume()
  }

  /** Finishes later: after this has returned, undici closes a connection that is not kept alive. */
  onResponseEnd(): void {
    if (this.#settled) return
    this.#isWhole = true
    this.#isCut = this.#isUntilEnd && this.#connection.isClosed && !this.#connection.isEnded
    process.nextTick(endOf, this)
  }

  /** The second part of onResponseEnd(). */
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
      // The connection was lost before any part of the request was written: safe to send again.
      this.#return()
    } else {
      this.#fail(reason, error.message)
    }
  }

  /** Ends the attempt without an event. */
  abort(): void {
    if (this.settle()) this.#path.pool.drop(this.#connection)
  }

  /** Marks the attempt as ended and releases its resources; false when it was already. */
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

  /** Reports the failure, unless the attempt was aborted meanwhile. */
  #fail(reason: FailureReason, detail: string): void {
    if (!this.settle()) return
    // The connection is unaffected by a request that cannot be sent.
    if (reason === 'request_refused' && !this.#written) this.#path.pool.release(this.#connection)
    else this.#path.pool.drop(this.#connection)
    try {
      const brief = detail.slice(0, FAILURE_DETAIL_LENGTH_MAX)
      this.#inFlight.events.failed(this.#attemptId, reason, brief)
    } catch (error) {
      surface(error)
    }
  }

  /** Frees the connection before it notifies the listener, whose next send may reuse it. */
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

/** Whether a Connection header says that the connection closes after the response. */
function isClose(value: string | string[]): boolean {
  return typeof value === 'string' && value.toLowerCase() === 'close'
}

/** Whether the response is chunked, so that its end is marked. */
function isChunked(value: string | string[] | undefined): boolean {
  if (value === undefined) return false
  return /(?:^|,)[ \t]*chunked[ \t]*$/i.test(typeof value === 'string' ? value : value.join())
}

/**
 * Raises the error as an unhandled rejection, which Node turns into an uncaught exception, with the
 * error unchanged. If undici caught an error of the listener (for instance a failed assertion), it
 * would treat it as an error of the request, but it must end the shard.
 */
export function surface(fault: unknown): void {
  void Promise.reject(fault)
}
