// The guarantee to an upstream: in any window of T seconds at pace r, at most floor(r * (T +
// 0.005)) + 1 requests of one budget are written, retries included; and the Retry-After of a 429 is
// respected.
//
// For writes at t_0, t_1, … with interval I = 1 / r the guarantee is t_j - t_i ≥ (j - i) * I - 5
// ms for all i < j. The budget's trail is the greatest t_i + (j - i) * I, so that this is one
// comparison for each write. A changed pace applies from the next request that is decided to be
// sent; requests decided before may be written at the previous interval.

import { PACE_TOLERANCE_US } from '../../../shards/memory/limits.ts'
import type { Attempt, Doubt, Observer } from '../observations.ts'
import { promise } from '../violation.ts'
import type { VirtualTime } from '../virtual-time.ts'
import type { Budget, BudgetOracle } from './budget-oracle.ts'

const CHECKER = 'pace'
/** Times are float64 microseconds; differences below a thousandth are rounding errors. */
const NOISE_US = 0.001

/** What a request spends, from the decision to send it. */
interface Charge {
  readonly budget: Budget
  readonly pacePerSecond: number
  /** Its place on the budget's grid, once it is written. */
  placeUs: number
}

/** Checks every write against its budget. */
export class PaceChecker implements Observer {
  readonly #oracle: BudgetOracle
  readonly #time: VirtualTime
  readonly #charges = new WeakMap<Attempt, Charge>()

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
    const { pacePerSecond } = budget
    this.#charges.set(attempt, { budget, pacePerSecond, placeUs: -Infinity })
  }

  written(attempt: Attempt): void {
    const charge = this.#charges.get(attempt)
    if (charge === undefined) return
    const { budget, pacePerSecond } = charge
    const nowUs = this.#time.nowUs()
    charge.placeUs = budget.trailUs + 1e6 / pacePerSecond
    const earlyUs = charge.placeUs - nowUs - PACE_TOLERANCE_US
    promise(earlyUs <= NOISE_US, CHECKER, () => `${budget.name}: job ${attempt.job.number} was ` +
      `written ${earlyUs} us too early at ${pacePerSecond}/s`)
    budget.trailUs = Math.max(charge.placeUs, nowUs)
  }

  /** The thread may not have stored how late it was written. */
  doubted(attempt: Attempt, what: Doubt): void {
    const charge = this.#charges.get(attempt)
    if (charge === undefined || what !== 'written') return
    charge.budget.trailUs = Math.max(charge.placeUs, attempt.sentUs)
  }
}
