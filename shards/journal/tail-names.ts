// The names of a journal's files. A tail's is a number that only grows, in as many digits as any
// can have.
// Thread: shard and the compactor of its journal. Memory: none.
// Never: touches a file.

/** In the directory of the shard's journal, and the one file in it that counts. */
export const STORE_FOLDER = 'store'
export const STORE_FILE = 'data.mdb'
/** Beside the tails: how far they reach. */
export const EXTENT_FILE = 'extent'

const DIGITS = 12
const PATTERN = /^tail-(\d{12})$/

/** 7 → "tail-000000000007". */
export const tailName = (tail: number): string => `tail-${String(tail).padStart(DIGITS, '0')}`

/** "tail-000000000007" → 7; undefined for the name of anything else. */
export function tailNumber(name: string): number | undefined {
  const digits = PATTERN.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}
