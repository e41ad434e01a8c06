// POST /jobs/batch: jobs are validated and submitted as they arrive, and answered in their order,
// one line of JSON each. Both directions are bounded: while too many jobs have no answer, or
// answers are not read, the request is not read. Who reads no answers for too long is
// disconnected. A known key's result may be a thousand times as
// long as its job: if there is no room for it now, it is dropped, and requested again when all
// answers before it have been read.

import { type Micros, msToUs } from '../../shards/base/units.ts'
import type { JobResult, JobStatus } from '../../shards/wire/contract.ts'
import { formatJobId } from '../../shards/wire/job-id.ts'
import type { Principal } from '../access/principal.ts'
import type { ClientBytes } from '../base/client-bytes.ts'
import { BATCH_BYTES, BATCH_UNREAD_MS_MAX, BATCH_WINDOW_JOBS_MIN } from '../base/client-limits.ts'
import { type Denial, denialValue, unavailable } from '../base/errors.ts'
import { BATCH_BACKLOG_BYTES, BATCH_WINDOW_JOBS } from '../base/limits.ts'
import type { Questions } from '../engine/questions.ts'
import type { Asker, Ref, Ticket } from '../job/asker.ts'
import type { Submission } from '../submit/submission.ts'
import type { Submissions } from '../submit/submissions.ts'
import { BatchSplitter } from './batch-splitter.ts'
import type { Exchange } from './exchange.ts'
import type { PausedRequests } from './paused-requests.ts'
import type { StreamedResponse } from './uws.ts'

/** What a batch needs of the front door. */
export interface BatchParts {
  readonly submissions: Submissions
  readonly questions: Questions
  readonly pool: ClientBytes
  readonly paused: PausedRequests
  readonly jobsMax: number
  readonly bodyBytesMax: number
  /** Requests a flush of the batch at the end of this iteration of the event loop. */
  readonly flushSoon: (batch: Batch) => void
  readonly countInvalid: () => void
}

const NDJSON_TYPE = 'application/x-ndjson'
/** V8 stores a line with characters beyond Latin-1 in two bytes each. */
const CHARACTER_BYTES_MAX = 2
/** Longer lines are counted; BATCH_BYTES covers a window of shorter ones. */
const LINE_LENGTH_UNCOUNTED = BATCH_BYTES / BATCH_WINDOW_JOBS

/** A finished job whose result is requested when its line is to be written. */
interface DroppedAnswer {
  readonly jobId: string
  readonly status: JobStatus
  isAsked: boolean
}

/** One batch, from its first byte to its last answer. */
export class Batch implements Asker {
  readonly isBulk = true
  readonly principal: Principal
  readonly #parts: BatchParts
  readonly #submission: Submission
  readonly #splitter: BatchSplitter
  #response: StreamedResponse | undefined
  /** Answers of the jobs from #first on; undefined: none yet. */
  #answers: (string | DroppedAnswer | undefined)[] = []
  #first = 0
  #next = 0
  /** Counted bytes of answers that are not written yet. */
  #answersBytes = 0
  /** Counted bytes that were written and may not have been read. */
  #unreadBytes = 0
  #dropped = 0
  /** Limit of unanswered jobs: small until it is known how long answers are. */
  #window = BATCH_WINDOW_JOBS_MIN
  /** The body is complete. */
  #isWhole = false
  /** No further job is read. */
  #isOver = false
  #isPaused = false
  /** The client has not read what was written before. */
  #isBlocked = false
  /** Since when no answer was read, if known. */
  #unreadSinceUs: Micros | undefined
  #isToFlush = false

  private constructor(
    parts: BatchParts, principal: Principal, response: StreamedResponse, wantsAccountQueue: boolean,
  ) {
    this.#parts = parts
    this.principal = principal
    this.#response = response
    this.#submission = { format: 'json', idempotencyKey: '', wantsAccountQueue }
    this.#splitter = new BatchSplitter(parts.bodyBytesMax, parts.pool)
  }

