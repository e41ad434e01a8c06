// The order of users in a lane that accounts share.
// Thread: shard. Memory: reads a lane's list and the hashes of its jobs' users.
// Never: changes anything, or examines more than SHARED_LANE_LOOKS_MAX jobs.
// Users are served round robin in the cyclic order of their hashes, each with its first job, so the
// user served last is the only state. No caller can choose its place, since the hash is keyed. Jobs
// beyond those examined are in FIFO order.

import { type JobSlot, NONE } from '../base/units.ts'
import type { JobLists } from '../memory/job-list.ts'
import { SHARED_LANE_LOOKS_MAX } from '../memory/lane-limits.ts'

/** The job to send next. @param last the user served last. @param users user hashes, by job. */
export function nextOfSharedLane(
  first: JobSlot, last: number, users: Uint32Array, lists: JobLists,
): JobSlot {
  let next = first
  let distance = ((users[first] as number) - last - 1) >>> 0
  let slot = lists.following(first)
  for (let looks = 1; slot !== NONE && looks < SHARED_LANE_LOOKS_MAX; looks++) {
    const its = ((users[slot] as number) - last - 1) >>> 0
    if (its < distance) {
      distance = its
      next = slot as JobSlot
    }
    slot = lists.following(slot as JobSlot)
  }
  return next
}
