// Encodes a valid job as a record in the ingress ring of its user's shard.

import { assert } from '../../shards/base/assert.ts'
import type { UpstreamSlot } from '../../shards/base/units.ts'
import { ownerOf } from '../../shards/memory/owner.ts'
import { RING_FULL } from '../../shards/memory/ring.ts'
import { encodeTemplate, jobBytes, NO_BODY, writeJobHead } from '../../shards/wire/codec.ts'
import {
  ENQUEUE_HEADER_BYTES, FLAG_BEGIN_BY, FLAG_RETRIES_SHIFT, INGRESS_ENQUEUE,
  WORD_FLAGS, WORD_ID_HIGH, WORD_ID_LOW, WORD_KEY_HIGH, WORD_KEY_JOBS_MAX, WORD_KEY_LOW,
  WORD_LANE_HIGH, WORD_LANE_LOW, WORD_OWNER, WORD_RECEIVER, WORD_REQUEST, WORD_ROUTE,
  WORD_TEMPLATE_BYTES, WORD_TEMPLATE_HASH, WORD_UPSTREAM,
} from '../../shards/wire/contract.ts'
import type { Principal } from '../access/principal.ts'
import { JobHasher, type UserHash } from '../base/hash.ts'
import type { JobIdSource } from '../base/job-id.ts'
import { wordsFor } from '../base/spans.ts'
import type { ShardLink } from '../engine/shard-link.ts'
import type { ValidJob } from '../job/validate.ts'
import type { JobHoles } from '../shapes/job-holes.ts'
import { Outline } from '../shapes/outline.ts'

/** Whose job it is: the part of a principal that the shard needs. */
export type Owner = Pick<Principal, 'tenant' | 'key' | 'limits'>

/** What else a job's record needs; one object is reused. */
export interface Placement {
  link: ShardLink
  /** The request number that the answer will have. */
  request: number
  /** FLAG_… bits, besides the outline's. */
  flags: number
  /** Unix ms. */
  createdAtMs: number
}

/** Encodes jobs into rings. */
export class Submitter {
  readonly #hasher: JobHasher
  readonly #ids: JobIdSource
  /** The record's first word, between #begin() and #commit(). */
  #at = 0
  /** The random words of the id of the last committed job. */
  idHigh = 0
  idLow = 0
  /** Its position in the ring. */
  position = 0

  /** @param secret see JobHasher. */
  constructor(secret: Uint8Array, ids: JobIdSource) {
    this.#hasher = new JobHasher(secret)
    this.#ids = ids
  }

  /** The hash that identifies the job's user; its route selects the shard. */
  user(job: ValidJob, { tenant }: Owner): UserHash {
    return this.#hasher.user(tenant, job.userId)
  }

  /**
   * Everything of a job but its key and body.
   * @param user from user() for this job and owner.
   * @param flags further FLAG_… bits.
   */
  outline(
    job: ValidJob, owner: Owner, user: UserHash, upstream: UpstreamSlot, receiver: UpstreamSlot,
    flags = 0,
  ): Outline {
    const template = encodeTemplate({
      userId: job.userId, url: job.url.href, method: job.method, headers: job.headers.list,
      webhookUrl: job.webhook?.href ?? null, receiver,
    })
    const words = new Uint32Array(ENQUEUE_HEADER_BYTES / 4 + wordsFor(template.length))
    const bytes = new Uint8Array(words.buffer)
    bytes.set(template, ENQUEUE_HEADER_BYTES)
    this.#hasher.lane(user, job.headers.apiKey, upstream)
    words[WORD_ROUTE] = user.route
    words[WORD_KEY_HIGH] = user.high
    words[WORD_ID_HIGH] = user.userHigh
    words[WORD_ID_LOW] = user.userLow
    words[WORD_LANE_HIGH] = this.#hasher.hash.high
    words[WORD_LANE_LOW] = this.#hasher.hash.low
    words[WORD_UPSTREAM] = upstream
    words[WORD_RECEIVER] = receiver
    words[WORD_FLAGS] = flags | (job.maxRetries << FLAG_RETRIES_SHIFT) |
      (job.executeBeforeMs > 0 ? FLAG_BEGIN_BY : 0)
    words[WORD_OWNER] = ownerOf(owner.tenant, owner.key)
    const { jobsQueued } = owner.limits
    words[WORD_KEY_JOBS_MAX] = jobsQueued === Infinity ? 0 : jobsQueued
    words[WORD_TEMPLATE_BYTES] = template.length
    words[WORD_TEMPLATE_HASH] =
      this.#hasher.template(words, bytes, ENQUEUE_HEADER_BYTES, template.length)
    return new Outline(words, {
      upstreamOrigin: job.url.origin, receiverOrigin: job.webhook?.origin ?? null,
      executeBeforeMs: job.executeBeforeMs,
    })
  }

  /**
   * Commits a job under a new id; false, with no effect, when the ring is full. The caller rings
   * the bell.
   */
  send(outline: Outline, job: ValidJob, placement: Placement): boolean {
    const { body } = job
    const at = this.#begin(outline, placement, body === null ? NO_BODY : body.length)
    if (at === RING_FULL) return false
    if (body !== null) placement.link.ingress.bytes.set(body, at)
    this.#hasher.key(outline, job.idempotentKey)
    this.#commit(placement)
    return true
  }

  /** The same for a job whose key and body are still in the bytes of this DataView. */
  sendRaw(
    outline: Outline, view: DataView, holes: JobHoles, placement: Placement,
  ): boolean {
    const { body, bodyStart, bodyEnd, keyStart, keyEnd } = holes
    const { ingress } = placement.link
    const at = this.#begin(outline, placement, holes.hasBody ? holes.bodyBytes : NO_BODY)
    if (at === RING_FULL) return false
    body.copy(ingress.bytes, at, bodyStart, bodyEnd)
    this.#hasher.keyBytes(outline, view, keyStart, keyEnd)
    this.#commit(placement)
    return true
  }

  /** Claims the record and writes all but key, id and body; returns the offset for the body. */
  #begin(outline: Outline, placement: Placement, bodyBytes: number): number {
    const { ingress, views } = placement.link
    const { executeBeforeMs, record, templateBytes } = outline
    const bytes = ENQUEUE_HEADER_BYTES + templateBytes + jobBytes(executeBeforeMs, bodyBytes)
    assert(bytes <= views.limits.recordBytesMax, `a job of ${bytes} bytes passed all limits`)
    const start = ingress.claim(INGRESS_ENQUEUE, bytes)
    if (start === RING_FULL) return RING_FULL
    const { u32 } = ingress
    const at = start >>> 2
    this.#at = at
    u32.set(record, at)
    u32[at + WORD_REQUEST] = placement.request
    u32[at + WORD_FLAGS] = outline.flags | placement.flags
    return writeJobHead(ingress.bytes, start + ENQUEUE_HEADER_BYTES + templateBytes,
      placement.createdAtMs, executeBeforeMs, bodyBytes)
  }

  /** Writes the last hashed key, and a new id. */
  #commit(placement: Placement): void {
    const { ingress } = placement.link
    const { u32 } = ingress
    this.idHigh = this.#ids.nextWord()
    this.idLow = this.#ids.nextWord()
    u32[this.#at + WORD_ID_HIGH] = this.idHigh
    u32[this.#at + WORD_ID_LOW] = this.idLow
    u32[this.#at + WORD_KEY_HIGH] = this.#hasher.hash.high
    u32[this.#at + WORD_KEY_LOW] = this.#hasher.hash.low
    this.position = ingress.commit()
  }
}
