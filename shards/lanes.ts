// The lanes: one first-in-first-out line for each account at each upstream, and their slots.
// Thread: shard. Memory: owns views.lanes and views.laneIndex, and the line heads in them.
// Never: decides when a job leaves; that is the pacer's. Imports no Node module.
// A lane is taken when an account's first job arrives and kept when it empties: its pace and its
// last send hold until lanes run short, then the longest idle goes, if idle long enough and not
// due in the future. When none can go, the account's jobs join the upstream's overflow lane, and
// new accounts go on doing so until that is empty: nobody's later job overtakes an earlier one.
// A job's place in its line is a number in its slot, a fact; the links follow from it.

import { assert } from './assert.ts'
import { JobLists } from './job-list.ts'
import type { JobSlots } from './job-slots.ts'
import type { LaneArrays, ShardViews } from './layout.ts'
import { IDLE_KEEP_MS_MIN } from './limits.ts'
import { Marks } from './marks.ts'
import { eligibleAtUs } from './pace.ts'
import { LANES_FRESH } from './progress.ts'
import { sortByTime } from './radix-sort.ts'
import { SlotIndex } from './slot-index.ts'
import {
  type JobSlot, type LaneSlot, type Micros, NONE, US_PER_MS, type UpstreamSlot,
} from './units.ts'

/** The slot is in use. */
export const LANE_USED = 1
/** The lane spends a budget of its own: its interval and limit hold. */
export const LANE_OWN_BUDGET = 2
/** The lane is in its upstream's turn list: jobs wait in it. */
export const LANE_ACTIVE = 4
/** The lane waits for one of its requests in flight to end. */
export const LANE_BLOCKED = 8

/** How many idle lanes are looked at to find one that may go. */
const RECLAIM_LOOKS_MAX = 16

/** Heads and counts; lines, links and the index stay where they are. */
export interface LanesBaton {
  readonly idleHead: number
  readonly idleTail: number
  readonly free: number
  readonly fresh: number
  readonly used: number
  readonly indexed: number
}

/** Lanes of one shard. */
export class Lanes {
  readonly at: LaneArrays
  readonly #jobs: JobSlots
  readonly #marks: Marks
  readonly #lines: JobLists
  readonly #index: SlotIndex
  readonly #siblingHead: Uint32Array
  readonly #upstreamsMax: number
  readonly #lanesMax: number
  readonly #progress: Uint32Array
  /** Idle lanes, the longest idle first. */
  #idleHead = NONE
  #idleTail = NONE
  #free = NONE
  #fresh: number
  #used = 0

  constructor(views: ShardViews, jobs: JobSlots, marks = new Marks(views, false)) {
    this.at = views.lanes
    this.#marks = marks
    this.#jobs = jobs
    this.#lines = new JobLists(views.jobs, views.lanes.head, views.lanes.tail)
    this.#index = new SlotIndex(views.laneIndex, (lane) => this.at.keyLow[lane] as number)
    this.#siblingHead = views.upstreams.siblingHead
    this.#upstreamsMax = views.limits.upstreamsMax
    this.#lanesMax = views.limits.lanesMax
    this.#progress = views.progress
    this.#fresh = this.#upstreamsMax
  }

  /**
   * After another thread's death, on its memory: all lanes are there, their lines empty and named
   * by no job. To be followed by addReference() and link() for each job, then settle().
   */
  recover(): void {
    const { at } = this
    this.#fresh = this.#upstreamsMax + (this.#progress[LANES_FRESH] as number)
    this.#index.recover(this.#fresh)
    this.#siblingHead.fill(0)
    for (let lane = this.#fresh - 1; lane >= 0; lane--) {
      const flags = at.flags[lane] as number
      if (flags !== 0) this.#adopt(lane as LaneSlot, flags)
      else if (!this.isOverflow(lane as LaneSlot)) this.#pushFree(lane)
    }
  }

