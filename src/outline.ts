// A job without its key and its body: what the jobs of one caller have alike. Encoded and hashed
// once, it serves all of them.

import type { UpstreamSlot } from '../shards/units.ts'
import type { Hash64, UserHash } from './hash.ts'

/** What Outline.templateHash is until the template has been in a ring. */
export const NOT_HASHED = -1

/** All but the key and the body of a job, ready for its shard's ring. */
export interface Outline {
  readonly user: UserHash
  readonly lane: Hash64
  readonly upstreamOrigin: string
  /** Null when the job has no webhook. */
  readonly receiverOrigin: string | null
  /** What the two origins' slots were when the rest was put together. */
  readonly upstream: UpstreamSlot
  readonly receiver: UpstreamSlot
  /** FLAG_… bits and retries, as WORD_FLAGS has them. */
  readonly flags: number
  /** Unix ms, or 0 for none. */
  readonly executeBeforeMs: number
  /** Encoded; borrowed from the encoder, so copy it to keep it. */
  readonly template: Uint8Array
  /** uint32, or NOT_HASHED. */
  templateHash: number
}
