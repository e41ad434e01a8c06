// What is known of host names: their addresses while they hold, and failures for a moment.
// Thread: shard. Memory: bounded by NAMES_KEPT_MAX and NAME_ADDRESSES_KEPT_MAX.
// Never: asks anybody, or reads a clock.

import { type Micros, msToUs } from '../base/units.ts'
import {
  NAMES_KEPT_MAX, NAME_ADDRESSES_KEPT_MAX, NAME_FAILURE_MS, NAME_STALE_MS_MAX, NAME_TTL_MS_MAX,
  NAME_TTL_MS_MIN,
} from '../memory/name-limits.ts'
import type { NameError } from './name-error.ts'

/** What is kept of one name. */
export interface KeptName {
  /** In the order in which they are to be tried; empty where none has been found yet. */
  readonly addresses: readonly string[]
  /** Until then they are what the name means. */
  readonly freshUntilUs: number
  /** Until then they are better than nothing. */
  readonly usableUntilUs: number
  /** Why they could not be found anew, or at all. */
  readonly error: NameError | undefined
  /** Until then nobody asks again. */
  readonly failedUntilUs: number
}

/** Names, the most recently used last. */
export class KeptNames {
  readonly #names = new Map<string, KeptName>()
  #addressCount = 0

  /** What is kept of it, however old. */
  get(name: string): KeptName | undefined {
    return this.#names.get(name)
  }

  /** As `get`; of those that are in use, others give way first. */
  use(name: string): KeptName | undefined {
    const kept = this.#names.get(name)
    if (kept === undefined) return undefined
    this.#names.delete(name)
    this.#names.set(name, kept)
    return kept
  }

  /** The addresses hold for `ttlMs`, within limits: 0 → NAME_TTL_MS_MIN. */
  found(name: string, addresses: readonly string[], ttlMs: number, nowUs: Micros): void {
    const keptMs = Math.min(NAME_TTL_MS_MAX, Math.max(NAME_TTL_MS_MIN, ttlMs))
    const freshUntilUs = nowUs + msToUs(keptMs)
    this.#keep(name, {
      addresses, freshUntilUs, usableUntilUs: freshUntilUs + msToUs(NAME_STALE_MS_MAX),
      error: undefined, failedUntilUs: -Infinity,
    })
  }

  /** Nobody could say: addresses of before stay usable. */
  failed(name: string, error: NameError, nowUs: Micros): void {
    const { addresses, freshUntilUs, usableUntilUs } = this.#names.get(name) ?? NOTHING
    const failedUntilUs = nowUs + msToUs(NAME_FAILURE_MS)
    this.#keep(name, { addresses, freshUntilUs, usableUntilUs, error, failedUntilUs })
  }

  /** There is no address: those of before are wrong. */
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
