// One run of `sluice submit`: sends jobs within the server's window, and prints ids or results.
// When the connection breaks, unanswered jobs are sent again, with the same keys, so that nothing
// runs twice, and jobs that the run waits for are watched again.
//
// The number of jobs that may be unanswered drops to one when the server refuses jobs temporarily,
// or when the connection breaks, and grows by one with each accepted job. So a full server is not
// flooded, and a job that breaks the connection is identified: it is the only one in flight.

import type { Ending, Link, ServerMessage } from './client-socket.ts'
import { Connection, type ConnectionParts, type ConnectionUser } from './connection.ts'
import { type JobLine, withFields } from './job-lines.ts'
import { isPassing, secondsToWait, waitMs } from './refusals.ts'
import { TERMINAL, WatchList } from './watch-list.ts'

/** What a run needs of the program. */
export interface RunParts extends ConnectionParts {
  /** Wait for results, and print them instead of ids. */
  readonly wait: boolean
  readonly stdout: (text: string) => void
  readonly onProgress: (counts: RunCounts) => void
  /** The prefix of messages about a line; empty where there is only one job. */
  readonly nameOf: (line: number) => string
}

/** The progress of a run. */
export interface RunCounts {
  /** Accepted jobs. */
  answered: number
  refused: number
  finished: number
}

/** Jobs collected before they are sent within one iteration of the event loop. */
const BATCH_JOBS = 256
/** Unanswered bytes besides one job; a shard's ring may be little larger. */
const UNDER_WAY_BYTES_MAX = 1024 * 1024
/** Input bytes held until their jobs are answered. */
const SENT_BYTES_MAX = 64 * 1024 * 1024
/** Consecutive waits without an accepted job, after which the run fails. */
export const HOLDS_MAX = 20
/** Connections that a job may break as the only one in flight before it is left out. */
const CUTS_MAX = 2

/** An unanswered job. */
interface Sent {
  readonly text: string
  isUnderWay: boolean
  cuts: number
}

/** Sends jobs and prints their ids or results. */
export class SubmitRun implements ConnectionUser {
  readonly #parts: RunParts
  readonly #connection: Connection
  readonly counts: RunCounts = { answered: 0, refused: 0, finished: 0 }
  /** Unanswered jobs, by line. */
  readonly #sent = new Map<number, Sent>()
  #sentBytes = 0
  /** Lines whose jobs are waiting to be sent. */
  #waiting: number[] = []
  #underWay = 0
  #underWayBytes = 0
  #burst = Infinity
  #isPumping = false
  /** While set, nothing is sent. */
  #hold: { readonly seconds: number; readonly cancel: () => void } | undefined
  #holds = 0
  #toldCode: unknown
  /** Ids by line that are printed after those of earlier lines; empty: the line has none. */
  readonly #ids = new Map<number, string>()
  /** Lines whose id is not printed yet, in order. */
  readonly #order: number[] = []
  /** Jobs that the run waits for, each with its lines. */
  readonly #awaited: WatchList<number[]>
  #lastLine = 0
  #isReading = true
  #failure: string | undefined
  #stopReading: () => void = () => {}
  #isWell = true
  #changed = Promise.withResolvers<void>()

  constructor(parts: RunParts) {
    this.#parts = parts
    this.#connection = new Connection(parts, this)
    this.#awaited = new WatchList(parts.pauses, parts.prng, () => this.#connection.link)
  }