  /** Lanes that no job names become idle, the longest unused first. */
  settleIdle(): void {
    const { flags, references, lastSendUs } = this.at
    const idle = new Uint32Array(this.#used)
    const times = new Float64Array(this.#used)
    let count = 0
    for (let lane = this.#upstreamsMax; lane < this.#fresh; lane++) {
      if (flags[lane] === 0 || (references[lane] as number) > 0) continue
      idle[count] = lane
      times[count++] = lastSendUs[lane] as number
    }
    for (const lane of sortByTime(idle, times, count)) this.#enterIdle(lane as LaneSlot)
  }

  /** What a successor on the same memory begins with. */
  handOver(): LanesBaton {
    return {
      idleHead: this.#idleHead, idleTail: this.#idleTail, free: this.#free, fresh: this.#fresh,
      used: this.#used, indexed: this.#index.size,
    }
  }

  takeOver(baton: LanesBaton): void {
    this.#idleHead = baton.idleHead
    this.#idleTail = baton.idleTail
    this.#free = baton.free
    this.#fresh = baton.fresh
    this.#used = baton.used
    this.#index.takeOver(baton.indexed)
  }

  get used(): number {
    return this.#used
  }

  isOverflow(lane: LaneSlot): boolean {
    return lane < this.#upstreamsMax
  }

  /** The lane with this key, a new one, or the upstream's overflow lane. */
  find(keyHigh: number, keyLow: number, upstream: UpstreamSlot, nowUs: Micros): LaneSlot {
    const { at } = this
    const known = this.#index.find(keyLow, (lane) => at.keyHigh[lane] === keyHigh &&
      at.keyLow[lane] === keyLow && at.upstream[lane] === upstream)
    if (known !== NONE) return known as LaneSlot
    // Some of the account's jobs may be in the overflow lane: later ones must not overtake them.
    if (this.#isShared(upstream)) return this.overflow(upstream)
    const lane = this.#takeFree(nowUs)
    if (lane === NONE) return this.overflow(upstream)
    this.touch(lane as LaneSlot)
    at.keyHigh[lane] = keyHigh
    at.keyLow[lane] = keyLow
    this.#begin(lane as LaneSlot, upstream)
    this.#index.insert(keyLow, lane)
    return lane as LaneSlot
  }

  /** The upstream's overflow lane, which is a webhook receiver's only one. */
  overflow(upstream: UpstreamSlot): LaneSlot {
    const lane = upstream as number as LaneSlot
    if (this.at.flags[lane] === 0) this.#begin(lane, upstream)
    return lane
  }

  /** A job names the lane from now on; it is not idle. */
  addReference(lane: LaneSlot): void {
    if (this.at.references[lane] === 0) this.#leaveIdle(lane)
    this.adoptReference(lane)
  }

  /** The same in a recovery, where idle lanes do not stand in their list yet. */
  adoptReference(lane: LaneSlot): void {
    this.at.references[lane] = (this.at.references[lane] as number) + 1
  }

  /** A job no longer names the lane; the last one leaves it idle. */
  dropReference(lane: LaneSlot): void {
    const references = this.at.references[lane] as number
    assert(references > 0, 'a lane lost more references than it had')
    this.at.references[lane] = references - 1
    if (references === 1) this.#enterIdle(lane)
  }

  /** To be called before a fact of the lane is changed, other than by a method here. */
  touch(lane: LaneSlot): void {
    this.#marks.lane(lane)
  }

  count(lane: LaneSlot): number {
    return this.at.count[lane] as number
  }

  /**
   * Gives a job its place: behind all others or (a retry whose wait is over) before them. Written
   * before the job's state says that it waits; link() then puts it there.
   */
  place(lane: LaneSlot, slot: JobSlot, atFront: boolean): void {
    const { order } = this.#jobs.at
    this.#jobs.touch(slot)
    const first = atFront ? this.#lines.first(lane) : NONE
    if (first !== NONE) {
      order[slot] = (order[first] as number) - 1
      return
    }
    this.touch(lane)
    const last = this.at.nextOrder[lane] as number
    this.at.nextOrder[lane] = last + 1
    order[slot] = last
  }

  /** Puts a job that has its place into the line. */
  link(lane: LaneSlot, slot: JobSlot, atFront: boolean): void {
    if (atFront) this.#lines.pushFront(lane, slot)
    else this.#lines.pushBack(lane, slot)
    this.at.count[lane] = this.count(lane) + 1
  }

  first(lane: LaneSlot): JobSlot | typeof NONE {
    return this.#lines.first(lane)
  }

  remove(lane: LaneSlot, slot: JobSlot): void {
    this.#lines.remove(lane, slot)
    this.at.count[lane] = this.count(lane) - 1
  }

  /**
   * The job's place in its lane, 1 for the next to leave. Jobs cancelled from the middle leave
   * holes, so it may be too high until those before it have left, never beyond the lane's count.
   */
  position(lane: LaneSlot, slot: JobSlot): number {
    const first = this.#lines.first(lane)
    if (first === NONE) return 1
    const orders = this.#jobs.at.order
    const ahead = ((orders[slot] as number) - (orders[first] as number)) >>> 0
    return Math.min(ahead + 1, this.count(lane))
  }

  /** Visits every lane of the upstream, idle ones too. `visit` must not free lanes. */
  forEachOf(upstream: UpstreamSlot, visit: (lane: LaneSlot) => void): void {
    for (let lane = this.#siblingFirst(upstream); lane !== NONE;
      lane = this.at.siblingNext[lane] as number) visit(lane as LaneSlot)
  }

  /** Visits every lane in which jobs wait. `visit` must not free lanes. */
  forEachWaiting(visit: (lane: LaneSlot) => void): void {
    for (let lane = 0; lane < this.#fresh; lane++) {
      if (this.at.flags[lane] !== 0 && (this.at.count[lane] as number) > 0) visit(lane as LaneSlot)
    }
  }

  /** Frees all lanes of an upstream that no job names; its record goes back. */
  releaseAllOf(upstream: UpstreamSlot): void {
    let lane = this.#siblingFirst(upstream)
    while (lane !== NONE) {
      const next = this.at.siblingNext[lane] as number
      assert(this.at.references[lane] === 0, 'a lane is named by a job of a released upstream')
      this.#leaveIdle(lane as LaneSlot)
      this.#release(lane as LaneSlot)
      lane = next
    }
  }

  /** Whether accounts without a lane of their own have jobs at the upstream. */
  #isShared(upstream: UpstreamSlot): boolean {
    return this.at.flags[upstream] !== 0 && (this.at.references[upstream] as number) > 0
  }

  #begin(lane: LaneSlot, upstream: UpstreamSlot): void {
    const { at } = this
    this.touch(lane)
    at.upstream[lane] = upstream
    at.baseUs[lane] = 0
    at.lastSendUs[lane] = 0
    at.intervalNs[lane] = 0
    at.concurrentMax[lane] = 0
    at.nextOrder[lane] = 0
    at.flags[lane] = LANE_USED // from here on it is a lane
    this.#makeEmpty(lane, upstream)
    this.#enterIdle(lane)
  }

