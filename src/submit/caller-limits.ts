// What a caller may submit besides what everybody may: while its key is valid, and within the
// key's own limits.

import type { Micros } from '../../shards/base/units.ts'
import type { KeyUsage } from '../access/key-usage.ts'
import { isValid, NOT_VALID, OPERATOR, type Principal } from '../access/principal.ts'
import { type Denial, limitReached } from '../base/errors.ts'
import type { Admission, LimitReason } from './admission.ts'

/** What the limits depend on. */
export interface CallerLimitsParts {
  readonly admission: Admission
  readonly keyUsage: KeyUsage
  /** Jobs of a key that the shards hold and that are not finished. */
  readonly queuedOfKey: (key: number) => number
}

/** The limits of callers. */
export class CallerLimits {
  readonly #parts: CallerLimitsParts

  constructor(parts: CallerLimitsParts) {
    this.#parts = parts
  }

  /**
   * Why one more job may not be submitted; undefined when it may, which counts as a submission.
   * @param pending jobs of the key that are on their way to the shards.
   * @param nowMs Unix ms.
   */
  refusal(
    principal: Principal, pending: number, nowUs: Micros, nowMs: number,
  ): Denial | undefined {
    if (principal === OPERATOR) return undefined
    if (!isValid(principal, nowMs)) return NOT_VALID
    const { keyUsage, queuedOfKey } = this.#parts
    const { key, limits: { jobsQueued } } = principal
    if (jobsQueued !== Infinity) {
      const current = pending + queuedOfKey(key)
      if (current >= jobsQueued) return this.#full('key_jobs', jobsQueued, current)
    }
    if (keyUsage.spend(principal, nowUs)) return undefined
    const { left, quota, retryAfterSeconds } = keyUsage.rate(principal, nowUs)
    return {
      ...this.#full('key_rate', quota, quota, retryAfterSeconds), rateLimit: { left, quota },
    }
  }

  #full(
    reason: LimitReason, limit: number, current: number, retryAfterSeconds?: number,
  ): Denial {
    this.#parts.admission.keyRefused(reason)
    return limitReached(reason, limit, current, retryAfterSeconds)
  }
}
