// What callers may notice of a planned change: nothing. A kept-alive connection that is closed
// between two requests, and opened anew, is shown in the notes and does not count as refused.

import type { Ledger } from './ledger.ts'

/** Adds a breach for each kind of refusal that callers met. */
export function noteDisturbance(ledger: Ledger): void {
  const { full, refused, unavailable } = ledger.troubles
  const refusals = [
    [refused, 'connections were refused'], [unavailable, 'requests were answered 503'],
    [full, 'requests were answered 429'],
  ] as const
  for (const [count, what] of refusals) {
    if (count > 0) ledger.breach('nobody is refused', `${count} ${what}`)
  }
}
