// A shard's words about its journal: for its successor, which continues from them, and for the main
// thread, which shows them.
// Thread: shard writes, others read. Memory: views.journal.
// Never: decides anything; plain stores of whole float64 words.

import type { ShardViews } from './layout.ts'

/** The number of the last batch that was written; the next batch has the next number. */
export const JOURNAL_SEQUENCE = 0
/** Bytes written since the memory was allocated. */
export const JOURNAL_WRITTEN_BYTES = 1
/** Every change before this time (in microseconds) is written to the operating system. */
export const JOURNAL_WRITTEN_US = 2
/** Every change before this time (in microseconds) is synced to the disk. */
export const JOURNAL_SYNCED_US = 3
/** Since when (in microseconds) writes fail; 0 while they succeed. */
export const JOURNAL_STALLED_US = 4
/** 1 while the journal's files are missing under their names: writes could never be read back. */
export const JOURNAL_LOST = 5
/** Number of new jobs in all written batches. */
export const JOURNAL_ACCEPTED = 6

/** The words, decoded. */
export interface JournalWords {
  readonly sequence: number
  readonly writtenBytes: number
  readonly writtenUs: number
  readonly syncedUs: number
  readonly stalledUs: number
  readonly isLost: boolean
}

/** Reads the words for display; not a snapshot: a word may be newer than the one before it. */
export const readJournalWords = ({ journal }: ShardViews): JournalWords => ({
  sequence: journal[JOURNAL_SEQUENCE] as number,
  writtenBytes: journal[JOURNAL_WRITTEN_BYTES] as number,
  writtenUs: journal[JOURNAL_WRITTEN_US] as number,
  syncedUs: journal[JOURNAL_SYNCED_US] as number,
  stalledUs: journal[JOURNAL_STALLED_US] as number,
  isLost: journal[JOURNAL_LOST] === 1,
})
