// The kind of value of the two lists that say where requests may go.

import { EGRESS_ENTRIES_MAX } from '../base/limits.ts'
import { type Kind, listOf } from './kinds.ts'
import { isRange } from './range-kind.ts'

const NAME = /^(?:\*\.)?(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]*[a-z_-][a-z0-9_-]*$/i

/** Addresses, CIDR ranges, names and domains. */
export const egressKind: Kind<readonly string[]> = listOf(
  `up to ${EGRESS_ENTRIES_MAX} of 10.0.0.0/8, 10.1.2.3, db.internal or *.internal, with commas`,
  '<list>', EGRESS_ENTRIES_MAX, isEntry)

function isEntry(text: string): boolean {
  return isRange(text) || (text.length <= 253 && NAME.test(text))
}
