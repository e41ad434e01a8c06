// What an upstream may hold against its pace: the promise of a window, checked on the upstream's own
// clock, which sees each send only after the network and its own event loop let it.

import assert from 'node:assert/strict'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { PACE_TOLERANCE_US } from '../../shards/limits.ts'
import type { RecordedRequest } from './upstream.ts'

/**
 * How much closer together two requests may be seen than they were sent: the first was held up on
 * the way, by a connection that had to be made or by a busy machine, and the second was not.
 */
export const JITTER_ALLOWANCE_US = 100_000

/** Measures how late this process's own event loop was, which the upstream's clock suffers from. */
export class ObserverLag {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: 5 })

  constructor() {
    this.#histogram.enable()
  }

  /** The longest hold-up so far. */
  get maxUs(): number {
    return this.#histogram.max / 1000
  }

  stop(): void {
    this.#histogram.disable()
  }
}

/**
 * Asserts the promise for every window that begins and ends with a request: in any T seconds at
 * most floor(pace * (T + tolerance + jitter)) + 1.
 */
export function assertWithinPace(
  requests: readonly RecordedRequest[], pacePerSecond: number, lagUs: number,
): void {
  const allowanceUs = PACE_TOLERANCE_US + JITTER_ALLOWANCE_US + lagUs
  const times = requests.map((request) => request.atUs)
  for (let first = 0; first < times.length; first++) {
    const fromUs = times[first] as number
    for (let last = first + 1; last < times.length; last++) {
      const windowUs = (times[last] as number) - fromUs
      const countMax = Math.floor(pacePerSecond * (windowUs + allowanceUs) / 1e6) + 1
      const count = last - first + 1
      if (count > countMax) {
        assert.fail(`${count} requests in ${windowUs} µs at a pace of ${pacePerSecond}, ` +
          `where ${countMax} are allowed, from request ${first} on`)
      }
    }
  }
}

/** Requests that arrived less than `seconds` after the first of them. */
export function countWithin(requests: readonly RecordedRequest[], seconds: number): number {
  const fromUs = requests[0]?.atUs ?? 0
  return requests.filter(({ atUs }) => atUs - fromUs < seconds * 1e6).length
}
