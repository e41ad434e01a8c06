// One run of `sluice submit`: jobs go out within the server's window, ids or results come back.
// When the connection breaks, what has no answer is sent again, under the same keys, so that
// nothing runs twice, and what is waited for is watched again.

import { type Clock, SystemClock } from '../../shards/clock.ts'
import { msToUs, type Micros } from '../../shards/units.ts'
import { ClientSocket, type Listener, type ServerMessage } from './client-socket.ts'

/** What a run needs of the program around it. */
export interface RunSurroundings {
  readonly server: URL
  /** Wait for results, and print these instead of ids. */
  readonly wait: boolean
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  readonly onProgress: (counts: RunCounts) => void
}

/** How far a run is. */
export interface RunCounts {
  /** Jobs that have an answer. */
  answered: number
  refused: number
  finished: number
}

const RECONNECTS_MAX = 8
const RETRIES_MAX = 20
const PAUSE_MS_MIN = 100
const PAUSE_MS_MAX = 5000
const BATCH_JOBS_MAX = 256
/** A job that was refused for one of these may be taken later. */
const PASSING = new Set([
  'limit_reached', 'overloaded', 'shard_down', 'journal_stalled', 'journal_lost', 'window_full',
  'draining',
])
const TERMINAL = new Set(['completed', 'failed', 'cancelled'])

/** A job without an answer. */
interface Sent {
  readonly job: object
  tries: number
}

/** Sends jobs and prints what becomes of them. */
export class SubmitRun implements Listener {
  readonly #around: RunSurroundings
  readonly #clock: Clock = new SystemClock()
  readonly counts: RunCounts = { answered: 0, refused: 0, finished: 0 }
  #socket: ClientSocket | undefined
  /** By line; kept until they are answered. */
  readonly #sent = new Map<number, Sent>()
  /** Lines whose jobs are to be sent with the next message. */
  #batch: number[] = []
  /** Ids by line, of lines that are printed after an earlier one. */
  readonly #ids = new Map<number, string>()
  #nextId = 1
  #lines = 0
  /** Jobs that are waited for: id → line. */
  readonly #awaited = new Map<string, number>()
  #failure: string | undefined
  #failed = 0
  #changed = Promise.withResolvers<void>()

  constructor(around: RunSurroundings) {
    this.#around = around
  }

