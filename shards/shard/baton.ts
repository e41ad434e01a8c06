// The baton: what a living thread knows of its shard and the shared memory does not, as plain data.
// Thread: the one that hands over makes it, the one that takes over reads it. Memory: none.
// Never: holds what the memory says already, nor a cache: templates are decoded again.
// Facts and links lie in shared memory and stay as they are; a baton is list ends, counts, bitmaps
// and what is in flight: some hundred kilobytes, however many jobs there are. So a new thread goes
// on after milliseconds, where recovery.ts, which has no baton, needs 0.3 s for a million jobs.

import type { AttemptsBaton } from '../job/attempts.ts'
import type { FinishedBaton } from '../job/finished.ts'
import type { OverdueBaton } from '../job/overdue.ts'
import type { SettlementBaton } from '../job/settlement.ts'
import type { WatchersBaton } from '../job/watchers.ts'
import type { LanesBaton } from '../pace/lanes.ts'
import type { PacerBaton } from '../pace/pacer.ts'
import type { JobLogBaton } from '../store/job-log.ts'
import type { JobSlotsBaton } from '../store/job-slots.ts'
import type { LogSharesBaton } from '../store/log-shares.ts'
import type { TemplatesBaton } from '../store/templates.ts'
import type { UndeliveredResultsBaton } from '../store/undelivered-results.ts'

/** All that one engine hands to the next; structured-cloneable. */
export interface EngineBaton {
  readonly jobs: JobSlotsBaton
  readonly log: JobLogBaton
  readonly templates: TemplatesBaton
  readonly logShares: LogSharesBaton
  readonly lanes: LanesBaton
  readonly pacer: PacerBaton
  readonly settlement: SettlementBaton
  readonly undelivered: UndeliveredResultsBaton
  readonly finished: FinishedBaton
  readonly overdue: OverdueBaton
  readonly watchers: WatchersBaton
  /** Until when to be silent about ignored headers, per upstream. */
  readonly warnings: Float64Array
  /** Threads that have died of the next request in the ingress ring, or -1. */
  readonly intake: number
  readonly attempts: AttemptsBaton
}
