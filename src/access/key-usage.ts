// What each key has in use of its own limits, besides its jobs, which the shards count.
// A key without limits costs nothing here.

import { type Micros, US_PER_SECOND } from '../../shards/base/units.ts'
import type { Principal } from './principal.ts'

/** A key's use, as plain data. */
export interface KeyUse {
  /** When the next submission would come, had all come at the key's rate (GCRA, ITU-T I.371). */
  nextUs: number
  streams: number
  sockets: number
}

/** By the key's number. */
export type KeyUsageTable = Map<number, KeyUse>

/** A key's rate, for an answer that refuses a submission. */
export interface RateState {
  /** Submissions in a second. */
  readonly quota: number
  /** Submissions that may come now. */
  readonly left: number
  /** Until one more may come; at least 1. */
  readonly retryAfterSeconds: number
}

/** What is counted up and down. */
export type Counted = 'streams' | 'sockets'

/** The keys' use. */
export class KeyUsage {
  readonly #table: KeyUsageTable

  constructor(table: KeyUsageTable) {
    this.#table = table
  }

  count(key: number, what: Counted): number {
    return this.#table.get(key)?.[what] ?? 0
  }

  /** @param change 1 or -1. */
  add(key: number, what: Counted, change: number): void {
    if (key !== 0) this.#use(key)[what] += change
  }

  /** Takes one submission of the key's rate; false when it has to wait. */
  spend({ key, limits: { submissionsPerSecond: rate } }: Principal, nowUs: Micros): boolean {
    if (rate === Infinity) return true
    const use = this.#use(key)
    const interval = US_PER_SECOND / rate
    if (use.nextUs - nowUs > burstUs(interval)) return false
    use.nextUs = Math.max(use.nextUs, nowUs) + interval
    return true
  }

  /** The state of the key's rate. */
  rate({ key, limits: { submissionsPerSecond: rate } }: Principal, nowUs: Micros): RateState {
    const interval = US_PER_SECOND / rate
    const spentUs = Math.max(0, (this.#table.get(key)?.nextUs ?? 0) - nowUs)
    const overUs = Math.max(0, spentUs - burstUs(interval))
    return {
      quota: Math.max(1, Math.floor(rate)),
      left: overUs > 0 ? 0 : Math.floor((burstUs(interval) - spentUs) / interval) + 1,
      retryAfterSeconds: Math.max(1, Math.ceil(overUs / US_PER_SECOND)),
    }
  }

  #use(key: number): KeyUse {
    let use = this.#table.get(key)
    if (use === undefined) {
      use = { nextUs: 0, streams: 0, sockets: 0 }
      this.#table.set(key, use)
    }
    return use
  }
}

/** How far ahead of its rate a key may be: a second's worth may come at once, at least one. */
const burstUs = (interval: number): number => Math.max(0, US_PER_SECOND - interval)
