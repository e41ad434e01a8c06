// First in, first out: the first attempts of one account at one upstream leave in the order in
// which its jobs were accepted. Those that share an overflow lane leave in their common order,
// too: whether a job is in one is the only thing that is looked up in the engine's memory.

import { JOB_FREE } from '../../../shards/job-slots.ts'
import type { ShardViews } from '../../../shards/layout.ts'
import type { Attempt, Observer, SimJob } from '../observations.ts'
import type { Scenario } from '../scenario.ts'
import { promise } from '../violation.ts'

const CHECKER = 'order'

/** Remembers the latest first attempt of every line. */
export class OrderChecker implements Observer {
  readonly #scenario: Scenario
  readonly #shards: readonly ShardViews[]
  readonly #latest = new Map<string, SimJob>()

  constructor(scenario: Scenario, shards: readonly ShardViews[]) {
    this.#scenario = scenario
    this.#shards = shards
  }

  sent(attempt: Attempt): void {
    if (attempt.isWebhook || attempt.number > 1) return
    const { job, place } = attempt
    this.#check(`account ${job.account.number} at ${place}`, job)
    if (this.#scenario.lanesScarce && this.#isInOverflow(job)) {
      this.#check(`overflow lane of ${place} on shard ${job.shard}`, job)
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
