// The lanes: one first-in-first-out line for each account at each upstream, and their slots.
// Thread: shard. Memory: owns views.lanes and views.laneIndex, and the line heads in them.
// Never: decides when a job leaves; that is the pacer's. Imports no Node module.
// A lane is taken when an account's first job arrives and kept when it empties: its pace and its
// last send hold until lanes run short, then the longest idle goes, if idle long enough and not
// due in the future. A lane that accounts share is for those whose upstream or user has its share
// of the lanes: users are put into groups by their hash, and each group has one (stochastic
// fairness queueing, McKenney 1990), in which the users take turns. Where no lane can be had, it
// is the upstream's overflow lane, which is always there. While a shared lane is named by a job,
// all accounts of its group that have no lane of their own join it: nobody's later job overtakes
// an earlier one.
// A job's place in its line is a number in its slot, a fact; the links follow from it.

import { assert } from '../base/assert.ts'
import { sortByTime } from '../base/radix-sort.ts'
import {
  type JobSlot, type LaneSlot, type Micros, NONE, US_PER_MS, type UpstreamSlot,
} from '../base/units.ts'
import { LANES_FRESH } from '../memory/crash-notes.ts'
import { Marks } from '../memory/dirty-pages.ts'
import { JobLists } from '../memory/job-list.ts'
import { laneGroupOf, laneGroups } from '../memory/lane-limits.ts'
import type { LaneArrays, ShardViews } from '../memory/layout.ts'
import { IDLE_KEEP_MS_MIN } from '../memory/limits.ts'
import type { ShareCounts } from '../memory/share.ts'
import { SlotIndex } from '../memory/slot-index.ts'
import type { JobSlots } from '../store/job-slots.ts'
import type { PoolWarning } from '../wire/contract.ts'
import { LaneShares, type LaneSharesBaton } from './lane-shares.ts'
import { eligibleAtUs } from './pace.ts'
import { nextOfSharedLane } from './shared-lane-order.ts'

/** The slot is in use. */
export const LANE_USED = 1
/** The lane spends a budget of its own: its interval and limit hold. */
export const LANE_ACCOUNT_QUEUE = 2
/** The lane is in its upstream's turn list: jobs wait in it. */
export const LANE_ACTIVE = 4
/** The lane waits for one of its requests in flight to end. */
export const LANE_BLOCKED = 8
/** Accounts share the lane: their users take turns in it. */
export const LANE_SHARED = 16
/** Of a lane's flags, those that are facts. */
export const LANE_FACTS = LANE_USED | LANE_ACCOUNT_QUEUE | LANE_SHARED

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
  readonly shares: LaneSharesBaton
}

/** What the key of a shared lane is spread over the index by: odd, so no two become one. */
const KEY_SPREAD = 0x9e3779b1
const UPSTREAM_BITS = 14

/** Lanes of one shard. */
export class Lanes {
  readonly at: LaneArrays
  readonly #jobs: JobSlots
  readonly #marks: Marks
  readonly #lines: JobLists
  readonly #index: SlotIndex
  readonly #shares: LaneShares
  readonly #groups: number
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
    this.#shares = new LaneShares(views.limits)
    this.#groups = laneGroups(views.limits)
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
    this.#shares.recover()
    this.#siblingHead.fill(0)
    for (let lane = this.#fresh - 1; lane >= 0; lane--) {
      const flags = at.flags[lane] as number
      if (flags !== 0) this.#adopt(lane as LaneSlot, flags)
      else if (!this.#isOverflow(lane)) this.#pushFree(lane)
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
      used: this.#used, indexed: this.#index.size, shares: this.#shares.handOver(),
    }
  }

  takeOver(baton: LanesBaton): void {
    this.#idleHead = baton.idleHead
    this.#idleTail = baton.idleTail
    this.#free = baton.free
    this.#fresh = baton.fresh
    this.#used = baton.used
    this.#index.takeOver(baton.indexed)
    this.#shares.takeOver(baton.shares)
  }

  get used(): number {
    return this.#used
  }

  /** Of the pool that lanes come out of. */
  get counts(): Readonly<ShareCounts> {
    return this.#shares.counts
  }

  /** What of that pool is to be warned of since the last call. */
  takeWarning(): PoolWarning | undefined {
    return this.#shares.takeWarning()
  }

  /** Whether accounts share the lane. */
  isShared(lane: LaneSlot): boolean {
    return ((this.at.flags[lane] as number) & LANE_SHARED) !== 0
  }

