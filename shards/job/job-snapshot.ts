// What callers see of a job: polls, streams, duplicates and webhooks all show the same shapes.
// Thread: shard. Memory: none; builds plain values from slots and records.
// Never: changes anything. Bytes that are not UTF-8 are shown as base64.

import { isUtf8 } from 'node:buffer'
import { type JobSlot, type LaneSlot, type Micros, type Millis } from '../base/units.ts'
import type { Lanes } from '../pace/lanes.ts'
import type { JobRecords } from '../store/job-records.ts'
import { JOB_WEBHOOK_PENDING, JOB_QUEUED, JOB_RETRYING, type JobSlots } from '../store/job-slots.ts'
import type { StoredResult } from '../store/stored-result.ts'
import type { JobResult, JobSnapshot, WebhookView } from '../wire/contract.ts'

/** A stored result as callers see it; the body is empty text when the response had none. */
export function showResult(stored: StoredResult): JobResult {
  const result: JobResult = { status: stored.status }
  if (stored.reason !== null) result.reason = stored.reason
  if (stored.responseStatus !== 0) result.response_status = stored.responseStatus
  if (stored.body !== null) {
    const bytes = asBuffer(stored.body)
    if (isUtf8(bytes)) result.body = bytes.toString('utf8')
    else result.body_base64 = bytes.toString('base64')
  }
  if (stored.truncated) result.truncated = true
  return result
}

/** Whether a receiver that answers so has taken the result. */
export const isDelivered = (status: number): boolean => status >= 200 && status < 300

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.isBuffer(bytes) ? bytes
  : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Shows jobs; made once, from the parts that know them. */
export class JobViews {
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
    const view = this.#withoutWebhook(slot)
    const webhook = this.#webhook(slot)
    if (webhook !== undefined) view.webhook = webhook
    return view
  }

  #withoutWebhook(slot: JobSlot): JobSnapshot {
    const status = this.#jobs.status(slot)
    const attempts = this.#jobs.attempts(slot)
    if (this.#records.bytesOf(slot) === 0) {
      return { status, attempts, result: this.#bareResult(slot) }
    }
    const { url, method } = this.#records.readTemplate(slot)
    const view: JobSnapshot = {
      status, url, method, created_at: this.#records.createdAtMs(slot), attempts,
    }
    if (this.#records.hasResult(slot)) {
      view.result = showResult(this.#records.readResult(slot))
      return view
    }
    const state = this.#jobs.state(slot)
    if (state === JOB_QUEUED) view.position = this.position(slot)
    if (state === JOB_RETRYING) {
      view.retry_at = this.#wallMs(this.#jobs.at.timeUs[slot] as Micros)
    }
    return view
  }

  /** The result of a finished job; undefined while it is not finished. */
  result(slot: JobSlot): JobResult | undefined {
    if (this.#records.hasResult(slot)) return showResult(this.#records.readResult(slot))
    return this.#records.bytesOf(slot) === 0 ? this.#bareResult(slot) : undefined
  }

  position(slot: JobSlot): number {
    return this.#lanes.position(this.#jobs.at.lane[slot] as LaneSlot, slot)
  }

  #webhook(slot: JobSlot): WebhookView | undefined {
    if (this.#jobs.state(slot) <= JOB_RETRYING) return undefined
    const attempts = this.#jobs.deliveries(slot)
    if (this.#jobs.hasFlag(slot, JOB_WEBHOOK_PENDING)) return { state: 'owed', attempts }
    if (attempts === 0) return undefined
    const status = this.#jobs.webhookStatus(slot)
    const view: WebhookView = { state: isDelivered(status) ? 'delivered' : 'given_up', attempts }
    if (status !== 0) view.last_status = status
    return view
  }

  /** What a finished job's slot alone still knows, after its record was given up. */
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
