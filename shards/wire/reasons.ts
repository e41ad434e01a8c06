// Failure reasons: the names that callers see, and the numbers that are stored in slots.
// Thread: any. Memory: none.
// Never: decides the verdict of an attempt; verdict.ts does.

/** In slots a reason is its index here + 1; changing the order breaks stored jobs. */
const REASONS = [
  'upstream_error', 'timeout', 'connection_error', 'dns_error', 'tls_error', 'protocol_error',
  'response_headers_too_large', 'request_refused', 'execution_deadline_exceeded',
  'deadline_exceeded', 'shard_crash', 'address_refused',
] as const

export type Reason = (typeof REASONS)[number]

/** 1 for the first reason, and so on, up to 126, the most that a slot can store. */
export const numberOfReason = (reason: Reason): number => REASONS.indexOf(reason) + 1

/** Null for a number without a reason. */
export const reasonOfNumber = (number: number): Reason | null => REASONS[number - 1] ?? null
