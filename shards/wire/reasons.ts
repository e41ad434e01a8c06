// Why a job has failed: the names that callers see, and the numbers that a slot has room for.
// Thread: any. Memory: none.
// Never: decides what becomes of an attempt; verdict.ts does.

/** In slots a reason is its place here; changing the order makes old memory lie. */
const REASONS = [
  'upstream_error', 'timeout', 'connection_error', 'dns_error', 'tls_error', 'protocol_error',
  'response_headers_too_large', 'request_refused', 'execution_deadline_exceeded',
  'deadline_exceeded', 'shard_crash',
] as const

export type Reason = (typeof REASONS)[number]

/** 1 for the first reason, and so on, up to 126 for what a slot has room for. */
export const numberOfReason = (reason: Reason): number => REASONS.indexOf(reason) + 1

/** Null for a number that stands for none. */
export const reasonOfNumber = (number: number): Reason | null => REASONS[number - 1] ?? null
