// What has gone out of each budget, and what is about to: undici hands a request to an idle
// connection a turn of the event loop later, and a thread may be held up in between. The upstream
// sees writes, not decisions, so the promise is kept by them; see the end of pace.ts.
// Thread: shard. Memory: 10 bytes of its own per lane, beside --memory, touched when a lane sends;
// its shard's word per upstream.
// Never: knows a budget's base, or which request it counts.

import type { ShardViews } from './layout.ts'
import type { LaneSlot, UpstreamSlot } from './units.ts'

/** How many sends of each budget are about to be written, and the trails of lanes. */
export class Writes {
  /** Of a lane's own budget; see trailAfterWrite(). A successor begins without. */
  readonly laneTrailUs: Float64Array
  /** No shard has more in flight than fit in 16 bits. */
  readonly #ofLane: Uint16Array
  readonly #ofUpstream: Int32Array
  readonly #ofShards: readonly Int32Array[]

  constructor(shard: number, shards: readonly ShardViews[]) {
    const { limits, upstreams } = shards[shard] as ShardViews
    this.laneTrailUs = new Float64Array(limits.lanesMax)
    this.#ofLane = new Uint16Array(limits.lanesMax)
    this.#ofUpstream = upstreams.unwritten
    this.#ofShards = shards.map((views) => views.upstreams.unwritten)
  }

  /** What the thread before had counted is counted by nobody any more. */
  clear(): void {
    this.#ofUpstream.fill(0)
  }

  /** One more is about to be written, or one less. */
  count(lane: LaneSlot, upstream: UpstreamSlot, amount: 1 | -1): void {
    this.#ofLane[lane] = (this.#ofLane[lane] as number) + amount
    this.#ofUpstream[upstream] = (this.#ofUpstream[upstream] as number) + amount
  }

  /** Sends of the lane that are about to be written. */
  ofLane(lane: LaneSlot): number {
    return this.#ofLane[lane] as number
  }

  /** Sends of this shard to the upstream that are. */
  ofUpstream(upstream: UpstreamSlot): number {
    return this.#ofUpstream[upstream] as number
  }

  /** Sends of all shards to the upstream that are. */
  everywhere(upstream: UpstreamSlot): number {
    let sum = 0
    for (const counts of this.#ofShards) sum += counts[upstream] as number
    return sum
  }
}
