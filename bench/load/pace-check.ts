// Checks the pace at which an upstream was sent to, from the times that it recorded. Pure. The
// guarantee is Sluice's own: in any window of T seconds at most floor(r * (T + 5 ms)) + 1.

import { US_PER_SECOND } from '../../shards/base/units.ts'
import { PACE_TOLERANCE_US } from '../../shards/memory/limits.ts'
import { type EncodedLatency, LatencyRecorder } from './latency.ts'

/** Sends in order of arrival. */
export interface NotedSends {
  readonly count: number
  /** Monotonic microseconds. */
  readonly timesUs: Float64Array
  readonly accounts: Int32Array
}

/** Parameters of a check of recorded sends. */
export interface PaceQuestion {
  /** Per second, of the whole upstream or of each account. */
  readonly rps: number
  readonly perAccount: boolean
}

/** The result of a check. */
export interface PaceFindings {
  readonly sends: number
  /** One, or the number of accounts with sends. */
  readonly budgets: number
  /** From the first send to the last. */
  readonly seconds: number
  /** Over the budgets with at least two sends: relative errors of their rates. */
  readonly rateErrorMedian: number
  readonly rateErrorMax: number
  /** Sends that end a window with more sends than allowed. */
  readonly violations: number
  /** Violations by more than delays of the upstream itself can explain. */
  readonly unexplained: number
  /** The worst window: how much too short it is for its sends, in us; negative: it is within. */
  readonly worstWindowUs: number
  /** Relative to the pace's grid: each send is due one interval after its predecessor's place. */
  readonly lateness: EncodedLatency
  /** Relative to the earliest time that the guarantee allows, 5 ms before that. */
  readonly waiting: EncodedLatency
  /** The longest delay of the upstream itself, which affects the recorded times. */
  readonly observerLagUs: number
  /** Sends per second over time, by seconds since the first send. */
  readonly overTime: readonly (readonly [seconds: number, perSecond: number])[]
}

/** Microseconds are floats; rounding errors must not make a violation. */
const ROUNDING_US = 1e-3

/** One budget during the pass over the sends. */
interface Budget {
  firstUs: number
  lastUs: number
  count: number
  /** The last send's place on the grid. */
  baseUs: number
  /** The latest of all earlier sends, each moved by the intervals since. */
  heldBackUs: number
}

/** One pass over the sends. */
export function checkPace(
  sends: NotedSends, question: PaceQuestion, observerLagUs: number,
): PaceFindings {
  const intervalUs = US_PER_SECOND / question.rps
  const budgets = new Map<number, Budget>()
  const lateness = new LatencyRecorder()
  const waiting = new LatencyRecorder()
  let violations = 0
  let unexplained = 0
  let worstWindowUs = -Infinity
  for (let index = 0; index < sends.count; index++) {
    const atUs = sends.timesUs[index] as number
    const account = question.perAccount ? sends.accounts[index] as number : 0
    const budget = budgets.get(account)
    if (budget === undefined) {
      budgets.set(account,
        { firstUs: atUs, lastUs: atUs, count: 1, baseUs: atUs, heldBackUs: atUs })
      continue
    }
    const dueUs = budget.baseUs + intervalUs
    lateness.record(atUs - dueUs)
    waiting.record(atUs - dueUs + PACE_TOLERANCE_US)
    budget.baseUs = Math.max(dueUs, atUs)
    budget.heldBackUs += intervalUs
    const tooShortUs = budget.heldBackUs - PACE_TOLERANCE_US - atUs
    if (tooShortUs > ROUNDING_US) violations += 1
    if (tooShortUs > ROUNDING_US + observerLagUs) unexplained += 1
    worstWindowUs = Math.max(worstWindowUs, tooShortUs)
    budget.heldBackUs = Math.max(budget.heldBackUs, atUs)
    budget.lastUs = atUs
    budget.count += 1
  }
  const errors = [...budgets.values()].filter(({ count }) => count > 1)
    .map(({ count, firstUs, lastUs }) =>
      Math.abs(((count - 1) * US_PER_SECOND) / (lastUs - firstUs) / question.rps - 1))
    .sort((left, right) => left - right)
  const firstUs = sends.timesUs[0] ?? 0
  const lastUs = sends.count === 0 ? firstUs : sends.timesUs[sends.count - 1] as number
  return {
    sends: sends.count, budgets: budgets.size, seconds: (lastUs - firstUs) / US_PER_SECOND,
    rateErrorMedian: errors[Math.floor(errors.length / 2)] ?? 0, rateErrorMax: errors.at(-1) ?? 0,
    violations, unexplained, worstWindowUs, lateness: lateness.encode(), waiting: waiting.encode(),
    observerLagUs,
    overTime: overTime(sends, question.perAccount ? question.rps * budgets.size : question.rps),
  }
}

/** Spans have at least this many expected sends, and at least one second. */
const SENDS_PER_SPAN = 4

function overTime(sends: NotedSends, totalRps: number): readonly (readonly [number, number])[] {
  const spanSeconds = Math.max(1, SENDS_PER_SPAN / totalRps)
  const firstUs = sends.timesUs[0] ?? 0
  const counts: number[] = []
  for (let index = 0; index < sends.count; index++) {
    // Shifted by half an interval, so that no send falls into the span before by being early.
    const seconds = ((sends.timesUs[index] as number) - firstUs) / US_PER_SECOND + 0.5 / totalRps
    const span = Math.floor(seconds / spanSeconds)
    while (counts.length <= span) counts.push(0)
    counts[span] = (counts[span] ?? 0) + 1
  }
  // The last span is incomplete.
  return counts.slice(0, -1).map((count, span) => [(span + 1) * spanSeconds, count / spanSeconds])
}