  /** The account's lane, a new one, or one that it shares. @param user 32 bits of its hash. */
  find(
    keyHigh: number, keyLow: number, upstream: UpstreamSlot, user: number, nowUs: Micros,
  ): LaneSlot {
    const own = this.#findKey(keyHigh, keyLow, upstream, 0)
    if (own !== NONE) return own as LaneSlot
    // Some of the account's jobs may be in a shared lane: later ones must not overtake them.
    const group = laneGroupOf(user, this.#groups)
    const groupKey = groupKeyOf(group, upstream)
    const shared = this.#shares.hasShared(upstream)
      ? this.#findKey(group, groupKey, upstream, LANE_SHARED) : NONE
    if (shared !== NONE && this.#isNamed(shared)) return shared as LaneSlot
    if (this.#isNamed(upstream)) return this.#overflow(upstream)
    if (this.#takeOwn(upstream, user, nowUs)) {
      return this.#beginAs(this.#takeFree(), keyHigh, keyLow, upstream, 0, user)
    }
    // It may have been the idle lane that had to go.
    if (shared !== NONE && this.isShared(shared as LaneSlot)) return shared as LaneSlot
    if (!this.#shares.takeShared(upstream, nowUs)) return this.#overflow(upstream)
    return this.#beginAs(this.#takeFree(), group, groupKey, upstream, LANE_SHARED, 0)
  }

  /** A webhook receiver's only lane: its overflow lane, in which nobody takes turns. */
  ofReceiver(upstream: UpstreamSlot): LaneSlot {
    const lane = upstream as number as LaneSlot
    if (this.at.flags[lane] === 0) this.#begin(lane, upstream, 0, 0)
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

  /** The job that leaves next: the first; in a shared lane, the first of whose turn it is. */
  next(lane: LaneSlot): JobSlot | typeof NONE {
    const first = this.#lines.first(lane)
    return first === NONE || !this.isShared(lane) ? first
      : nextOfSharedLane(first, this.at.user[lane] as number, this.#jobs.at.route, this.#lines)
  }

  /** The job is about to leave: in a shared lane, other users are next. */
  countTurn(lane: LaneSlot, slot: JobSlot): void {
    if (!this.isShared(lane)) return
    this.touch(lane)
    this.at.user[lane] = this.#jobs.at.route[slot] as number
  }

  remove(lane: LaneSlot, slot: JobSlot): void {
    this.#lines.remove(lane, slot)
    this.at.count[lane] = this.count(lane) - 1
  }

  /**
   * The job's place in its lane, 1 for the first. Jobs cancelled from the middle leave holes, so
   * it may be too high until those before it have left, never beyond the lane's count.
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

  /** An upstream's first lane, which is not one of the pool. */
  #isOverflow(lane: number): boolean {
    return lane < this.#upstreamsMax
  }

  #overflow(upstream: UpstreamSlot): LaneSlot {
    const lane = upstream as number as LaneSlot
    if (this.at.flags[lane] === 0) this.#begin(lane, upstream, LANE_SHARED, 0)
    return lane
  }

  #findKey(keyHigh: number, keyLow: number, upstream: UpstreamSlot, shared: number): number {
    const { at } = this
    return this.#index.find(keyLow, (lane) => at.keyHigh[lane] === keyHigh &&
      at.keyLow[lane] === keyLow && at.upstream[lane] === upstream &&
      ((at.flags[lane] as number) & LANE_SHARED) === shared)
  }

  /** Whether the lane is in use and some job names it. */
  #isNamed(lane: number): boolean {
    return this.at.flags[lane] !== 0 && (this.at.references[lane] as number) > 0
  }

  #beginAs(
    lane: LaneSlot, keyHigh: number, keyLow: number, upstream: UpstreamSlot, shared: number,
    user: number,
  ): LaneSlot {
    const { at } = this
    this.touch(lane)
    at.keyHigh[lane] = keyHigh
    at.keyLow[lane] = keyLow
    this.#begin(lane, upstream, shared, user)
    this.#index.insert(keyLow, lane)
    return lane
  }

  #begin(lane: LaneSlot, upstream: UpstreamSlot, shared: number, user: number): void {
    const { at } = this
    this.touch(lane)
    at.upstream[lane] = upstream
    at.user[lane] = user
    at.baseUs[lane] = 0
    at.lastSendUs[lane] = 0
    at.intervalNs[lane] = 0
    at.concurrentMax[lane] = 0
    at.nextOrder[lane] = 0
    at.flags[lane] = LANE_USED | shared // from here on it is a lane
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

