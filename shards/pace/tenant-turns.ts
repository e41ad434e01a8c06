// The lanes of a tenant at an upstream take one turn together: one of them is in the upstream's
// list, its front; the others wait behind it, in the order of their turns.
// Thread: shard. Memory: links of the lanes that wait behind, in views.lanes; 13 private bytes per
// lane, in addition to --memory, touched when a lane of a tenant has jobs.
// Never: allocates, or changes an upstream's list. Derived state: rebuilt from the lanes' lists of
// jobs.

import { assert } from '../base/assert.ts'
import { type LaneSlot, NONE } from '../base/units.ts'
import type { LaneArrays, ShardViews } from '../memory/layout.ts'
import { indexEntries } from '../memory/plan.ts'
import { SlotIndex } from '../memory/slot-index.ts'

/** Spreads upstreams over the index, whose other part is a hash already. */
const UPSTREAM_SPREAD = 0x9e3779b1
/** Words of a front in a baton: the lane, and the first and last of those behind it. */
const FRONT_WORDS = 3

/** The tenants' lanes of one shard. */
export class TenantTurns {
  readonly #lanes: LaneArrays
  readonly #entries: Uint32Array
  readonly #fronts: SlotIndex
  /** By front: the first and last lane behind it, as lane + 1; 0 for none. */
  readonly #head: Uint32Array
  readonly #tail: Uint32Array

  constructor({ lanes, limits }: ShardViews) {
    this.#lanes = lanes
    this.#entries = new Uint32Array(indexEntries(limits.lanesMax))
    this.#fronts = new SlotIndex(this.#entries, (lane) => this.#hashOf(lane))
    this.#head = new Uint32Array(limits.lanesMax)
    this.#tail = new Uint32Array(limits.lanesMax)
  }

  /** The fronts, with the ends of what is behind them. */
  handOver(): Uint32Array {
    const fronts = new Uint32Array(FRONT_WORDS * this.#fronts.size)
    let at = 0
    if (fronts.length === 0) return fronts
    for (const entry of this.#entries) {
      if (entry === 0) continue
      fronts.set([entry - 1, this.#head[entry - 1] as number, this.#tail[entry - 1] as number], at)
      at += FRONT_WORDS
    }
    return fronts
  }

  takeOver(fronts: Uint32Array): void {
    for (let at = 0; at < fronts.length; at += FRONT_WORDS) {
      const lane = fronts[at] as number
      this.#fronts.insert(this.#hashOf(lane), lane)
      this.#head[lane] = fronts[at + 1] as number
      this.#tail[lane] = fronts[at + 2] as number
    }
  }

  /** Adds a lane. True: it is its tenant's first, so it goes into the upstream's list. */
  add(lane: LaneSlot): boolean {
    const front = this.#frontOf(lane)
    if (front === NONE) {
      this.#fronts.insert(this.#hashOf(lane), lane)
      return true
    }
    this.#putBehind(front, lane)
    return false
  }

  /** Removes a lane that waits behind its front; false if it is the front. */
  remove(lane: LaneSlot): boolean {
    const front = this.#frontOf(lane)
    if (front === lane) return false
    this.#takeOut(front, lane)
    return true
  }

  /** Whether no lane waits behind the front. */
  isAlone(front: LaneSlot): boolean {
    return this.#head[front] === 0
  }

  /** The front leaves. @returns the next front, to take its place in the list; NONE for none. */
  leave(front: LaneSlot): LaneSlot | typeof NONE {
    assert(this.#fronts.remove(this.#hashOf(front), front), 'a tenant has no front')
    const head = this.#head[front] as number
    if (head === 0) return NONE
    const next = head - 1
    this.#takeOut(front, next)
    this.#head[next] = this.#head[front] as number
    this.#tail[next] = this.#tail[front] as number
    this.#head[front] = 0
    this.#tail[front] = 0
    this.#fronts.insert(this.#hashOf(next), next)
    return next as LaneSlot
  }

  /** Visits the lanes behind a front; `visit` must not add or remove any. */
  forEachBehind(front: LaneSlot, visit: (lane: LaneSlot) => void): void {
    let lane = ((this.#head[front] as number) - 1) >>> 0
    while (lane !== NONE) {
      visit(lane as LaneSlot)
      lane = this.#lanes.nextLane[lane] as number
    }
  }

  #putBehind(front: number, lane: number): void {
    const tail = ((this.#tail[front] as number) - 1) >>> 0
    this.#lanes.prevLane[lane] = tail
    this.#lanes.nextLane[lane] = NONE
    if (tail === NONE) this.#head[front] = lane + 1
    else this.#lanes.nextLane[tail] = lane
    this.#tail[front] = lane + 1
  }

  #takeOut(front: number, lane: number): void {
    const { nextLane, prevLane } = this.#lanes
    const next = nextLane[lane] as number
    const prev = prevLane[lane] as number
    if (prev === NONE) this.#head[front] = (next + 1) >>> 0
    else nextLane[prev] = next
    if (next === NONE) this.#tail[front] = (prev + 1) >>> 0
    else prevLane[next] = prev
  }

  /** The front of the lane's tenant at its upstream, which may be the lane itself. */
  #frontOf(lane: LaneSlot): number {
    const { upstream, user } = this.#lanes
    return this.#fronts.find(this.#hashOf(lane), (front) =>
      user[front] === user[lane] && upstream[front] === upstream[lane])
  }

  #hashOf(lane: number): number {
    const { upstream, user } = this.#lanes
    const spread = Math.imul(upstream[lane] as number, UPSTREAM_SPREAD)
    return (spread + (user[lane] as number)) >>> 0
  }
}
