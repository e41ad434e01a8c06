// The caller that waits for the answer about a job that it submitted: one HTTP request, a batch, or
// a WebSocket. The front door makes the same calls on all of them; each answers in its own format.

import type { JobResult, JobStatus } from '../../shards/wire/contract.ts'
import type { Principal } from '../access/principal.ts'
import type { Denial } from '../base/errors.ts'

/** A caller's own name for one of its jobs: an integer or a short text. */
export type Ref = number | string

/** A job on its way to a shard. One object is reused: it is valid only until the call returns. */
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

/** Each submitted job leads to exactly one of these calls, synchronously or later. */
export interface Asker {
  /** Whose jobs they are. */
  readonly principal: Principal
  /** A batch or a WebSocket, which may have many jobs pending at once. */
  readonly isBulk: boolean
  /** The shard holds the job. */
  accepted(ticket: Ticket): void
  /** The idempotent key is known; `result` is null while that job is not finished. */
  duplicate(ticket: Ticket, jobId: string, status: JobStatus, result: JobResult | null): void
  /** The job was not accepted, and nothing of it is kept. */
  denied(ref: Ref, denial: Denial): void
}
