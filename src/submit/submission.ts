// The parameters of a request that submits jobs, and the interface to the peer process that may
// handle them instead of this one.

import type { Asker, Ref } from '../job/asker.ts'
import type { BodyFormat } from '../job/parse-body.ts'

/** The headers of a submitting request. */
export interface Submission {
  readonly format: BodyFormat
  /** The Idempotency-Key header, '' for none. */
  readonly idempotencyKey: string
  /** The caller asks for account queues at the job's upstream. */
  readonly wantsAccountQueue: boolean
}

/** Submits jobs to the peer process instead of this process's shards. */
export interface PeerJobs {
  /**
   * @param body is kept until the answer.
   * @param here submits the job to this process, in case the peer turns out to be gone.
   */
  submit(asker: Asker, ref: Ref, body: Buffer, submission: Submission, here: () => void): void
}
