// A job without its key and its body: what the jobs of one caller have alike. Encoded and hashed
// once, it serves all of them.

import type { UpstreamSlot } from '../../shards/base/units.ts'
import {
  ENQUEUE_HEADER_BYTES, WORD_FLAGS, WORD_KEY_HIGH, WORD_RECEIVER, WORD_ROUTE, WORD_TEMPLATE_BYTES,
  WORD_UPSTREAM,
} from '../../shards/wire/contract.ts'
import type { UserHash } from '../base/hash.ts'
import { wordsFor } from '../base/spans.ts'

const ENQUEUE_HEADER_WORDS = ENQUEUE_HEADER_BYTES / 4

/** What an outline has besides its words. */
export interface OutlineParts {
  readonly upstreamOrigin: string
  /** Null when the job has no webhook. */
  readonly receiverOrigin: string | null
  /** Unix ms, or 0 for none. */
  readonly executeBeforeMs: number
}

/**
 * All but the key and the body of a job, as its record in a shard's ring begins. It lies in one
 * piece, since with thousands of callers each job's outline has to come from far: objects of many
 * parts took longer to reach than to use.
 */
export class Outline implements OutlineParts, UserHash {
  /**
   * The words of INGRESS_ENQUEUE, and the template with zeros up to a whole word. What differs from
   * job to job is missing: in the key's place is the other half of the user's hash. Behind that
   * may be what is the owner's (ws/packed-shapes.ts).
   */
  readonly words: Uint32Array
  /** Those of them that are the record's beginning. */
  readonly record: Uint32Array
  readonly upstreamOrigin: string
  readonly receiverOrigin: string | null
  readonly executeBeforeMs: number

  constructor(words: Uint32Array, parts: OutlineParts) {
    this.words = words
    this.record = words.subarray(0, ENQUEUE_HEADER_WORDS + wordsFor(this.templateBytes))
    this.upstreamOrigin = parts.upstreamOrigin
    this.receiverOrigin = parts.receiverOrigin
    this.executeBeforeMs = parts.executeBeforeMs
  }

  /** A copy with so many words more behind it. */
  withRoom(words: number): Outline {
    const copy = new Uint32Array(this.record.length + words)
    copy.set(this.record)
    return new Outline(copy, this)
  }

  get route(): number {
    return this.words[WORD_ROUTE] as number
  }

  get high(): number {
    return this.words[WORD_KEY_HIGH] as number
  }

  /** What the two origins' slots were when the rest was put together. */
  get upstream(): UpstreamSlot {
    return this.words[WORD_UPSTREAM] as UpstreamSlot
  }

  get receiver(): UpstreamSlot {
    return this.words[WORD_RECEIVER] as UpstreamSlot
  }

  /** FLAG_… bits and retries, as WORD_FLAGS has them. */
  get flags(): number {
    return this.words[WORD_FLAGS] as number
  }

  get templateBytes(): number {
    return this.words[WORD_TEMPLATE_BYTES] as number
  }
}
