// A job without its key and body: the part that is the same for the jobs of one caller, encoded and
// hashed once.

import type { UpstreamSlot } from '../../shards/base/units.ts'
import { tenantOf } from '../../shards/memory/owner.ts'
import {
  ENQUEUE_HEADER_BYTES, WORD_FLAGS, WORD_ID_HIGH, WORD_ID_LOW, WORD_KEY_HIGH, WORD_OWNER,
  WORD_RECEIVER, WORD_ROUTE, WORD_TEMPLATE_BYTES, WORD_UPSTREAM,
} from '../../shards/wire/contract.ts'
import type { UserHash } from '../base/hash.ts'
import { wordsFor } from '../base/spans.ts'

const ENQUEUE_HEADER_WORDS = ENQUEUE_HEADER_BYTES / 4

/** The parts of an outline besides its words. */
export interface OutlineParts {
  readonly upstreamOrigin: string
  /** Null when the job has no webhook. */
  readonly receiverOrigin: string | null
  /** Unix ms, or 0 for none. */
  readonly executeBeforeMs: number
}

/**
 * All but the key and body of a job, as its record in a shard's ring begins. It is one block of
 * memory: with thousands of callers, reading a job's outline is a cache miss, and objects with many
 * parts took longer to load than to use.
 */
export class Outline implements OutlineParts, UserHash {
  /**
   * The words of INGRESS_ENQUEUE, and the template, zero-padded to a whole word. Words that differ
   * from job to job are not set: in the places of key and id are hashes of the user. Extra
   * words may follow, for the outline's owner (packed-shapes.ts).
   */
  readonly words: Uint32Array
  /** The part of `words` that is copied to the start of the record. */
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

  /** A copy with `words` more words behind the record. */
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

  get userHigh(): number {
    return this.words[WORD_ID_HIGH] as number
  }

  get userLow(): number {
    return this.words[WORD_ID_LOW] as number
  }

  /** Tenant and key; see owner.ts. */
  get owner(): number {
    return this.words[WORD_OWNER] as number
  }

  get tenant(): number {
    return tenantOf(this.owner)
  }

  /** The upstreams' slots at the time when the outline was made. */
  get upstream(): UpstreamSlot {
    return this.words[WORD_UPSTREAM] as UpstreamSlot
  }

  get receiver(): UpstreamSlot {
    return this.words[WORD_RECEIVER] as UpstreamSlot
  }

  /** FLAG_… bits and retries, as in WORD_FLAGS. */
  get flags(): number {
    return this.words[WORD_FLAGS] as number
  }

  get templateBytes(): number {
    return this.words[WORD_TEMPLATE_BYTES] as number
  }
}
