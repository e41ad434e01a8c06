// In flight is never above the limit: at each send, the requests of its budget that have not ended
// are at most what the upstream allows at that time. Lowering a limit cancels nothing.

import type { Attempt, Observer } from '../observations.ts'
import { promise } from '../violation.ts'
import type { BudgetOracle } from './budget-oracle.ts'

const CHECKER = 'in flight'

/** Counts requests in flight by the oracle's budgets. */
export class InFlightChecker implements Observer {
  readonly #oracle: BudgetOracle

  constructor(oracle: BudgetOracle) {
    this.#oracle = oracle
  }

  sent(attempt: Attempt): void {
    const { job, place } = attempt
    const budget = this.#oracle.budgetOf(place, job.account)
    if (budget === undefined) return
    promise(budget.inFlight <= budget.concurrentMax, CHECKER, () =>
      `${budget.name}: job ${job.number} is number ${budget.inFlight} of ${budget.concurrentMax}`)
  }
}
