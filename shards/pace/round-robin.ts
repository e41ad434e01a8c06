// Round-robin lists: for each upstream its lanes with jobs, where all lanes of a tenant have one
// place; and the list of upstreams with such lanes, so that handling notices does not visit all
// upstreams.
// Thread: shard. Memory: lane links in views.lanes, list heads in views.upstreams, own counts.
// Never: decides anything. Derived state: rebuilt from the lanes' lists of jobs.

import { type LaneSlot, NONE, type UpstreamSlot } from '../base/units.ts'
import type { LaneArrays, ShardViews, UpstreamArrays } from '../memory/layout.ts'
import { LANE_TENANT } from './lanes.ts'
import { TenantTurns } from './tenant-turns.ts'

/** Counts and one list head; links and the other heads stay in shared memory. */
export interface RoundRobinBaton {
  readonly turns: Uint32Array
  readonly tenants: Uint32Array
  readonly activeHead: number
  readonly lanesActive: number
}

/** The lists of one shard. A list's head and links are valid only while it has a turn. */
export class RoundRobin {
  readonly #lanes: LaneArrays
  readonly #upstreams: UpstreamArrays
  readonly #turns: Uint32Array
  readonly #tenants: TenantTurns
  #activeHead = NONE
  #lanesActive = 0

  constructor(views: ShardViews) {
    this.#lanes = views.lanes
    this.#upstreams = views.upstreams
    this.#turns = new Uint32Array(views.limits.upstreamsMax)
    this.#tenants = new TenantTurns(views)
  }

  /** The state that a successor on the same memory starts from. */
  handOver(): RoundRobinBaton {
    return {
      turns: this.#turns, tenants: this.#tenants.handOver(),
      activeHead: this.#activeHead, lanesActive: this.#lanesActive,
    }
  }

  takeOver(baton: RoundRobinBaton): void {
    this.#turns.set(baton.turns)
    this.#tenants.takeOver(baton.tenants)
    this.#activeHead = baton.activeHead
    this.#lanesActive = baton.lanesActive
  }

  /** Number of lanes in all lists. */
  get lanesActive(): number {
    return this.#lanesActive
  }

  /** Places in the upstream's list: its lanes with jobs, those of one tenant counted once. */
  turns(upstream: UpstreamSlot): number {
    return this.#turns[upstream] as number
  }

  /** The next lane to serve, or NONE. */
  first(upstream: UpstreamSlot): LaneSlot | typeof NONE {
    return this.turns(upstream) === 0 ? NONE : this.#upstreams.firstLane[upstream] as LaneSlot
  }

  /** Adds a lane behind the others; if it is a tenant's, behind its other lanes. */
  add(upstream: UpstreamSlot, lane: LaneSlot): void {
    this.#lanesActive++
    if (!this.#isTenants(lane) || this.#tenants.add(lane)) this.#append(upstream, lane)
  }

  remove(upstream: UpstreamSlot, lane: LaneSlot): void {
    this.#lanesActive--
    if (this.#isTenants(lane)) {
      if (this.#tenants.remove(lane)) return
      const next = this.#tenants.leave(lane)
      if (next !== NONE) return this.#replace(upstream, lane, next)
    }
    this.#unlink(upstream, lane)
    this.#turns[upstream] = this.turns(upstream) - 1
    if (this.turns(upstream) === 0) this.#leaveActive(upstream)
  }

  /** Moves the first lane, which has been served, behind the others. */
  rotate(upstream: UpstreamSlot): void {
    const served = this.first(upstream)
    if (served === NONE) return
    const lane = this.#isTenants(served) ? this.#nextOfTenant(upstream, served as LaneSlot) : served
    if (this.turns(upstream) < 2) return
    this.#unlink(upstream, lane)
    const tail = this.#upstreams.lastLane[upstream] as number
    this.#lanes.prevLane[lane] = tail
    this.#lanes.nextLane[lane] = NONE
    this.#lanes.nextLane[tail] = lane
    this.#upstreams.lastLane[upstream] = lane
  }

  /** Visits the lanes in the order of the list; `visit` must not add or remove any. */
  forEachLane(upstream: UpstreamSlot, visit: (lane: LaneSlot) => void): void {
    let lane = this.first(upstream) as number
    while (lane !== NONE) {
      visit(lane as LaneSlot)
      if (this.#isTenants(lane)) this.#tenants.forEachBehind(lane as LaneSlot, visit)
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

  /** Gives the front's place to its tenant's next lane, if there is one. @returns who has it. */
  #nextOfTenant(upstream: UpstreamSlot, front: LaneSlot): LaneSlot {
    if (this.#tenants.isAlone(front)) return front
    const next = this.#tenants.leave(front) as LaneSlot
    this.#replace(upstream, front, next)
    this.#tenants.add(front)
    return next
  }

  #isTenants(lane: number): boolean {
    return ((this.#lanes.flags[lane] as number) & LANE_TENANT) !== 0
  }

  #append(upstream: UpstreamSlot, lane: LaneSlot): void {
    const { firstLane, lastLane } = this.#upstreams
    const { nextLane, prevLane } = this.#lanes
    const empty = this.turns(upstream) === 0
    const tail = empty ? NONE : lastLane[upstream] as number
    prevLane[lane] = tail
    nextLane[lane] = NONE
    if (empty) firstLane[upstream] = lane
    else nextLane[tail] = lane
    lastLane[upstream] = lane
    this.#turns[upstream] = this.turns(upstream) + 1
    if (empty) this.#enterActive(upstream)
  }

  /** Puts a lane that is in no list into the place of one that leaves it. */
  #replace(upstream: UpstreamSlot, lane: number, by: number): void {
    const { firstLane, lastLane } = this.#upstreams
    const { nextLane, prevLane } = this.#lanes
    const next = nextLane[lane] as number
    const prev = prevLane[lane] as number
    nextLane[by] = next
    prevLane[by] = prev
    if (prev === NONE) firstLane[upstream] = by
    else nextLane[prev] = by
    if (next === NONE) lastLane[upstream] = by
    else prevLane[next] = by
  }

  #unlink(upstream: UpstreamSlot, lane: number): void {
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
