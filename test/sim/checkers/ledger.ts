// No job is lost, and none is finished twice: an independent ledger, kept from the answers to
// callers and from what upstreams saw. It also derives the result of each attempt, so that other
// checkers can compare what the engine reports with what happened. Where a thread crashed, the
// ledger knows what is in doubt: the last things that the thread received may be stored or not, and
// are then done again. Where a place was unreachable, attempts may have failed that none saw.

import { NONE } from '../../../shards/base/units.ts'
import type { ShardViews } from '../../../shards/memory/layout.ts'
import { RETRIES_UNLIMITED, WEBHOOK_RETRIES_MAX } from '../../../shards/memory/limits.ts'
import type { FailureReason } from '../../../shards/signals/response.ts'
import { mayFailureRetry, classify } from '../../../shards/signals/verdict.ts'
import {
  JOB_COMPLETED, JOB_FAILED, JOB_FREE, JOB_WEBHOOK_PENDING,
} from '../../../shards/store/job-slots.ts'
import type { JobResult } from '../../../shards/wire/contract.ts'
import type { Attempt, Doubt, Ending, Observer, SimJob, Verdict } from '../observations.ts'
import { promise } from '../violation.ts'
import type { VirtualTime } from '../virtual-time.ts'
import { Unreached } from './unreached.ts'

const CHECKER = 'ledger'
/** Wall time is in whole milliseconds, so a deadline is exact to one millisecond. */
const WALL_GRAIN_MS = 1
/** The reason of a job that was failed as a crash suspect. */
const CRASH = 'shard_crash'
const WEBHOOK_DELAYS_US = [0, 1e6, 2e6, 4e6, 8e6]

/** The result of a job, as every answer must report it. */
export interface Outcome {
  readonly status: 'completed' | 'failed' | 'cancelled'
  readonly responseStatus: number
  readonly reason: string | undefined
  /** It failed without a connection, for one of several reasons. */
  readonly isReasonOpen?: boolean
  readonly body: Uint8Array | undefined
  readonly truncated: boolean
  /** The latest time at which it was known. */
  readonly atUs: number
  /** The earliest time at which it may be: an overdue job is found by a sweep. */
  readonly sinceUs: number
}

/** All that is known of a job. */
export interface Facts {
  readonly job: SimJob
  verdict: Verdict['kind'] | undefined
  attempts: number
  /** The maximum of `attempts`: an attempt whose request was returned is not counted any more. */
  attemptsMost: number
  flying: Attempt | undefined
  /** The end of a Retry-After that must pass before the next attempt. */
  notBeforeUs: number
  outcome: Outcome | undefined
  deliveries: number
  delivering: Attempt | undefined
  deliverNotBeforeUs: number
  /** When the webhook was delivered or dropped. */
  deliveredUs: number | undefined
  /** Its shard may not have stored the end of the last attempt or delivery. */
  isDoubted: boolean
  isDeliveryDoubted: boolean
  /** Attempts that were counted and not seen, or that ended with their thread. */
  lost: number
  /** The counts before the last attempt and the last delivery. */
  before: Unseen
  beforeDelivery: Unseen
}

/** Causes of attempts that no upstream saw. */
interface Unseen {
  readonly deaths: number
  /** How often the shard could not reach the place. */
  readonly unreached: number
  /** How often its addresses were refused, which costs a job no attempt, but ends it. */
  readonly refused: number
}

/** The ledger of one run. */
export class Ledger implements Observer {
  readonly #time: VirtualTime
  readonly #facts: Facts[] = []
  readonly #deaths: number[] = []
  readonly #unreached = new Unreached()
  readonly #refused = new Unreached()
  /** Whether results may have been held in a shard's own memory, because the log was full. */
  mayWait: (shard: number) => boolean = () => false

  constructor(time: VirtualTime) {
    this.#time = time
  }

  /** Crashes of the shard's threads so far. */
  deaths(shard: number): number {
    return this.#deaths[shard] ?? 0
  }

  /** Attempts at the job that its shard may have counted but no upstream saw. */
  unseen(facts: Facts): number {
    const { job, before } = facts
    const unreached = this.#unreached.count(job.shard, job.upstream) - before.unreached
    return this.deaths(job.shard) - before.deaths + unreached
  }