  /** Connects, sends all jobs, and waits; resolves with whether all went well. */
  async run(jobs: AsyncIterable<object | undefined>): Promise<boolean> {
    if (!await this.#connect()) return this.#giveUp()
    for await (const job of jobs) {
      if (this.#failure !== undefined) return this.#giveUp()
      const line = ++this.#lines
      if (job === undefined) {
        this.#refuse(line, 'the line is not a JSON object')
        continue
      }
      while (!this.#hasRoom() && this.#failure === undefined) await this.#change()
      this.#sent.set(line, { job, tries: 0 })
      this.#post(line)
    }
    while (this.#failure === undefined && this.#sent.size + this.#awaited.size > 0) {
      this.#flush()
      await this.#change()
    }
    if (this.#failure !== undefined) return this.#giveUp()
    this.#socket?.close()
    return this.counts.refused === 0 && this.#failed === 0
  }

  onMessage(message: ServerMessage): void {
    const { code, error, job_id: jobId, type } = message
    if (type === 'accepted') {
      for (const entry of message['jobs'] as readonly ServerMessage[]) this.#answer(entry)
    } else if (TERMINAL.has(type)) this.#finished(String(jobId), message)
    else if (type === 'error' && typeof jobId === 'string') {
      this.#finished(jobId, { job_id: jobId, status: 'unknown', code, error, type })
    } else if (type === 'error') this.#failure = String(error)
    this.#notify()
  }

  onClose(reason: string): void {
    this.#socket = undefined
    this.#around.stderr(`sluice: ${reason}; connecting again\n`)
    void this.#connect()
  }

  // --- the connection ---

  async #connect(): Promise<boolean> {
    let reason = ''
    for (let attempt = 0; attempt <= RECONNECTS_MAX; attempt++) {
      const opened = await ClientSocket.open(this.#around.server, this)
      if (typeof opened !== 'string') {
        this.#socket = opened
        this.#resume()
        return true
      }
      reason = opened
      // A server that was never there need not be waited for.
      if (this.#lines === 0) break
      await this.#pause(Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** attempt))
    }
    this.#failure = reason
    this.#notify()
    return false
  }

  /** After a reconnect: what has no answer is sent again, what is awaited is watched again. */
  #resume(): void {
    this.#batch = [...this.#sent.keys()]
    this.#flush()
    const ids = [...this.#awaited.keys()]
    const size = this.#socket?.jobsPerMessage ?? 1
    for (let at = 0; at < ids.length; at += size) {
      this.#socket?.send({ type: 'watch', job_ids: ids.slice(at, at + size) })
    }
    this.#notify()
  }

  #giveUp(): boolean {
    this.#around.stderr(`sluice: ${this.#failure}\n`)
    this.#socket?.close()
    return false
  }

  // --- sending ---

  #hasRoom(): boolean {
    if (this.#socket === undefined) return false
    // What is waited for is bounded too: the server watches only so many jobs.
    return this.#sent.size < this.#socket.window / 2 && this.#awaited.size < this.#socket.window
  }

  #post(line: number): void {
    this.#batch.push(line)
    if (this.#batch.length >= BATCH_JOBS_MAX || !this.#hasRoom()) this.#flush()
    else if (this.#batch.length === 1) setImmediate(() => this.#flush())
  }

  #flush(): void {
    const socket = this.#socket
    if (socket === undefined || this.#batch.length === 0) return
    const lines = this.#batch
    this.#batch = []
    const size = Math.min(BATCH_JOBS_MAX, socket.jobsPerMessage)
    for (let at = 0; at < lines.length; at += size) {
      const jobs = lines.slice(at, at + size).map((line) => ({
        ...this.#sent.get(line)?.job, ref: line, ...(this.#around.wait ? { watch: true } : {}),
      }))
      socket.send({ type: 'enqueue', jobs })
    }
  }

  // --- answers ---

  #answer(entry: ServerMessage): void {
    const { code, error, field, job_id: jobId, ref, result } = entry
    const line = Number(ref)
    const sent = this.#sent.get(line)
    if (sent === undefined) return
    // A key that is known with another request names the job that holds it.
    if (error !== undefined || typeof jobId !== 'string') {
      const isPassing = PASSING.has(String(code)) && ++sent.tries <= RETRIES_MAX
      if (isPassing) return void this.#again(line, Number(entry['retry_after_s'] ?? 0))
      this.#sent.delete(line)
      return this.#refuse(line, `${String(error)} (${String(code)}` +
        `${typeof field === 'string' && field !== '' ? `, ${field}` : ''})`)
    }
    this.#sent.delete(line)
    this.counts.answered++
    if (!this.#around.wait) {
      this.#ids.set(line, jobId)
      this.#printIds()
    } else {
      this.#awaited.set(jobId, line)
      if (result !== undefined) {
        this.#finished(jobId, { ...result as object, job_id: jobId, type: 'completed' })
      }
    }
  }

  async #again(line: number, waitSeconds: number): Promise<void> {
    await this.#pause(Math.max(PAUSE_MS_MIN, waitSeconds * 1000))
    if (this.#sent.has(line)) this.#post(line)
  }

  #refuse(line: number, reason: string): void {
    this.counts.refused++
    this.#around.stderr(`sluice: line ${line}: ${reason}\n`)
    this.#ids.set(line, '')
    this.#printIds()
  }

  /** Ids come out in the order of their lines, whatever the shards' order was. */
  #printIds(): void {
    if (this.#around.wait) return
    let text = ''
    for (; this.#ids.has(this.#nextId); this.#nextId++) {
      const id = this.#ids.get(this.#nextId)
      this.#ids.delete(this.#nextId)
      if (id !== '') text += `${id}\n`
    }
    if (text !== '') this.#around.stdout(text)
  }

  #finished(jobId: string, message: ServerMessage): void {
    const line = this.#awaited.get(jobId)
    if (line === undefined) return
    this.#awaited.delete(jobId)
    this.counts.finished++
    const { type, ...outcome } = message
    if (type !== 'completed') this.#failed++
    this.#around.stdout(`${JSON.stringify({ line, ...outcome })}\n`)
  }

  // --- waiting ---

  #notify(): void {
    this.#around.onProgress(this.counts)
    this.#changed.resolve()
  }

  async #change(): Promise<void> {
    await this.#changed.promise
    this.#changed = Promise.withResolvers()
  }

  #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    // A clock has one wake, so each pause has a clock.
    const clock = new SystemClock()
    clock.wakeAt((this.#clock.nowUs() + msToUs(ms)) as Micros, resolve)
    return promise
  }
}
