// What a caller may submit besides what everybody may: while its key is valid, and at the key's
// own rate. How many unfinished jobs a key may have is judged by the shards, which have them.

import type { Micros } from '../../shards/base/units.ts'
import type { KeyUsage } from '../access/key-usage.ts'
import { isValid, NOT_VALID, OPERATOR, type Principal } from '../access/principal.ts'
import { type Denial, limitReached } from '../base/errors.ts'
import type { Admission } from './admission.ts'

/** What the limits depend on. */
export interface CallerLimitsParts {
  readonly admission: Admission
  readonly keyUsage: KeyUsage
}

/** The limits of callers. */
export class CallerLimits {
  readonly #parts: CallerLimitsParts

  constructor(parts: CallerLimitsParts) {
    this.#parts = parts
  }

  /**
   * Why one more job may not be submitted; undefined when it may, which counts as a submission.
   * @param nowMs Unix ms.
   */
  refusal(principal: Principal, nowUs: Micros, nowMs: number): Denial | undefined {
    if (principal === OPERATOR) return undefined
    if (!isValid(principal, nowMs)) return NOT_VALID
    const { admission, keyUsage } = this.#parts
    if (keyUsage.spend(principal, nowUs)) return undefined
    const { left, quota, retryAfterSeconds } = keyUsage.rate(principal, nowUs)
    admission.keyRefused('key_rate')
    return {
      ...limitReached('key_rate', quota, quota, retryAfterSeconds), rateLimit: { left, quota },
    }
  }
}
