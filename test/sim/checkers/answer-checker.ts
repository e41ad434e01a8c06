// Answers to callers agree with what has happened: polls, cancellations, event streams, webhooks.
// An answer may be read a while after the shard gave it, so it must have been true at some time
// between the question and now.

import { WEBHOOK_RETRIES_MAX } from '../../../shards/memory/limits.ts'
import {
  CODE_NOT_CANCELLABLE, CODE_NOT_FOUND, CODE_OK, EVENT_CANCELLED, EVENT_COMPLETED, EVENT_FAILED,
  EVENT_NAMES, type JobResult, type JobSnapshot,
} from '../../../shards/wire/contract.ts'
import type { Attempt, Observer, Question, SimJob, Verdict } from '../observations.ts'
import type { Scenario } from '../scenario.ts'
import { Violation, promise } from '../violation.ts'
import type { VirtualTime } from '../virtual-time.ts'
import type { Facts, Ledger } from './ledger.ts'
import type { MemoryChecker } from './memory-checker.ts'
import { checkResult } from './results.ts'

const CHECKER = 'answers'
const OVERDUE = 'execution_deadline_exceeded'

/** Compares answers with the ledger's facts. */
export class AnswerChecker implements Observer {
  readonly #ledger: Ledger
  readonly #memory: MemoryChecker
  readonly #time: VirtualTime
  readonly #scenario: Scenario
  /** Jobs whose watcher has yet to receive the terminal event. */
  readonly #watched = new Set<SimJob>()
  readonly #told = new Set<SimJob>()
  readonly #unwatchedUs = new Map<SimJob, number>()

  constructor(ledger: Ledger, memory: MemoryChecker, time: VirtualTime, scenario: Scenario) {
    this.#ledger = ledger
    this.#memory = memory
    this.#time = time
    this.#scenario = scenario
  }

  judged(job: SimJob, verdict: Verdict): void {
    const isWatched = job.watch && !this.#unwatchedUs.has(job)
    if (verdict.kind === 'accepted' && isWatched) this.#watched.add(job)
  }

  sent(attempt: Attempt): void {
    if (!attempt.isWebhook) return
    const body = Buffer.from(attempt.body ?? []).toString()
    const { job_id: id, ...result } = JSON.parse(body) as JobResult & { job_id: string }
    promise(id === attempt.job.id, CHECKER, () => `a webhook about ${id}`)
    const facts = this.#ledger.of(attempt.job)
    this.#ledger.learnCrash(facts, result.reason)
    checkResult(result, facts, 'webhook')
  }

