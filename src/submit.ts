// A valid job becomes a record in the ingress ring of its user's shard.

import { assert } from '../shards/assert.ts'
import { encodeJob, encodeTemplate } from '../shards/codec.ts'
import {
  ENQUEUE_HEADER_BYTES, FLAG_BEGIN_BY, FLAG_ISOLATE, FLAG_RETRIES_SHIFT, INGRESS_ENQUEUE,
  WORD_FLAGS, WORD_ID_HIGH, WORD_ID_LOW, WORD_KEY_HIGH, WORD_KEY_LOW, WORD_LANE_HIGH, WORD_LANE_LOW,
  WORD_RECEIVER, WORD_REQUEST, WORD_ROUTE, WORD_TEMPLATE_BYTES, WORD_TEMPLATE_HASH, WORD_UPSTREAM,
} from '../shards/contract.ts'
import { RING_FULL } from '../shards/ring.ts'
import type { UpstreamSlot } from '../shards/units.ts'
import { JobHasher } from './hash.ts'
import type { ValidJob } from './http/validate.ts'
import { formatJobId, type JobIdSource } from './job-id.ts'
import type { ShardLink } from './shard-link.ts'

/** What a job is sent with, besides itself. */
export interface Placement {
  readonly link: ShardLink
  /** The number under which the answer will come. */
  readonly request: number
  readonly upstream: UpstreamSlot
  /** The webhook receiver's slot, or NONE. */
  readonly receiver: UpstreamSlot
  readonly isolate: boolean
  /** Unix ms. */
  readonly createdAtMs: number
}

/** Encodes jobs into rings. */
export class Submitter {
  readonly #hasher: JobHasher
  readonly #ids: JobIdSource
  #route = 0

  /** @param secret see JobHasher. */
  constructor(secret: Uint8Array, ids: JobIdSource) {
    this.#hasher = new JobHasher(secret)
    this.#ids = ids
  }

  /** The route of the job's user, which chooses the shard; send() goes on with this job. */
  route(job: ValidJob): number {
    this.#route = this.#hasher.begin(job.userId)
    return this.#route
  }

  /**
   * Commits the job that route() was asked about, and returns its new id; undefined when the ring
   * is full, and then nothing has happened. The bell is the caller's to ring.
   */
  send(job: ValidJob, placement: Placement): string | undefined {
    const { link, receiver } = placement
    const template = encodeTemplate({
      userId: job.userId, url: job.url.href, method: job.method, headers: job.headers.list,
      webhookUrl: job.webhook?.href ?? null, receiver,
    })
    const payload = encodeJob({
      createdAtMs: placement.createdAtMs, executeBeforeMs: job.executeBeforeMs, body: job.body,
    })
    const bytes = ENQUEUE_HEADER_BYTES + template.length + payload.length
    const { ingress, views } = link
    assert(bytes <= views.limits.recordBytesMax, `a job of ${bytes} bytes passed all limits`)
    const at = ingress.claim(INGRESS_ENQUEUE, bytes)
    if (at === RING_FULL) return undefined
    const start = at + ENQUEUE_HEADER_BYTES
    ingress.bytes.set(template, start)
    ingress.bytes.set(payload, start + template.length)
    const jobId = this.#writeWords(job, placement, at >>> 2, template.length)
    ingress.u32[(at >>> 2) + WORD_TEMPLATE_HASH] =
      this.#hasher.template(ingress.u32, ingress.bytes, start, template.length)
    ingress.commit()
    return jobId
  }

  #writeWords(job: ValidJob, placement: Placement, at: number, templateBytes: number): string {
    const { u32 } = placement.link.ingress
    const { hash } = this.#hasher
    const idHigh = this.#ids.nextWord()
    const idLow = this.#ids.nextWord()
    u32[at + WORD_REQUEST] = placement.request
    u32[at + WORD_ROUTE] = this.#route
    u32[at + WORD_ID_HIGH] = idHigh
    u32[at + WORD_ID_LOW] = idLow
    this.#hasher.key(job.idempotentKey)
    u32[at + WORD_KEY_HIGH] = hash.high
    u32[at + WORD_KEY_LOW] = hash.low
    this.#hasher.lane(job.headers.apiKey, placement.upstream)
    u32[at + WORD_LANE_HIGH] = hash.high
    u32[at + WORD_LANE_LOW] = hash.low
    u32[at + WORD_UPSTREAM] = placement.upstream
    u32[at + WORD_RECEIVER] = placement.receiver
    u32[at + WORD_FLAGS] = (job.maxRetries << FLAG_RETRIES_SHIFT) |
      (placement.isolate ? FLAG_ISOLATE : 0) | (job.executeBeforeMs > 0 ? FLAG_BEGIN_BY : 0)
    u32[at + WORD_TEMPLATE_BYTES] = templateBytes
    return formatJobId(this.#route, idHigh, idLow)
  }
}
