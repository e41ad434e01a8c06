// Webhooks: an outcome goes to its receiver, at the receiver's own pace, up to five times.
// Thread: shard. Memory: deliveries in the slot's state; tokens of its attempts.
// Never: changes the outcome. 2xx ends it; whatever else comes is tried again after 1, 2, 4, 8 s,
// and after that the outcome stays where polls find it.

import {
  type JobSlot, type LaneSlot, type Micros, type UpstreamSlot, msToUs,
} from '../base/units.ts'
import { WEBHOOK_RETRIES_MAX } from '../memory/limits.ts'
import type { StatsWriter } from '../memory/stats.ts'
import type { Lanes } from '../pace/lanes.ts'
import type { Pacer } from '../pace/pacer.ts'
import type { SharedBudgets } from '../pace/shared-budget.ts'
import type { JobRecords } from '../store/job-records.ts'
import type { JobSlots } from '../store/job-slots.ts'
import type { StoredResult } from '../store/stored-result.ts'
import type { Transport } from '../transport/transport.ts'
import { jobIdText } from '../wire/job-id.ts'
import { ATTEMPT_WEBHOOK, type Attempts } from './attempts.ts'
import { isDelivered, showResult } from './job-view.ts'
import { webhookRetryDelayMs } from './retry.ts'
import type { Settlement } from './settlement.ts'

/** The parts that a delivery passes through. */
export interface DeliveryParts {
  readonly jobs: JobSlots
  readonly records: JobRecords
  readonly lanes: Lanes
  readonly pacer: Pacer
  readonly budgets: SharedBudgets
  readonly attempts: Attempts
  readonly transport: Transport
  readonly settlement: Settlement
  readonly stats: StatsWriter
  readonly userAgent: string
}

/** `{"job_id":…,` and then the result as all show it; an id needs no escapes. */
const webhookBody = (jobId: string, result: StoredResult): Buffer =>
  Buffer.from(`{"job_id":"${jobId}",${JSON.stringify(showResult(result)).slice(1)}`)

/** Delivers outcomes to their webhooks. */
export class Delivery {
  readonly #parts: DeliveryParts

  constructor(parts: DeliveryParts) {
    this.#parts = parts
  }

  /** Starts a delivery; the receiver's budget is charged and the job has left its lane. */
  send(slot: JobSlot, lane: LaneSlot, receiver: UpstreamSlot, nowUs: Micros): void {
    const { jobs, records, attempts, transport, budgets, pacer, stats, userAgent } = this.#parts
    const deliveries = jobs.deliveries(slot) + 1
    jobs.setDeliveries(slot, deliveries)
    const { webhookOrigin, webhookPath } = records.readTemplate(slot)
    const jobId = jobIdText(jobs.at, slot)
    const body = webhookBody(jobId, records.readResult(slot))
    const deadlineUs = (nowUs + msToUs(budgets.timeoutMs(receiver))) as Micros
    const token = attempts.take(ATTEMPT_WEBHOOK, slot, lane, receiver, deadlineUs,
      pacer.budgetOf(lane, receiver))
    stats.add('webhookAttempts')
    transport.send(token, receiver, {
      origin: webhookOrigin, path: webhookPath, method: 'POST', body,
      headers: [
        'Content-Type', 'application/json', 'User-Agent', userAgent,
        'X-Sluice-Job-Id', jobId, 'X-Sluice-Attempt', String(deliveries),
      ],
    })
  }

  /** The receiver has answered, or could not be reached (status 0). */
  ended(token: number, nowUs: Micros): void {
    const { attempts } = this.#parts
    const slot = attempts.slot[token] as JobSlot
    const status = attempts.status[token] as number
    const retryAfterMs = attempts.retryAfterMs[token] as number
    this.#release(token, nowUs)
    this.#settle(slot, status, retryAfterMs, nowUs)
  }

  /** No whole response: a success all the same where the head has said so. */
  failed(token: number, nowUs: Micros): void {
    const { status } = this.#parts.attempts
    if (!isDelivered(status[token] as number)) status[token] = 0
    this.ended(token, nowUs)
  }

  /** No connection to the receiver could be made: a delivery without a request. */
  failUnsent(slot: JobSlot, nowUs: Micros): void {
    const { jobs } = this.#parts
    jobs.setDeliveries(slot, jobs.deliveries(slot) + 1)
    this.#settle(slot, 0, 0, nowUs)
  }

  /** Nothing of the request was written: the webhook is where it was before, and first in line. */
  returned(token: number, nowUs: Micros): void {
    const { attempts, jobs, lanes, pacer } = this.#parts
    const slot = attempts.slot[token] as JobSlot
    const lane = attempts.lane[token] as LaneSlot
    this.#release(token, nowUs)
    lanes.place(lane, slot, true)
    jobs.setDeliveries(slot, jobs.deliveries(slot) - 1)
    pacer.enqueue(lane, slot, true, nowUs)
  }

  #release(token: number, nowUs: Micros): void {
    const { attempts, pacer } = this.#parts
    const lane = attempts.lane[token] as LaneSlot
    const receiver = attempts.upstream[token] as UpstreamSlot
    attempts.release(token)
    pacer.attemptEnded(lane, receiver, nowUs)
  }

  #settle(slot: JobSlot, status: number, retryAfterMs: number, nowUs: Micros): void {
    const { jobs, settlement, stats } = this.#parts
    const delivered = isDelivered(status)
    const deliveries = jobs.deliveries(slot)
    if (delivered || deliveries > WEBHOOK_RETRIES_MAX) {
      stats.add(delivered ? 'webhooksDelivered' : 'webhooksFailed')
      return settlement.webhookDone(slot, status, nowUs)
    }
    const delayMs = Math.max(webhookRetryDelayMs(deliveries), retryAfterMs)
    settlement.redeliverAt(slot, (nowUs + msToUs(delayMs)) as Micros)
  }
}
