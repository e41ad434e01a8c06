// The jobs that a command waits for, watched over a connection that may be replaced.

import type { Prng } from '../../shards/base/prng.ts'
import type { Link, ServerMessage } from './client-socket.ts'
import type { Pauses } from './pauses.ts'
import { isPassing, secondsToWait, waitMs } from './refusals.ts'

/** Final statuses of a job. */
export const TERMINAL: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled'])

/** Jobs by id, each with a value. */
export class WatchList<T> {
  readonly #jobs = new Map<string, T>()
  readonly #pauses: Pauses
  readonly #prng: Prng
  readonly #link: () => Link | undefined
  /** Cancels the pauses before jobs are watched again. */
  readonly #cancels = new Set<() => void>()

  constructor(pauses: Pauses, prng: Prng, link: () => Link | undefined) {
    this.#pauses = pauses
    this.#prng = prng
    this.#link = link
  }

  get size(): number {
    return this.#jobs.size
  }

  get(jobId: string): T | undefined {
    return this.#jobs.get(jobId)
  }

  /** Adds a job that the server watches already, or will with the next socket. */
  add(jobId: string, known: T): void {
    this.#jobs.set(jobId, known)
  }

  delete(jobId: string): void {
    this.#jobs.delete(jobId)
  }

  entries(): Iterable<[string, T]> {
    return this.#jobs.entries()
  }

  /** Watches all jobs over a new socket. */
  watchAll(link: Link): void {
    link.sendList('watch', [...this.#jobs.keys()].map((jobId) => JSON.stringify(jobId)))
  }

  /** The server refused a watch: retries it later. False when the refusal is permanent. */
  askAgain(jobId: string, refusal: ServerMessage): boolean {
    if (!isPassing(refusal)) return false
    const cancel = this.#pauses.after(waitMs(secondsToWait(refusal), this.#prng.unit()), () => {
      this.#cancels.delete(cancel)
      if (this.#jobs.has(jobId)) this.#link()?.sendList('watch', [JSON.stringify(jobId)])
    })
    this.#cancels.add(cancel)
    return true
  }

  /** Cancels all pending retries. */
  close(): void {
    for (const cancel of this.#cancels) cancel()
    this.#cancels.clear()
  }
}
