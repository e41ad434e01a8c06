// The kind of value of the two lists that say where requests may go.

import { isIP } from 'node:net'
import { z } from 'zod'
import { EGRESS_ENTRIES_MAX } from '../base/limits.ts'
import type { Kind } from './kinds.ts'

const EXPECTED = `up to ${EGRESS_ENTRIES_MAX} of 10.0.0.0/8, 10.1.2.3, db.internal or ` +
  '*.internal, with commas'
const NAME = /^(?:\*\.)?(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]*[a-z_-][a-z0-9_-]*$/i
const BITS = { 4: 32, 6: 128 } as const

/** Addresses, CIDR ranges, names and domains. */
export const egressKind: Kind<readonly string[]> = {
  schema: z.preprocess(
    (given) => typeof given === 'string' ? parse(given) : given,
    z.array(z.string({ error: EXPECTED }).refine(isEntry, { error: EXPECTED }), { error: EXPECTED })
      .max(EGRESS_ENTRIES_MAX, { error: EXPECTED })),
  expected: EXPECTED, argument: '<list>',
  format: (value) => value.length === 0 ? 'none' : value.join(','),
}

const parse = (text: string): string[] =>
  text.trim() === '' || text === 'none' ? [] : text.split(',').map((each) => each.trim())

function isEntry(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0) return text.length <= 253 && NAME.test(text)
  if (bits === undefined) return true
  return rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= BITS[family as 4 | 6]
}
