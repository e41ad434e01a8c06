// How many unfinished jobs each key has: those that were accepted and have no result yet.
// Thread: shard writes its own, and reads the others'. Memory: owns views.keyJobs, derived from the
// jobs' facts.
// Never: counts jobs without a key. The stores are plain, so what another shard counts may be a
// moment old: shards that accept jobs of one key at one time may exceed its limit by a job each.

import type { JobSlot } from '../base/units.ts'
import type { ShardViews } from './layout.ts'
import { keyOf } from './owner.ts'

/** The counts of one shard. */
export class KeyCounts {
  readonly #counts: Uint32Array
  readonly #owners: Uint32Array
  readonly #all: readonly Uint32Array[]

  /** @param shards all, this one included. */
  constructor({ jobs, keyJobs }: ShardViews, shards: readonly ShardViews[]) {
    this.#counts = keyJobs
    this.#owners = jobs.owner
    this.#all = shards.map((shard) => shard.keyJobs)
  }

  /** The unfinished jobs of a key over all shards. */
  total(key: number): number {
    let count = 0
    for (const counts of this.#all) count += counts[key] as number
    return count
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
