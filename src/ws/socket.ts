// One WebSocket: passes a client's messages on, and sends answers and events of its jobs.

import { encodeValue } from '../../shards/wire/codec.ts'
import {
  CODE_NOT_CANCELLABLE, CODE_NOT_FOUND, CODE_TOO_MANY_WATCHED, type JobResult, type JobStatus,
  type JobSnapshot,
} from '../../shards/wire/contract.ts'
import { formatJobId } from '../../shards/wire/job-id.ts'
import { lacking, mayDo, type Principal, type Scope } from '../access/principal.ts'
import { CLIENT_BYTES_FREE_OF_SHARES } from '../base/client-limits.ts'
import {
  type Denial, denialValue, type ErrorCode, TOO_MANY_WATCHED, unavailable,
} from '../base/errors.ts'
import { SOCKET_WARN_BYTES, SOCKET_WATCHED_MAX, SOCKET_WINDOW_JOBS } from '../base/limits.ts'
import type { Question, Questions } from '../engine/questions.ts'
import type { SocketData } from '../http/server.ts'
import type { WebSocketHandle } from '../http/uws.ts'
import type { Ref, Ticket } from '../job/asker.ts'
import { JobEvent, TERMINAL_EVENT_OF_STATUS } from '../submit/job-event.ts'
import type { MessageAsker, Submissions } from '../submit/submissions.ts'
import type { Watches, Watcher } from '../submit/watches.ts'
import { Answers, loneAnswer } from './answers.ts'
import { readMessage } from './message.ts'

const CLOSE_TRY_AGAIN = 1013

/** What a socket needs of its surroundings. */
export interface SocketHost {
  readonly submissions: Submissions
  readonly questions: Questions
  readonly watches: Watches
  /** See Answers. */
  readonly spareAnswers: Buffer[]
  /** Requests a flush of the socket at the end of this iteration of the event loop. */
  flushSoon(socket: JobSocket): void
  /** Whether a socket may have this many more unread bytes. */
  mayBuffer(socket: JobSocket, bytes: number): boolean
  /** Reports a change of the socket's unread bytes. */
  noteBacklog(change: number): void
  countInvalid(): void
}

/** The state of a socket that is handed over to another build's code. */
export interface SocketState {
  readonly handle: WebSocketHandle<SocketData>
  /** The previous watcher of its jobs. */
  readonly watcher: Watcher
  readonly watched: readonly string[]
  readonly isBinary: boolean
  readonly backlogBytes: number
  readonly isWarned: boolean
}

/** An open socket, of any build's code. */
export interface OpenSocket {
  readonly principal: Principal
  flush(): void
  /** Closes it gracefully. */
  end(code: number, reason: string): void
  /**
   * Gives up its client for another object to take over, unless answers are pending that only this
   * one can give; then it returns undefined, and nothing has changed.
   */
  handOver(): SocketState | undefined
}

/** The connection of a client, from open to close. */
export class JobSocket implements MessageAsker, Watcher, OpenSocket {
  readonly isBulk = true
  readonly principal: Principal
  readonly #host: SocketHost
  readonly #wantsAccountQueue: boolean
  readonly #maySubmit: boolean
  #handle: WebSocketHandle<SocketData> | undefined
  /** The format of the client's last frame, which is used for answers. */
  #isBinary = false
  #answers: Answers | undefined
  /** Jobs without an answer. */
  #unanswered = 0
  /** Questions without an answer. */
  #asked = 0
  readonly #watched: Set<string>
  /** Jobs for which a WATCH is pending. */
  readonly #joining = new Set<string>()
  #backlogBytes = 0
  #isWarned = false

  /** @param before the state of a socket that was handed over. */
  constructor(handle: WebSocketHandle<SocketData>, host: SocketHost, before?: SocketState) {
    const { principal, wantsAccountQueue } = handle.getUserData()
    this.principal = principal
    this.#handle = handle
    this.#host = host
    this.#wantsAccountQueue = wantsAccountQueue
    this.#maySubmit = mayDo(principal, 'submit')
    this.#watched = new Set(before?.watched)
    if (before === undefined) return
    this.#isBinary = before.isBinary
    this.#backlogBytes = before.backlogBytes
    this.#isWarned = before.isWarned
    for (const jobId of before.watched) host.watches.replace(jobId, before.watcher, this)
  }

