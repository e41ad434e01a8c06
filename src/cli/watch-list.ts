// The jobs that a command waits for, watched over a connection that may be another one later.

import type { Prng } from '../../shards/base/prng.ts'
import type { Link, ServerMessage } from './client-socket.ts'
import type { Pauses } from './pauses.ts'
import { isPassing, secondsToWait, waitMs } from './refusals.ts'

/** Ends of a job. */
export const TERMINAL: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled'])

/** Jobs by id, each with whatever is known of it. */
export class WatchList<T> {
  readonly #jobs = new Map<string, T>()
  readonly #pauses: Pauses
  readonly #prng: Prng
  readonly #link: () => Link | undefined
  /** Cancels the pauses after which jobs are asked for again. */
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

  /** A job that the server watches already, or will with the next socket. */
  add(jobId: string, known: T): void {
    this.#jobs.set(jobId, known)
  }

  delete(jobId: string): void {
    this.#jobs.delete(jobId)
  }

  entries(): Iterable<[string, T]> {
    return this.#jobs.entries()
  }

  /** Has a new socket watch all of them. */
  watchAll(link: Link): void {
    link.sendList('watch', [...this.#jobs.keys()].map((jobId) => JSON.stringify(jobId)))
  }

  /** The server cannot watch a job now: it is asked again. False when it never will. */
  askAgain(jobId: string, refusal: ServerMessage): boolean {
    if (!isPassing(refusal)) return false
    const cancel = this.#pauses.after(waitMs(secondsToWait(refusal), this.#prng.unit()), () => {
      this.#cancels.delete(cancel)
      if (this.#jobs.has(jobId)) this.#link()?.sendList('watch', [JSON.stringify(jobId)])
    })
    this.#cancels.add(cancel)
    return true
  }

  /** Nothing is waited for any more. */
  close(): void {
    for (const cancel of this.#cancels) cancel()
    this.#cancels.clear()
  }
}