  /** Connects, sends all jobs, and waits; resolves with whether everything succeeded. */
  async run(lines: AsyncIterable<JobLine>): Promise<boolean> {
    await this.#connection.start()
    await this.#read(lines)
    while (this.#failure === undefined && this.#sent.size + this.#awaited.size > 0) {
      await this.#change()
    }
    this.#connection.close()
    this.#awaited.close()
    this.#hold?.cancel()
    if (this.#failure !== undefined) this.#tellRest(this.#failure)
    return this.#failure === undefined && this.#isWell && this.counts.refused === 0
  }

  /** Ends the run; ids of accepted jobs are printed. */
  stop(reason: string): void {
    this.#fail(reason)
  }

  onOpen(link: Link): void {
    this.#awaited.watchAll(link)
    this.#pump()
    this.#notify()
  }

  onMessage(message: ServerMessage): void {
    const { code, error, job_id: jobId, type } = message
    if (type === 'accepted') {
      for (const entry of message['jobs'] as readonly ServerMessage[]) this.#answer(entry)
      this.#printIds()
      this.#pump()
    } else if (TERMINAL.has(type)) this.#finished(String(jobId), message)
    else if (type === 'error' && typeof jobId === 'string') {
      if (this.#awaited.askAgain(jobId, message)) return
      this.#finished(jobId, { job_id: jobId, status: 'unknown', code, error, type })
    } else if (type === 'error') this.#fail(String(error))
    this.#notify()
  }

  onLost({ isGoodbye }: Ending): void {
    const lines = [...this.#sent].flatMap(([line, { isUnderWay }]) => isUnderWay ? [line] : [])
    for (const line of lines) this.#back(line)
    this.#waiting.unshift(...lines)
    if (isGoodbye || lines.length === 0) return
    this.#burst = 1
    const [line = 0] = lines
    const sent = this.#sent.get(line)
    if (lines.length > 1 || sent === undefined || ++sent.cuts < CUTS_MAX) return
    this.#refuse(line, 'the connection broke each time that this job was sent; it is left out')
  }

  onFailed(reason: string): void {
    this.#fail(reason)
  }

  // --- the input ---

  async #read(lines: AsyncIterable<JobLine>): Promise<void> {
    const iterator = lines[Symbol.asyncIterator]()
    try {
      while (this.#failure === undefined) {
        const next = await this.#next(iterator)
        if (next === undefined) return
        if (next.done === true) break
        this.#take(next.value)
        while (!this.#hasRoom() && this.#failure === undefined) await this.#change()
      }
    } catch (error) {
      this.#isWell = false
      this.#parts.say(`cannot read the input: ${(error as Error).message}`)
    }
    this.#isReading = false
  }

  /** The next line; undefined as soon as the run fails, without waiting for input. */
  #next(lines: AsyncIterator<JobLine>): Promise<IteratorResult<JobLine> | undefined> {
    const { promise, reject, resolve } =
      Promise.withResolvers<IteratorResult<JobLine> | undefined>()
    this.#stopReading = () => resolve(undefined)
    lines.next().then(resolve, reject)
    return promise
  }

  #take(line: JobLine): void {
    const { number } = line
    this.#lastLine = number
    if (!this.#parts.wait) this.#order.push(number)
    if ('fault' in line) return this.#refuse(number, line.fault)
    const { text } = line
    this.#sentBytes += text.length
    this.#sent.set(number, { text, isUnderWay: false, cuts: 0 })
    this.#waiting.push(number)
    if (this.#waiting.length >= BATCH_JOBS) this.#pump()
    else this.#pumpSoon()
  }

  #hasRoom(): boolean {
    const { link } = this.#connection
    if (link === undefined) return false
    // Jobs that the run waits for are limited too: the server watches a limited number.
    return this.#sent.size < link.window / 2 && this.#awaited.size < link.window &&
      this.#sentBytes < SENT_BYTES_MAX
  }

  // --- sending ---

  #pumpSoon(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    setImmediate(() => {
      this.#isPumping = false
      this.#pump()
    })
  }

  #pump(): void {
    const { link } = this.#connection
    if (link === undefined || this.#hold !== undefined || this.#failure !== undefined) return
    const underWayMax = Math.min(link.window / 2, this.#burst)
    const items: string[] = []
    while (this.#waiting.length > 0 && this.#underWay < underWayMax &&
      this.#underWayBytes < UNDER_WAY_BYTES_MAX) {
      const line = this.#waiting.shift() ?? 0
      const sent = this.#sent.get(line)
      if (sent === undefined) continue
      const item = withFields(sent.text, `"ref":${line},"watch":${this.#parts.wait}`)
      const bytes = Buffer.byteLength(item)
      if (bytes > link.itemBytesMax) {
        this.#refuse(line, `the job takes ${bytes} bytes, and on this connection the server ` +
          `takes at most ${link.itemBytesMax}`)
        continue
      }
      sent.isUnderWay = true
      this.#underWay++
      this.#underWayBytes += sent.text.length
      items.push(item)
    }
    if (items.length > 0) link.sendList('enqueue', items)
  }

  /** Marks a job as not in flight. */
  #back(line: number): void {
    const sent = this.#sent.get(line)
    if (sent?.isUnderWay !== true) return
    sent.isUnderWay = false
    this.#underWay--
    this.#underWayBytes -= sent.text.length
  }

  #forget(line: number): void {
    this.#back(line)
    this.#sentBytes -= this.#sent.get(line)?.text.length ?? 0
    this.#sent.delete(line)
  }

  // --- answers ---

  #answer(entry: ServerMessage): void {
    const { code, error, field, job_id: jobId, ref, result } = entry
    const line = Number(ref)
    if (!this.#sent.has(line)) return
    this.#connection.noteProgress()
    // A key that belongs to another request comes with an error and that job's id.
    if (error !== undefined || typeof jobId !== 'string') {
      if (isPassing(entry)) return this.#holdOff(line, entry)
      return this.#refuse(line, `${String(error)} (${String(code)}` +
        `${typeof field === 'string' && field !== '' ? `, ${field}` : ''})`)
    }
    this.#forget(line)
    this.counts.answered++
    this.#holds = 0
    if (this.#hold === undefined) this.#burst++
    if (!this.#parts.wait) return void this.#ids.set(line, jobId)
    this.#awaited.add(jobId, [...this.#awaited.get(jobId) ?? [], line])
    if (result !== undefined) {
      this.#finished(jobId, { ...result as object, job_id: jobId, type: 'completed' })
    }
  }

  /** The server refuses jobs temporarily: nothing is sent until the wait is over. */
  #holdOff(line: number, refusal: ServerMessage): void {
    this.#back(line)
    this.#waiting.push(line)
    const seconds = secondsToWait(refusal)
    if (seconds <= (this.#hold?.seconds ?? -1)) return
    const { code, error } = refusal
    const reason = `${String(error).replace(/\.$/, '')} (${String(code)})`
    if (this.#hold === undefined && ++this.#holds > HOLDS_MAX) {
      return this.#fail(`the server takes no more jobs: ${reason}`)
    }
    this.#hold?.cancel()
    this.#burst = 1
    const { pauses, prng, say } = this.#parts
    const ms = waitMs(seconds, prng.unit())
    this.#hold = { seconds, cancel: pauses.after(ms, () => {
      this.#hold = undefined
      this.#pump()
      this.#notify()
    }) }
    if (this.#toldCode === code) return
    this.#toldCode = code
    say(`the server takes no more for now: ${reason}; going on in ${Math.ceil(ms / 1000)} s`)
  }

  #refuse(line: number, reason: string): void {
    this.#forget(line)
    this.counts.refused++
    this.#parts.say(`${this.#parts.nameOf(line)}${reason}`)
    if (!this.#parts.wait) this.#ids.set(line, '')
    this.#printIds()
    this.#notify()
  }

  /** Prints ids in the order of their lines, whatever order the answers came in. */
  #printIds(): void {
    let count = 0
    let text = ''
    for (const line of this.#order) {
      const id = this.#ids.get(line)
      if (id === undefined) break
      count++
      this.#ids.delete(line)
      if (id !== '') text += `${id}\n`
    }
    this.#order.splice(0, count)
    if (text !== '') this.#parts.stdout(text)
  }

  #finished(jobId: string, message: ServerMessage): void {
    const lines = this.#awaited.get(jobId)
    if (lines === undefined) return
    this.#awaited.delete(jobId)
    this.#connection.noteProgress()
    const { type, ...result } = message
    if (type !== 'completed') this.#isWell = false
    for (const line of lines) {
      this.counts.finished++
      this.#parts.stdout(`${JSON.stringify({ line, ...result })}\n`)
    }
  }

  // --- the end ---

  #fail(reason: string): void {
    this.#failure ??= reason
    this.#stopReading()
    this.#notify()
  }

  /** On failure: prints what is known of each job, and the reason. */
  #tellRest(reason: string): void {
    const { say, stdout } = this.#parts
    for (const line of this.#order) {
      const id = this.#ids.get(line) ?? ''
      if (id !== '') stdout(`${id}\n`)
    }
    for (const [jobId, lines] of this.#awaited.entries()) {
      for (const line of lines) {
        stdout(`${JSON.stringify({ line, job_id: jobId, status: 'unknown', error: reason })}\n`)
      }
    }
    say(reason)
    if (this.#lastLine === 0 || this.#parts.nameOf(1) === '') return
    if (this.#sent.size > 0) say(`without an answer: lines ${ranges([...this.#sent.keys()])}`)
    if (this.#isReading) say(`not read: what follows line ${this.#lastLine}`)
  }

  #notify(): void {
    this.#parts.onProgress(this.counts)
    this.#changed.resolve()
  }

  async #change(): Promise<void> {
    await this.#changed.promise
    this.#changed = Promise.withResolvers()
  }
}

/** Ascending numbers as ranges: [1, 2, 3, 7, 9, 10] → '1-3, 7, 9-10' */
export function ranges(numbers: readonly number[]): string {
  const parts: [first: number, last: number][] = []
  for (const number of numbers) {
    const part = parts.at(-1)
    if (part !== undefined && part[1] === number - 1) part[1] = number
    else parts.push([number, number])
  }
  return parts.map(([first, last]) => first === last ? `${first}` : `${first}-${last}`).join(', ')
}
