// Which budget a request spends, and its pace and limit: derived from what upstreams have said, by
// the rules of the public contract alone. The only thing read from shared memory is whether account
// queues are on, because a submission may switch them on at a time that is not visible from
// outside; it is checked that there was a reason to.

import {
  KIND_UPSTREAM, type SharedViews, UPSTREAM_ACCOUNT_QUEUES, UPSTREAM_RECORD_WORDS,
} from '../../../shards/memory/layout.ts'
import type { Account, Attempt, Doubt, Ending, Observer, Said, SimJob } from '../observations.ts'
import type { Place, Scenario } from '../scenario.ts'
import { promise } from '../violation.ts'

const CHECKER = 'account queues'

/** A pace, a limit, and what was spent of them. */
export class Budget {
  readonly name: string
  pacePerSecond: number
  concurrentMax: number
  inFlight = 0
  /** Of the written requests: the latest place that the budget's grid assigned to the last. */
  trailUs = -Infinity
  /** From a 429's Retry-After; reset when the pace changes. */
  heldUntilUs = 0

  constructor(name: string, pacePerSecond: number, concurrentMax: number) {
    this.name = name
    this.pacePerSecond = pacePerSecond
    this.concurrentMax = concurrentMax
  }

  /** Starts where other budgets ended: new requests are measured from the last written one. */
  begin(writtenUs: number): void {
    this.trailUs = writtenUs
    this.heldUntilUs = 0
  }

  apply(said: Said): void {
    this.concurrentMax = said.concurrentMax ?? this.concurrentMax
    const pace = said.pacePerSecond ?? this.pacePerSecond
    if (pace === this.pacePerSecond) return
    this.pacePerSecond = pace
    this.heldUntilUs = 0
  }
}

interface PlaceBudgets {
  readonly place: number
  readonly shared: Budget
  accountQueues: boolean
  /** Budgets since account queues were switched on. */
  own: Map<Account, Budget>
  /** Times of the last write, by account, and in total. */
  readonly writtenUs: Map<Account, number>
  lastWrittenUs: number
  readonly inFlight: Map<Account, number>
  accountQueueAsked: boolean
  /** A thread crashed while it handled a response's headers: it is not known which took effect. */
  isUnknown: boolean
}

/** The budgets of all places. Must observe everything before the checkers that use it. */
export class BudgetOracle implements Observer {
  readonly #scenario: Scenario
  readonly #shared: SharedViews
  readonly #places: readonly PlaceBudgets[]
  readonly #nowUs: () => number

  constructor(scenario: Scenario, shared: SharedViews, nowUs: () => number) {
    this.#scenario = scenario
    this.#shared = shared
    this.#nowUs = nowUs
    this.#places = scenario.places.map((place, slot) => ({
      place: slot,
      shared: new Budget(
        `shared budget of ${slot}`, place.start.pacePerSecond, place.start.concurrentMax),
      accountQueues: place.start.accountQueues, own: new Map(), writtenUs: new Map(),
      lastWrittenUs: -Infinity, inFlight: new Map(), accountQueueAsked: false, isUnknown: false,
    }))
  }

  /**
   * The budget that an attempt of the account spends at the place. Undefined when it is not known:
   * with account queues on, accounts without a lane of their own share one.
   */
  budgetOf(place: number, account: Account): Budget | undefined {
    const budgets = this.#at(place)
    if (budgets.isUnknown) return undefined
    if (!budgets.accountQueues) return budgets.shared
    return this.#scenario.lanesScarce ? undefined : this.#ownOf(budgets, account)
  }

  submitted(job: SimJob): void {
    if (job.wantsAccountQueue) this.#at(job.upstream).accountQueueAsked = true
  }

  sent(attempt: Attempt): void {
    const budgets = this.#at(attempt.place)
    this.#noticeSwitch(budgets)
    const { account } = attempt.job
    budgets.shared.inFlight++
    budgets.inFlight.set(account, (budgets.inFlight.get(account) ?? 0) + 1)
    const own = budgets.own.get(account)
    if (own !== undefined) own.inFlight++
  }

  /** Call it after the checkers have seen a written request. */
  noteWritten(attempt: Attempt): void {
    const budgets = this.#at(attempt.place)
    const { account } = attempt.job
    const nowUs = this.#nowUs()
    budgets.lastWrittenUs = nowUs
    budgets.writtenUs.set(account, nowUs)
    // It may have been decided before the account had a budget of its own, which comes after it.
    const own = budgets.own.get(account)
    if (own !== undefined) own.trailUs = Math.max(own.trailUs, nowUs)
  }

  ended(attempt: Attempt, _ending: Ending): void {
    this.lost(attempt)
  }

  returned(attempt: Attempt): void {
    this.lost(attempt)
  }

  doubted(attempt: Attempt, what: Doubt): void {
    if (what === 'head') this.#at(attempt.place).isUnknown = true
  }

  lost(attempt: Attempt): void {
    const budgets = this.#at(attempt.place)
    const { account } = attempt.job
    budgets.shared.inFlight--
    budgets.inFlight.set(account, (budgets.inFlight.get(account) ?? 0) - 1)
    const own = budgets.own.get(account)
    if (own !== undefined) own.inFlight--
  }

  headHeard(attempt: Attempt): void {
    const budgets = this.#at(attempt.place)
    this.#noticeSwitch(budgets)
    const { said, status } = attempt.answer
    const { start } = this.#scenario.places[attempt.place] as Place
    const isUpstream = start.kind === KIND_UPSTREAM
    if (said.accountQueues !== undefined && isUpstream) this.#switch(budgets, said.accountQueues)
    const { account } = attempt.job
    const budget = budgets.accountQueues ? this.#ownOf(budgets, account) : budgets.shared
    budget.apply(said)
    if (status !== 429 || said.retryAfterMs === undefined || !isUpstream) return
    const heldUntilUs = this.#nowUs() + Math.min(said.retryAfterMs, 60_000) * 1000
    budget.heldUntilUs = Math.max(budget.heldUntilUs, heldUntilUs)
  }

  #at(place: number): PlaceBudgets {
    return this.#places[place] as PlaceBudgets
  }

  #ownOf(budgets: PlaceBudgets, account: Account): Budget {
    const known = budgets.own.get(account)
    if (known !== undefined) return known
    const { pacePerSecond, concurrentMax } = budgets.shared
    const budget = new Budget(
      `budget of account ${account.number} at ${budgets.place}`, pacePerSecond, concurrentMax)
    budget.inFlight = budgets.inFlight.get(account) ?? 0
    budget.begin(budgets.writtenUs.get(account) ?? -Infinity)
    budgets.own.set(account, budget)
    return budget
  }

  /** Detects that a submission has switched account queues on since the last check. */
  #noticeSwitch(budgets: PlaceBudgets): void {
    const word = budgets.place * UPSTREAM_RECORD_WORDS + UPSTREAM_ACCOUNT_QUEUES
    const on = ((this.#shared.upstreams[word] as number) & 1) === 1
    if (on === budgets.accountQueues) return
    promise(on && budgets.accountQueueAsked || budgets.isUnknown, CHECKER, () =>
      `upstream ${budgets.place} was switched ${on ? 'on' : 'off'} by nobody`)
    this.#switch(budgets, on)
  }

  #switch(budgets: PlaceBudgets, on: boolean): void {
    if (budgets.accountQueues === on) return
    budgets.accountQueues = on
    budgets.own = new Map()
    if (!on) budgets.shared.begin(budgets.lastWrittenUs)
  }
}
