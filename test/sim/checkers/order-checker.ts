// First in, first out: the first attempts of one account at one upstream leave in the order in
// which its jobs were accepted. A job whose request was returned leaves before any that has not
// left yet. Those that share an overflow lane leave in their common order,
// too: whether a job is in one is the only thing that is looked up in the engine's memory.

import { JOB_FREE } from '../../../shards/job-slots.ts'
import type { ShardViews } from '../../../shards/layout.ts'
import type { Attempt, Observer, Question, SimJob } from '../observations.ts'
import type { Scenario } from '../scenario.ts'
import { promise } from '../violation.ts'

const CHECKER = 'order'

/** Remembers the latest first attempt of every line, and what was returned to it. */
export class OrderChecker implements Observer {
  readonly #scenario: Scenario
  readonly #shards: readonly ShardViews[]
  readonly #latest = new Map<string, SimJob>()
  /** Jobs that are back in their line, and whether they must be the first to leave it. */
  readonly #returned = new Map<SimJob, boolean>()
  /** Places, by shard, that could not be reached: an attempt there may fail at any later time. */
  readonly #unreached = new Set<string>()

  constructor(scenario: Scenario, shards: readonly ShardViews[]) {
    this.#scenario = scenario
    this.#shards = shards
  }

  sent(attempt: Attempt): void {
    if (attempt.isWebhook) return
    const { job, place } = attempt
    if (this.#returned.delete(job) || attempt.number > 1) return
    this.#checkReturned(job)
    this.#check(`account ${job.account.number} at ${place}`, job)
    if (this.#scenario.lanesScarce && this.#isInOverflow(job)) {
      this.#check(`overflow lane of ${place} on shard ${job.shard}`, job)
    }
  }

  returned({ isWebhook, job, number }: Attempt): void {
    if (isWebhook || number > 1) return
    const isReached = !this.#unreached.has(`${job.shard} ${job.upstream}`)
    this.#returned.set(job, job.executeBeforeMs === 0 && isReached)
  }

  asked(job: SimJob, question: Question): void {
    if (question === 'cancel' && this.#returned.has(job)) this.#returned.set(job, false)
  }

  /** One of them may have failed, and comes back later. */
  unreachable(shard: number, place: number): void {
    this.#unreached.add(`${shard} ${place}`)
    for (const job of this.#returned.keys()) {
      if (job.shard === shard && job.upstream === place) this.#returned.set(job, false)
    }
  }

  died(shard: number): void {
    for (const job of this.#returned.keys()) {
      if (job.shard === shard) this.#returned.set(job, false)
    }
  }

  #checkReturned(by: SimJob): void {
    for (const [job, isFirst] of this.#returned) {
      const isAhead = isFirst && job.account === by.account && job.upstream === by.upstream
      promise(!isAhead, CHECKER, () =>
        `job ${by.number} left before job ${job.number}, whose request was returned`)
    }
  }

  /** A shard takes its submissions in their order, so their numbers are the order of acceptance. */
  #check(line: string, job: SimJob): void {
    const latest = this.#latest.get(line)
    promise(latest === undefined || latest.number < job.number, CHECKER, () =>
      `${line}: job ${job.number} left after job ${latest?.number}`)
    this.#latest.set(line, job)
  }

  #isInOverflow(job: SimJob): boolean {
    const { jobs, limits } = this.#shards[job.shard] as ShardViews
    const [, high, low] = job.idWords
    for (let slot = 0; slot < limits.jobsMax; slot++) {
      if (jobs.idLow[slot] !== low || jobs.idHigh[slot] !== high) continue
      if (((jobs.state[slot] as number) & 0xff) === JOB_FREE) continue
      return (jobs.lane[slot] as number) < limits.upstreamsMax
    }
    return false
  }
}
