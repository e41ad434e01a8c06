// When faults stop, everything ends: no job without a result, no pending webhook, nothing in
// flight. The sums that the shards publish agree with the ledger; and once the finished jobs are
// past their TTL, nothing is left at all.

import { NONE } from '../../../shards/base/units.ts'
import type { ShardViews, SharedViews } from '../../../shards/memory/layout.ts'
import { UPSTREAM_IN_FLIGHT, UPSTREAM_RECORD_WORDS } from '../../../shards/memory/layout.ts'
import { readStats } from '../../../shards/memory/stats.ts'
import type { Observer } from '../observations.ts'
import type { Scenario } from '../scenario.ts'
import { promise } from '../violation.ts'
import type { Facts, Ledger } from './ledger.ts'

const CHECKER = 'drain'
const MUST_BE_ZERO = [
  'queued', 'retrying', 'inFlight', 'webhooksWaiting', 'lanesActive',
] as const

/** Checks the end of each round. */
export class DrainChecker implements Observer {
  readonly #ledger: Ledger
  readonly #scenario: Scenario
  readonly #shared: SharedViews
  readonly #shards: readonly ShardViews[]

  constructor(
    ledger: Ledger, scenario: Scenario, shared: SharedViews, shards: readonly ShardViews[],
  ) {
    this.#ledger = ledger
    this.#scenario = scenario
    this.#shared = shared
    this.#shards = shards
  }

  drained(): void {
    for (const facts of this.#ledger.all) this.#checkOver(facts)
    for (let place = 0; place < this.#scenario.places.length; place++) {
      const inFlight = this.#shared.upstreams[place * UPSTREAM_RECORD_WORDS + UPSTREAM_IN_FLIGHT]
      promise(inFlight === 0, CHECKER, () => `${inFlight} are in flight at ${place}`)
    }
    for (let shard = 0; shard < this.#shards.length; shard++) this.#checkSums(shard)
  }

  /** After the TTL of every finished job: no data of any job is left in a shard. */
  checkForgotten(shard: number): void {
    const stats = readStats((this.#shards[shard] as ShardViews).stats)
    promise(stats.jobSlotsUsed === 0, CHECKER, () => `${stats.jobSlotsUsed} jobs are not forgotten`)
    promise(stats.logLiveBytes === 0, CHECKER, () => `${stats.logLiveBytes} bytes are left`)
    promise(stats.resultBytes === 0, CHECKER, () => `${stats.resultBytes} result bytes are left`)
    promise(stats.watched === 0, CHECKER, () => `${stats.watched} jobs are still watched`)
  }

  #checkOver(facts: Facts): void {
    const { job, verdict } = facts
    promise(verdict !== undefined, CHECKER, () => `job ${job.number} was never answered`)
    if (verdict !== 'accepted') return
    if (facts.outcome === undefined) this.#ledger.learnUnsent(facts, undefined)
    if (facts.outcome === undefined && this.#ledger.mayBeOverdue(facts)) {
      // No caller had asked for it; the sums below count it as failed.
      this.#ledger.settle(facts, 'failed', 'execution_deadline_exceeded')
      promise(job.receiver === NONE || this.#ledger.maybeDoneUs(facts) !== undefined, CHECKER, () =>
        `the webhook of job ${job.number} (${job.id}), which came too late, was not sent`)
    }
    promise(facts.outcome !== undefined, CHECKER, () => `job ${job.number} (${job.id}) is lost`)
    promise(this.#ledger.maybeDoneUs(facts) !== undefined, CHECKER, () =>
      `the webhook of job ${job.number} (${job.id}) is lost`)
  }

  #checkSums(shard: number): void {
    const stats = readStats((this.#shards[shard] as ShardViews).stats)
    const ours = { accepted: 0, completed: 0, failed: 0, cancelled: 0 }
    for (const { job, verdict, outcome } of this.#ledger.all) {
      if (job.shard !== shard || verdict !== 'accepted') continue
      ours.accepted++
      if (outcome !== undefined) ours[outcome.status]++
    }
    for (const name of ['accepted', 'completed', 'failed', 'cancelled'] as const) {
      // A thread that crashed after storing something, but before counting it, leaves it uncounted.
      const uncounted = Math.abs(stats[name] - ours[name])
      promise(uncounted <= this.#ledger.deaths(shard), CHECKER, () =>
        `shard ${shard} counts ${stats[name]} ${name}, the books say ${ours[name]}`)
    }
    for (const [key, count] of (this.#shards[shard] as ShardViews).keyJobs.entries()) {
      promise(count === 0, CHECKER, () => `shard ${shard}: ${count} jobs of key ${key}`)
    }
    for (const name of MUST_BE_ZERO) {
      promise(stats[name] === 0, CHECKER, () => `shard ${shard}: ${name} is ${stats[name]}`)
    }
  }
}
