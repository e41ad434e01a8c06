// What a start leaves out because the end of a journal is missing, and the words for it in the log.

import type { Log } from '../base/log.ts'

/** What was not taken, behind the last batch that is whole. */
export interface Dropped {
  /** Whole ones, by their numbers; they may have been told to somebody. */
  readonly batches: number
  /** Of the tails, from where they are not whole any more. */
  readonly bytes: number
  /** New jobs in all of it; null where nothing says how many. */
  readonly jobs: number | null
  /** Where the first of it was. */
  readonly file: string
  /** The machine has stopped since: else it was being written, and nobody has been told of it. */
  readonly hasStopped: boolean
}

export function reportDropped(log: Log, shard: number, dropped: Dropped): void {
  const { batches, bytes, file, hasStopped, jobs } = dropped
  const fields = { shard, batches, bytes, jobs, file }
  if (hasStopped) {
    log.error(fields, 'the machine had stopped before the end of the journal was on the disk: ' +
      'what it said is lost')
  } else {
    log.warn(fields, 'the process had ended while it wrote this: it is dropped, and nobody has ' +
      'been told of it')
  }
}