  #adopt(lane: LaneSlot, flags: number): void {
    const { at } = this
    const upstream = at.upstream[lane] as UpstreamSlot
    at.flags[lane] = flags & LANE_FACTS
    this.#makeEmpty(lane, upstream)
    if (this.#isOverflow(lane)) return
    this.#index.insert(at.keyLow[lane] as number, lane)
    if (this.isShared(lane)) this.#shares.adoptShared(upstream)
    else this.#shares.adoptOwn(upstream, at.user[lane] as number)
  }

  #release(lane: LaneSlot): void {
    const { at } = this
    this.touch(lane)
    const next = at.siblingNext[lane] as number
    const prev = at.siblingPrev[lane] as number
    if (prev === NONE) this.#siblingHead[at.upstream[lane] as number] = next === NONE ? 0 : next + 1
    else at.siblingNext[prev] = next
    if (next !== NONE) at.siblingPrev[next] = prev
    this.#used--
    const upstream = at.upstream[lane] as UpstreamSlot
    const isShared = this.isShared(lane)
    at.flags[lane] = 0
    if (this.#isOverflow(lane)) return
    if (isShared) this.#shares.giveShared(upstream)
    else this.#shares.giveOwn(upstream, at.user[lane] as number)
    assert(this.#index.remove(at.keyLow[lane] as number, lane), 'a lane was not indexed')
    this.#pushFree(lane)
  }

  #pushFree(lane: number): void {
    this.at.nextLane[lane] = this.#free
    this.#free = lane
  }

  /** Zero means none in fresh memory, so heads of sibling lists are kept as lane + 1. */
  #siblingFirst(upstream: UpstreamSlot): number {
    return ((this.#siblingHead[upstream] as number) - 1) >>> 0
  }

  /** Counts a lane for the account, out of what an idle one leaves if it has to be. */
  #takeOwn(upstream: UpstreamSlot, user: number, nowUs: Micros): boolean {
    if (!this.#shares.mayOwn(upstream, user)) this.#reclaim(nowUs)
    return this.#shares.takeOwn(upstream, user, nowUs)
  }

  /** A lane that has been counted, so there is one. */
  #takeFree(): LaneSlot {
    const lane = this.#free
    if (lane !== NONE) {
      this.#free = this.at.nextLane[lane] as number
      return lane as LaneSlot
    }
    assert(this.#fresh < this.#lanesMax, 'the lanes in use were miscounted')
    const fresh = this.#fresh++
    this.#progress[LANES_FRESH] = this.#fresh - this.#upstreamsMax
    return fresh as LaneSlot
  }

  /** Frees the longest idle lane that may be given back, if there is one. */
  #reclaim(nowUs: Micros): void {
    let lane = this.#idleHead
    for (let looks = 0; lane !== NONE && looks < RECLAIM_LOOKS_MAX; looks++) {
      if (this.#mayGo(lane as LaneSlot, nowUs)) {
        this.#leaveIdle(lane as LaneSlot)
        return this.#release(lane as LaneSlot)
      }
      lane = this.at.nextLane[lane] as number
    }
  }

  #mayGo(lane: LaneSlot, nowUs: Micros): boolean {
    const { at } = this
    const lastSendUs = at.lastSendUs[lane] as number
    if (lastSendUs > 0 && nowUs - lastSendUs < IDLE_KEEP_MS_MIN * US_PER_MS) return false
    return eligibleAtUs(at.baseUs[lane] as number, at.intervalNs[lane] as number) <= nowUs
  }

  /** Overflow lanes are never given back, so they do not stand in the idle list. */
  #enterIdle(lane: LaneSlot): void {
    if (this.#isOverflow(lane)) return
    const tail = this.#idleTail
    this.at.prevLane[lane] = tail
    this.at.nextLane[lane] = NONE
    if (tail === NONE) this.#idleHead = lane
    else this.at.nextLane[tail] = lane
    this.#idleTail = lane
  }

  #leaveIdle(lane: LaneSlot): void {
    if (this.#isOverflow(lane)) return
    const next = this.at.nextLane[lane] as number
    const prev = this.at.prevLane[lane] as number
    if (prev === NONE) this.#idleHead = next
    else this.at.nextLane[prev] = next
    if (next === NONE) this.#idleTail = prev
    else this.at.prevLane[next] = prev
  }
}

/** The key of a lane that accounts share: different for every group and upstream, and spread. */
export const groupKeyOf = (group: number, upstream: number): number =>
  Math.imul(group << UPSTREAM_BITS | upstream, KEY_SPREAD) >>> 0
