// A request to submit jobs, besides the jobs themselves, and who may take them in place of this
// process.

import type { Asker, Ref } from '../base/asker.ts'
import type { BodyFormat } from '../job/parse-body.ts'

/** What the headers of a submitting request say. */
export interface Submission {
  readonly format: BodyFormat
  /** The Idempotency-Key header, '' for none. */
  readonly idempotencyKey: string
  /** The caller asks for account queues at the job's upstream. */
  readonly wantsAccountQueue: boolean
}

/** Who takes jobs in place of this process's shards. */
export interface PeerJobs {
  /**
   * @param body is kept until the answer.
   * @param here takes the job after all, if the other process turns out to be gone.
   */
  submit(asker: Asker, ref: Ref, body: Buffer, submission: Submission, here: () => void): void
}
