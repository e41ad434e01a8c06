// The ref that a caller gives a job or a message, to match answers to it.

import type { Denial } from '../base/errors.ts'
import { REF_BYTES_MAX } from '../base/limits.ts'
import type { Ref } from './asker.ts'

/** The message for an invalid ref. */
export const REF_FAULT =
  `ref is neither a whole number from 0 on nor a text of 1 to ${REF_BYTES_MAX} bytes`

/** The denial of a job with an invalid ref. */
export const REF_DENIAL: Denial = { code: 'invalid_ref', error: REF_FAULT, more: { field: 'ref' } }

/** The ref, or null where the value is not one. */
export function readRef(value: unknown): Ref | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : null
  if (typeof value !== 'string' || value === '' || value.length > REF_BYTES_MAX) return null
  return Buffer.byteLength(value) <= REF_BYTES_MAX && value.isWellFormed() ? value : null
}
