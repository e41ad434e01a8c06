// A job's id as text: 24 hexadecimal digits, the user's hash first, which leads to its shard.
// Thread: any. Memory: reads the id words of a slot.
// Never: parses; that is the front door's, which must judge what callers send.

import type { JobArrays } from './layout.ts'
import type { JobSlot } from './units.ts'

const WORD_DIGITS = 8

const hex = (word: number): string => word.toString(16).padStart(WORD_DIGITS, '0')

/** 0x1, 0x2, 0xabc → `000000010000000200000abc`. */
export const idText = (route: number, high: number, low: number): string =>
  hex(route) + hex(high) + hex(low)

/** The id of the job in a slot. */
export const jobIdText = (jobs: JobArrays, slot: JobSlot): string =>
  idText(jobs.route[slot] as number, jobs.idHigh[slot] as number, jobs.idLow[slot] as number)