  /** Starts to read a request's body and to answer it; the exchange is not used any more. */
  static begin(
    parts: BatchParts, exchange: Exchange, response: StreamedResponse, wantsAccountQueue: boolean,
  ): void {
    if (!parts.pool.take(0, BATCH_BYTES)) return exchange.denied(0, unavailable('overloaded'))
    if (exchange.beginStream(NDJSON_TYPE) === undefined) return parts.pool.give(BATCH_BYTES)
    const batch = new Batch(parts, exchange.principal, response, wantsAccountQueue)
    exchange.onGone = () => batch.#gone()
    response.onWritable(() => {
      batch.#isBlocked = false
      batch.#unreadSinceUs = undefined
      parts.pool.give(batch.#unreadBytes)
      batch.#unreadBytes = 0
      batch.#advance()
      return true
    })
    // The library resumes with what it has watched at a pause() without unsent bytes: at this one.
    response.pause()
    response.resume()
    response.onData((chunk, isLast) => batch.#take(Buffer.from(chunk), isLast))
  }

  // --- answers to its jobs ---

  accepted({ ref, route, idHigh, idLow }: Ticket): void {
    this.#answer(ref, `{"job_id":"${formatJobId(route, idHigh, idLow)}","status":"queued"}\n`)
  }

  duplicate({ ref }: Ticket, jobId: string, status: JobStatus, result: JobResult | null): void {
    if (this.#response === undefined) return
    const line = bodyLength(result) < BATCH_BACKLOG_BYTES
      ? duplicateLine(jobId, status, result) : undefined
    if (line !== undefined && (result === null || this.#mayKeep(line))) {
      return this.#answer(ref, line)
    }
    this.#dropped++
    this.#window = BATCH_WINDOW_JOBS_MIN
    this.#set(ref, { jobId, status, isAsked: false })
  }

  denied(ref: Ref, denial: Denial): void {
    this.#answerValue(ref, denialValue(denial))
  }

  /** Writes the answers that are next in order. */
  flush(): void {
    this.#isToFlush = false
    this.#advance()
  }

  // --- inside ---

  #take(chunk: Buffer, isLast: boolean): void {
    if (this.#response === undefined || this.#isOver) return
    if (!this.#splitter.push(chunk)) return this.#overload()
    if (isLast) {
      this.#isWhole = true
      this.#splitter.end()
    }
    this.#advance()
    this.#splitter.shrink()
  }

  /** The pool has no room for more of the body. */
  #overload(): void {
    this.#splitter.release()
    this.#finish(unavailable('overloaded'))
    this.#advance()
  }

  /** Reads as many jobs as it may, and writes the answers that are ready. */
  #advance(): void {
    for (;;) {
      const wasFull = !this.#hasRoom()
      const before = this.#next
      while (this.#hasRoom() && this.#readOne());
      this.#write()
      // Writing has made room, and there may be more to read.
      if (!this.#hasRoom() || (!wasFull && this.#next === before)) break
    }
    this.#pauseOrResume()
  }

  /** Submits the next job; false when there is none. */
  #readOne(): boolean {
    const piece = this.#isOver ? undefined : this.#splitter.next()
    if (piece === undefined) return false
    if (piece.kind === 'broken') {
      this.#parts.countInvalid()
      this.#finish({ code: 'invalid_json', error: 'the batch is no whole array of jobs' })
    } else if (this.#next === this.#parts.jobsMax) {
      this.#parts.countInvalid()
      this.#finish({ code: 'too_many_jobs', more: { limit: this.#parts.jobsMax },
        error: `a batch has at most ${this.#parts.jobsMax} jobs; the rest was not read` })
    } else this.#submit(piece.kind === 'job' ? piece.bytes : undefined)
    return true
  }

  #submit(bytes: Buffer | undefined): void {
    const index = this.#next++
    this.#answers.push(undefined)
    const { bodyBytesMax, submissions } = this.#parts
    if (bytes !== undefined) return submissions.submit(this, index, bytes, this.#submission)
    this.#parts.countInvalid()
    this.denied(index, { code: 'body_too_large', more: { limit: bodyBytesMax },
      error: `the job has more than ${bodyBytesMax} bytes` })
  }

  /** Stops reading; the last line says why. */
  #finish(denial: Denial): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#answers.push(undefined)
    this.denied(this.#next++, denial)
  }

  #hasRoom(): boolean {
    return !this.#isBlocked && this.#answers.length < this.#window && this.#dropped === 0 &&
      this.#answersBytes < BATCH_BACKLOG_BYTES && this.#response !== undefined
  }

  /** All bytes that the pool counts for the batch. */
  get #heldBytes(): number {
    return BATCH_BYTES + this.#splitter.heldBytes + this.#answersBytes + this.#unreadBytes
  }

