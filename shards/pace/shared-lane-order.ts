// Whose turn it is in a lane that accounts share.
// Thread: shard. Memory: reads a line and the hashes of its jobs' users.
// Never: changes anything, or looks at more than SHARED_LANE_LOOKS_MAX jobs.
// The users take turns in the circle of their hashes, each with the first of its jobs, so who had
// the last turn is all that has to be known. Nobody can choose a place in the circle, since the
// hash is keyed. Beyond what is looked at, jobs stand in the order in which they came.

import { type JobSlot, NONE } from '../base/units.ts'
import type { JobLists } from '../memory/job-list.ts'
import { SHARED_LANE_LOOKS_MAX } from '../memory/lane-limits.ts'

/** The job whose turn it is. @param last the user who had the last one. @param users by job. */
export function nextOfSharedLane(
  first: JobSlot, last: number, users: Uint32Array, lines: JobLists,
): JobSlot {
  let next = first
  let distance = ((users[first] as number) - last - 1) >>> 0
  let slot = lines.following(first)
  for (let looks = 1; slot !== NONE && looks < SHARED_LANE_LOOKS_MAX; looks++) {
    const its = ((users[slot] as number) - last - 1) >>> 0
    if (its < distance) {
      distance = its
      next = slot as JobSlot
    }
    slot = lines.following(slot as JobSlot)
  }
  return next
}
