// The webhooks that a shard without a journal still delivers while it stops, since they would be
// lost with the process: those whose turn comes in time.
// Thread: shard. Memory: reads the slots of finished jobs and their receivers' budgets.
// Never: called while anything is in flight, or where a journal keeps what is owed.

import type { JobSlot, LaneSlot, Micros, UpstreamSlot } from '../base/units.ts'
import { JOB_WEBHOOK_PENDING, JOB_RETRYING } from '../store/job-slots.ts'
import type { ShardParts } from './assembly.ts'

/** Whether any webhook that is owed may be sent by then. O(slots) where none may. */
export function mayDeliverBy({ budgets, jobs, lanes }: ShardParts, untilUs: Micros): boolean {
  for (let index = 0; index < jobs.highWater; index++) {
    const slot = index as JobSlot
    if (jobs.state(slot) <= JOB_RETRYING || !jobs.hasFlag(slot, JOB_WEBHOOK_PENDING)) continue
    const dueUs = jobs.at.timeUs[slot] as number
    // In its receiver's line it has no time of its own.
    if (dueUs !== Infinity && dueUs > untilUs) continue
    const receiver = lanes.at.upstream[jobs.at.lane[slot] as LaneSlot] as number
    if (budgets.eligibleAtUs(receiver as UpstreamSlot) <= untilUs) return true
  }
  return false
}