  #mayKeep(line: string): boolean {
    const bytes = countedBytes(line)
    return this.#answersBytes + bytes <= BATCH_BACKLOG_BYTES &&
      this.#parts.pool.mayTake(this.#heldBytes, bytes)
  }

  #answerValue(ref: Ref, value: object): void {
    this.#answer(ref, `${JSON.stringify(value)}\n`)
  }

  #answer(ref: Ref, line: string): void {
    if (this.#response === undefined) return
    const bytes = countedBytes(line)
    this.#answersBytes += bytes
    this.#parts.pool.adopt(bytes)
    this.#set(ref, line)
  }

  #set(ref: Ref, answer: string | DroppedAnswer): void {
    this.#answers[Number(ref) - this.#first] = answer
    this.#flushSoon()
  }

  #flushSoon(): void {
    if (this.#isToFlush) return
    this.#isToFlush = true
    this.#parts.flushSoon(this)
  }

  /** Writes consecutive answers from the first on; after the last one, the response ends. */
  #write(): void {
    const response = this.#response
    if (response === undefined || this.#isBlocked) return
    let count = 0
    let text = ''
    let bytes = 0
    while (count < this.#answers.length && text.length < BATCH_BACKLOG_BYTES) {
      const line = this.#answers[count]
      if (typeof line !== 'string') break
      text += line
      bytes += countedBytes(line)
      count++
    }
    this.#answers.splice(0, count)
    this.#first += count
    if (this.#dropped === 0) this.#window = Math.min(BATCH_WINDOW_JOBS, this.#window + count)
    const isDone = this.#answers.length === 0 && this.#isDone()
    response.cork(() => {
      if (text !== '' && !response.write(text)) this.#isBlocked = true
      if (isDone && !this.#isBlocked) response.end(undefined, !this.#isWhole)
    })
    this.#written(bytes)
    // Unread bytes are counted until the client has read them; only then the batch ends.
    if (isDone && !this.#isBlocked) return this.#gone()
    const first = this.#answers[0]
    if (this.#isBlocked || first === undefined) return
    if (typeof first !== 'string') this.#ask(first)
    else if (count > 0) this.#write()
  }

  /** Moves bytes from waiting to unread, or returns them to the pool if nothing is unread. */
  #written(bytes: number): void {
    this.#answersBytes -= bytes
    if (this.#isBlocked) this.#unreadBytes += bytes
    else this.#parts.pool.give(bytes)
  }

  /** All answers before it have been read: requests the result that was dropped. */
  #ask(answer: DroppedAnswer): void {
    if (answer.isAsked) return
    // There is no room; it would have to be dropped again.
    if (this.#parts.pool.isFull) return this.#flushSoon()
    answer.isAsked = true
    this.#parts.questions.ask('get', answer.jobId, this.principal.tenant, {
      isBulk: false,
      answered: (_code, snapshot) => this.#got(answer, snapshot?.result ?? null),
      unavailable: (code) => {
        if (code === 'overloaded') this.#askLater(answer)
        else this.#got(answer, null)
      },
    })
  }

  /** Asks again in a later iteration of the event loop. */
  #askLater(answer: DroppedAnswer): void {
    answer.isAsked = false
    if (this.#response !== undefined) this.#flushSoon()
  }

  #got(answer: DroppedAnswer, result: JobResult | null): void {
    if (this.#response === undefined) return
    const line = duplicateLine(answer.jobId, answer.status, result)
    const bytes = countedBytes(line)
    if (!this.#parts.pool.take(this.#heldBytes, bytes)) return this.#askLater(answer)
    this.#dropped--
    this.#answersBytes += bytes
    this.#set(this.#first, line)
  }

  /** Whether all jobs have been read. */
  #isDone(): boolean {
    return this.#isOver || (this.#isWhole && this.#splitter.isDone)
  }

  #pauseOrResume(): void {
    const isToPause = !this.#isOver && !this.#isWhole && !this.#hasRoom()
    if (isToPause === this.#isPaused || this.#response === undefined) return
    this.#isPaused = isToPause
    const { paused } = this.#parts
    if (isToPause) paused.pause(this.#response, (nowUs) => this.#checkUnread(nowUs))
    else paused.resume(this.#response)
  }

  /** While it is paused, nobody says that answers have been read: watches the connection again. */
  #checkUnread(nowUs: Micros): void {
    if (this.#response === undefined || !this.#isBlocked) return
    this.#unreadSinceUs ??= nowUs
    if (nowUs - this.#unreadSinceUs >= msToUs(BATCH_UNREAD_MS_MAX)) {
      this.#response.close()
      return
    }
    // The next data of the body pauses it again.
    this.#isPaused = false
    this.#parts.paused.resume(this.#response)
  }

  #gone(): void {
    if (this.#response === undefined) return
    this.#parts.pool.give(this.#heldBytes - this.#splitter.heldBytes)
    this.#parts.paused.forget(this.#response)
    this.#response = undefined
    this.#answers = []
    this.#answersBytes = this.#unreadBytes = 0
    this.#splitter.release()
  }
}

/** Short lines are covered by BATCH_BYTES. */
const countedBytes = (line: string): number =>
  line.length <= LINE_LENGTH_UNCOUNTED ? 0 : line.length * CHARACTER_BYTES_MAX

const bodyLength = (result: JobResult | null): number =>
  (result?.body ?? result?.body_base64 ?? '').length

function duplicateLine(jobId: string, status: JobStatus, result: JobResult | null): string {
  const answer = { job_id: jobId, status, duplicate: true }
  return `${JSON.stringify(result === null ? answer : { ...answer, result })}\n`
}
