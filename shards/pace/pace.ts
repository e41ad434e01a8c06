// When the next send of a budget may leave, computed from one time and one interval.
// Thread: shard. Memory: none; pure functions of numbers.
// Never: reads a clock, sets a timer, knows what a job or an upstream is.
// Source: GCRA (ITU-T I.371), stored as the *base*, the place of the last send on the budget's
// grid, instead of the theoretical arrival time: base + interval is that time less the tolerance,
// so a new pace applies from the very next send without touching the base. Intuition: sends are on
// a grid one interval apart, and none leaves before its place. A send that is late by up to the
// tolerance still takes its place; a later one shifts the grid so that it is late by exactly the
// tolerance. A budget that was idle starts a new grid at its send: using up the tolerance there
// would leave none for delays on the way to the upstream.

import type { Micros } from '../base/units.ts'
import { PACE_IDLE_US, PACE_TOLERANCE_US, PACE_WRITE_LATE_US } from '../memory/limits.ts'

const NS_PER_US = 1000

/** The earliest time of the next send: base 1,000,000 us at 2 per second → 1,500,000 us. */
export const eligibleAtUs = (baseUs: number, interval: number): Micros =>
  (baseUs + interval / NS_PER_US) as Micros

/**
 * The base after a send at `nowUs`, which must not be before eligibleAtUs. At 2 per second from
 * base 1,000,000: sent at 1,500,000 or at 1,504,000 → 1,500,000 (its place on the grid); sent at
 * 1,510,000 → 1,505,000 (late by the tolerance); sent at 1,700,000 → 1,700,000 (a new grid).
 */
export function baseAfterSend(baseUs: number, interval: number, nowUs: number): Micros {
  const placeUs = baseUs + interval / NS_PER_US
  const lateUs = nowUs - placeUs
  if (lateUs <= PACE_TOLERANCE_US) return placeUs as Micros
  return (lateUs < PACE_IDLE_US ? nowUs - PACE_TOLERANCE_US : nowUs) as Micros
}

/**
 * The base that holds back the next send until `untilUs`: until 9,000,000 us at 2 per second →
 * 8,500,000, unless the base is later already.
 */
export const baseHeldUntil = (baseUs: number, interval: number, untilUs: number): Micros =>
  Math.max(baseUs, untilUs - interval / NS_PER_US) as Micros

/**
 * The base after a refund, when the send that had moved it to `spentUs` was not written: its place
 * is free again, unless a later one was taken since. At 2 per second, spent to 1,500,000:
 * 1,500,000 → 1,000,000; 2,000,000 → 2,000,000.
 */
export const baseAfterReturn = (baseUs: number, spentUs: number, interval: number): Micros =>
  (baseUs === spentUs ? baseUs - interval / NS_PER_US : baseUs) as Micros

// --- what is written ---
//
// The base follows decisions. A request that is decided in time may be written late, especially
// when it waits for a connection, and the upstream sees the writes. The promise for writes at w_i,
// w_j with interval I is w_j - w_i ≥ (j - i) * I - tolerance. A budget's *trail* is the greatest
// w_i + (j - i) * I, and the base never falls further behind it than the promise allows. This is
// GCRA again, over the writes: the base enforces the rate, the trail the promise. The interval of
// a write is the one of its decision: when a pace falls, earlier decisions keep the earlier pace,
// and the new pace applies from the next decision on.

/**
 * The trail after a write at `nowUs`. At 2 per second from 1,000,000: written at 1,500,000 or
 * before → 1,500,000; written at 1,510,000 → 1,510,000.
 */
export const trailAfterWrite = (trailUs: number, interval: number, nowUs: number): Micros =>
  Math.max(trailUs + interval / NS_PER_US, nowUs) as Micros

/**
 * The base that follows the trail, while sends whose intervals add up to `unwrittenNs` are decided
 * but not yet written. With base 1,000,000: trail 1,004,500 → 1,000,000; trail 1,014,500 →
 * 1,010,000, and with one unwritten send at 2 per second → 1,510,000.
 */
export const baseAfterWrite = (baseUs: number, trailUs: number, unwrittenNs: number): Micros =>
  Math.max(baseUs, trailUs - PACE_WRITE_LATE_US + unwrittenNs / NS_PER_US) as Micros

/**
 * Whether a send at an interval may be decided while others, whose intervals add up to
 * `unwrittenNs`, are not yet written. All of them may be written at the same moment, so the places
 * of the first and of this one must not be further apart than the tolerance. So at 1,000 per second
 * at most 4 unwritten sends may precede it; at 100 per second none, even one of a faster pace.
 */
export const mayFollow = (unwrittenNs: number, interval: number): boolean =>
  unwrittenNs === 0 || unwrittenNs + interval <= PACE_TOLERANCE_US * NS_PER_US
