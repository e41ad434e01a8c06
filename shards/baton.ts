// The baton: what a living thread knows of its shard and the shared memory does not, as plain data.
// Thread: the one that hands over makes it, the one that takes over reads it. Memory: none.
// Never: holds what the memory says already, nor a cache: templates are decoded again.
// Facts and links lie in shared memory and stay as they are; a baton is list ends, counts, bitmaps
// and what is in flight: some hundred kilobytes, however many jobs there are. So a new thread goes
// on after milliseconds, where recovery.ts, which has no baton, needs 0.3 s for a million jobs.

import type { AttemptsBaton } from './attempts.ts'
import type { FinishedBaton } from './finished.ts'
import type { JobLogBaton } from './job-log.ts'
import type { JobSlotsBaton } from './job-slots.ts'
import type { LanesBaton } from './lanes.ts'
import type { LogSharesBaton } from './log-shares.ts'
import type { OverdueBaton } from './overdue.ts'
import type { OwedResultsBaton } from './owed-results.ts'
import type { PacerBaton } from './pacer.ts'
import type { SettlementBaton } from './settlement.ts'
import type { TemplatesBaton } from './templates.ts'
import type { WatchersBaton } from './watchers.ts'

/** All that one engine hands to the next; structured-cloneable. */
export interface EngineBaton {
  readonly jobs: JobSlotsBaton
  readonly log: JobLogBaton
  readonly templates: TemplatesBaton
  readonly logShares: LogSharesBaton
  readonly lanes: LanesBaton
  readonly pacer: PacerBaton
  readonly settlement: SettlementBaton
  readonly owed: OwedResultsBaton
  readonly finished: FinishedBaton
  readonly overdue: OverdueBaton
  readonly watchers: WatchersBaton
  /** Until when to be silent about ignored headers, per upstream. */
  readonly warnings: Float64Array
  /** Threads that have died of the next request in the ingress ring, or -1. */
  readonly intake: number
  readonly attempts: AttemptsBaton
}
