// What a start drops because the end of a journal is missing, and its log line.

import type { Log } from '../base/log.ts'

/** What was dropped behind the last complete batch. */
export interface Dropped {
  /** Complete batches, by their numbers; clients may have been told of their content. */
  readonly batches: number
  /** Bytes of the tails, from the first incomplete batch on. */
  readonly bytes: number
  /** New jobs in all of it; null where the number is not known. */
  readonly jobs: number | null
  /** The file with the first of it. */
  readonly file: string
  /** The machine has stopped since. If not, it was being written, and no client was told of it. */
  readonly hasStopped: boolean
}

export function reportDropped(log: Log, shard: number, dropped: Dropped): void {
  const { batches, bytes, file, hasStopped, jobs } = dropped
  const fields = { shard, batches, bytes, jobs, file }
  if (hasStopped) {
    log.error(fields, 'the machine had stopped before the end of the journal was on disk: ' +
      'that end is lost')
  } else {
    log.warn(fields, 'the process had ended while it wrote this: it is dropped, and no client ' +
      'was told of it')
  }
}
