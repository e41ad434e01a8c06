// Reads how long a response asks to wait before the next request.
// Thread: any. Memory: none.
// Never: decides what waits, or for how long at most; the dispatcher and the budgets do.
// RFC 9110, 10.2.3: Retry-After in seconds, or as a date. In the wild there are decimals, and the
// header retry-after-ms, which the SDKs of OpenAI and Anthropic read before Retry-After.

import type { Millis } from '../base/units.ts'
import { RETRY_AFTER_MS_MAX } from '../memory/limits.ts'
import type { ResponseHeaders } from './response.ts'

const DECIMAL = /^[ \t]*\d+(?:\.\d+)?[ \t]*$/

/**
 * The wait in ms that a response asks for; undefined for none, or none that can be read.
 * retry-after-ms: '1500' → 1500. Retry-After: '2' → 2000, '0.5' → 500, a date three seconds after
 * that of the response's own Date → 3000, whatever the clocks say; without one, after `nowMs`. A
 * date in the past → 0, '-1' or 'soon' → undefined. At most RETRY_AFTER_MS_MAX. Of several values
 * the first one counts.
 * @param nowMs Unix ms.
 */
export function readWaitMs(headers: ResponseHeaders, nowMs: number): Millis | undefined {
  const exact = firstOf(headers['retry-after-ms'])
  if (exact !== undefined && DECIMAL.test(exact)) return bounded(Number(exact))
  const text = firstOf(headers['retry-after'])
  if (text === undefined) return undefined
  if (DECIMAL.test(text)) return bounded(Number(text) * 1000)
  const sentMs = readHttpDateMs(firstOf(headers['date']) ?? '', nowMs)
  const delayMs = readHttpDateMs(text, nowMs) - (Number.isNaN(sentMs) ? nowMs : sentMs)
  return Number.isNaN(delayMs) ? undefined : bounded(delayMs)
}

const firstOf = (value: string | string[] | undefined): string | undefined =>
  typeof value === 'string' ? value : value?.[0]

const bounded = (ms: number): Millis => Math.min(RETRY_AFTER_MS_MAX, Math.max(0, ms)) as Millis

// RFC 9110, 5.6.7: the fixed format, and the two obsolete ones that must still be accepted.
//   Sun, 06 Nov 1994 08:49:37 GMT · Sunday, 06-Nov-94 08:49:37 GMT · Sun Nov  6 08:49:37 1994
const DATE = /^\w+, (\d\d)[ -](\w{3})[ -](\d{4}|\d\d) (\d\d):(\d\d):(\d\d) GMT$/
const ASCTIME_DATE = /^\w{3} (\w{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/
const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec'
const MS_PER_YEAR = 365.25 * 24 * 3600 * 1000

/** Unix ms of an HTTP-date; NaN if it is none. Date.parse would accept '5 apples' as a date. */
function readHttpDateMs(value: string, nowMs: number): number {
  const text = value.trim()
  const match = DATE.exec(text)
  if (match !== null) {
    const [, day = '', month = '', year = '', hour, minute, second] = match
    if (year.length === 4) return unixMs(Number(year), month, day, hour, minute, second)
    // A two-digit year that looks more than 50 years ahead is one of the past (RFC 9110).
    const thisCentury = unixMs(2000 + Number(year), month, day, hour, minute, second)
    return thisCentury - nowMs <= 50 * MS_PER_YEAR
      ? thisCentury
      : unixMs(1900 + Number(year), month, day, hour, minute, second)
  }
  const old = ASCTIME_DATE.exec(text)
  if (old === null) return NaN
  const [, month = '', day = '', hour, minute, second, year] = old
  return unixMs(Number(year), month, day, hour, minute, second)
}

function unixMs(
  year: number, monthName: string, dayText: string, hourText: string | undefined,
  minuteText: string | undefined, secondText: string | undefined,
): number {
  const at = MONTHS.indexOf(monthName)
  const day = Number(dayText)
  const hour = Number(hourText)
  const minute = Number(minuteText)
  const second = Number(secondText)
  const valid = at >= 0 && at % 3 === 0 && day >= 1 && day <= 31 &&
    hour <= 23 && minute <= 59 && second <= 60
  return valid ? Date.UTC(year, at / 3, day, hour, minute, second) : NaN
}
