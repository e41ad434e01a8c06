// The cache of host names: addresses for their TTL, and failures briefly.
// Thread: shard. Memory: bounded by NAMES_KEPT_MAX and NAME_ADDRESSES_KEPT_MAX.
// Never: queries a source, or reads a clock.

import { type Micros, msToUs } from '../base/units.ts'
import {
  NAMES_KEPT_MAX, NAME_ADDRESSES_KEPT_MAX, NAME_FAILURE_MS, NAME_STALE_MS_MAX, NAME_TTL_MS_MAX,
  NAME_TTL_MS_MIN,
} from '../memory/name-limits.ts'
import type { NameError } from './name-error.ts'

/** A name's cache entry. */
export interface KeptName {
  /** In the order in which to try them; empty if none has been found yet. */
  readonly addresses: readonly string[]
  /** Until then the addresses are current. */
  readonly freshUntilUs: number
  /** Until then stale addresses may be used if no name server answers. */
  readonly usableUntilUs: number
  /** Why the last look-up failed. */
  readonly error: NameError | undefined
  /** Until then no new look-up is started. */
  readonly failedUntilUs: number
}

/** The cache; the most recently used names are last. */
export class KeptNames {
  readonly #names = new Map<string, KeptName>()
  #addressCount = 0

  /** The name's entry, however old. */
  get(name: string): KeptName | undefined {
    return this.#names.get(name)
  }

  /** As `get`, but marks it as recently used, so that others are evicted first. */
  use(name: string): KeptName | undefined {
    const kept = this.#names.get(name)
    if (kept === undefined) return undefined
    this.#names.delete(name)
    this.#names.set(name, kept)
    return kept
  }

  /** Caches addresses for `ttlMs`, clamped to the limits: 0 → NAME_TTL_MS_MIN. */
  found(name: string, addresses: readonly string[], ttlMs: number, nowUs: Micros): void {
    const keptMs = Math.min(NAME_TTL_MS_MAX, Math.max(NAME_TTL_MS_MIN, ttlMs))
    const freshUntilUs = nowUs + msToUs(keptMs)
    this.#keep(name, {
      addresses, freshUntilUs, usableUntilUs: freshUntilUs + msToUs(NAME_STALE_MS_MAX),
      error: undefined, failedUntilUs: -Infinity,
    })
  }

  /** Caches that there was no answer: earlier addresses stay usable. */
  failed(name: string, error: NameError, nowUs: Micros): void {
    const { addresses, freshUntilUs, usableUntilUs } = this.#names.get(name) ?? NOTHING
    const failedUntilUs = nowUs + msToUs(NAME_FAILURE_MS)
    this.#keep(name, { addresses, freshUntilUs, usableUntilUs, error, failedUntilUs })
  }

  /** Caches that there is no address: earlier addresses are dropped. */
  none(name: string, error: NameError, nowUs: Micros): void {
    this.#keep(name, { ...NOTHING, error, failedUntilUs: nowUs + msToUs(NAME_FAILURE_MS) })
  }

  #keep(name: string, kept: KeptName): void {
    this.#drop(name)
    this.#names.set(name, kept)
    this.#addressCount += kept.addresses.length
    for (const [oldest] of this.#names) {
      if (this.#names.size <= NAMES_KEPT_MAX &&
        this.#addressCount <= NAME_ADDRESSES_KEPT_MAX) return
      this.#drop(oldest)
    }
  }

  #drop(name: string): void {
    const kept = this.#names.get(name)
    if (kept === undefined) return
    this.#names.delete(name)
    this.#addressCount -= kept.addresses.length
  }
}

const NOTHING: KeptName = {
  addresses: [], freshUntilUs: -Infinity, usableUntilUs: -Infinity,
  error: undefined, failedUntilUs: -Infinity,
}
