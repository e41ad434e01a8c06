// Event streams of jobs, as text/event-stream. A shard tells the events of a job once, however many
// follow it here; whoever joins late gets what they missed in brief, from the job as it stands.

import type { JobStatus, JobView } from '../../shards/contract.ts'
import {
  EVENT_CANCELLED, EVENT_COMPLETED, EVENT_DISPATCHING, EVENT_FAILED, EVENT_NAMES, EVENT_POSITION,
  EVENT_QUEUED, EVENT_RETRYING,
} from '../../shards/contract.ts'
import { STREAM_BACKLOG_BYTES_MAX, STREAM_BACKLOGS_BYTES_MAX } from '../../shards/limits.ts'
import type { Exchange } from './exchange.ts'
import type { HttpResponse } from './uws.ts'

/** One client that follows a job. */
interface Stream {
  readonly response: HttpResponse
  readonly jobId: string
  /** Upper bound of what was written and not yet taken by the client. */
  backlogBytes: number
}

/** A job with followers. */
interface Followed {
  /** Clients that have been told of nothing yet: their WATCH is on its way. */
  joining: number
  readonly streams: Set<Stream>
}

const KEEP_ALIVE = ': keep-alive\n\n'

/** The event that tells of a status which is the last. */
const TERMINAL_EVENTS: ReadonlyMap<JobStatus, number> = new Map([
  ['completed', EVENT_COMPLETED], ['failed', EVENT_FAILED], ['cancelled', EVENT_CANCELLED],
])

/** All streams. */
export class EventStreams {
  readonly #followed = new Map<string, Followed>()
  readonly #unwatch: (jobId: string) => boolean
  /** Jobs that nobody follows any more, which their shards could not yet be told. */
  readonly #unwatchDue = new Set<string>()
  #backlogsBytes = 0
  #count = 0

  /** @param unwatch tells the job's shard that nobody follows; false when its ring is full. */
  constructor(unwatch: (jobId: string) => boolean) {
    this.#unwatch = unwatch
  }

  /** Streams, those included that are about to begin. */
  get count(): number {
    return this.#count
  }

  /** A WATCH goes out for a client: each call is followed by one of join() and giveUp(). */
  expect(jobId: string): void {
    this.#count++
    this.#unwatchDue.delete(jobId)
    const followed = this.#followed.get(jobId)
    if (followed === undefined) this.#followed.set(jobId, { joining: 1, streams: new Set() })
    else followed.joining++
  }

  /** The WATCH was in vain: no such job, or the client has gone meanwhile. */
  giveUp(jobId: string, isWatched: boolean): void {
    this.#count--
    const followed = this.#followed.get(jobId)
    if (followed === undefined) return
    followed.joining--
    if (isWatched) this.#dropUnfollowed(jobId, followed)
    else if (followed.joining === 0 && followed.streams.size === 0) this.#followed.delete(jobId)
  }

  /** The job stands like this: tells it in brief, and its events from now on. */
  join(exchange: Exchange, view: JobView, nowMs: number): void {
    const { jobId } = exchange
    const followed = this.#followed.get(jobId)
    const response = exchange.beginStream()
    const isFinished = TERMINAL_EVENTS.has(view.status)
    if (followed === undefined || response === undefined) return this.giveUp(jobId, !isFinished)
    followed.joining--
    const stream: Stream = { response, jobId, backlogBytes: 0 }
    followed.streams.add(stream)
    exchange.onGone = () => this.#gone(stream)
    this.#write(stream, briefOf(jobId, view, nowMs))
    if (isFinished && followed.streams.has(stream)) this.#end(stream, followed)
  }

  /** Tells an event of a job to all who follow it; a terminal one ends their streams. */
  event(jobId: string, event: number, data: object): void {
    const followed = this.#followed.get(jobId)
    if (followed === undefined) return
    const text = formatEvent(jobId, event, data)
    for (const stream of followed.streams) {
      this.#write(stream, text)
      if (event >= EVENT_COMPLETED && followed.streams.has(stream)) this.#end(stream, followed)
    }
  }

  /** Sends every stream a comment, so that nothing on the way takes it for dead. */
  keepAlive(): void {
    for (const { streams } of this.#followed.values()) {
      for (const stream of streams) this.#write(stream, KEEP_ALIVE)
    }
  }

  /** Tells the shards what they could not be told before. */
  retryUnwatch(): void {
    for (const jobId of this.#unwatchDue) {
      if (!this.#unwatch(jobId)) return
      this.#unwatchDue.delete(jobId)
    }
  }

  /** Ends every stream. */
  closeAll(): void {
    for (const followed of this.#followed.values()) {
      for (const stream of followed.streams) this.#end(stream, followed)
    }
  }

  #write(stream: Stream, text: string): void {
    const bytes = Buffer.byteLength(text)
    const isSlow = stream.backlogBytes > 0 &&
      (stream.backlogBytes + bytes > STREAM_BACKLOG_BYTES_MAX ||
        this.#backlogsBytes + bytes > STREAM_BACKLOGS_BYTES_MAX)
    if (isSlow) {
      stream.response.close() // calls #gone()
      return
    }
    let isDrained = true
    stream.response.cork(() => { isDrained = stream.response.write(text) })
    // Not drained: some of it waits, and how much of the earlier is gone is not known.
    const backlogBytes = isDrained ? 0 : stream.backlogBytes + bytes
    this.#backlogsBytes += backlogBytes - stream.backlogBytes
    stream.backlogBytes = backlogBytes
  }

  #end(stream: Stream, followed: Followed): void {
    this.#forget(stream, followed)
    stream.response.cork(() => { stream.response.end() })
    // A finished job is not watched any more, so the shard need not be told.
    if (followed.streams.size + followed.joining === 0) this.#followed.delete(stream.jobId)
  }

  #gone(stream: Stream): void {
    const followed = this.#followed.get(stream.jobId)
    if (followed === undefined || !this.#forget(stream, followed)) return
    this.#dropUnfollowed(stream.jobId, followed)
  }

  #forget(stream: Stream, followed: Followed): boolean {
    if (!followed.streams.delete(stream)) return false
    this.#count--
    this.#backlogsBytes -= stream.backlogBytes
    return true
  }

  #dropUnfollowed(jobId: string, followed: Followed): void {
    if (followed.joining > 0 || followed.streams.size > 0) return
    this.#followed.delete(jobId)
    if (!this.#unwatch(jobId)) this.#unwatchDue.add(jobId)
  }
}

/** One event: its name, and its data with the job's id as one line of JSON. */
function formatEvent(jobId: string, event: number, data: object): string {
  return `event: ${EVENT_NAMES[event]}\ndata: ${JSON.stringify({ job_id: jobId, ...data })}\n\n`
}

/** What a late joiner missed: every stage that the job has reached, the latest attempt only. */
function briefOf(jobId: string, view: JobView, nowMs: number): string {
  const { attempts, position, retry_at: retryAt, result, status } = view
  const terminal = TERMINAL_EVENTS.get(status)
  let text = formatEvent(jobId, EVENT_QUEUED, {})
  if (attempts > 0) text += formatEvent(jobId, EVENT_DISPATCHING, { attempt: attempts })
  if (retryAt !== undefined) {
    const waitMs = Math.max(0, Math.round(retryAt - nowMs))
    text += formatEvent(jobId, EVENT_RETRYING, { attempt: attempts, retry_in_ms: waitMs })
  }
  if (position !== undefined) text += formatEvent(jobId, EVENT_POSITION, { position })
  if (terminal !== undefined) text += formatEvent(jobId, terminal, result ?? { status })
  return text
}