  /** Bytes that the client has not read yet. */
  get backlogBytes(): number {
    return this.#backlogBytes
  }

  // --- messages of the client ---

  /** Handles one frame; the bytes are valid only until it returns. */
  hear(bytes: Buffer, isBinary: boolean): void {
    if (this.#isBinary !== isBinary) this.flush()
    this.#isBinary = isBinary
    const { submissions } = this.#host
    const isTaken = isBinary && this.#maySubmit &&
      submissions.submitPacked(this, bytes, this.#wantsAccountQueue)
    if (!isTaken) this.#read(bytes, isBinary)
  }

  #read(bytes: Buffer, isBinary: boolean): void {
    const message = readMessage(bytes, isBinary)
    const scope = SCOPE_OF[message.type]
    if (scope !== undefined && !mayDo(this.principal, scope)) {
      return this.#fail(lacking(scope), 'ref' in message ? message.ref : undefined)
    }
    switch (message.type) {
      case 'enqueue':
        return this.#host.submissions.submitAll(
          this, message.jobs, message.wantsAccountQueue || this.#wantsAccountQueue)
      case 'watch':
        for (const jobId of message.jobIds) this.#watch(jobId, message.ref)
        return
      case 'unwatch':
        for (const jobId of message.jobIds) this.#unwatch(jobId, message.ref)
        return
      case 'cancel':
        for (const jobId of message.jobIds) this.#cancel(jobId, message.ref)
        return
      case 'ping':
        return this.tell({ type: 'pong', ...withRef(message.ref) })
      default:
        this.#host.countInvalid()
        this.#fail(message.denial, message.ref)
    }
  }

  #watch(jobId: string, ref: Ref | undefined): void {
    const { watches, questions } = this.#host
    const { tenant } = this.principal
    const isKnown = this.#watched.has(jobId) || this.#joining.has(jobId)
    if (!isKnown) {
      if (!this.#hasRoomToWatch() || !watches.mayWatch(jobId, tenant)) {
        return this.#fail(TOO_MANY_WATCHED, ref, jobId)
      }
      this.#joining.add(jobId)
      watches.expect(jobId, tenant)
    }
    const question = isKnown
      ? this.#question(jobId, ref, (code, snapshot) => this.#shown(jobId, ref, code, snapshot))
      : this.#question(jobId, ref, (code, snapshot) => this.#joined(jobId, ref, code, snapshot),
        () => {
          this.#joining.delete(jobId)
          watches.giveUp(jobId, false)
        })
    questions.ask(isKnown ? 'get' : 'watch', jobId, tenant, question)
  }

  /** The answer to a WATCH. */
  #joined(jobId: string, ref: Ref | undefined, code: number, snapshot: JobSnapshot | null): void {
    const { watches } = this.#host
    const isWanted = this.#joining.delete(jobId) && this.#handle !== undefined
    const isWatched =
      code === 0 && snapshot !== null && !TERMINAL_EVENT_OF_STATUS.has(snapshot.status)
    if (isWatched && isWanted) {
      watches.join(jobId, this)
      this.#watched.add(jobId)
    } else watches.giveUp(jobId, isWatched)
    if (isWanted) this.#shown(jobId, ref, code, snapshot)
  }

  #shown(jobId: string, ref: Ref | undefined, code: number, snapshot: JobSnapshot | null): void {
    if (code === CODE_TOO_MANY_WATCHED) return this.#fail(TOO_MANY_WATCHED, ref, jobId)
    if (code === CODE_NOT_FOUND || snapshot === null) return this.#fail(NOT_FOUND, ref, jobId)
    const { result, ...state } = snapshot
    this.tell({ type: 'watched', ...withRef(ref), job_id: jobId, ...state })
    const event = TERMINAL_EVENT_OF_STATUS.get(snapshot.status)
    if (event === undefined) return
    this.told(new JobEvent(jobId, event, result ?? { status: snapshot.status }))
  }

  #unwatch(jobId: string, ref: Ref | undefined): void {
    this.#joining.delete(jobId)
    if (this.#watched.delete(jobId)) this.#host.watches.leave(jobId, this)
    this.tell({ type: 'unwatched', ...withRef(ref), job_id: jobId })
  }

  #cancel(jobId: string, ref: Ref | undefined): void {
    const question = this.#question(jobId, ref, (code, snapshot) => {
      if (code === CODE_NOT_FOUND || snapshot === null) return this.#fail(NOT_FOUND, ref, jobId)
      if (code === CODE_NOT_CANCELLABLE) {
        return this.#fail({ code: 'not_cancellable', error: `the job is ${snapshot.status}`,
          more: { status: snapshot.status } }, ref, jobId)
      }
      // The answer is also the event, which is not sent a second time.
      if (this.#watched.delete(jobId)) this.#host.watches.leave(jobId, this)
      this.tell({ type: 'cancelled', ...withRef(ref), job_id: jobId, status: 'cancelled' })
    })
    this.#host.questions.ask('cancel', jobId, this.principal.tenant, question)
  }

  /** @param gaveUp is called when it cannot be answered. */
  #question(
    jobId: string, ref: Ref | undefined, answered: Question['answered'], gaveUp = (): void => {},
  ): Question {
    this.#asked++
    return {
      isBulk: true,
      answered: (code, snapshot) => {
        this.#asked--
        answered(code, snapshot)
      },
      unavailable: (code: ErrorCode) => {
        this.#asked--
        gaveUp()
        this.#fail(unavailable(code), ref, jobId)
      },
    }
  }

  // --- answers and events of its jobs ---

  begin(ref: Ref): boolean {
    if (this.#unanswered < SOCKET_WINDOW_JOBS) {
      this.#unanswered++
      return true
    }
    this.#answer({ ref, ...denialValue(WINDOW_FULL) })
    return false
  }

  mayWatch(ref: Ref): boolean {
    if (this.#hasRoomToWatch()) return true
    this.denied(ref, TOO_MANY_WATCHED)
    return false
  }

  accepted(ticket: Ticket): void {
    this.#unanswered--
    if (ticket.isWatched) this.#acceptedWatched(ticket)
    if (this.#handle === undefined) return
    if (this.#answers?.isFull === true) this.flush()
    this.#openAnswers().accept(ticket)
  }

  duplicate(ticket: Ticket, jobId: string, status: JobStatus, result: JobResult | null): void {
    const { isWatched, ref } = ticket
    this.#unanswered--
    const entry = { ref, job_id: jobId, duplicate: true, status }
    this.#answer(result === null ? entry : { ...entry, result })
    if (isWatched && result === null && this.#handle !== undefined) this.#watch(jobId, undefined)
  }

  denied(ref: Ref, denial: Denial): void {
    this.#unanswered--
    this.#answer({ ref, ...denialValue(denial) })
  }

  deniedAt(index: number, denial: Denial): void {
    this.#answer({ index, ...denialValue(denial) })
  }

  told(event: JobEvent): void {
    if (event.isTerminal) this.#watched.delete(event.jobId)
    // The answer that accepts a job comes before its events.
    this.flush()
    this.#send(this.#isBinary ? event.packed : event.json)
  }

  #acceptedWatched({ route, idHigh, idLow }: Ticket): void {
    const jobId = formatJobId(route, idHigh, idLow)
    if (this.#handle === undefined) return this.#host.watches.giveUp(jobId, true)
    this.#host.watches.join(jobId, this)
    this.#watched.add(jobId)
  }

  /** Pending jobs are counted as if all of them were to be watched. */
  #hasRoomToWatch(): boolean {
    const watched = this.#watched.size + this.#joining.size + this.#unanswered
    return watched < SOCKET_WATCHED_MAX
  }

  // --- messages to the client ---

  /** Sends one message, after all collected answers. */
  tell(message: object): void {
    this.flush()
    this.#send(this.#isBinary ? encodeValue(message) : JSON.stringify(message))
  }

  /** Sends the collected answers. */
  flush(): void {
    const answers = this.#answers
    if (answers === undefined) return
    this.#answers = undefined
    this.#send(answers.finish(), answers.isBinary)
    answers.giveBack()
  }

  /** The client has read some of its backlog. */
  drained(): void {
    this.#noteBacklog()
    if (this.#backlogBytes < SOCKET_WARN_BYTES) this.#isWarned = false
  }

  end(code: number, reason: string): void {
    this.flush()
    this.#handle?.end(code, reason)
  }

  handOver(): SocketState | undefined {
    const handle = this.#handle
    const isBusy = this.#unanswered > 0 || this.#asked > 0 || this.#answers !== undefined
    if (handle === undefined || isBusy) return undefined
    this.#handle = undefined
    return {
      handle, watcher: this, watched: [...this.#watched], isBinary: this.#isBinary,
      backlogBytes: this.#backlogBytes, isWarned: this.#isWarned,
    }
  }

  /** The connection has closed. */
  closed(): void {
    this.#handle = undefined
    this.#answers?.giveBack()
    this.#answers = undefined
    this.#host.noteBacklog(-this.#backlogBytes)
    this.#backlogBytes = 0
    for (const jobId of this.#watched) this.#host.watches.leave(jobId, this)
    this.#watched.clear()
  }

  #fail(denial: Denial, ref?: Ref, jobId?: string): void {
    this.tell({
      type: 'error', ...withRef(ref), ...(jobId === undefined ? {} : { job_id: jobId }),
      ...denialValue(denial),
    })
  }

  #answer(entry: object): void {
    if (this.#handle === undefined || this.#openAnswers().add(entry)) return
    this.flush()
    if (!this.#openAnswers().add(entry)) this.tell(loneAnswer(entry))
  }

  #openAnswers(): Answers {
    if (this.#answers !== undefined) return this.#answers
    this.#answers = new Answers(this.#isBinary, this.#host.spareAnswers)
    this.#host.flushSoon(this)
    return this.#answers
  }

  #send(message: string | Uint8Array, isBinary = this.#isBinary): void {
    const handle = this.#handle
    if (handle === undefined) return
    const bytes = typeof message === 'string' ? Buffer.byteLength(message) : message.length
    if (this.#backlogBytes > 0) this.#noteBacklog()
    // It has been warned; results are still sent to webhooks and available at GET /jobs/:id.
    const isCounted = this.#backlogBytes > 0 || bytes > CLIENT_BYTES_FREE_OF_SHARES
    if (isCounted && !this.#host.mayBuffer(this, bytes)) return this.#cut(handle)
    if (handle.send(message, isBinary) !== 1) this.#noteBacklog()
    if (this.#backlogBytes < SOCKET_WARN_BYTES || this.#isWarned) return
    this.#isWarned = true
    this.tell({ type: 'warning', code: 'slow_reader', unread_bytes: this.#backlogBytes,
      error: 'messages are not read as fast as they come; the socket is cut when too many wait' })
  }

  /** With a backlog, a close frame would wait behind it. */
  #cut(handle: WebSocketHandle<SocketData>): void {
    if (this.#backlogBytes > 0) handle.close()
    else handle.end(CLOSE_TRY_AGAIN, 'too much is unread by all clients; come again')
  }

  #noteBacklog(): void {
    const backlogBytes = this.#handle?.getBufferedAmount() ?? 0
    this.#host.noteBacklog(backlogBytes - this.#backlogBytes)
    this.#backlogBytes = backlogBytes
  }
}

/** What a message has to be allowed to do. */
const SCOPE_OF: Readonly<Partial<Record<ReturnType<typeof readMessage>['type'], Scope>>> = {
  enqueue: 'submit', watch: 'read', unwatch: 'read', cancel: 'read',
}

const withRef = (ref: Ref | undefined): object => ref === undefined ? {} : { ref }

const NOT_FOUND: Denial = { code: 'job_not_found', error: 'there is no such job' }
const WINDOW_FULL: Denial = {
  code: 'window_full', error: 'more jobs are without an answer than the window allows',
  more: { limit: SOCKET_WINDOW_JOBS },
}
