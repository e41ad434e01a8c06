// What was let in and what was not, and how long a refused caller is asked to wait.

import { type Micros, msToUs } from '../../shards/base/units.ts'
import { RETRY_AFTER_S_MAX, RETRY_AFTER_S_MIN } from '../base/limits.ts'

/** What a 429 names as `limit_reason`. */
export type LimitReason =
  'memory' | 'memory_share' | 'jobs' | 'ingress' | 'upstreams' | 'upstreams_share' |
  'requests_share'

/** Counts since the start. */
export interface AdmissionCounts {
  accepted: number
  duplicates: number
  /** 422: a known key with another method, URL or body. */
  reusedKeys: number
  /** Bodies that were no valid job: 400, 413 and 415. */
  invalid: number
  /** 503: draining, a shard down, or too much under way. */
  unavailable: number
  refused: Record<LimitReason, number>
}

/**
 * Seconds to wait after so many bursts of refusals in a row: 1 → 5, 2 → 10, 3 → 20, 4 → 40,
 * 5 → 60, 6 → 60.
 */
export const retryAfterSeconds = (consecutive: number): number =>
  Math.min(RETRY_AFTER_S_MAX, RETRY_AFTER_S_MIN * 2 ** Math.min(consecutive - 1, 30))

/** What is counted, as plain data. */
export interface AdmissionTable {
  readonly counts: AdmissionCounts
  /** Bursts of refusals in a row, of each shard. */
  readonly consecutive: Uint32Array
  /** When the wait is over that was asked for last, of each shard. */
  readonly burstEndUs: Float64Array
}

/** Nothing counted yet. */
export const makeAdmissionTable = (shards: number): AdmissionTable => ({
  counts: {
    accepted: 0, duplicates: 0, reusedKeys: 0, invalid: 0, unavailable: 0,
    refused: {
      memory: 0, memory_share: 0, jobs: 0, ingress: 0, upstreams: 0, upstreams_share: 0,
      requests_share: 0,
    },
  },
  consecutive: new Uint32Array(shards),
  burstEndUs: new Float64Array(shards),
})

/**
 * The counts, and the refusals in a row of each shard. Whoever is refused before the wait is over
 * that was asked for last belongs to the same burst, and is asked for the same.
 */
export class Admission {
  readonly counts: AdmissionCounts
  readonly #consecutive: Uint32Array
  readonly #burstEndUs: Float64Array

  constructor({ burstEndUs, consecutive, counts }: AdmissionTable) {
    this.counts = counts
    this.#consecutive = consecutive
    this.#burstEndUs = burstEndUs
  }

  accepted(shard: number): void {
    this.counts.accepted++
    this.#consecutive[shard] = 0
    this.#burstEndUs[shard] = 0
  }

  duplicate(): void {
    this.counts.duplicates++
  }

  reused(): void {
    this.counts.reusedKeys++
  }

  /** Counts a 429; returns its Retry-After in seconds. */
  refused(shard: number, reason: LimitReason, nowUs: Micros): number {
    this.counts.refused[reason]++
    const before = this.#consecutive[shard] as number
    if (before > 0 && nowUs < (this.#burstEndUs[shard] as number)) return retryAfterSeconds(before)
    const seconds = retryAfterSeconds(before + 1)
    this.#consecutive[shard] = before + 1
    this.#burstEndUs[shard] = nowUs + msToUs(1000 * seconds)
    return seconds
  }

  invalid(): void {
    this.counts.invalid++
  }

  unavailable(): void {
    this.counts.unavailable++
  }
}
