// The names of a journal's files. A tail's name has a number that only grows, with a fixed number
// of digits.
// Thread: shard and the compactor of its journal. Memory: none.
// Never: touches a file.

/** The folder of the store in the directory of the shard's journal, and its data file. */
export const STORE_FOLDER = 'store'
export const STORE_FILE = 'data.mdb'
/** The extent file, beside the tails. */
export const EXTENT_FILE = 'extent'

const DIGITS = 12
const PATTERN = /^tail-(\d{12})$/

/** 7 → "tail-000000000007". */
export const tailName = (tail: number): string => `tail-${String(tail).padStart(DIGITS, '0')}`

/** "tail-000000000007" → 7; undefined for any other name. */
export function tailNumber(name: string): number | undefined {
  const digits = PATTERN.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}
