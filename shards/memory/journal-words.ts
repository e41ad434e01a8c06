// A shard's words about its journal: for its successor, which goes on from them, and for the main
// thread, which shows them.
// Thread: shard writes, others read. Memory: views.journal.
// Never: decides anything; plain stores of whole float64 words.

import type { ShardViews } from './layout.ts'

/** The last batch that was written; the next has the next number. */
export const JOURNAL_SEQUENCE = 0
/** Bytes written since the memory was allocated. */
export const JOURNAL_WRITTEN_BYTES = 1
/** All that happened before this time (in microseconds) is with the system… */
export const JOURNAL_WRITTEN_US = 2
/** … and all before this is on the disk. */
export const JOURNAL_SYNCED_US = 3
/** Since when (in microseconds) nothing can be written; 0 while all is well. */
export const JOURNAL_STALLED_US = 4
/** 1 while its files are gone: what is written could never be found again. */
export const JOURNAL_LOST = 5
/** New jobs in all batches that are written. */
export const JOURNAL_ACCEPTED = 6

/** What the words say. */
export interface JournalWords {
  readonly sequence: number
  readonly writtenBytes: number
  readonly writtenUs: number
  readonly syncedUs: number
  readonly stalledUs: number
  readonly isLost: boolean
}

/** For whoever shows them; a word may be newer than the one before it. */
export const readJournalWords = ({ journal }: ShardViews): JournalWords => ({
  sequence: journal[JOURNAL_SEQUENCE] as number,
  writtenBytes: journal[JOURNAL_WRITTEN_BYTES] as number,
  writtenUs: journal[JOURNAL_WRITTEN_US] as number,
  syncedUs: journal[JOURNAL_SYNCED_US] as number,
  stalledUs: journal[JOURNAL_STALLED_US] as number,
  isLost: journal[JOURNAL_LOST] === 1,
})
