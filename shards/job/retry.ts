// Retry policy: whether a job or a webhook is retried, and after which delay.
// Thread: any. Memory: none.
// Never: reads a clock, has its own randomness, or counts attempts.
// Source: full jitter, M. Brooker, "Exponential Backoff And Jitter", 2015.

import { assert } from '../base/assert.ts'
import type { Prng } from '../base/prng.ts'
import type { Millis } from '../base/units.ts'
import {
  RETRIES_UNLIMITED, RETRY_BASE_MS, RETRY_CAP_MS, WEBHOOK_RETRIES_MAX,
} from '../memory/limits.ts'

/**
 * The ceiling of the delay after `attempts` attempts: base · 2^(attempts-1), at most the cap.
 * 1 → 1 s, 2 → 2 s, 3 → 4 s, 4 → 8 s, 6 → 32 s; 60 s from the seventh on, for any number.
 * @param attempts attempts made so far, 1 or more.
 */
export function retryCeilingMs(attempts: number): Millis {
  assert(attempts >= 1, 'a delay is asked for before the first attempt')
  return Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** (attempts - 1)) as Millis
}

/**
 * The delay before the next attempt: uniform in [0, ceiling), but at least Retry-After.
 * With a draw of 0.5: attempts 1 → 0.5 s, 4 → 4 s, 7 → 30 s; 4 with Retry-After 10 s → 10 s.
 * @param attempts attempts made so far, 1 or more.
 * @param retryAfterMs from readWaitMs; may exceed the cap, which limits only the jitter.
 */
export function retryDelayMs(
  attempts: number, retryAfterMs: number | undefined, prng: Prng,
): Millis {
  const jitteredMs = prng.unit() * retryCeilingMs(attempts)
  return Math.max(jitteredMs, retryAfterMs ?? 0) as Millis
}

/**
 * The delay before a webhook is retried: 1 → 1 s, 2 → 2 s, 3 → 4 s, 4 → 8 s. Without jitter, since
 * the receiver's own budget spreads deliveries that fail at once.
 * @param deliveries deliveries so far, 1 to WEBHOOK_RETRIES_MAX.
 */
export function webhookRetryDelayMs(deliveries: number): Millis {
  assert(deliveries <= WEBHOOK_RETRIES_MAX, 'a webhook is tried more often than it may')
  return retryCeilingMs(deliveries)
}

/**
 * Whether one more attempt is allowed: (1, 0) → no, (4, 4) → yes, (5, 4) → no, (1000, -1) → yes.
 * @param attempts attempts made so far. @param maxRetries -1 for no limit except the deadline.
 */
export function mayRetry(attempts: number, maxRetries: number): boolean {
  return maxRetries === RETRIES_UNLIMITED || attempts <= maxRetries
}
