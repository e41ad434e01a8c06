// A pace as stored in shared memory: whole nanoseconds between sends.
// Thread: any. Memory: none.
// Never: knows when a send may leave; pace/pace.ts does.

import { PACE_PER_SECOND_MAX, PACE_PER_SECOND_MIN } from './limits.ts'

const NS_PER_SECOND = 1_000_000_000

/**
 * Requests per second as whole nanoseconds between sends, rounded up so that rounding never
 * sends early: 2 → 500,000,000; 3 → 333,333,334; 0.5 → 2,000,000,000 (the largest, within 31
 * bits). @param pacePerSecond in [PACE_PER_SECOND_MIN, PACE_PER_SECOND_MAX], else clamped.
 */
export function intervalNs(pacePerSecond: number): number {
  const pace = Math.min(PACE_PER_SECOND_MAX, Math.max(PACE_PER_SECOND_MIN, pacePerSecond))
  return Math.ceil(NS_PER_SECOND / pace)
}

/** The pace of an interval: 500,000,000 ns → 2 per second. */
export const pacePerSecondOf = (interval: number): number => NS_PER_SECOND / interval
