// The baton: a running thread's private state of its shard, which shared memory lacks, as plain
// data.
// Thread: the predecessor makes it, the successor reads it. Memory: none.
// Never: duplicates what is in shared memory, or holds a cache: templates are decoded again.
// Facts and links stay in shared memory; a baton has list ends, counts, bitmaps and the requests in
// flight: some hundred kilobytes, whatever the number of jobs. So a successor continues after
// milliseconds, while recovery.ts, without a baton, needs 0.3 s for a million jobs.

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

/** Everything that one engine hands over to the next; structured-cloneable. */
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
  /** Until when no warning about ignored headers is logged, by upstream. */
  readonly warnings: Float64Array
  /** Crashes at the next request in the ingress ring, or -1. */
  readonly intake: number
  readonly attempts: AttemptsBaton
}
