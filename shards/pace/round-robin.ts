// Round-robin lists: for each upstream its lanes with jobs; and the list of upstreams with such
// lanes, so that handling notices does not visit all upstreams.
// Thread: shard. Memory: lane links in views.lanes, list heads in views.upstreams, own counts.
// Never: decides anything. Derived state: rebuilt from the lanes' lists of jobs.

import { type LaneSlot, NONE, type UpstreamSlot } from '../base/units.ts'
import type { LaneArrays, ShardViews, UpstreamArrays } from '../memory/layout.ts'

/** Counts and one list head; links and the other heads stay in shared memory. */
export interface RoundRobinBaton {
  readonly counts: Uint32Array
  readonly activeHead: number
  readonly lanesActive: number
}

/** The lists of one shard. A list's head and links are valid only while its count is above zero. */
export class RoundRobin {
  readonly #lanes: LaneArrays
  readonly #upstreams: UpstreamArrays
  readonly #counts: Uint32Array
  #activeHead = NONE
  #lanesActive = 0

  constructor(views: ShardViews) {
    this.#lanes = views.lanes
    this.#upstreams = views.upstreams
    this.#counts = new Uint32Array(views.limits.upstreamsMax)
  }

  /** The state that a successor on the same memory starts from. */
  handOver(): RoundRobinBaton {
    return {
      counts: this.#counts, activeHead: this.#activeHead, lanesActive: this.#lanesActive,
    }
  }

  takeOver(baton: RoundRobinBaton): void {
    this.#counts.set(baton.counts)
    this.#activeHead = baton.activeHead
    this.#lanesActive = baton.lanesActive
  }

  /** Number of lanes in all lists. */
  get lanesActive(): number {
    return this.#lanesActive
  }

  count(upstream: UpstreamSlot): number {
    return this.#counts[upstream] as number
  }

  /** The next lane to serve, or NONE. */
  first(upstream: UpstreamSlot): LaneSlot | typeof NONE {
    return this.count(upstream) === 0 ? NONE : this.#upstreams.firstLane[upstream] as LaneSlot
  }

  /** Adds a lane behind the others. */
  add(upstream: UpstreamSlot, lane: LaneSlot): void {
    const { firstLane, lastLane } = this.#upstreams
    const { nextLane, prevLane } = this.#lanes
    const empty = this.count(upstream) === 0
    const tail = empty ? NONE : lastLane[upstream] as number
    prevLane[lane] = tail
    nextLane[lane] = NONE
    if (empty) firstLane[upstream] = lane
    else nextLane[tail] = lane
    lastLane[upstream] = lane
    this.#counts[upstream] = this.count(upstream) + 1
    this.#lanesActive++
    if (empty) this.#enterActive(upstream)
  }

  remove(upstream: UpstreamSlot, lane: LaneSlot): void {
    this.#unlink(upstream, lane)
    this.#counts[upstream] = this.count(upstream) - 1
    this.#lanesActive--
    if (this.count(upstream) === 0) this.#leaveActive(upstream)
  }

  /** Moves the first lane, which has been served, behind the others. */
  rotate(upstream: UpstreamSlot): void {
    if (this.count(upstream) < 2) return
    const lane = this.#upstreams.firstLane[upstream] as LaneSlot
    this.#unlink(upstream, lane)
    const tail = this.#upstreams.lastLane[upstream] as number
    this.#lanes.prevLane[lane] = tail
    this.#lanes.nextLane[lane] = NONE
    this.#lanes.nextLane[tail] = lane
    this.#upstreams.lastLane[upstream] = lane
  }

  /** Visits the lanes in round-robin order; `visit` must not add or remove any. */
  forEachLane(upstream: UpstreamSlot, visit: (lane: LaneSlot) => void): void {
    let lane = this.first(upstream) as number
    while (lane !== NONE) {
      visit(lane as LaneSlot)
      lane = this.#lanes.nextLane[lane] as number
    }
  }

  /** Visits the upstreams that have lanes in their lists; `visit` must not add or remove any. */
  forEachUpstream(visit: (upstream: UpstreamSlot) => void): void {
    let upstream = this.#activeHead
    while (upstream !== NONE) {
      const next = this.#upstreams.activeNext[upstream] as number
      visit(upstream as UpstreamSlot)
      upstream = next
    }
  }

  #unlink(upstream: UpstreamSlot, lane: LaneSlot): void {
    const { firstLane, lastLane } = this.#upstreams
    const { nextLane, prevLane } = this.#lanes
    const next = nextLane[lane] as number
    const prev = prevLane[lane] as number
    if (prev === NONE) firstLane[upstream] = next
    else nextLane[prev] = next
    if (next === NONE) lastLane[upstream] = prev
    else prevLane[next] = prev
  }

  #enterActive(upstream: UpstreamSlot): void {
    const { activeNext, activePrev } = this.#upstreams
    activeNext[upstream] = this.#activeHead
    activePrev[upstream] = NONE
    if (this.#activeHead !== NONE) activePrev[this.#activeHead] = upstream
    this.#activeHead = upstream
  }

  #leaveActive(upstream: UpstreamSlot): void {
    const { activeNext, activePrev } = this.#upstreams
    const next = activeNext[upstream] as number
    const prev = activePrev[upstream] as number
    if (prev === NONE) this.#activeHead = next
    else activeNext[prev] = next
    if (next !== NONE) activePrev[next] = prev
  }
}
