// When may the next send of a budget leave? One time and one interval answer it.
// Thread: shard. Memory: none; pure functions of numbers.
// Never: reads a clock, sets a timer, knows what a job or an upstream is.
// Source: GCRA (ITU-T I.371), kept as the *base*, the virtual time of the last send, instead of
// the theoretical arrival time: base + interval is that time, so a new pace holds from the very
// next send without touching the base. Intuition: sends sit on a grid one interval apart; a send
// that is late by up to the tolerance takes its place on the grid all the same, a later one
// starts a new grid at itself.

import { PACE_PER_SECOND_MAX, PACE_PER_SECOND_MIN, PACE_TOLERANCE_US } from './limits.ts'
import type { Micros } from './units.ts'

const NS_PER_SECOND = 1_000_000_000
const NS_PER_US = 1000

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

/**
 * The earliest time of the next send. Base 1,000,000 us at 2 per second → 1,495,000 us: half a
 * second later, less the tolerance of 5 ms.
 */
export const eligibleAtUs = (baseUs: number, interval: number): Micros =>
  (baseUs + interval / NS_PER_US - PACE_TOLERANCE_US) as Micros

/**
 * The base after a send at `nowUs`, which must not be before eligibleAtUs. At 2 per second from
 * base 1,000,000: sent at 1,495,000 or at 1,500,000 → 1,500,000 (on the grid); sent at
 * 1,700,000 → 1,700,000 (a new grid).
 */
export const baseAfterSend = (baseUs: number, interval: number, nowUs: number): Micros =>
  Math.max(baseUs + interval / NS_PER_US, nowUs) as Micros

/**
 * The base that keeps the next send from leaving before `untilUs`: until 9,000,000 us at 2 per
 * second → 8,505,000, unless the base is later already.
 */
export const baseHeldUntil = (baseUs: number, interval: number, untilUs: number): Micros =>
  Math.max(baseUs, untilUs + PACE_TOLERANCE_US - interval / NS_PER_US) as Micros
