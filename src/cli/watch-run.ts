// One run of `sluice watch`: prints the events of jobs until all are finished, over a connection
// that may break meanwhile.

import type { Link, ServerMessage } from './client-socket.ts'
import { Connection, type ConnectionParts, type ConnectionUser } from './connection.ts'
import { TERMINAL, WatchList } from './watch-list.ts'

/** What a run needs of the program. */
export interface WatchParts extends ConnectionParts {
  readonly stdout: (text: string) => void
}

/** Watches jobs and prints their events. */
export class WatchRun implements ConnectionUser {
  readonly #parts: WatchParts
  readonly #connection: Connection
  readonly #open: WatchList<true>
  readonly #over = Promise.withResolvers<void>()
  #isWell = true

  constructor(parts: WatchParts) {
    this.#parts = parts
    this.#connection = new Connection(parts, this)
    this.#open = new WatchList(parts.pauses, parts.prng, () => this.#connection.link)
  }

  /** Resolves with whether all jobs have completed. */
  async run(jobIds: readonly string[]): Promise<boolean> {
    for (const jobId of jobIds) this.#open.add(jobId, true)
    await this.#connection.start()
    await this.#over.promise
    this.#connection.close()
    this.#open.close()
    return this.#isWell
  }

  /** Ends the run. */
  stop(reason: string): void {
    this.onFailed(reason)
  }

  onOpen(link: Link): void {
    this.#open.watchAll(link)
  }

  onMessage(message: ServerMessage): void {
    const { job_id: jobId, type, ...rest } = message
    if (type === 'error') return this.#refused(String(jobId ?? ''), message)
    this.#parts.stdout(`${JSON.stringify({ event: type, job_id: jobId, ...rest })}\n`)
    if (TERMINAL.has(type)) this.#finished(String(jobId), type === 'completed')
  }

  onLost(): void {}

  onFailed(reason: string): void {
    this.#parts.say(reason)
    this.#isWell = false
    this.#over.resolve()
  }

  #refused(jobId: string, refusal: ServerMessage): void {
    if (this.#open.askAgain(jobId, refusal)) return
    if (jobId === '') return this.onFailed(String(refusal['error']))
    this.#parts.say(`${jobId}: ${String(refusal['error'])}`)
    this.#finished(jobId, false)
  }

  #finished(jobId: string, isWell: boolean): void {
    this.#connection.noteProgress()
    this.#isWell &&= isWell
    this.#open.delete(jobId)
    if (this.#open.size === 0) this.#over.resolve()
  }
}
