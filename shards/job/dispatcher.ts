// Attempts at jobs: a job leaves its lane, is sent, and gets a result or a retry.
// Thread: shard. Memory: job state and attempts, through the parts that own them.
// Never: touches a socket (the transport does), or decides when to send (the pacer does).
// The steps of an attempt: read the record, send, receive the head (response-head.ts), receive the
// end, then settle: finished, or waiting for a retry.

import type { Prng } from '../base/prng.ts'
import {
  type JobSlot, type LaneSlot, type Micros, type UpstreamSlot, msToUs,
} from '../base/units.ts'
import { pacePerSecondOf } from '../memory/interval.ts'
import { JOB_DEADLINE_MS, RETRIES_UNLIMITED } from '../memory/limits.ts'
import type { StatsWriter } from '../memory/stats.ts'
import type { Budget } from '../pace/lane-budgets.ts'
import type { Lanes } from '../pace/lanes.ts'
import type { Pacer } from '../pace/pacer.ts'
import type { SharedBudgets } from '../pace/shared-budget.ts'
import { addLoadHeaders } from '../signals/queue-headers.ts'
import type { FailureReason, Unreachable } from '../signals/response.ts'
import { classify, mayFailureRetry } from '../signals/verdict.ts'
import type { DecodedTemplate } from '../store/decoded-templates.ts'
import type { JobRecords } from '../store/job-records.ts'
import { JOB_IN_FLIGHT, JOB_QUEUED, type JobSlots } from '../store/job-slots.ts'
import type { Transport } from '../transport/transport.ts'
import { jobIdText } from '../wire/job-id.ts'
import type { Reason } from '../wire/reasons.ts'
import type { Attempts } from './attempts.ts'
import { ATTEMPT_JOB } from './attempts.ts'
import { mayRetry, retryDelayMs } from './retry.ts'
import type { Settlement } from './settlement.ts'
import type { Watchers } from './watchers.ts'

/** The parts that an attempt passes through. */
export interface DispatcherParts {
  readonly jobs: JobSlots
  readonly lanes: Lanes
  readonly records: JobRecords
  readonly pacer: Pacer
  readonly budgets: SharedBudgets
  readonly attempts: Attempts
  readonly transport: Transport
  readonly settlement: Settlement
  readonly watchers: Watchers
  readonly stats: StatsWriter
  readonly prng: Prng
}

/** Why an attempt has failed, and its response if there was one. */
interface Failure {
  readonly reason: Reason
  /** See StoredResult. */
  readonly rule?: string
  readonly status: number
  readonly body: Uint8Array | null
  readonly truncated: boolean
  readonly mayRetry: boolean
}

/** Sends jobs and settles their attempts. */
export class Dispatcher {
  readonly #parts: DispatcherParts

  constructor(parts: DispatcherParts) {
    this.#parts = parts
  }

  /** Starts an attempt whose budget is charged; the job has left its lane. */
  send(slot: JobSlot, lane: LaneSlot, upstream: UpstreamSlot, nowUs: Micros): void {
    const { jobs, records, attempts, transport, watchers, stats, budgets, pacer } = this.#parts
    jobs.setState(slot, JOB_IN_FLIGHT, jobs.attempts(slot) + 1)
    const template = records.readTemplate(slot)
    const { createdAtMs, body } = records.readJob(slot)
    const deadlineUs = (nowUs + msToUs(budgets.timeoutMs(upstream))) as Micros
    const budget = pacer.budgetOf(lane, upstream)
    const attemptId = attempts.take(ATTEMPT_JOB, slot, lane, upstream, deadlineUs, budget)
    attempts.remember(attemptId, template, createdAtMs)
    const { origin, path, method } = template
    const headers = template.headers.slice()
    this.#addLoad(headers, slot, lane, upstream, budget)
    stats.add('attempts')
    watchers.dispatching(slot)
    transport.send(attemptId, upstream, { origin, path, method, headers, body })
  }

  /** The response is complete, or truncated at the limit. */
  end(attemptId: number, body: Uint8Array, truncated: boolean, nowUs: Micros): void {
    const { attempts } = this.#parts
    const status = attempts.status[attemptId] as number
    if (classify(status) === 'completed') {
      return this.#complete(attemptId, status, body, truncated, nowUs)
    }
    const failure = { reason: 'upstream_error', status, body, truncated, mayRetry: true } as const
    this.#fail(attemptId, failure, nowUs)
  }

