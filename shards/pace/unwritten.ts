// The sends of each budget that are decided but not yet written. undici writes a request to an idle
// connection one event-loop turn later, and the thread may be delayed in between. The upstream sees
// writes, not decisions, so the promise is kept by writes; see the end of pace.ts.
// Thread: shard. Memory: 12 private bytes per lane, in addition to --memory, touched when a lane
// sends; its shard's word per upstream.
// Never: knows a budget's base, or which request it counts.

import type { LaneSlot, Micros, UpstreamSlot } from '../base/units.ts'
import type { ShardViews } from '../memory/layout.ts'
import { mayFollow, trailAfterWrite } from './pace.ts'

/**
 * The unwritten sends of each budget, as the sum of the intervals, in ns, at which they were
 * decided; and the trails of lanes. At most one such send of a budget exceeds the tolerance (see
 * mayFollow() of pace.ts), so the sums fit in 32 bits. `accountQueue` says which budget a send
 * spends: its lane's account queue or its upstream's.
 */
export class UnwrittenSends {
  readonly #laneTrailUs: Float64Array
  readonly #ofLane: Uint32Array
  readonly #ofUpstream: Uint32Array
  readonly #ofShards: readonly Uint32Array[]

  constructor(shard: number, shards: readonly ShardViews[]) {
    const { limits, upstreams } = shards[shard] as ShardViews
    this.#laneTrailUs = new Float64Array(limits.lanesMax)
    this.#ofLane = new Uint32Array(limits.lanesMax)
    this.#ofUpstream = upstreams.unwritten
    this.#ofShards = shards.map((views) => views.upstreams.unwritten)
  }

  /** Clears the counts of the predecessor, whose sends no thread will write any more. */
  clear(): void {
    this.#ofUpstream.fill(0)
  }

  /** Counts an unwritten send; a negative `intervalNs` takes it off again. */
  add(lane: LaneSlot, upstream: UpstreamSlot, accountQueue: boolean, intervalNs: number): void {
    if (accountQueue) this.#ofLane[lane] = (this.#ofLane[lane] as number) + intervalNs
    else this.#ofUpstream[upstream] = (this.#ofUpstream[upstream] as number) + intervalNs
  }

  /** Whether another send at an interval may be decided before these are written. */
  mayFollow(
    lane: LaneSlot, upstream: UpstreamSlot, accountQueue: boolean, interval: number,
  ): boolean {
    return mayFollow(accountQueue ? this.ofLane(lane) : this.ofUpstream(upstream), interval)
  }

  /** The sum of a lane's account queue, in ns. */
  ofLane(lane: LaneSlot): number {
    return this.#ofLane[lane] as number
  }

  /** The sum of an upstream's budget over all shards, in ns. */
  ofUpstream(upstream: UpstreamSlot): number {
    let sum = 0
    for (const counts of this.#ofShards) sum += counts[upstream] as number
    return sum
  }

  /**
   * The lane's trail after a send at an interval was written; see trailAfterWrite(). A successor
   * starts without trails.
   */
  moveLaneTrail(lane: LaneSlot, interval: number, nowUs: Micros): Micros {
    const trail = trailAfterWrite(this.#laneTrailUs[lane] as number, interval, nowUs)
    this.#laneTrailUs[lane] = trail
    return trail
  }
}
