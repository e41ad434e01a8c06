// Round robin in a shared lane: while a user has a job near the front of its queue, no other user
// is served twice. Which lanes are shared, and which jobs wait, is read from the engine's memory.

import { NONE } from '../../../shards/base/units.ts'
import { SHARED_LANE_LOOKS_MAX } from '../../../shards/memory/lane-limits.ts'
import type { ShardViews } from '../../../shards/memory/layout.ts'
import { LANE_SHARED } from '../../../shards/pace/lanes.ts'
import { JOB_FREE } from '../../../shards/store/job-slots.ts'
import type { Attempt, Observer, SimJob } from '../observations.ts'
import { promise } from '../violation.ts'

const CHECKER = 'turns'

/** Remembers which users were served while others waited. */
export class TurnChecker implements Observer {
  readonly #shards: readonly ShardViews[]
  /** By shard and lane, then by waiting user: the users who have been served since. */
  readonly #overtaken = new Map<string, Map<number, Set<number>>>()

  /** Places, by shard, that were unreachable: there, a user may be served without a send. */
  readonly #unreached = new Set<string>()

  constructor(shards: readonly ShardViews[]) {
    this.#shards = shards
  }

  unreachable(shard: number, place: number): void {
    this.#unreached.add(`${shard}/${place}`)
  }

  /** The present round is over, and requests in flight are back in the lanes. */
  died(shard: number): void {
    for (const [key] of this.#overtaken) {
      if (key.startsWith(`${shard}/`)) this.#overtaken.delete(key)
    }
  }

  sent({ isWebhook, job, shard }: Attempt): void {
    const views = this.#shards[shard] as ShardViews
    const lane = isWebhook ? NONE : laneOf(views, job)
    if (((views.lanes.flags[lane] ?? 0) & LANE_SHARED) === 0) return
    if (this.#unreached.has(`${shard}/${job.upstream}`)) return
    const [user] = job.idWords
    const before = this.#overtaken.get(`${shard}/${lane}`)
    const after = new Map<number, Set<number>>()
    for (const waiting of usersNearFront(views, lane)) {
      if (waiting === user) continue
      const overtaken = before?.get(waiting) ?? new Set()
      promise(!overtaken.has(user), CHECKER, () =>
        `user ${waiting} waits in lane ${lane} of shard ${shard}, and ${user} is sent twice`)
      after.set(waiting, overtaken.add(user))
    }
    this.#overtaken.set(`${shard}/${lane}`, after)
  }
}

/** The job's lane; NONE when it cannot be found. */
function laneOf({ jobs, limits }: ShardViews, { idWords: [, high, low] }: SimJob): number {
  for (let slot = 0; slot < limits.jobsMax; slot++) {
    if (jobs.idLow[slot] !== low || jobs.idHigh[slot] !== high) continue
    if (((jobs.state[slot] as number) & 0xff) !== JOB_FREE) return jobs.lane[slot] as number
  }
  return NONE
}

/** The users that are considered for the place of the job that has just left. */
function usersNearFront({ jobs, lanes }: ShardViews, lane: number): ReadonlySet<number> {
  const users = new Set<number>()
  let slot = lanes.head[lane] as number
  for (let looks = 1; slot !== NONE && looks < SHARED_LANE_LOOKS_MAX; looks++) {
    users.add(jobs.route[slot] as number)
    slot = jobs.next[slot] as number
  }
  return users
}
