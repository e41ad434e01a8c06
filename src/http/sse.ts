// Event streams of jobs, as text/event-stream. A client that joins late gets a summary of the
// events it missed, derived from the job's state. A client that reconnects states its last event in
// Last-Event-ID, and gets no event twice. Browsers reconnect by themselves, until they get 204.

import {
  EVENT_DISPATCHING, EVENT_POSITION, EVENT_QUEUED, EVENT_RETRYING, type JobSnapshot,
} from '../../shards/wire/contract.ts'
import type { KeyUsage } from '../access/key-usage.ts'
import { isValid, type Principal } from '../access/principal.ts'
import {
  accountOf, AccountShare, type HeldTable, makeHeldTable, type PoolContext,
} from '../base/account-share.ts'
import type { ClientBytes } from '../base/client-bytes.ts'
import { CLIENT_BYTES_FREE_OF_SHARES } from '../base/client-limits.ts'
import { type Denial, limitReached, unavailable } from '../base/errors.ts'
import { routeOf } from '../base/job-id.ts'
import { STREAM_BACKLOG_BYTES_MAX, STREAMS_MAX } from '../base/limits.ts'
import { DOOR_POOLS } from '../base/pools.ts'
import { JobEvent, NO_PLACE, placeOfId, TERMINAL_EVENT_OF_STATUS } from '../submit/job-event.ts'
import type { Watches, Watcher } from '../submit/watches.ts'
import type { Exchange } from './exchange.ts'
import type { HttpResponse } from './uws.ts'

const KEEP_ALIVE = ': keep-alive\n\n'

/** A stream, as seen by the code that manages all of them. */
export interface OpenStream {
  readonly principal: Principal
  keepAlive(): void
  /** Ends it, though its job is not finished. */
  close(): void
}

/** A client that asks for a job's events. */
export interface Joining {
  readonly exchange: Exchange
  readonly jobId: string
  /** The id of the last event that it has received, or ''. */
  readonly lastEventId: string
}

/** All streams, as plain data. */
export interface StreamTable {
  readonly streams: Set<OpenStream>
  /** Open and starting streams, by account. */
  readonly held: HeldTable
}

/** A table without streams. */
export const makeStreamTable = (): StreamTable =>
  ({ streams: new Set(), held: makeHeldTable(STREAMS_MAX) })

/** One client that watches a job. */
class Stream implements Watcher, OpenStream {
  readonly response: HttpResponse
  readonly jobId: string
  readonly principal: Principal
  /** Upper limit of the bytes that were written and not yet read by the client. */
  backlogBytes = 0
  /** Its job is finished: it ends when its client has read everything. */
  isOver = false
  readonly #streams: EventStreams
  /** Place of the last event that the client has received. */
  #place: number

  constructor(
    response: HttpResponse, { exchange, jobId, lastEventId }: Joining, streams: EventStreams,
  ) {
    this.response = response
    this.principal = exchange.principal
    this.jobId = jobId
    this.#streams = streams
    this.#place = placeOfId(lastEventId)
  }

  told(event: JobEvent): void {
    if (this.isNews(event)) this.#streams.write(this, event.stream)
    if (event.isTerminal) this.#streams.end(this)
  }

  /** Whether the event is new to the client; marks it as received. */
  isNews({ place }: JobEvent): boolean {
    if (place === NO_PLACE) return true
    if (place <= this.#place) return false
    this.#place = place
    return true
  }

  keepAlive(): void {
    this.#streams.write(this, KEEP_ALIVE)
  }

  close(): void {
    this.#streams.end(this)
    this.#streams.leave(this)
  }
}

/** All streams. */
export class EventStreams {
  readonly #watches: Watches
  readonly #table: StreamTable
  readonly #pool: ClientBytes
  readonly #share: AccountShare
  readonly #keyUsage: KeyUsage

  constructor(
    watches: Watches, table: StreamTable, pool: ClientBytes, keyUsage: KeyUsage,
    context: PoolContext,
  ) {
    this.#keyUsage = keyUsage
    this.#watches = watches
    this.#table = table
    this.#pool = pool
    this.#share = new AccountShare(DOOR_POOLS.streams, STREAMS_MAX, table.held, context)
  }

  /** Open and starting streams. */
  get count(): number {
    return this.#table.held.counts.used
  }

  /** Why there may not be one more stream; undefined when there may. */
  refusal(jobId: string, { key, limits, tenant }: Principal): Denial | undefined {
    const current = this.#keyUsage.count(key, 'streams')
    if (current >= limits.streams) return limitReached('key_streams', limits.streams, current)
    const isRefused = this.#share.refusal(accountOf(tenant, routeOf(jobId))) !== undefined ||
      !this.#watches.mayWatch(jobId, tenant)
    return isRefused ? unavailable('overloaded') : undefined
  }

  /** Call it when a WATCH is sent for a client; join() or giveUp() must follow. */
  expect(jobId: string, { key, tenant }: Principal): void {
    this.#share.take(accountOf(tenant, routeOf(jobId)))
    this.#keyUsage.add(key, 'streams', 1)
    this.#watches.expect(jobId, tenant)
  }

