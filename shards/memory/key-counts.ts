// How many unfinished jobs each key has: those that were accepted and have no result yet.
// Thread: shard writes, main reads. Memory: owns views.keyJobs, derived from the jobs' facts.
// Never: counts jobs without a key, or refuses one. The stores are plain, so main may read a count
// that is a moment old.

import type { JobSlot } from '../base/units.ts'
import type { ShardViews } from './layout.ts'
import { keyOf } from './owner.ts'

/** The counts of one shard. */
export class KeyCounts {
  readonly #counts: Uint32Array
  readonly #owners: Uint32Array

  constructor({ jobs, keyJobs }: ShardViews) {
    this.#counts = keyJobs
    this.#owners = jobs.owner
  }

  /** Resets the counts, before a crashed thread's jobs are added. */
  recover(): void {
    this.#counts.fill(0)
  }

  /** Counts a job, if it has a key. */
  add(slot: JobSlot): void {
    const key = keyOf(this.#owners[slot] as number)
    if (key !== 0) this.#counts[key] = (this.#counts[key] as number) + 1
  }

  /** The job is finished or gone. */
  drop(slot: JobSlot): void {
    const key = keyOf(this.#owners[slot] as number)
    if (key !== 0) this.#counts[key] = (this.#counts[key] as number) - 1
  }
}

/** The unfinished jobs of a key over all shards. */
export function queuedOfKey(shards: readonly ShardViews[], key: number): number {
  let count = 0
  for (const { keyJobs } of shards) count += keyJobs[key] as number
  return count
}