  #unseenAt(shard: number, place: number): Unseen {
    return {
      deaths: this.deaths(shard), unreached: this.#unreached.spentOf(shard, place),
      refused: this.#refused.spentOf(shard, place),
    }
  }

  /** Whether the job may have ended since its upstream's addresses were refused. */
  mayBeRefused({ before, job }: Facts): boolean {
    return this.#refused.count(job.shard, job.upstream) > before.refused
  }

  /** The same of its webhook. */
  mayWebhookBeRefused({ beforeDelivery, job }: Facts): boolean {
    return this.#refused.count(job.shard, job.receiver) > beforeDelivery.refused
  }

  /** When a job that is not known to be finished may have failed without a connection. */
  failedUnsentUs(facts: Facts): number | undefined {
    const { before, flying, job, outcome, verdict } = facts
    if (flying !== undefined || outcome !== undefined && !facts.isDoubted) return undefined
    if (verdict !== undefined && verdict !== 'accepted') return undefined
    return earliest(this.#failedUnreachedUs(facts),
      this.#refused.timeOf(job.shard, job.upstream, before.refused + 1))
  }

  #failedUnreachedUs(facts: Facts): number | undefined {
    const { before, job } = facts
    if (job.retriesMax === RETRIES_UNLIMITED) return undefined
    // An attempt that ended with its thread may be counted or not.
    const left = job.retriesMax + 1 - facts.attempts - (this.deaths(job.shard) - before.deaths)
    const last = before.unreached + Math.max(1, left)
    return this.#unreached.timeOf(job.shard, job.upstream, last)
  }

  /** When a webhook that is still pending may have been dropped without a connection. */
  #gaveUpUs(facts: Facts): number | undefined {
    const { beforeDelivery, delivering, deliveries, job } = facts
    if (delivering !== undefined) return undefined
    const deaths = this.deaths(job.shard) - beforeDelivery.deaths
    const left = WEBHOOK_RETRIES_MAX + 1 - deliveries - deaths
    const last = beforeDelivery.unreached + Math.max(1, left)
    return earliest(this.#unreached.timeOf(job.shard, job.receiver, last),
      this.#refused.timeOf(job.shard, job.receiver, beforeDelivery.refused + 1))
  }

  /** An answer reports such a failure; without a reason, it may be any of them. */
  learnUnsent(facts: Facts, reason: string | undefined): void {
    const { job, outcome } = facts
    if (outcome?.isReasonOpen === true) {
      if (reason !== undefined) facts.outcome = { ...outcome, reason, isReasonOpen: false }
      return
    }
    const unsentUs = this.failedUnsentUs(facts)
    if (unsentUs === undefined) return
    // It may also have been overdue before, which no answer has reported.
    const isLate = reason === undefined && this.mayBeOverdue(facts)
    const sinceUs = isLate ? Math.min(unsentUs, this.#lateUs(job)) : unsentUs
    const cause = reason === 'address_refused' ? this.#refused : this.#unreached
    if (reason !== undefined && !cause.knows(job.shard, job.upstream, reason)) return
    this.#spendLast(facts, reason)
    facts.isDoubted = false
    facts.outcome = {
      status: 'failed', reason, isReasonOpen: reason === undefined, responseStatus: 0,
      body: undefined, truncated: false, atUs: this.#time.nowUs(), sinceUs,
    }
  }

  /** The job's remaining attempts failed without a connection, or its addresses were refused. */
  #spendLast(facts: Facts, reason: string | undefined): void {
    const { attempts, before, job } = facts
    if (reason === undefined && this.mayBeRefused(facts)) return // it may be either
    const isRefused = reason === 'address_refused'
    const events = isRefused ? 1 : job.retriesMax + 1 - attempts
    const excused = this.mayBeOverdue(facts) ? events : this.deaths(job.shard) - before.deaths
    const cause = isRefused ? this.#refused : this.#unreached
    cause.spend(job.shard, job.upstream, events, excused)
  }

  /** All jobs, in the order of their submission. */
  get all(): readonly Facts[] {
    return this.#facts
  }

  of(job: SimJob): Facts {
    return this.#facts[job.number] as Facts
  }

  /** The earliest time at which nothing remained to be done for the job; undefined before. */
  doneUs(facts: Facts): number | undefined {
    const { outcome, job } = facts
    if (outcome === undefined) return undefined
    const owesNothing = job.receiver === NONE || outcome.status === 'cancelled'
    return owesNothing ? outcome.sinceUs : facts.deliveredUs
  }

  /** The same, including ends that may not have been seen. */
  maybeDoneUs(facts: Facts): number | undefined {
    return this.doneUs(facts) ??
      (facts.outcome === undefined ? this.failedUnsentUs(facts) : this.#gaveUpUs(facts))
  }

  /** Whether something was still to be done for an accepted job at some time since `sinceUs`. */
  wasBusySince(facts: Facts, sinceUs: number): boolean {
    const { outcome } = facts
    const doneUs = this.doneUs(facts)
    if (outcome === undefined || doneUs === undefined) return true
    if (facts.isDoubted || facts.isDeliveryDoubted) return true
    return Math.max(doneUs, outcome.atUs) >= sinceUs
  }

  /** Whether the job may have missed its deadline without any answer that says so yet. */
  mayBeOverdue(facts: Facts): boolean {
    const { executeBeforeMs } = facts.job
    return executeBeforeMs !== 0 && facts.attempts === 0 &&
      this.#time.wallMs(this.#time.nowUs()) + WALL_GRAIN_MS >= executeBeforeMs
  }

  /** Records that a job was cancelled or has missed its deadline, which no upstream sees. */
  settle(facts: Facts, status: 'failed' | 'cancelled', reason?: string): void {
    const { job, outcome } = facts
    promise(outcome === undefined || facts.isDoubted, CHECKER, () =>
      `job ${job.number} is said to be ${status}, but was ${outcome?.status} before`)
    promise(facts.flying === undefined, CHECKER, () =>
      `job ${job.number} is ${status} while it is in flight`)
    facts.isDoubted = false
    const isLate = status === 'failed' && reason !== CRASH
    facts.outcome = {
      status, reason, responseStatus: 0, body: undefined, truncated: false,
      atUs: this.#time.nowUs(), sinceUs: isLate ? this.#lateUs(job) : job.submittedUs,
    }
  }

  /** The earliest time at which an overdue job became overdue. */
  #lateUs({ executeBeforeMs, submittedUs }: SimJob): number {
    const nowUs = this.#time.nowUs()
    const lateMs = this.#time.wallMs(nowUs) - executeBeforeMs + WALL_GRAIN_MS
    return Math.max(submittedUs, nowUs - lateMs * 1000)
  }

  submitted(job: SimJob): void {
    this.#facts.push({
      job, verdict: undefined, attempts: 0, attemptsMost: 0, flying: undefined, notBeforeUs: 0,
      outcome: undefined, deliveries: 0, delivering: undefined, deliverNotBeforeUs: 0,
      deliveredUs: undefined, isDoubted: false, isDeliveryDoubted: false, lost: 0,
      before: this.#unseenAt(job.shard, job.upstream),
      beforeDelivery: this.#unseenAt(job.shard, job.receiver),
    })
  }

  unreachable(shard: number, place: number, reason: FailureReason): void {
    const cause = reason === 'address_refused' ? this.#refused : this.#unreached
    cause.tell(shard, place, reason, this.#time.nowUs())
  }

  returned(attempt: Attempt): void {
    const facts = this.of(attempt.job)
    if (attempt.isWebhook) {
      facts.delivering = undefined
      facts.deliveries--
    } else {
      facts.flying = undefined
      facts.attempts--
    }
  }

  lost(attempt: Attempt): void {
    const facts = this.of(attempt.job)
    if (attempt.isWebhook) {
      facts.delivering = undefined
      facts.deliverNotBeforeUs = 0
    } else {
      facts.flying = undefined
      facts.lost++
    }
  }

  doubted(attempt: Attempt, what: Doubt): void {
    const facts = this.of(attempt.job)
    if (what === 'returned' && !attempt.isWebhook) facts.lost++
    if (what !== 'end') return
    if (attempt.isWebhook) {
      facts.isDeliveryDoubted = true
      facts.deliverNotBeforeUs = 0
    } else {
      facts.isDoubted = true
      facts.notBeforeUs = 0
      facts.lost++
    }
  }

  died(shard: number): void {
    this.#deaths[shard] = this.deaths(shard) + 1
    if (!this.mayWait(shard)) return
    for (const facts of this.#facts) {
      if (facts.job.shard === shard && facts.outcome !== undefined && facts.deliveries === 0) {
        facts.isDoubted = true
        facts.lost++
      }
    }
  }

  /** A job that crashed its shard twice is set aside as failed, perhaps without any answer yet. */
  lives(shard: number, views: ShardViews): void {
    if (this.deaths(shard) < 2) return
    for (const facts of this.#facts) {
      if (facts.job.shard !== shard) continue
      if (this.doneUs(facts) === undefined || facts.isDoubted) this.#learnFrom(facts, views)
    }
  }

  #learnFrom(facts: Facts, views: ShardViews): void {
    const slot = slotOf(facts.job, views)
    if (slot === undefined) return
    const state = (views.jobs.state[slot] as number) & 0xff
    const owes = ((views.jobs.resultWord[slot] as number) & (JOB_WEBHOOK_PENDING << 16)) !== 0
    const isNews = facts.outcome?.status !== 'failed' && !this.mayBeOverdue(facts) &&
      this.failedUnsentUs(facts) === undefined
    if (state === JOB_FAILED && isNews) this.settle(facts, 'failed', CRASH)
    const isOver = state === JOB_FAILED || state === JOB_COMPLETED
    if (state === JOB_FAILED && !owes && facts.outcome === undefined) {
      // Overdue, unsent, or a crash; and its webhook, if it had one, was dropped.
      this.settle(facts, 'failed', 'execution_deadline_exceeded')
      facts.isDoubted = true
    }
    if (isOver && !owes && facts.outcome !== undefined) {
      facts.deliveredUs ??= this.#gaveUpUs(facts) ?? this.#time.nowUs()
    }
  }

  /** A result with this reason may be the first sign that a job was set aside. */
  learnCrash(facts: Facts, reason: string | undefined): void {
    if (reason !== CRASH || this.deaths(facts.job.shard) < 2) return
    if (facts.outcome === undefined || facts.isDoubted) this.settle(facts, 'failed', CRASH)
  }

  judged(job: SimJob, verdict: Verdict): void {
    const facts = this.of(job)
    promise(facts.verdict === undefined, CHECKER, () => `job ${job.number} was judged twice`)
    facts.verdict = verdict.kind
    if (verdict.kind === 'accepted') return
    promise(facts.attempts === 0, CHECKER, () =>
      `job ${job.number} was sent, but the answer was ${verdict.kind}`)
  }

  sent(attempt: Attempt): void {
    if (attempt.isWebhook) this.#sentWebhook(attempt)
    else this.#sentJob(attempt)
  }

  ended(attempt: Attempt, ending: Ending): void {
    if (attempt.isWebhook) this.#endedWebhook(attempt)
    else this.#endedJob(attempt, ending)
  }

  #sentJob(attempt: Attempt): void {
    const { job, number, place } = attempt
    const facts = this.of(job)
    const nowUs = this.#time.nowUs()
    const label = `job ${job.number} (${job.id}), attempt ${number}`
    promise(facts.verdict === undefined || facts.verdict === 'accepted', CHECKER, () =>
      `${label}: sent, though ${facts.verdict}`)
    promise(facts.outcome === undefined || facts.isDoubted, CHECKER, () =>
      `${label}: sent again after it was ${facts.outcome?.status}`)
    facts.outcome = undefined
    facts.isDoubted = false
    promise(facts.flying === undefined, CHECKER, () => `${label}: sent while in flight`)
    const skipped = number - facts.attempts - 1
    promise(skipped >= 0 && skipped <= this.unseen(facts), CHECKER, () =>
      `${label}: should be ${facts.attempts + 1}`)
    const deaths = this.deaths(job.shard) - facts.before.deaths
    this.#unreached.spend(job.shard, place, skipped, deaths)
    facts.attempts = number
    facts.attemptsMost = Math.max(facts.attemptsMost, number)
    facts.lost += Math.min(skipped, deaths)
    facts.before = this.#unseenAt(job.shard, place)
    promise(job.retriesMax === RETRIES_UNLIMITED || number <= job.retriesMax + 1 + facts.lost,
      CHECKER, () => `${label}: only ${job.retriesMax} retries are allowed`)
    promise(nowUs >= facts.notBeforeUs - 1, CHECKER, () =>
      `${label}: ${facts.notBeforeUs - nowUs} us before its Retry-After`)
    const lateMs = this.#time.wallMs(nowUs) - job.executeBeforeMs
    promise(job.executeBeforeMs === 0 || number > 1 || lateMs <= WALL_GRAIN_MS, CHECKER, () =>
      `${label}: begun ${lateMs} ms after its execute_before`)
    this.#checkRequest(attempt, label)
    facts.flying = attempt
  }

  /** The request is what the caller submitted. */
  #checkRequest(attempt: Attempt, label: string): void {
    const { job, headers, method, path, body, place } = attempt
    promise(place === job.upstream, CHECKER, () => `${label}: sent to ${place}`)
    promise(method === 'POST' && path === `/v1/things?of=${job.account.number}`, CHECKER,
      () => `${label}: sent as ${method} ${path}`)
    const kept = headers[0] === 'Authorization' && headers[1] === job.account.apiKey &&
      headers[2] === 'X-Case' && headers[3] === 'kept'
    promise(kept, CHECKER, () => `${label}: with other headers: ${headers.join(' ')}`)
    promise(Buffer.compare(body ?? Buffer.of(), job.body ?? Buffer.of()) === 0, CHECKER,
      () => `${label}: with another body`)
  }

  #endedJob(attempt: Attempt, ending: Ending): void {
    const { job, answer } = attempt
    const facts = this.of(job)
    const nowUs = this.#time.nowUs()
    facts.flying = undefined
    const whole = ending === 'response'
    const outcome = {
      responseStatus: whole ? answer.status : 0, body: whole ? answer.body : undefined,
      truncated: whole && answer.truncated, atUs: nowUs, sinceUs: nowUs,
    }
    if (whole && classify(answer.status) === 'completed') {
      facts.outcome = { ...outcome, status: 'completed', reason: undefined }
      return
    }
    const mayRetry = (whole || mayFailureRetry(ending)) &&
      (job.retriesMax === RETRIES_UNLIMITED || facts.attempts <= job.retriesMax)
    if (mayRetry) {
      const waitMs = attempt.headHeard ? answer.said.retryAfterMs ?? 0 : 0
      facts.notBeforeUs = attempt.sentUs + answer.headAfterUs + waitMs * 1000
      if (waitMs === 0) facts.notBeforeUs = 0
    } else {
      facts.outcome = { ...outcome, status: 'failed', reason: whole ? 'upstream_error' : ending }
    }
  }

  #sentWebhook(attempt: Attempt): void {
    const { job, number, place } = attempt
    const facts = this.of(job)
    const label = `webhook ${number} of job ${job.number} (${job.id})`
    const { reason, status } = resultIn(attempt)
    if (reason === CRASH) this.learnCrash(facts, CRASH)
    if (status === 'failed') this.learnUnsent(facts, reason)
    if (facts.outcome === undefined) {
      promise(this.mayBeOverdue(facts), CHECKER, () => `${label}: of a job without an outcome`)
      this.settle(facts, 'failed', 'execution_deadline_exceeded')
    }
    const nowUs = this.#time.nowUs()
    promise(facts.outcome?.status !== 'cancelled', CHECKER, () => `${label}: of a cancelled job`)
    promise(place === job.receiver, CHECKER, () => `${label}: to ${place}`)
    promise(facts.deliveredUs === undefined || facts.isDeliveryDoubted, CHECKER, () =>
      `${label}: after it was done with`)
    facts.deliveredUs = undefined
    facts.isDeliveryDoubted = false
    facts.isDoubted = false
    promise(facts.delivering === undefined, CHECKER, () => `${label}: while one is in flight`)
    const skipped = number - facts.deliveries - 1
    const deaths = this.deaths(job.shard) - facts.beforeDelivery.deaths
    const unreached = this.#unreached.count(job.shard, place)
    const unseen = deaths + unreached - facts.beforeDelivery.unreached
    promise(skipped >= 0 && skipped <= unseen, CHECKER, () =>
      `${label}: expected ${facts.deliveries + 1}`)
    this.#unreached.spend(job.shard, place, skipped, deaths)
    facts.deliveries = number
    facts.beforeDelivery = this.#unseenAt(job.shard, place)
    promise(nowUs >= facts.deliverNotBeforeUs - 1, CHECKER, () =>
      `${label}: ${facts.deliverNotBeforeUs - nowUs} us too early`)
    facts.delivering = attempt
  }

  #endedWebhook(attempt: Attempt): void {
    const facts = this.of(attempt.job)
    const { status } = attempt.answer
    const nowUs = this.#time.nowUs()
    facts.delivering = undefined
    // The head decides, whatever happens to the rest.
    const delivered = attempt.headHeard && status >= 200 && status < 300
    if (delivered || facts.deliveries > WEBHOOK_RETRIES_MAX) facts.deliveredUs = nowUs
    facts.deliverNotBeforeUs = nowUs + (WEBHOOK_DELAYS_US[facts.deliveries] ?? 0)
  }
}

/** The smaller of two times of which either may be none. */
const earliest = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined || other === undefined ? one ?? other : Math.min(one, other)

/** The result in a webhook. */
const resultIn = (attempt: Attempt): JobResult =>
  JSON.parse(Buffer.from(attempt.body ?? []).toString()) as JobResult

/** The job's slot in its shard; undefined when the shard does not have it. */
function slotOf(job: SimJob, { jobs, limits }: ShardViews): number | undefined {
  const [, high, low] = job.idWords
  for (let slot = 0; slot < limits.jobsMax; slot++) {
    if (jobs.idLow[slot] !== low || jobs.idHigh[slot] !== high) continue
    if (((jobs.state[slot] as number) & 0xff) !== JOB_FREE) return slot
  }
  return undefined
}
