// Applies the head of a response: pace, limit and Retry-After take effect from the next send on.
// Thread: shard. Memory: status and Retry-After of the attempt; budgets, through the pacer.
// Never: waits for the body, or decides the verdict. Upstreams and webhook receivers are treated
// alike; a receiver has no account queues, which the pacer handles.

import {
  type LaneSlot, type Micros, type Millis, type UpstreamSlot, msToUs,
} from '../base/units.ts'
import { BUDGET_HOLD_MS_MAX } from '../memory/limits.ts'
import type { Pacer } from '../pace/pacer.ts'
import { readPaceHeaders } from '../signals/pace-headers.ts'
import type { ResponseHeaders } from '../signals/response.ts'
import { readWaitMs } from '../signals/retry-after.ts'
import { ATTEMPT_JOB, type Attempts } from './attempts.ts'
import type { Warnings } from './warnings.ts'

const STATUS_TOO_MANY_REQUESTS = 429

/** The parts that a head affects. */
export interface HeadParts {
  readonly attempts: Attempts
  readonly pacer: Pacer
  readonly warnings: Warnings
  readonly wallMs: (atUs: Micros) => Millis
  /** The longest Retry-After of a receiver that is honoured. */
  readonly webhookRetryAfterMsMax: number
}

/**
 * Applies a response's status and headers. A 429 with Retry-After holds the whole budget, for at
 * most BUDGET_HOLD_MS_MAX, since "too many requests" is not about this one alone.
 */
export function hearHead(
  parts: HeadParts, attemptId: number, status: number, headers: ResponseHeaders, nowUs: Micros,
): void {
  const { attempts, pacer, warnings, wallMs } = parts
  const lane = attempts.lane[attemptId] as LaneSlot
  const upstream = attempts.upstream[attemptId] as UpstreamSlot
  attempts.status[attemptId] = status
  const update = readPaceHeaders(headers)
  if (update !== undefined) {
    warnings.ignored(upstream, update.ignored, nowUs)
    pacer.applyUpdate(lane, upstream, update, nowUs)
  }
  const askedMs = readWaitMs(headers, wallMs(nowUs)) ?? 0
  const waitMs = attempts.kind[attemptId] === ATTEMPT_JOB ? askedMs
    : Math.min(askedMs, parts.webhookRetryAfterMsMax)
  attempts.retryAfterMs[attemptId] = waitMs
  if (status !== STATUS_TOO_MANY_REQUESTS || waitMs === 0) return
  const holdMs = Math.min(waitMs, BUDGET_HOLD_MS_MAX)
  pacer.holdUntil(lane, upstream, (nowUs + msToUs(holdMs)) as Micros, nowUs)
}
