// Webhooks: delivers a result to its receiver, at the receiver's own pace, in up to five attempts.
// Thread: shard. Memory: deliveries in the slot's state; its attempts, through their table.
// Never: changes the result. 2xx ends the delivery; anything else is retried after 1, 2, 4, 8 s (or
// Retry-After, if longer). After the last attempt the result stays available to polls.

import {
  type JobSlot, type LaneSlot, type Micros, type UpstreamSlot, msToUs,
} from '../base/units.ts'
import { WEBHOOK_RETRIES_MAX } from '../memory/limits.ts'
import type { StatsWriter } from '../memory/stats.ts'
import type { Lanes } from '../pace/lanes.ts'
import type { Pacer } from '../pace/pacer.ts'
import type { SharedBudgets } from '../pace/shared-budget.ts'
import type { FailureReason } from '../signals/response.ts'
import { mayFailureRetry } from '../signals/verdict.ts'
import type { JobRecords } from '../store/job-records.ts'
import type { JobSlots } from '../store/job-slots.ts'
import type { StoredResult } from '../store/stored-result.ts'
import type { Transport } from '../transport/transport.ts'
import { jobIdText } from '../wire/job-id.ts'
import { ATTEMPT_WEBHOOK, type Attempts } from './attempts.ts'
import { isDelivered, showResult } from './job-snapshot.ts'
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

/** `{"job_id":…,` and then the result as shown everywhere; an id needs no escapes. */
const webhookBody = (jobId: string, result: StoredResult): Buffer =>
  Buffer.from(`{"job_id":"${jobId}",${JSON.stringify(showResult(result)).slice(1)}`)

/** Delivers results to their webhooks. */
export class Delivery {
  readonly #parts: DeliveryParts

  constructor(parts: DeliveryParts) {
    this.#parts = parts
  }

  /** Starts a delivery attempt; the receiver's budget is charged and the job has left its lane. */
  send(slot: JobSlot, lane: LaneSlot, receiver: UpstreamSlot, nowUs: Micros): void {
    const { jobs, records, attempts, transport, budgets, pacer, stats, userAgent } = this.#parts
    const deliveries = jobs.deliveries(slot) + 1
    jobs.setDeliveries(slot, deliveries)
    const { webhookOrigin, webhookPath } = records.readTemplate(slot)
    const jobId = jobIdText(jobs.at, slot)
    const body = webhookBody(jobId, records.readResult(slot))
    const deadlineUs = (nowUs + msToUs(budgets.timeoutMs(receiver))) as Micros
    const attemptId = attempts.take(ATTEMPT_WEBHOOK, slot, lane, receiver, deadlineUs,
      pacer.budgetOf(lane, receiver))
    stats.add('webhookAttempts')
    transport.send(attemptId, receiver, {
      origin: webhookOrigin, path: webhookPath, method: 'POST', body,
      headers: [
        'Content-Type', 'application/json', 'User-Agent', userAgent,
        'X-Sluice-Job-Id', jobId, 'X-Sluice-Attempt', String(deliveries),
      ],
    })
  }

  /** The receiver has responded, or could not be reached (status 0). */
  ended(attemptId: number, nowUs: Micros): void {
    const { attempts } = this.#parts
    const slot = attempts.slot[attemptId] as JobSlot
    const status = attempts.status[attemptId] as number
    const retryAfterMs = attempts.retryAfterMs[attemptId] as number
    this.#release(attemptId, nowUs)
    this.#settle(slot, status, retryAfterMs, nowUs)
  }

  /** No complete response: still a success if the head had a 2xx status. */
  failed(attemptId: number, nowUs: Micros): void {
    const { status } = this.#parts.attempts
    if (!isDelivered(status[attemptId] as number)) status[attemptId] = 0
    this.ended(attemptId, nowUs)
  }

  /**
   * No connection to the receiver could be opened: a delivery attempt without a request. If no
   * later one could be sent either, the webhook is given up.
   */
  failUnsent(slot: JobSlot, reason: FailureReason, nowUs: Micros): void {
    const { jobs } = this.#parts
    jobs.setDeliveries(slot, jobs.deliveries(slot) + 1)
    if (mayFailureRetry(reason)) this.#settle(slot, 0, 0, nowUs)
    else this.#done(slot, 0, nowUs)
  }

  /** Nothing of the request was written: the webhook goes back to the front of its lane. */
  returned(attemptId: number, nowUs: Micros): void {
    const { attempts, jobs, lanes, pacer } = this.#parts
    const slot = attempts.slot[attemptId] as JobSlot
    const lane = attempts.lane[attemptId] as LaneSlot
    this.#release(attemptId, nowUs)
    lanes.place(lane, slot, true)
    jobs.setDeliveries(slot, jobs.deliveries(slot) - 1)
    pacer.enqueue(lane, slot, true, nowUs)
  }

  #release(attemptId: number, nowUs: Micros): void {
    const { attempts, pacer } = this.#parts
    const lane = attempts.lane[attemptId] as LaneSlot
    const receiver = attempts.upstream[attemptId] as UpstreamSlot
    attempts.release(attemptId)
    pacer.attemptEnded(lane, receiver, nowUs)
  }

  #settle(slot: JobSlot, status: number, retryAfterMs: number, nowUs: Micros): void {
    const { jobs, settlement } = this.#parts
    const deliveries = jobs.deliveries(slot)
    if (isDelivered(status) || deliveries > WEBHOOK_RETRIES_MAX) {
      return this.#done(slot, status, nowUs)
    }
    const delayMs = Math.max(webhookRetryDelayMs(deliveries), retryAfterMs)
    settlement.redeliverAt(slot, (nowUs + msToUs(delayMs)) as Micros)
  }

  /** The webhook is delivered, or given up. */
  #done(slot: JobSlot, status: number, nowUs: Micros): void {
    const { settlement, stats } = this.#parts
    stats.add(isDelivered(status) ? 'webhooksDelivered' : 'webhooksFailed')
    settlement.webhookDone(slot, status, nowUs)
  }
}
