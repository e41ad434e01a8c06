// The kind of value of the two lists that say where requests may go.

import { isIP } from 'node:net'
import { EGRESS_ENTRIES_MAX } from '../base/limits.ts'
import { type Kind, listOf } from './kinds.ts'

const NAME = /^(?:\*\.)?(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]*[a-z_-][a-z0-9_-]*$/i
const BITS = { 4: 32, 6: 128 } as const

/** Addresses, CIDR ranges, names and domains. */
export const egressKind: Kind<readonly string[]> = listOf(
  `up to ${EGRESS_ENTRIES_MAX} of 10.0.0.0/8, 10.1.2.3, db.internal or *.internal, with commas`,
  '<list>', EGRESS_ENTRIES_MAX, isEntry)

function isEntry(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0) return text.length <= 253 && NAME.test(text)
  if (bits === undefined) return true
  return rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= BITS[family as 4 | 6]
}
