// The webhooks that a shard without a journal still delivers while it stops, since they would be
// lost with the process: those that are due in time.
// Thread: shard. Memory: reads the slots of finished jobs and their receivers' budgets.
// Never: called while anything is in flight, or with a journal, which keeps pending webhooks.

import type { JobSlot, LaneSlot, Micros, UpstreamSlot } from '../base/units.ts'
import { JOB_WEBHOOK_PENDING, JOB_RETRYING } from '../store/job-slots.ts'
import type { ShardParts } from './assembly.ts'

/** Whether any pending webhook may be sent by then. O(slots) if none may. */
export function mayDeliverBy({ budgets, jobs, lanes }: ShardParts, untilUs: Micros): boolean {
  for (let index = 0; index < jobs.highWater; index++) {
    const slot = index as JobSlot
    if (jobs.state(slot) <= JOB_RETRYING || !jobs.hasFlag(slot, JOB_WEBHOOK_PENDING)) continue
    const dueUs = jobs.at.timeUs[slot] as number
    // A webhook in its receiver's lane has no due time of its own.
    if (dueUs !== Infinity && dueUs > untilUs) continue
    const receiver = lanes.at.upstream[jobs.at.lane[slot] as LaneSlot] as number
    if (budgets.eligibleAtUs(receiver as UpstreamSlot) <= untilUs) return true
  }
  return false
}
