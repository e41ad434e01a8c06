// POST /jobs/batch: jobs are judged and handed on as they arrive, and answered in their order, a
// line of JSON each. What waits in here is bounded on both sides: while too many jobs have no
// answer, or answers are not read, no more of the request is.

import type { JobResult, JobStatus } from '../../shards/contract.ts'
import { formatJobId } from '../../shards/job-id.ts'
import { BATCH_BACKLOG_BYTES, BATCH_WINDOW_JOBS } from '../../shards/limits.ts'
import type { Asker, Ref, Ticket } from '../asker.ts'
import { type Denial, denialValue, unavailable } from '../errors.ts'
import type { Submissions } from '../submissions.ts'
import { BatchSplitter } from './batch-splitter.ts'
import type { Exchange } from './exchange.ts'
import type { BodyReceiver } from './receive.ts'
import type { Submission } from './routes.ts'
import type { StreamedResponse } from './uws.ts'

/** What a batch needs of the front door. */
export interface BatchParts {
  readonly submissions: Submissions
  readonly receiver: BodyReceiver
  readonly jobsMax: number
  readonly bodyBytesMax: number
  /** The batch has answers that wait for the end of this turn. */
  readonly flushSoon: (batch: Batch) => void
  readonly countInvalid: () => void
}

const NDJSON_TYPE = 'application/x-ndjson'

/** One batch, from its first byte to its last answer. */
export class Batch implements Asker {
  readonly isBulk = true
  readonly #parts: BatchParts
  readonly #submission: Submission
  readonly #splitter: BatchSplitter
  #response: StreamedResponse | undefined
  /** Answers of the jobs from #first on, as far as they have come. */
  #answers: (string | undefined)[] = []
  #first = 0
  #next = 0
  #heldBytes = 0
  /** The last byte has come. */
  #isWhole = false
  /** No further job is read. */
  #isOver = false
  #isPaused = false
  /** The client has not taken what was written before. */
  #isBlocked = false
  #isToFlush = false

  private constructor(parts: BatchParts, response: StreamedResponse, isolate: boolean) {
    this.#parts = parts
    this.#response = response
    this.#submission = { format: 'json', idempotencyKey: '', isolate }
    this.#splitter = new BatchSplitter(parts.bodyBytesMax)
  }

  /** Begins to read a request's body and to answer it; the exchange is done with. */
  static begin(
    parts: BatchParts, exchange: Exchange, response: StreamedResponse, isolate: boolean,
  ): void {
    if (exchange.beginStream(NDJSON_TYPE) === undefined) return
    const batch = new Batch(parts, response, isolate)
    exchange.onGone = () => batch.#gone()
    response.onWritable(() => {
      batch.#isBlocked = false
      batch.#advance()
      return true
    })
    response.onData((chunk, isLast) => batch.#take(Buffer.from(chunk), isLast))
  }

  // --- what becomes of its jobs ---

  accepted({ ref, route, idHigh, idLow }: Ticket): void {
    this.#answer(ref, `{"job_id":"${formatJobId(route, idHigh, idLow)}","status":"queued"}\n`)
  }

  duplicate({ ref }: Ticket, jobId: string, status: JobStatus, result: JobResult | null): void {
    const answer = { job_id: jobId, status, duplicate: true }
    this.#answerValue(ref, result === null ? answer : { ...answer, result })
  }

  denied(ref: Ref, denial: Denial): void {
    this.#answerValue(ref, denialValue(denial))
  }

  /** Sends the answers whose turn it is. */
  flush(): void {
    this.#isToFlush = false
    this.#advance()
  }

  // --- inside ---

  #take(chunk: Buffer, isLast: boolean): void {
    if (this.#response === undefined || this.#isOver) return
    this.#splitter.push(chunk)
    if (isLast) {
      this.#isWhole = true
      this.#splitter.end()
    }
    this.#advance()
    if (!this.#mayHold()) this.#finish(unavailable('overloaded'))
  }

  /** Reads on as far as it may, and sends what there is. */
  #advance(): void {
    for (;;) {
      const wasFull = !this.#hasRoom()
      const before = this.#next
      while (this.#hasRoom() && this.#readOne());
      this.#write()
      // What was written has made room, and there may be more to read.
      if (!this.#hasRoom() || (!wasFull && this.#next === before)) break
    }
    this.#pauseOrResume()
  }

  /** Takes the next job; false when there is none. */
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

  /** The last line says why no more is read. */
  #finish(denial: Denial): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#answers.push(undefined)
    this.denied(this.#next++, denial)
  }

  #hasRoom(): boolean {
    return !this.#isBlocked && this.#answers.length < BATCH_WINDOW_JOBS &&
      this.#response !== undefined
  }

  #answerValue(ref: Ref, value: object): void {
    this.#answer(ref, `${JSON.stringify(value)}\n`)
  }

  #answer(ref: Ref, line: string): void {
    if (this.#response === undefined) return
    this.#answers[Number(ref) - this.#first] = line
    if (this.#isToFlush) return
    this.#isToFlush = true
    this.#parts.flushSoon(this)
  }

  /** Writes the answers that are complete from the first on; the last one ends the response. */
  #write(): void {
    const response = this.#response
    if (response === undefined || this.#isBlocked) return
    let count = 0
    let text = ''
    while (count < this.#answers.length && text.length < BATCH_BACKLOG_BYTES) {
      const line = this.#answers[count]
      if (line === undefined) break
      text += line
      count++
    }
    this.#answers.splice(0, count)
    this.#first += count
    const isDone = this.#answers.length === 0 && this.#isDone()
    response.cork(() => {
      if (text !== '' && !response.write(text)) this.#isBlocked = true
      if (isDone) response.end(undefined, !this.#isWhole)
    })
    if (isDone) this.#gone()
    else if (count > 0 && !this.#isBlocked && this.#answers[0] !== undefined) this.#write()
  }

  /** Whether all jobs have been read. */
  #isDone(): boolean {
    return this.#isOver || (this.#isWhole && this.#splitter.isDone)
  }

  #pauseOrResume(): void {
    const isToPause = !this.#isOver && !this.#isWhole && !this.#hasRoom()
    if (isToPause === this.#isPaused || this.#response === undefined) return
    this.#isPaused = isToPause
    if (isToPause) this.#response.pause()
    else this.#response.resume()
  }

  /** Whether there is room for what has come of the body and could not be handed on. */
  #mayHold(): boolean {
    const { receiver } = this.#parts
    receiver.release(this.#heldBytes)
    this.#heldBytes = this.#response === undefined ? 0 : this.#splitter.keptBytes
    if (receiver.reserve(this.#heldBytes)) return true
    this.#heldBytes = 0
    return false
  }

  #gone(): void {
    this.#response = undefined
    this.#answers = []
    this.#parts.receiver.release(this.#heldBytes)
    this.#heldBytes = 0
  }
}
