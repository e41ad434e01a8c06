// What has gone out of each budget, and what is about to: undici hands a request to an idle
// connection a turn of the event loop later, and a thread may be held up in between. The upstream
// sees writes, not decisions, so the promise is kept by them; see the end of pace.ts.
// Thread: shard. Memory: 12 bytes of its own per lane, beside --memory, touched when a lane sends;
// its shard's word per upstream.
// Never: knows a budget's base, or which request it counts.

import type { LaneSlot, UpstreamSlot } from '../base/units.ts'
import type { ShardViews } from '../memory/layout.ts'

/**
 * What of each budget is about to be written, as the sum of the intervals, in ns, that the sends
 * were decided at; and the trails of lanes. A budget has no more than one send that goes beyond
 * the tolerance (see mayFollow), so the sums fit in 32 bits.
 */
export class Writes {
  /** Of a lane's own budget; see trailAfterWrite(). A successor begins without. */
  readonly laneTrailUs: Float64Array
  readonly #ofLane: Uint32Array
  readonly #ofUpstream: Uint32Array
  readonly #ofShards: readonly Uint32Array[]

  constructor(shard: number, shards: readonly ShardViews[]) {
    const { limits, upstreams } = shards[shard] as ShardViews
    this.laneTrailUs = new Float64Array(limits.lanesMax)
    this.#ofLane = new Uint32Array(limits.lanesMax)
    this.#ofUpstream = upstreams.unwritten
    this.#ofShards = shards.map((views) => views.upstreams.unwritten)
  }

  /** What the thread before had counted is counted by nobody any more. */
  clear(): void {
    this.#ofUpstream.fill(0)
  }

  /** A send that spends its lane's own budget is about to be written; is no more, if negative. */
  addToLane(lane: LaneSlot, intervalNs: number): void {
    this.#ofLane[lane] = (this.#ofLane[lane] as number) + intervalNs
  }

  /** Likewise one that spends the upstream's. */
  addToUpstream(upstream: UpstreamSlot, intervalNs: number): void {
    this.#ofUpstream[upstream] = (this.#ofUpstream[upstream] as number) + intervalNs
  }

  /** What of the lane's own budget is about to be written, in ns. */
  ofLane(lane: LaneSlot): number {
    return this.#ofLane[lane] as number
  }

  /** What of the upstream's budget this shard is about to write. */
  ofUpstream(upstream: UpstreamSlot): number {
    return this.#ofUpstream[upstream] as number
  }

  /** What of it all shards are. */
  everywhere(upstream: UpstreamSlot): number {
    let sum = 0
    for (const counts of this.#ofShards) sum += counts[upstream] as number
    return sum
  }
}
