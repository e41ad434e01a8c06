// What has gone out of each budget, and what is about to: undici hands a request to an idle
// connection a turn of the event loop later, and a thread may be held up in between. The upstream
// sees writes, not decisions, so the promise is kept by them; see the end of pace.ts.
// Thread: shard. Memory: 12 bytes of its own per lane, beside --memory, touched when a lane sends;
// its shard's word per upstream.
// Never: knows a budget's base, or which request it counts.

import type { LaneSlot, Micros, UpstreamSlot } from '../base/units.ts'
import type { ShardViews } from '../memory/layout.ts'
import { mayFollow, trailAfterWrite } from './pace.ts'

/**
 * The sends of each budget that are decided and not yet written, as the sum of the intervals, in
 * ns, that they were decided at; and the trails of lanes. A budget has no more than one such send
 * that goes beyond the tolerance (see mayFollow() of pace.ts), so the sums fit in 32 bits. Which
 * budget a send spends, its lane's account queue or its upstream's, is said by `accountQueue`.
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

  /** What the thread before had counted is counted by nobody any more. */
  clear(): void {
    this.#ofUpstream.fill(0)
  }

  /** A send is about to be written; it is no more, if `intervalNs` is negative. */
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
   * begins without trails.
   */
  moveLaneTrail(lane: LaneSlot, interval: number, nowUs: Micros): Micros {
    const trail = trailAfterWrite(this.#laneTrailUs[lane] as number, interval, nowUs)
    this.#laneTrailUs[lane] = trail
    return trail
  }
}
