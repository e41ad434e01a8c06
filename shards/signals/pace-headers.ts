// Reads an upstream's pace from the headers of a response.
// Thread: any. Memory: none.
// Never: applies what it reads, keeps a count, or accepts a value beyond the limits.
// Of three names with one meaning the first one present wins, even if its value is invalid: an
// invalid value is reported and ignored, without falling back to a later name. A header with
// several values counts if all of them are equal.

import type { PerSecond } from '../base/units.ts'
import {
  CONCURRENT_MAX, PACE_PER_SECOND_MAX, PACE_PER_SECOND_MIN,
} from '../memory/limits.ts'
import type { ResponseHeaders } from './response.ts'

/** A header whose value was invalid: its name in lower case, its value truncated for the log. */
export interface IgnoredHeader {
  readonly name: string
  readonly value: string
}

/** The pace fields of a response; a field is absent if the header is missing or invalid. */
export interface PaceUpdate {
  /** Requests per second, PACE_PER_SECOND_MIN to PACE_PER_SECOND_MAX. */
  readonly pacePerSecond?: PerSecond
  /** Requests in flight, 1 to CONCURRENT_MAX. */
  readonly concurrentMax?: number
  readonly accountQueues?: boolean
  readonly ignored: readonly IgnoredHeader[]
}

/** Header names of the pace, in order of precedence. */
export const PACE_HEADERS = ['x-aqueduct-rps', 'x-ezthrottle-rps', 'x-aquifer-rps'] as const

/** Header names of the limit on requests in flight, in order of precedence. */
export const CONCURRENT_HEADERS = [
  'x-aqueduct-max-concurrent', 'x-ezthrottle-max-concurrent', 'x-aquifer-max-concurrent',
] as const

/** Header names of the switch for account queues, by precedence; callers use them, too. */
export const ACCOUNT_QUEUE_HEADERS = [
  'x-aqueduct-account-queue', 'x-ezthrottle-account-queue', 'x-aquifer-account-queue',
] as const

/** Characters of an ignored value that are kept for the warning. */
export const IGNORED_VALUE_LENGTH_MAX = 64

const DECIMAL = /^[ \t]*\d+(?:\.\d+)?[ \t]*$/
const INTEGER = /^[ \t]*\d+[ \t]*$/

/** Reads the pace headers of a response; undefined when none of the nine names is present. */
export function readPaceHeaders(headers: ResponseHeaders): PaceUpdate | undefined {
  const pace = firstPresent(headers, PACE_HEADERS)
  const concurrent = firstPresent(headers, CONCURRENT_HEADERS)
  const accountQueue = firstPresent(headers, ACCOUNT_QUEUE_HEADERS)
  if (pace === undefined && concurrent === undefined && accountQueue === undefined) {
    return undefined
  }
  const ignored: IgnoredHeader[] = []
  const pacePerSecond = take(headers, pace, readPace, ignored)
  const concurrentMax = take(headers, concurrent, readConcurrent, ignored)
  const accountQueues = take(headers, accountQueue, readAccountQueue, ignored)
  return {
    ...(pacePerSecond !== undefined && { pacePerSecond }),
    ...(concurrentMax !== undefined && { concurrentMax }),
    ...(accountQueues !== undefined && { accountQueues }),
    ignored,
  }
}

/** `enabled` → true, `disabled` → false, in any case, spaces trimmed; otherwise undefined. */
export function readAccountQueue(value: string): boolean | undefined {
  const word = value.trim().toLowerCase()
  if (word === 'enabled') return true
  return word === 'disabled' ? false : undefined
}

function firstPresent(headers: ResponseHeaders, names: readonly string[]): string | undefined {
  for (const name of names) {
    if (headers[name] !== undefined) return name
  }
  return undefined
}

/** Reads one header; an invalid value, or several different ones, go to `ignored`. */
function take<T>(
  headers: ResponseHeaders, name: string | undefined, read: (value: string) => T | undefined,
  ignored: IgnoredHeader[],
): T | undefined {
  if (name === undefined) return undefined
  const value = headers[name]
  const taken = typeof value === 'string' && !value.includes(',') ? read(value)
    : readAlike(String(value).split(','), read)
  if (taken === undefined) {
    ignored.push({ name, value: String(value).slice(0, IGNORED_VALUE_LENGTH_MAX) })
  }
  return taken
}

/** ['5', ' 5.0'] → 5; undefined if one is invalid, or differs from another. */
function readAlike<T>(values: readonly string[], read: (value: string) => T | undefined):
  T | undefined {
  const [first, ...others] = values.map(read)
  return others.every((other) => other === first) ? first : undefined
}

/** '2.5' → 2.5; undefined if it is not a plain decimal within the limits. */
function readPace(value: string): PerSecond | undefined {
  if (!DECIMAL.test(value)) return undefined
  const pace = Number(value)
  return pace >= PACE_PER_SECOND_MIN && pace <= PACE_PER_SECOND_MAX
    ? pace as PerSecond
    : undefined
}

/** '100' → 100; undefined if it is not a positive integer within the limit. */
function readConcurrent(value: string): number | undefined {
  if (!INTEGER.test(value)) return undefined
  const concurrent = Number(value)
  return concurrent >= 1 && concurrent <= CONCURRENT_MAX ? concurrent : undefined
}
