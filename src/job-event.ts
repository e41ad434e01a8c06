// One event of a job, written at most once in each form however many follow the job.

import { encodeValue } from '../shards/codec.ts'
import {
  EVENT_CANCELLED, EVENT_COMPLETED, EVENT_FAILED, EVENT_NAMES, type JobStatus,
} from '../shards/contract.ts'

/** The event that tells of a status which is the last. */
export const TERMINAL_EVENTS: ReadonlyMap<JobStatus, number> = new Map([
  ['completed', EVENT_COMPLETED], ['failed', EVENT_FAILED], ['cancelled', EVENT_CANCELLED],
])

/** What has happened to a job. */
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

  /** Nothing will happen to the job any more. */
  get isTerminal(): boolean {
    return this.#event >= EVENT_COMPLETED
  }

  /** As text/event-stream has it. */
  get stream(): string {
    const data = { job_id: this.jobId, ...this.#data }
    return this.#stream ??=
      `event: ${EVENT_NAMES[this.#event]}\ndata: ${JSON.stringify(data)}\n\n`
  }

  /** As a message of a socket, in JSON. */
  get json(): string {
    return this.#json ??= JSON.stringify(this.#message())
  }

  /** The same in MessagePack. */
  get packed(): Uint8Array {
    return this.#packed ??= Uint8Array.from(encodeValue(this.#message()))
  }

  #message(): object {
    return { type: EVENT_NAMES[this.#event], job_id: this.jobId, ...this.#data }
  }
}
