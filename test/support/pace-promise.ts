// The pace guarantee for an upstream, checked on exact send times, without allowance for a network.

import assert from 'node:assert/strict'
import { US_PER_SECOND } from '../../shards/base/units.ts'
import { PACE_TOLERANCE_US } from '../../shards/memory/limits.ts'

/** Microseconds are floats near 10^9 here; rounding errors must not count as a whole send. */
const ROUNDING = 1e-6

/** The most sends in a window: 0 s → 1, 0.495 s at 2 per second → 2, 0.4949 s → 1. */
export const sendsMax = (windowUs: number, pacePerSecond: number): number =>
  Math.floor((pacePerSecond * (windowUs + PACE_TOLERANCE_US)) / US_PER_SECOND + ROUNDING) + 1

/** Asserts the guarantee for every window that begins and ends with a send, at one pace. */
export function assertPromise(timesUs: readonly number[], pacePerSecond: number): void {
  for (let first = 0; first < timesUs.length; first++) {
    for (let last = first + 1; last < timesUs.length; last++) {
      const windowUs = (timesUs[last] as number) - (timesUs[first] as number)
      const count = last - first + 1
      if (count > sendsMax(windowUs, pacePerSecond)) {
        assert.fail(`${count} sends in ${windowUs} us at ${pacePerSecond} per second, where ` +
          `${sendsMax(windowUs, pacePerSecond)} are allowed, from send ${first} on`)
      }
    }
  }
}

/** A send, and the pace in effect for it. */
export interface PacedSend {
  readonly atUs: number
  readonly pacePerSecond: number
}

/**
 * Asserts the guarantee where the pace changes: between one send and a later one pass at least the
 * intervals of all sends after the first, each at its own pace, less one tolerance. At one pace,
 * this is the guarantee for all windows. One pass: it keeps the latest of the earlier sends, each
 * moved by the intervals since.
 * @param allowanceUs by which a send may have been delayed before its time was recorded; 0 for
 *   exact times.
 */
export function assertPromiseAcrossPaces(sends: readonly PacedSend[], allowanceUs = 0): void {
  let heldBackUs = -Infinity
  for (const [index, { atUs, pacePerSecond }] of sends.entries()) {
    heldBackUs += US_PER_SECOND / pacePerSecond
    if (atUs < heldBackUs - PACE_TOLERANCE_US - allowanceUs - ROUNDING) {
      assert.fail(`send ${index} left at ${atUs}, which is ${heldBackUs - atUs} us ahead of its ` +
        `pace of ${pacePerSecond} per second`)
    }
    heldBackUs = Math.max(heldBackUs, atUs)
  }
}
