// Formats a job's id: 24 hexadecimal digits. The first part, the user's hash, selects the shard.
// Thread: any. Memory: reads the id words of a slot; tables of two digits for each byte.
// Never: parses; the front door does, and validates what callers send.

import type { JobSlot } from '../base/units.ts'
import type { JobArrays } from '../memory/layout.ts'

/** The length of a formatted id. */
export const JOB_ID_DIGITS = 24

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** The same as ASCII bytes: the two digits of byte n at 2n. */
const DIGITS = new Uint8Array(512)
for (const [byte, digits] of HEX.entries()) {
  DIGITS[2 * byte] = digits.charCodeAt(0)
  DIGITS[2 * byte + 1] = digits.charCodeAt(1)
}

const hexWord = (word: number): string =>
  (HEX[word >>> 24] as string) + (HEX[(word >>> 16) & 255] as string) +
  (HEX[(word >>> 8) & 255] as string) + (HEX[word & 255] as string)

/** (1, 2, 0xabcdef01) → '0000000100000002abcdef01'. */
export const formatJobId = (route: number, idHigh: number, idLow: number): string =>
  hexWord(route) + hexWord(idHigh) + hexWord(idLow)

/** The same as JOB_ID_DIGITS bytes of ASCII from `at` on. */
export function writeJobId(
  bytes: Uint8Array, at: number, route: number, idHigh: number, idLow: number,
): void {
  writeWord(bytes, at, route)
  writeWord(bytes, at + 8, idHigh)
  writeWord(bytes, at + 16, idLow)
}

function writeWord(bytes: Uint8Array, at: number, word: number): void {
  for (let shift = 24, to = at; shift >= 0; shift -= 8, to += 2) {
    const from = ((word >>> shift) & 255) << 1
    bytes[to] = DIGITS[from] as number
    bytes[to + 1] = DIGITS[from + 1] as number
  }
}

/** The id of the job in a slot. */
export const jobIdText = (jobs: JobArrays, slot: JobSlot): string => formatJobId(
  jobs.route[slot] as number, jobs.idHigh[slot] as number, jobs.idLow[slot] as number)
