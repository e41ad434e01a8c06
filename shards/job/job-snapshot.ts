// Job snapshots as shown to callers: polls, streams, duplicates and webhooks have the same shapes.
// Thread: shard. Memory: none; builds plain values from slots and records.
// Never: changes anything. Bytes that are not UTF-8 are shown as base64.

import { isUtf8 } from 'node:buffer'
import { type JobSlot, type LaneSlot, type Micros, type Millis } from '../base/units.ts'
import type { Lanes } from '../pace/lanes.ts'
import type { JobRecords } from '../store/job-records.ts'
import { JOB_WEBHOOK_PENDING, JOB_QUEUED, JOB_RETRYING, type JobSlots } from '../store/job-slots.ts'
import type { StoredResult } from '../store/stored-result.ts'
import type { JobResult, JobSnapshot, WebhookSnapshot } from '../wire/contract.ts'

/** A stored result as shown to callers; the body is an empty string when the response had none. */
export function showResult(stored: StoredResult): JobResult {
  const result: JobResult = { status: stored.status }
  if (stored.reason !== null) result.reason = stored.reason
  if (stored.rule !== undefined) result.rule = stored.rule
  if (stored.responseStatus !== 0) result.response_status = stored.responseStatus
  if (stored.body !== null) {
    const bytes = asBuffer(stored.body)
    if (isUtf8(bytes)) result.body = bytes.toString('utf8')
    else result.body_base64 = bytes.toString('base64')
  }
  if (stored.truncated) result.truncated = true
  return result
}

/** Whether a receiver's response with this status confirms the delivery. */
export const isDelivered = (status: number): boolean => status >= 200 && status < 300

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.isBuffer(bytes) ? bytes
  : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Makes snapshots of jobs. */
export class JobSnapshots {
  readonly #jobs: JobSlots
  readonly #records: JobRecords
  readonly #lanes: Lanes
  readonly #wallMs: (atUs: Micros) => Millis

  constructor(
    jobs: JobSlots, records: JobRecords, lanes: Lanes, wallMs: (atUs: Micros) => Millis,
  ) {
    this.#jobs = jobs
    this.#records = records
    this.#lanes = lanes
    this.#wallMs = wallMs
  }

  /** The job as GET /jobs/:id shows it. */
  show(slot: JobSlot): JobSnapshot {
    const snapshot = this.#showJob(slot)
    const webhook = this.#webhook(slot)
    if (webhook !== undefined) snapshot.webhook = webhook
    return snapshot
  }

  #showJob(slot: JobSlot): JobSnapshot {
    const status = this.#jobs.status(slot)
    const attempts = this.#jobs.attempts(slot)
    if (this.#records.bytesOf(slot) === 0) {
      return { status, attempts, result: this.#bareResult(slot) }
    }
    const { url, method } = this.#records.readTemplate(slot)
    const snapshot: JobSnapshot = {
      status, url, method, created_at: this.#records.createdAtMs(slot), attempts,
    }
    if (this.#records.hasResult(slot)) {
      snapshot.result = showResult(this.#records.readResult(slot))
      return snapshot
    }
    const state = this.#jobs.state(slot)
    if (state === JOB_QUEUED) snapshot.position = this.position(slot)
    if (state === JOB_RETRYING) {
      snapshot.retry_at = this.#wallMs(this.#jobs.at.timeUs[slot] as Micros)
    }
    return snapshot
  }

  /** The result of a job; undefined while it is not finished. */
  result(slot: JobSlot): JobResult | undefined {
    if (this.#records.hasResult(slot)) return showResult(this.#records.readResult(slot))
    return this.#records.bytesOf(slot) === 0 ? this.#bareResult(slot) : undefined
  }

  position(slot: JobSlot): number {
    return this.#lanes.position(this.#jobs.at.lane[slot] as LaneSlot, slot)
  }

  #webhook(slot: JobSlot): WebhookSnapshot | undefined {
    if (this.#jobs.state(slot) <= JOB_RETRYING) return undefined
    const attempts = this.#jobs.deliveries(slot)
    if (this.#jobs.hasFlag(slot, JOB_WEBHOOK_PENDING)) return { state: 'owed', attempts }
    if (attempts === 0) return undefined
    const status = this.#jobs.webhookStatus(slot)
    const state = isDelivered(status) ? 'delivered' : 'given_up'
    const webhook: WebhookSnapshot = { state, attempts }
    if (status !== 0) webhook.last_status = status
    return webhook
  }

  /** The result from a finished job's slot alone, after its record was evicted. */
  #bareResult(slot: JobSlot): JobResult {
    const result: JobResult = {
      status: this.#jobs.status(slot) as JobResult['status'], truncated: true,
    }
    const reason = this.#jobs.reason(slot)
    if (reason !== null) result.reason = reason
    const responseStatus = this.#jobs.responseStatus(slot)
    if (responseStatus !== 0) result.response_status = responseStatus
    return result
  }
}
