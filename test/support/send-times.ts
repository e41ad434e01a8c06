// What an upstream may hold against its pace: the promise of a window, checked on the upstream's
// own clock, which sees each send only after the network and its own event loop let it.

import assert from 'node:assert/strict'
import { monotonicUs } from '../../shards/base/clock.ts'
import { PACE_TOLERANCE_US } from '../../shards/memory/limits.ts'
import { ApiClient } from './api-client.ts'
import type { RecordedRequest } from './upstream.ts'

/**
 * How much closer together two requests may be seen than they were sent, besides what the probe
 * measures: the first was held up on its way out of the server, by a connection that had to be made
 * or a thread that had to wait for a processor, and the second was not.
 */
const JITTER_ALLOWANCE_US = 100_000
/**
 * Where a question to a shard takes longer than this, the machine has no time for the test: what a
 * thread misses beyond the tolerance of 5 ms is lost to the pace, as the promise wants it.
 */
const STARVED_US = 50_000

const PROBE_EVERY_MS = 10
/** Jobs that are nowhere, of the first and of the last shard. */
const PROBE_JOBS = ['0'.repeat(24), 'f'.repeat(24)]

/**
 * How late things are on this machine while a test runs: asks the shards for jobs that they do not
 * have, again and again, and keeps the longest time from when a question was due to its answer.
 */
export class LagProbe {
  #maxUs = 0
  #stopped = false
  #api: ApiClient | undefined

  /** Begins to ask a server. */
  watch(origin: string): void {
    const api = new ApiClient(origin, PROBE_JOBS.length)
    this.#api = api
    for (const jobId of PROBE_JOBS) this.#askSoon(api, jobId)
  }

  /** The longest so far. */
  get maxUs(): number {
    return this.#maxUs
  }

  /** Whether other work on the machine left too little for what a test expects to be done. */
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

/** How much closer together, or the other way round, two requests may be seen than were sent. */
const jitterUs = (lag: LagProbe): number => JITTER_ALLOWANCE_US + 2 * lag.maxUs

/**
 * Asserts that requests were sent in the order of their numbers, each of which came once. Two that
 * take different connections may arrive the other way round, but only within the jitter.
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
 * Asserts the promise for every window that begins and ends with a request: in any T seconds at
 * most floor(pace * (T + tolerance + jitter)) + 1.
 */
export function assertWithinPace(
  requests: readonly RecordedRequest[], pacePerSecond: number, lag: LagProbe,
): void {
  // A send has two ways to go late: out of the server, and into this process.
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
 * Asserts that so many requests arrived within so many seconds from the first, unless the machine
 * was busy with other work: then only the promise can be held against the server.
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
