// The kind of value of `trusted-proxies`: a list of addresses and ranges of them.

import { isIP } from 'node:net'
import { TRUSTED_PROXIES_MAX } from '../base/limits.ts'
import { type Kind, listOf } from './kinds.ts'

const BITS = { 4: 32, 6: 128 } as const

/** `10.1.2.3`, `10.0.0.0/8`, `fd00::/8`; false for anything else. */
export function isRange(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || address.includes('%')) return false
  if (bits === undefined) return true
  return rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= BITS[family as 4 | 6]
}

export const rangesKind: Kind<readonly string[]> = listOf(
  `up to ${TRUSTED_PROXIES_MAX} of 10.1.2.3, 10.0.0.0/8 or fd00::/8, with commas`, '<list>',
  TRUSTED_PROXIES_MAX, isRange)