  answered(
    job: SimJob, question: Question, code: number, view: JobSnapshot | null, askedUs: number,
  ): void {
    const facts = this.#ledger.of(job)
    if (code === CODE_NOT_FOUND) return this.#checkMissing(facts)
    promise(facts.verdict === 'accepted', CHECKER, () =>
      `job ${job.number} is known though it was ${facts.verdict}`)
    promise(view !== null, CHECKER, () => `no view of job ${job.number}`)
    promise(code === CODE_OK || question === 'cancel', CHECKER, () =>
      `${question} of job ${job.number} gave ${code}`)
    if (question === 'cancel') this.#checkCancel(facts, code, view)
    this.#checkView(facts, view, askedUs)
    const isWatched = (this.#unwatchedUs.get(job) ?? -1) < askedUs
    if (question === 'watch' && view.result === undefined && isWatched) this.#watched.add(job)
  }

  unwatched(job: SimJob): void {
    this.#watched.delete(job)
    this.#unwatchedUs.set(job, this.#time.nowUs())
  }

  event(job: SimJob, event: number, data: object): void {
    const facts = this.#ledger.of(job)
    const name = EVENT_NAMES[event] ?? ''
    promise(facts.verdict === 'accepted', CHECKER, () => `${name} of job ${job.number}`)
    const isEnd = event === EVENT_COMPLETED || event === EVENT_FAILED || event === EVENT_CANCELLED
    const isRepeated = isEnd && this.#ledger.deaths(job.shard) > 0
    promise(!this.#told.has(job) || isRepeated, CHECKER, () =>
      `${name} of job ${job.number} after its end`)
    if (!isEnd) return
    if (event === EVENT_FAILED) this.#learnUnseen(facts, (data as JobResult).reason)
    checkResult(data as JobResult, facts, 'event')
    promise((data as JobResult).status === name, CHECKER, () => `${name} says another status`)
    this.#told.add(job)
    this.#watched.delete(job)
  }

  /** Every watcher of a job has received its end. */
  drained(): void {
    for (const job of this.#watched) {
      const excused = this.#memory.wasFull(job.shard)
      promise(excused, CHECKER, () => `nobody was told of the end of job ${job.number} (${job.id})`)
    }
    this.#watched.clear()
  }

  /** Only a job that was not accepted, or that was finished and is past its TTL, is unknown. */
  #checkMissing(facts: Facts): void {
    const { job } = facts
    if (facts.verdict !== 'accepted') return
    if (facts.outcome === undefined && this.#ledger.mayBeOverdue(facts)) return
    const nowUs = this.#time.nowUs()
    const doneUs = this.#ledger.maybeDoneUs(facts)
    promise(doneUs !== undefined, CHECKER, () =>
      `job ${job.number} (${job.id}) is unknown, but not over`)
    const { completedTtlMs, failedTtlMs } = this.#scenario.settings
    const isCompleted = facts.outcome !== undefined && facts.outcome.status !== 'failed'
    const ttlMs = isCompleted ? completedTtlMs : failedTtlMs
    const mayBeForgotten = nowUs >= doneUs + ttlMs * 1000 || this.#memory.wasFull(job.shard)
    promise(mayBeForgotten, CHECKER, () => `job ${job.number} (${job.id}) is unknown too early`)
  }

  #checkCancel(facts: Facts, code: number, view: JobSnapshot): void {
    const { job } = facts
    if (code === CODE_NOT_CANCELLABLE) {
      const may = facts.attemptsMost + this.#ledger.unseen(facts) > 0 ||
        this.#ledger.mayBeOverdue(facts) || this.#ledger.mayBeRefused(facts)
      promise(may, CHECKER, () => `job ${job.number} was never sent but cannot be cancelled`)
      promise(view.status !== 'cancelled' && view.status !== 'queued', CHECKER, () =>
        `job ${job.number} is ${view.status} but cannot be cancelled`)
      return
    }
    promise(view.status === 'cancelled', CHECKER, () =>
      `job ${job.number} was cancelled but is ${view.status}`)
    const unseen = this.#ledger.unseen(facts)
    const isSame = view.attempts >= facts.attempts && view.attempts <= facts.attempts + unseen
    promise(isSame, CHECKER, () => `job ${job.number} was sent after it was cancelled`)
    if (facts.outcome?.status !== 'cancelled') this.#ledger.settle(facts, 'cancelled')
  }

  #checkView(facts: Facts, view: JobSnapshot, askedUs: number): void {
    const { job } = facts
    promise(view.attempts <= facts.attemptsMost + this.#ledger.unseen(facts), CHECKER, () =>
      `job ${job.number} shows ${view.attempts} attempts of ${facts.attemptsMost}`)
    promise(view.position === undefined || view.position >= 1, CHECKER, () =>
      `job ${job.number} shows position ${view.position}`)
    const { webhook } = view
    promise(webhook?.state !== 'given_up' || webhook.attempts > WEBHOOK_RETRIES_MAX ||
      this.#ledger.mayWebhookBeRefused(facts), CHECKER, () =>
      `the webhook of job ${job.number} is given up after ${webhook?.attempts} attempts`)
    switch (view.status) {
      case 'queued':
      case 'in_flight': {
        const wasOver = facts.outcome !== undefined && facts.outcome.atUs < askedUs
        // A result that does not fit into the full log is not reported before it does.
        const mayBeOver = facts.isDoubted || this.#memory.wasFull(job.shard)
        promise(!wasOver || mayBeOver, CHECKER, () =>
          `job ${job.number} shows ${view.status} after it was ${facts.outcome?.status}`)
        return
      }
      case 'failed':
        this.#learnUnseen(facts, view.result?.reason)
        break
      case 'completed':
      case 'cancelled':
        break
      default:
        throw new Violation(CHECKER, `job ${job.number} shows ${String(view.status)}`)
    }
    promise(facts.outcome?.status === view.status, CHECKER, () =>
      `job ${job.number} shows ${view.status} but is ${facts.outcome?.status}`)
    if (view.result !== undefined) checkResult(view.result, facts, 'view')
  }

  /** A job that missed its deadline, or found no connection, is seen to fail by its caller only. */
  #learnUnseen(facts: Facts, reason: string | undefined): void {
    this.#ledger.learnCrash(facts, reason)
    this.#ledger.learnUnsent(facts, reason)
    if (facts.outcome !== undefined || !this.#ledger.mayBeOverdue(facts)) return
    if (reason === OVERDUE || reason === undefined) this.#ledger.settle(facts, 'failed', OVERDUE)
  }
}
