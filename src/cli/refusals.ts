// The server's temporary refusals, and how long to wait before trying again.

import type { ServerMessage } from './client-socket.ts'

/** A job that was refused with one of these codes may be accepted later. */
const PASSING: ReadonlySet<unknown> = new Set([
  'limit_reached', 'overloaded', 'shard_down', 'journal_stalled', 'journal_lost', 'window_full',
  'too_many_watched', 'draining', 'answer_unknown',
])
const WAIT_SECONDS_DEFAULT = 1

export const isPassing = ({ code }: ServerMessage): boolean => PASSING.has(code)

/** Seconds that the server asks to wait. */
export const secondsToWait = ({ retry_after_s: seconds }: ServerMessage): number =>
  typeof seconds === 'number' ? seconds : WAIT_SECONDS_DEFAULT

/**
 * Milliseconds to wait: what was asked for plus up to half as much, so that clients that were
 * refused together do not retry together. 5 s, 0 → 5000; 5 s, 0.5 → 6250; 60 s, 1 → 90000.
 */
export const waitMs = (seconds: number, unit: number): number => seconds * 1000 * (1 + unit / 2)