  /** The WATCH has failed. */
  giveUp(jobId: string, principal: Principal): void {
    this.#give(jobId, principal)
    this.#watches.giveUp(jobId, false)
  }

  /**
   * Starts the stream with a summary of the job's state, followed by its events; or answers 204
   * when the client has them all.
   */
  join(joining: Joining, snapshot: JobSnapshot, nowMs: number): void {
    const { exchange, jobId, lastEventId } = joining
    const isFinished = TERMINAL_EVENT_OF_STATUS.has(snapshot.status)
    const hasAll = isFinished && lastEventId === snapshot.status
    const response = hasAll ? undefined : exchange.beginStream()
    if (response === undefined || isFinished) this.#watches.giveUp(jobId, !isFinished)
    if (hasAll) exchange.sendNothing()
    if (response === undefined) return this.#give(jobId, exchange.principal)
    const stream = new Stream(response, joining, this)
    this.#table.streams.add(stream)
    if (!isFinished) this.#watches.join(jobId, stream)
    exchange.onGone = () => this.#gone(stream)
    response.onWritable(() => {
      this.#drained(stream)
      return true
    })
    const news = briefOf(jobId, snapshot, nowMs).filter((event) => stream.isNews(event))
    // The client sees the answer only with the first byte of its body.
    this.write(stream, news.map((event) => event.stream).join('') || KEEP_ALIVE)
    if (isFinished) this.end(stream)
  }

  /** Sends a comment to every stream, so that intermediaries do not time out. */
  keepAlive(): void {
    for (const stream of this.#table.streams) stream.keepAlive()
  }

  /** Ends the streams of keys that are no longer valid. */
  closeInvalid(nowMs: number): void {
    for (const stream of this.#table.streams) {
      if (!isValid(stream.principal, nowMs)) stream.close()
    }
  }

  /** Ends every stream. */
  closeAll(): void {
    for (const stream of this.#table.streams) stream.close()
  }

  /** Writes to a stream; closes it if too much is unread. */
  write(stream: Stream, text: string): void {
    if (!this.#table.streams.has(stream) || stream.isOver) return
    const bytes = Buffer.byteLength(text)
    const isSlow = stream.backlogBytes > 0 &&
      stream.backlogBytes + bytes > STREAM_BACKLOG_BYTES_MAX
    const isCounted = stream.backlogBytes > 0 || bytes > CLIENT_BYTES_FREE_OF_SHARES
    if (isSlow || (isCounted && !this.#pool.mayTake(stream.backlogBytes, bytes))) {
      stream.response.close() // calls #gone()
      return
    }
    this.#pool.adopt(bytes)
    stream.backlogBytes += bytes
    let isDrained = true
    stream.response.cork(() => { isDrained = stream.response.write(text) })
    // Not drained: part of it is buffered, and how much of the earlier bytes is not known.
    if (isDrained) this.#drained(stream)
  }

  /** Ends a stream whose job is finished, once everything has been read. */
  end(stream: Stream): void {
    stream.isOver = true
    if (stream.backlogBytes === 0 && this.#forget(stream)) {
      stream.response.cork(() => { stream.response.end() })
    }
  }

  #drained(stream: Stream): void {
    this.#pool.give(stream.backlogBytes)
    stream.backlogBytes = 0
    if (stream.isOver) this.end(stream)
  }

  /** Ends the stream's watch of its job. */
  leave(stream: Stream): void {
    this.#watches.leave(stream.jobId, stream)
  }

  #gone(stream: Stream): void {
    if (this.#forget(stream)) this.leave(stream)
  }

  #give(jobId: string, { key, tenant }: Principal): void {
    this.#share.give(accountOf(tenant, routeOf(jobId)))
    this.#keyUsage.add(key, 'streams', -1)
  }

  #forget(stream: Stream): boolean {
    if (!this.#table.streams.delete(stream)) return false
    this.#give(stream.jobId, stream.principal)
    this.#pool.give(stream.backlogBytes)
    stream.backlogBytes = 0
    return true
  }
}

/** The summary for a late client: every stage that the job has reached, only the last attempt. */
function briefOf(jobId: string, snapshot: JobSnapshot, nowMs: number): JobEvent[] {
  const { attempts, position, retry_at: retryAt, result, status } = snapshot
  const terminal = TERMINAL_EVENT_OF_STATUS.get(status)
  const events: JobEvent[] = []
  const tell = (event: number, data: object): void => {
    events.push(new JobEvent(jobId, event, data))
  }
  tell(EVENT_QUEUED, {})
  if (attempts > 0) tell(EVENT_DISPATCHING, { attempt: attempts })
  if (retryAt !== undefined) {
    const waitMs = Math.max(0, Math.round(retryAt - nowMs))
    tell(EVENT_RETRYING, { attempt: attempts, retry_in_ms: waitMs })
  }
  if (position !== undefined) tell(EVENT_POSITION, { position })
  if (terminal !== undefined) tell(terminal, result ?? { status })
  return events
}
