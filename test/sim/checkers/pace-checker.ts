// The promise to an upstream: in any window of T seconds at pace r, at most floor(r * (T +
// 0.005)) + 1 sends of one budget, retries included; and what 429 with Retry-After asks for is
// waited out.
//
// For sends at t_0, t_1, … with interval I = 1 / r the promise says t_j - t_i ≥ (j - i) * I - 5
// ms for all i < j. With u_k = t_k - k * I that is u_j ≥ max(u_i) - 5 ms: one comparison for each
// send. A pace that changes begins a new stretch, whose first send is measured from the last one
// before it.

import { PACE_TOLERANCE_US } from '../../../shards/limits.ts'
import type { Attempt, Observer } from '../observations.ts'
import type { VirtualTime } from '../virtual-time.ts'
import { promise } from '../violation.ts'
import type { Budget, BudgetOracle } from './budget-oracle.ts'

const CHECKER = 'pace'
/** Times are float64 microseconds; a thousandth is noise. */
const NOISE_US = 0.001

interface Stretch {
  number: number
  /** Sends of this stretch so far. */
  count: number
  /** The greatest u_k so far. */
  latestUs: number
}

/** Measures every send against its budget. */
export class PaceChecker implements Observer {
  readonly #oracle: BudgetOracle
  readonly #time: VirtualTime
  readonly #stretches = new Map<Budget, Stretch>()

  constructor(oracle: BudgetOracle, time: VirtualTime) {
    this.#oracle = oracle
    this.#time = time
  }

  sent(attempt: Attempt): void {
    const { job, place } = attempt
    const budget = this.#oracle.budgetOf(place, job.account)
    if (budget === undefined) return
    const nowUs = this.#time.nowUs()
    promise(nowUs >= budget.heldUntilUs - 1, CHECKER, () =>
      `${budget.name}: ${budget.heldUntilUs - nowUs} us before a Retry-After is over`)
    const stretch = this.#stretchOf(budget)
    stretch.count++
    const onGridUs = nowUs - stretch.count * (1e6 / budget.pacePerSecond)
    const earlyUs = stretch.latestUs - onGridUs - PACE_TOLERANCE_US
    promise(earlyUs <= NOISE_US, CHECKER, () => `${budget.name}: job ${job.number} left ` +
      `${earlyUs} us too early at ${budget.pacePerSecond}/s (send ${stretch.count})`)
    stretch.latestUs = Math.max(stretch.latestUs, onGridUs)
  }

  #stretchOf(budget: Budget): Stretch {
    const known = this.#stretches.get(budget)
    if (known?.number === budget.stretch) return known
    const stretch = { number: budget.stretch, count: 0, latestUs: budget.anchorUs }
    this.#stretches.set(budget, stretch)
    return stretch
  }
}
