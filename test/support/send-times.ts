// Checks the pace guarantee on the upstream's own clock, which shows each send only after the
// network and the upstream's event loop.

import assert from 'node:assert/strict'
import { monotonicUs } from '../../shards/base/clock.ts'
import { PACE_TOLERANCE_US } from '../../shards/memory/limits.ts'
import { ApiClient } from './api-client.ts'
import type { RecordedRequest } from './upstream.ts'

/**
 * How much closer together two requests may arrive than they were sent, besides what the probe
 * measures: the first was delayed on its way out of the server, by a new connection or a thread
 * that waited for a processor, and the second was not.
 */
const JITTER_ALLOWANCE_US = 100_000
/**
 * If a question to a shard takes longer than this, the machine is too busy for the test: whatever a
 * thread misses beyond the tolerance of 5 ms is lost to the pace, as the guarantee requires.
 */
const STARVED_US = 50_000

const PROBE_EVERY_MS = 10
/** Ids of jobs that do not exist, on the first and on the last shard. */
const PROBE_JOBS = ['0'.repeat(24), 'f'.repeat(24)]

/**
 * Measures delays on this machine during a test: repeatedly asks the shards for jobs that do not
 * exist, and keeps the longest time from when a question was due to its answer.
 */
export class LagProbe {
  #maxUs = 0
  #stopped = false
  #api: ApiClient | undefined

  /** Starts to probe a server. */
  watch(origin: string): void {
    const api = new ApiClient(origin, PROBE_JOBS.length)
    this.#api = api
    for (const jobId of PROBE_JOBS) this.#askSoon(api, jobId)
  }

  /** The longest time so far. */
  get maxUs(): number {
    return this.#maxUs
  }

  /** Whether the machine was too busy for what a test expects. */
  get isStarved(): boolean {
    return this.#maxUs > STARVED_US
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#api?.close()
  }

  #askSoon(api: ApiClient, jobId: string): void {
    const dueUs = monotonicUs() + PROBE_EVERY_MS * 1000
    setTimeout(() => {
      if (this.#stopped) return
      api.show(jobId).then(() => {
        this.#maxUs = Math.max(this.#maxUs, monotonicUs() - dueUs)
        this.#askSoon(api, jobId)
      }, () => { /* the server is being stopped */ })
    }, PROBE_EVERY_MS).unref()
  }
}

/** How much closer together, or out of order, two requests may arrive. */
const jitterUs = (lag: LagProbe): number => JITTER_ALLOWANCE_US + 2 * lag.maxUs

/**
 * Asserts that requests were sent in the order of their numbers, each exactly once. Two on
 * different connections may arrive out of order, but only within the jitter.
 */
export function assertSentInOrder(
  requests: readonly RecordedRequest[], numberOf: (request: RecordedRequest) => number,
  lag: LagProbe,
): void {
  const numbers = requests.map(numberOf)
  const sorted = numbers.toSorted((one, other) => one - other)
  assert.deepEqual(sorted, sorted.map((_, at) => at), 'each once, none left out')
  for (let late = 1; late < requests.length; late++) {
    for (let early = 0; early < late; early++) {
      if ((numbers[early] as number) < (numbers[late] as number)) continue
      const apartUs = Number(requests[late]?.atUs) - Number(requests[early]?.atUs)
      assert.ok(apartUs <= jitterUs(lag),
        `${numbers[late]} came ${apartUs} µs after ${numbers[early]}`)
    }
  }
}

/**
 * Asserts the guarantee for every window that begins and ends with a request: in any T seconds at
 * most floor(pace * (T + tolerance + jitter)) + 1.
 */
export function assertWithinPace(
  requests: readonly RecordedRequest[], pacePerSecond: number, lag: LagProbe,
): void {
  // A send may be delayed twice: out of the server, and into this process.
  const allowanceUs = PACE_TOLERANCE_US + jitterUs(lag)
  const times = requests.map((request) => request.atUs)
  for (let first = 0; first < times.length; first++) {
    const fromUs = times[first] as number
    for (let last = first + 1; last < times.length; last++) {
      const windowUs = (times[last] as number) - fromUs
      const countMax = Math.floor(pacePerSecond * (windowUs + allowanceUs) / 1e6) + 1
      const count = last - first + 1
      if (count > countMax) {
        assert.fail(`${count} requests in ${windowUs} µs at a pace of ${pacePerSecond}, where ` +
          `${countMax} are allowed, from request ${first} on (late by up to ${lag.maxUs} µs)`)
      }
    }
  }
}

/**
 * Asserts that so many requests arrived within so many seconds from the first. If the machine was
 * too busy, only the pace guarantee can be required of the server.
 */
export function assertKeepsUp(
  requests: readonly RecordedRequest[], countMin: number, seconds: number, lag: LagProbe,
): void {
  const count = countWithin(requests, seconds)
  assert.ok(count >= countMin || lag.isStarved,
    `${count} requests in ${seconds} s, not ${countMin} (late by up to ${lag.maxUs} µs)`)
}

/** Requests that arrived less than `seconds` after the first of them. */
function countWithin(requests: readonly RecordedRequest[], seconds: number): number {
  const fromUs = requests[0]?.atUs ?? 0
  return requests.filter(({ atUs }) => atUs - fromUs < seconds * 1e6).length
}
