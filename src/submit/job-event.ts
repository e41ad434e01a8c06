// One event of a job, encoded at most once in each format however many watch the job.

import { encodeValue } from '../../shards/wire/codec.ts'
import {
  EVENT_CANCELLED, EVENT_COMPLETED, EVENT_DISPATCHING, EVENT_FAILED, EVENT_NAMES,
  EVENT_QUEUED, EVENT_RETRYING, type JobStatus,
} from '../../shards/wire/contract.ts'

/** The event of each final status. */
export const TERMINAL_EVENT_OF_STATUS: ReadonlyMap<JobStatus, number> = new Map([
  ['completed', EVENT_COMPLETED], ['failed', EVENT_FAILED], ['cancelled', EVENT_CANCELLED],
])

/**
 * An event's place in the life of its job: queued 0, dispatching 1, retrying 1 … dispatching n is
 * 2n - 1, retrying n is 2n; a terminal event comes after all of them. NO_PLACE for a position
 * event, which reports the job's present state and not a change of it.
 */
export const NO_PLACE = -1

const ID_OF_ATTEMPT = /^(dispatching|retrying)-(\d{1,5})$/

/** The place of an event that is not terminal, by its id; NO_PLACE for any other text. */
export function placeOfId(id: string): number {
  if (id === 'queued') return 0
  const match = ID_OF_ATTEMPT.exec(id)
  return match === null ? NO_PLACE : placeOf(match[1] === 'retrying', Number(match[2]))
}

const placeOf = (isRetrying: boolean, attempt: number): number =>
  2 * attempt - (isRetrying ? 0 : 1)

/** Something that has happened to a job. */
export class JobEvent {
  readonly jobId: string
  readonly #event: number
  readonly #data: object
  #stream: string | undefined
  #json: string | undefined
  #packed: Uint8Array | undefined

  /** @param event EVENT_… */
  constructor(jobId: string, event: number, data: object) {
    this.jobId = jobId
    this.#event = event
    this.#data = data
  }

  /** No event follows it. */
  get isTerminal(): boolean {
    return this.#event >= EVENT_COMPLETED
  }

  /** See NO_PLACE. Derived from facts of the job, so it is the same after a restart. */
  get place(): number {
    if (this.isTerminal) return Infinity
    if (this.#event === EVENT_QUEUED) return 0
    return this.#isOfAttempt ? placeOf(this.#event === EVENT_RETRYING, this.#attempt) : NO_PLACE
  }

  /** As text/event-stream; with an id if it has a place: `queued`, `dispatching-2`. */
  get stream(): string {
    if (this.#stream !== undefined) return this.#stream
    const name = EVENT_NAMES[this.#event]
    const data = { job_id: this.jobId, ...this.#data }
    const id = this.#isOfAttempt ? `${name}-${this.#attempt}` : name
    this.#stream = `event: ${name}\n${this.place === NO_PLACE ? '' : `id: ${id}\n`}` +
      `data: ${JSON.stringify(data)}\n\n`
    return this.#stream
  }

  /** As a WebSocket message in JSON. */
  get json(): string {
    return this.#json ??= JSON.stringify(this.#message())
  }

  /** As a WebSocket message in MessagePack. */
  get packed(): Uint8Array {
    return this.#packed ??= Uint8Array.from(encodeValue(this.#message()))
  }

  get #isOfAttempt(): boolean {
    return this.#event === EVENT_DISPATCHING || this.#event === EVENT_RETRYING
  }

  get #attempt(): number {
    return Number((this.#data as { readonly attempt?: unknown }).attempt ?? 0)
  }

  #message(): object {
    return { type: EVENT_NAMES[this.#event], job_id: this.jobId, ...this.#data }
  }
}
