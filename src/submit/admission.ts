// Counts of admitted and refused jobs, and how long a refused caller is told to wait.

import { type Micros, msToUs } from '../../shards/base/units.ts'
import { RETRY_AFTER_S_MAX, RETRY_AFTER_S_MIN } from '../base/limits.ts'

/** The `limit_reason` of a 429. */
export type LimitReason =
  'memory' | 'memory_share' | 'jobs' | 'ingress' | 'upstreams' | 'upstreams_share' |
  'requests_share' | 'key_jobs' | 'key_rate' | 'key_streams' | 'key_sockets'

/** Counts since the start. */
export interface AdmissionCounts {
  accepted: number
  duplicates: number
  /** 422: a known key with another method, URL or body. */
  reusedKeys: number
  /** Bodies that were not a valid job: 400, 413 and 415. */
  invalid: number
  /** 401, 403 and 421: who asked may not. */
  denied: number
  /** 503: draining, a shard down, or too many jobs pending. */
  unavailable: number
  refused: Record<LimitReason, number>
}

/**
 * Seconds to wait after so many bursts of refusals in a row: 1 → 5, 2 → 10, 3 → 20, 4 → 40,
 * 5 → 60, 6 → 60.
 */
export const retryAfterSeconds = (consecutive: number): number =>
  Math.min(RETRY_AFTER_S_MAX, RETRY_AFTER_S_MIN * 2 ** Math.min(consecutive - 1, 30))

/** The counts, as plain data. */
export interface AdmissionTable {
  readonly counts: AdmissionCounts
  /** Bursts of refusals in a row, of each shard. */
  readonly consecutive: Uint32Array
  /** When the wait ends that was asked for last, by shard. */
  readonly burstEndUs: Float64Array
}

/** All counts 0. */
export const makeAdmissionTable = (shards: number): AdmissionTable => ({
  counts: {
    accepted: 0, duplicates: 0, reusedKeys: 0, invalid: 0, denied: 0, unavailable: 0,
    refused: {
      memory: 0, memory_share: 0, jobs: 0, ingress: 0, upstreams: 0, upstreams_share: 0,
      requests_share: 0, key_jobs: 0, key_rate: 0, key_streams: 0, key_sockets: 0,
    },
  },
  consecutive: new Uint32Array(shards),
  burstEndUs: new Float64Array(shards),
})

/**
 * The counts, and each shard's consecutive refusals. A refusal before the end of the wait that was
 * asked for last belongs to the same burst, and asks for the same wait.
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

  /** Counts a 429 because of a key's own limit, which is no load of a shard. */
  keyRefused(reason: LimitReason): void {
    this.counts.refused[reason]++
  }

  /** Counts a request that was not allowed: 401, 403 and 421. */
  denied(): void {
    this.counts.denied++
  }

  invalid(): void {
    this.counts.invalid++
  }

  unavailable(): void {
    this.counts.unavailable++
  }
}
