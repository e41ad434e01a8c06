// Who waits for the answer about a job that it has submitted: one HTTP request, a batch, or a
// socket. The front door tells all of them the same, and each says it in its own way.

import type { JobResult, JobStatus } from '../../shards/wire/contract.ts'
import type { Denial } from './errors.ts'

/** An asker's own name for one of its jobs: a number that is an integer, or a short text. */
export type Ref = number | string

/** A job on its way to a shard. One object is reused: it is valid until the call returns. */
export interface Ticket {
  readonly ref: Ref
  readonly shard: number
  /** The asker wants the job's events. */
  readonly isWatched: boolean
  /** The three words of the new job's id. */
  readonly route: number
  readonly idHigh: number
  readonly idLow: number
}

/** Each job that is submitted for it leads to one of these calls, at once or later. */
export interface Asker {
  /** Whether it is one of those who may have many jobs under way. */
  readonly isBulk: boolean
  /** The shard holds the job. */
  accepted(ticket: Ticket): void
  /** The key is known; `result` is null while that job is not finished. */
  duplicate(ticket: Ticket, jobId: string, status: JobStatus, result: JobResult | null): void
  /** The job has not been taken, and nothing of it is kept. */
  denied(ref: Ref, denial: Denial): void
}
