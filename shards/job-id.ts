// A job's id as text: 24 hexadecimal digits, the user's hash first, which leads to its shard.
// Thread: any. Memory: reads the id words of a slot; a table of two digits for each byte.
// Never: parses; that is the front door's, which must judge what callers send.

import type { JobArrays } from './layout.ts'
import type { JobSlot } from './units.ts'

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

const hexWord = (word: number): string =>
  (HEX[word >>> 24] as string) + (HEX[(word >>> 16) & 255] as string) +
  (HEX[(word >>> 8) & 255] as string) + (HEX[word & 255] as string)

/** (1, 2, 0xabcdef01) → '0000000100000002abcdef01'. */
export const formatJobId = (route: number, idHigh: number, idLow: number): string =>
  hexWord(route) + hexWord(idHigh) + hexWord(idLow)

/** The id of the job in a slot. */
export const jobIdText = (jobs: JobArrays, slot: JobSlot): string => formatJobId(
  jobs.route[slot] as number, jobs.idHigh[slot] as number, jobs.idLow[slot] as number)