  /** There is no complete response. */
  failed(attemptId: number, reason: FailureReason, nowUs: Micros): void {
    this.#fail(attemptId, {
      reason, status: 0, body: null, truncated: false, mayRetry: mayFailureRetry(reason),
    }, nowUs)
  }

  /**
   * No connection could be opened when the job was due: an attempt without a request. Not if no
   * address may be dialled: then nothing was attempted, and the result names the rule.
   */
  failUnsent(slot: JobSlot, { reason, detail }: Unreachable, nowUs: Micros): void {
    const { jobs, records } = this.#parts
    const isRefused = reason === 'address_refused'
    jobs.setState(slot, JOB_IN_FLIGHT, jobs.attempts(slot) + (isRefused ? 0 : 1))
    this.#settleFailure(slot, records.readTemplate(slot), records.createdAtMs(slot), 0, {
      reason, status: 0, body: null, truncated: false, mayRetry: mayFailureRetry(reason),
      ...(isRefused ? { rule: detail } : {}),
    }, nowUs)
  }

  /** Nothing of the request was written: the job goes back to the front of its lane. */
  returned(attemptId: number, nowUs: Micros): void {
    const { attempts, jobs, lanes, pacer } = this.#parts
    const slot = attempts.slot[attemptId] as JobSlot
    const lane = attempts.lane[attemptId] as LaneSlot
    this.#release(attemptId, nowUs)
    lanes.place(lane, slot, true)
    jobs.setState(slot, JOB_QUEUED, jobs.attempts(slot) - 1)
    pacer.enqueue(lane, slot, true, nowUs)
  }

  #complete(
    attemptId: number, status: number, body: Uint8Array, truncated: boolean, nowUs: Micros,
  ): void {
    const { attempts, settlement } = this.#parts
    const slot = attempts.slot[attemptId] as JobSlot
    const template = this.#templateOf(attemptId)
    const createdAtMs = attempts.createdAtMs[attemptId] as number
    this.#release(attemptId, nowUs)
    settlement.finish(slot, template, {
      createdAtMs, status: 'completed', responseStatus: status, reason: null, body, truncated,
    }, nowUs)
  }

  #fail(attemptId: number, failure: Failure, nowUs: Micros): void {
    const { attempts } = this.#parts
    const slot = attempts.slot[attemptId] as JobSlot
    const retryAfterMs = attempts.retryAfterMs[attemptId] as number
    const template = this.#templateOf(attemptId)
    const createdAtMs = attempts.createdAtMs[attemptId] as number
    this.#release(attemptId, nowUs)
    this.#settleFailure(slot, template, createdAtMs, retryAfterMs, failure, nowUs)
  }

  /** Schedules a retry, or finishes the job as failed. */
  #settleFailure(
    slot: JobSlot, template: DecodedTemplate, createdAtMs: number, retryAfterMs: number,
    failure: Failure, nowUs: Micros,
  ): void {
    const { jobs, prng, settlement, watchers } = this.#parts
    const made = jobs.attempts(slot)
    if (failure.mayRetry && mayRetry(made, jobs.retriesMax(slot))) {
      const delayMs = retryDelayMs(made, retryAfterMs === 0 ? undefined : retryAfterMs, prng)
      const dueUs = (nowUs + msToUs(delayMs)) as Micros
      if (this.#withinDeadline(slot, dueUs)) {
        watchers.retrying(slot, delayMs, failure.reason, failure.status)
        return settlement.retryAt(slot, dueUs)
      }
      failure = { ...failure, reason: 'deadline_exceeded' }
    }
    const { reason, rule, status, body, truncated } = failure
    settlement.finish(slot, template, {
      createdAtMs, status: 'failed', responseStatus: status, reason, body, truncated,
      ...(rule === undefined ? {} : { rule }),
    }, nowUs)
  }

  #templateOf(attemptId: number): DecodedTemplate {
    const { attempts, records } = this.#parts
    return attempts.templateOf(attemptId) ??
      records.readTemplate(attempts.slot[attemptId] as JobSlot)
  }

  #release(attemptId: number, nowUs: Micros): void {
    const { attempts, pacer } = this.#parts
    const lane = attempts.lane[attemptId] as LaneSlot
    const upstream = attempts.upstream[attemptId] as UpstreamSlot
    attempts.release(attemptId)
    pacer.attemptEnded(lane, upstream, nowUs)
  }

  /** A job with unlimited retries ends after JOB_DEADLINE_MS; others only by their retries. */
  #withinDeadline(slot: JobSlot, dueUs: Micros): boolean {
    const { jobs } = this.#parts
    return jobs.retriesMax(slot) !== RETRIES_UNLIMITED || jobs.ageMs(slot, dueUs) < JOB_DEADLINE_MS
  }

  #addLoad(
    headers: string[], slot: JobSlot, lane: LaneSlot, upstream: UpstreamSlot, budget: Budget,
  ): void {
    const { jobs, lanes, budgets } = this.#parts
    const queued = budgets.queuedEverywhere(upstream)
    addLoadHeaders(headers, {
      jobId: jobIdText(jobs.at, slot),
      attempt: jobs.attempts(slot),
      totalJobs: queued + budgets.inFlight(upstream),
      queueDepth: budget.accountQueue ? lanes.count(lane) : queued,
      flowRate: pacePerSecondOf(budget.intervalNs),
      concurrentMax: budget.concurrentMax,
      accountQueue: budget.accountQueue,
    })
  }
}
