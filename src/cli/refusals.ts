// What the server refuses for now only, and how long to wait before it is asked again.

import type { ServerMessage } from './client-socket.ts'

/** A job that was refused for one of these may be taken later. */
const PASSING: ReadonlySet<unknown> = new Set([
  'limit_reached', 'overloaded', 'shard_down', 'journal_stalled', 'journal_lost', 'window_full',
  'too_many_watched', 'draining', 'answer_unknown',
])
const WAIT_SECONDS_DEFAULT = 1

export const isPassing = ({ code }: ServerMessage): boolean => PASSING.has(code)

/** Seconds that the server asks for. */
export const secondsToWait = ({ retry_after_s: seconds }: ServerMessage): number =>
  typeof seconds === 'number' ? seconds : WAIT_SECONDS_DEFAULT

/**
 * Milliseconds: at least what was asked for, and up to half as much again, so that clients that
 * were refused together do not come back together. 5 s, 0 → 5000; 5 s, 0.5 → 6250; 60 s, 1 → 90000.
 */
export const waitMs = (seconds: number, unit: number): number => seconds * 1000 * (1 + unit / 2)