  #makeEmpty(lane: LaneSlot, upstream: UpstreamSlot): void {
    const { at } = this
    at.count[lane] = 0
    at.inFlight[lane] = 0
    at.references[lane] = 0
    this.#lines.reset(lane)
    const head = this.#siblingFirst(upstream)
    at.siblingNext[lane] = head
    at.siblingPrev[lane] = NONE
    if (head !== NONE) at.siblingPrev[head] = lane
    this.#siblingHead[upstream] = lane + 1
    this.#used++
  }

  /** Of a lane's flags, two are facts. */
  #adopt(lane: LaneSlot, flags: number): void {
    const { at } = this
    at.flags[lane] = flags & (LANE_USED | LANE_OWN_BUDGET)
    this.#makeEmpty(lane, at.upstream[lane] as UpstreamSlot)
    if (!this.isOverflow(lane)) this.#index.insert(at.keyLow[lane] as number, lane)
  }

  #release(lane: LaneSlot): void {
    const { at } = this
    this.touch(lane)
    const next = at.siblingNext[lane] as number
    const prev = at.siblingPrev[lane] as number
    if (prev === NONE) this.#siblingHead[at.upstream[lane] as number] = next === NONE ? 0 : next + 1
    else at.siblingNext[prev] = next
    if (next !== NONE) at.siblingPrev[next] = prev
    at.flags[lane] = 0
    this.#used--
    if (this.isOverflow(lane)) return
    assert(this.#index.remove(at.keyLow[lane] as number, lane), 'a lane was not indexed')
    this.#pushFree(lane)
  }

  #pushFree(lane: number): void {
    this.at.turnNext[lane] = this.#free
    this.#free = lane
  }

  /** Zero means none in fresh memory, so heads of sibling lists are kept as lane + 1. */
  #siblingFirst(upstream: UpstreamSlot): number {
    return ((this.#siblingHead[upstream] as number) - 1) >>> 0
  }

  #takeFree(nowUs: Micros): number {
    const lane = this.#free
    if (lane !== NONE) {
      this.#free = this.at.turnNext[lane] as number
      return lane
    }
    if (this.#fresh === this.#lanesMax) return this.#reclaim(nowUs)
    const fresh = this.#fresh++
    this.#progress[LANES_FRESH] = this.#fresh - this.#upstreamsMax
    return fresh
  }

  /** The longest idle lane that may be given back, taken out of its place; else NONE. */
  #reclaim(nowUs: Micros): number {
    let lane = this.#idleHead
    for (let looks = 0; lane !== NONE && looks < RECLAIM_LOOKS_MAX; looks++) {
      if (this.#mayGo(lane as LaneSlot, nowUs)) {
        this.#leaveIdle(lane as LaneSlot)
        this.#release(lane as LaneSlot)
        this.#free = this.at.turnNext[lane] as number
        return lane
      }
      lane = this.at.turnNext[lane] as number
    }
    return NONE
  }

  #mayGo(lane: LaneSlot, nowUs: Micros): boolean {
    const { at } = this
    const lastSendUs = at.lastSendUs[lane] as number
    if (lastSendUs > 0 && nowUs - lastSendUs < IDLE_KEEP_MS_MIN * US_PER_MS) return false
    return eligibleAtUs(at.baseUs[lane] as number, at.intervalNs[lane] as number) <= nowUs
  }

  /** Overflow lanes are never given back, so they do not stand in the idle list. */
  #enterIdle(lane: LaneSlot): void {
    if (this.isOverflow(lane)) return
    const tail = this.#idleTail
    this.at.turnPrev[lane] = tail
    this.at.turnNext[lane] = NONE
    if (tail === NONE) this.#idleHead = lane
    else this.at.turnNext[tail] = lane
    this.#idleTail = lane
  }

  #leaveIdle(lane: LaneSlot): void {
    if (this.isOverflow(lane)) return
    const next = this.at.turnNext[lane] as number
    const prev = this.at.turnPrev[lane] as number
    if (prev === NONE) this.#idleHead = next
    else this.at.turnNext[prev] = next
    if (next === NONE) this.#idleTail = prev
    else this.at.turnPrev[next] = prev
  }
}
