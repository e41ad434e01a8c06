// The lanes: one FIFO for each account at each upstream, and their slots.
// Thread: shard. Memory: owns views.lanes and views.laneIndex, and the list heads in them.
// Never: decides when a job leaves; the pacer does. Imports no Node module.
// A lane is allocated when an account's first job arrives and kept when it empties, with its pace
// and its last send. When lanes run short, the longest idle one is reclaimed, if it has been idle
// long enough and its next send is not in the future. An account whose upstream or user has used up
// its share of the lanes gets a shared lane: users are put into groups by their hash, each group
// has one lane (stochastic fairness queueing, McKenney 1990), and its users are served round robin.
// If no lane can be allocated, the upstream's overflow lane is used, which always exists. While a
// job refers to a shared lane, all accounts of its group without a lane of their own join it, so
// that no later job of an account overtakes an earlier one.
// A job's place in its lane is a number in its slot, a fact; the links are derived from it.

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
/** The lane is an account queue: its own interval and limit apply. */
export const LANE_ACCOUNT_QUEUE = 2
/** The lane is in its upstream's round-robin list: jobs wait in it. */
export const LANE_ACTIVE = 4
/** The lane is at its in-flight limit and waits for one of its requests to end. */
export const LANE_BLOCKED = 8
/** Accounts share the lane; their users are served round robin. */
export const LANE_SHARED = 16
/** A lane of a tenant's account: at an upstream, all of one tenant take one turn together. */
export const LANE_TENANT = 32
/** The flags that are facts; the others are derived. */
export const LANE_FACTS = LANE_USED | LANE_ACCOUNT_QUEUE | LANE_SHARED | LANE_TENANT
/** What a lane's key is of, besides the upstream: an account, a tenant's account, or a group. */
const LANE_KINDS = LANE_SHARED | LANE_TENANT

/** Idle lanes that are examined to find one to reclaim. */
const RECLAIM_LOOKS_MAX = 16

/** Heads and counts; the lists, links and index stay in shared memory. */
export interface LanesBaton {
  readonly idleHead: number
  readonly idleTail: number
  readonly free: number
  readonly fresh: number
  readonly used: number
  readonly indexed: number
  readonly shares: LaneSharesBaton
}

/** Multiplier that spreads the keys of shared lanes over the index: odd, so keys stay distinct. */
const KEY_SPREAD = 0x9e3779b1
const UPSTREAM_BITS = 14

/** Lanes of one shard. */
export class Lanes {
  readonly at: LaneArrays
  readonly #jobs: JobSlots
  readonly #marks: Marks
  readonly #lists: JobLists
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
    this.#lists = new JobLists(views.jobs, views.lanes.head, views.lanes.tail)
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
   * Adopts the lanes of a crashed thread, empty and without references. To be followed by
   * adoptReference() and link() for each job, then settleIdle().
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

  /** Puts lanes without references into the idle list, the longest unused first. */
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

  /** The state that a successor on the same memory starts from. */
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

  /** Counts of the pool from which lanes are taken. */
  get counts(): Readonly<ShareCounts> {
    return this.#shares.counts
  }

  /** That pool's latest warning since the last call. */
  takeWarning(): PoolWarning | undefined {
    return this.#shares.takeWarning()
  }

  /** Whether accounts share the lane. */
  isShared(lane: LaneSlot): boolean {
    return ((this.at.flags[lane] as number) & LANE_SHARED) !== 0
  }

  /**
   * The account's lane, a new one, or a shared one.
   * @param user the `route` of its jobs, by which shares are counted.
   * @param kind LANE_TENANT for an account of a tenant, else 0.
   */
  find(
    keyHigh: number, keyLow: number, upstream: UpstreamSlot, user: number, nowUs: Micros, kind = 0,
  ): LaneSlot {
    const own = this.#findKey(keyHigh, keyLow, upstream, kind)
    if (own !== NONE) return own as LaneSlot
    // Some of the account's jobs may be in a shared lane: later ones must not overtake them.
    const group = laneGroupOf(user, this.#groups)
    const groupKey = groupKeyOf(group, upstream)
    const shared = this.#shares.hasShared(upstream)
      ? this.#findKey(group, groupKey, upstream, LANE_SHARED) : NONE
    if (shared !== NONE && this.#isNamed(shared)) return shared as LaneSlot
    if (this.#isNamed(upstream)) return this.#overflow(upstream)
    if (this.#takeOwn(upstream, user, nowUs)) {
      return this.#beginAs(this.#takeFree(), keyHigh, keyLow, upstream, kind, user)
    }
    // #takeOwn() may have reclaimed this very lane, so check again that it is in use.
    if (shared !== NONE && this.isShared(shared as LaneSlot)) return shared as LaneSlot
    if (!this.#shares.takeShared(upstream, nowUs)) return this.#overflow(upstream)
    return this.#beginAs(this.#takeFree(), group, groupKey, upstream, LANE_SHARED, 0)
  }

  /** A webhook receiver's only lane: its overflow lane, here a plain FIFO without round robin. */
  ofReceiver(upstream: UpstreamSlot): LaneSlot {
    const lane = upstream as number as LaneSlot
    if (this.at.flags[lane] === 0) this.#begin(lane, upstream, 0, 0)
    return lane
  }

  /** Adds a job's reference to the lane, which is then not idle. */
  addReference(lane: LaneSlot): void {
    if (this.at.references[lane] === 0) this.#leaveIdle(lane)
    this.adoptReference(lane)
  }

  /** The same during recovery, before the idle list is built. */
  adoptReference(lane: LaneSlot): void {
    this.at.references[lane] = (this.at.references[lane] as number) + 1
  }

  /** Drops a job's reference; without any the lane becomes idle. */
  dropReference(lane: LaneSlot): void {
    const references = this.at.references[lane] as number
    assert(references > 0, 'a lane lost more references than it had')
    this.at.references[lane] = references - 1
    if (references === 1) this.#enterIdle(lane)
  }

  /** To be called before a fact of the lane is changed by code outside of this class. */
  touch(lane: LaneSlot): void {
    this.#marks.lane(lane)
  }

  count(lane: LaneSlot): number {
    return this.at.count[lane] as number
  }

  /**
   * Gives a job its place: behind all others or (a retry that is due) before them. Written before
   * the job's state says that it is queued; link() then inserts it there.
   */
  place(lane: LaneSlot, slot: JobSlot, atFront: boolean): void {
    const { order } = this.#jobs.at
    this.#jobs.touch(slot)
    const first = atFront ? this.#lists.first(lane) : NONE
    if (first !== NONE) {
      order[slot] = (order[first] as number) - 1
      return
    }
    this.touch(lane)
    const last = this.at.nextOrder[lane] as number
    this.at.nextOrder[lane] = last + 1
    order[slot] = last
  }

  /** Inserts a job that has its place into the lane's list. */
  link(lane: LaneSlot, slot: JobSlot, atFront: boolean): void {
    if (atFront) this.#lists.pushFront(lane, slot)
    else this.#lists.pushBack(lane, slot)
    this.at.count[lane] = this.count(lane) + 1
  }

  first(lane: LaneSlot): JobSlot | typeof NONE {
    return this.#lists.first(lane)
  }

  /** The job that leaves next: the first; in a shared lane, the first of the next user. */
  next(lane: LaneSlot): JobSlot | typeof NONE {
    const first = this.#lists.first(lane)
    return first === NONE || !this.isShared(lane) ? first
      : nextOfSharedLane(first, this.at.user[lane] as number, this.#jobs.at.route, this.#lists)
  }

  /** Records that the job is about to leave: in a shared lane, the next user follows. */
  countTurn(lane: LaneSlot, slot: JobSlot): void {
    if (!this.isShared(lane)) return
    this.touch(lane)
    this.at.user[lane] = this.#jobs.at.route[slot] as number
  }

  remove(lane: LaneSlot, slot: JobSlot): void {
    this.#lists.remove(lane, slot)
    this.at.count[lane] = this.count(lane) - 1
  }

  /**
   * The job's position in its lane, 1 for the first. Jobs cancelled from the middle leave gaps, so
   * it may be too high until the jobs before it have left, but never above the lane's count.
   */
  position(lane: LaneSlot, slot: JobSlot): number {
    const first = this.#lists.first(lane)
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

  /** Frees all lanes of an upstream without references, whose record is being released. */
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

  /** Whether it is an upstream's overflow lane, which does not come from the pool. */
  #isOverflow(lane: number): boolean {
    return lane < this.#upstreamsMax
  }

  #overflow(upstream: UpstreamSlot): LaneSlot {
    const lane = upstream as number as LaneSlot
    if (this.at.flags[lane] === 0) this.#begin(lane, upstream, LANE_SHARED, 0)
    return lane
  }

  #findKey(keyHigh: number, keyLow: number, upstream: UpstreamSlot, kind: number): number {
    const { at } = this
    return this.#index.find(keyLow, (lane) => at.keyHigh[lane] === keyHigh &&
      at.keyLow[lane] === keyLow && at.upstream[lane] === upstream &&
      ((at.flags[lane] as number) & LANE_KINDS) === kind)
  }

  /** Whether the lane is in use and some job refers to it. */
  #isNamed(lane: number): boolean {
    return this.at.flags[lane] !== 0 && (this.at.references[lane] as number) > 0
  }

  #beginAs(
    lane: LaneSlot, keyHigh: number, keyLow: number, upstream: UpstreamSlot, kind: number,
    user: number,
  ): LaneSlot {
    const { at } = this
    this.touch(lane)
    at.keyHigh[lane] = keyHigh
    at.keyLow[lane] = keyLow
    this.#begin(lane, upstream, kind, user)
    this.#index.insert(keyLow, lane)
    return lane
  }

  #begin(lane: LaneSlot, upstream: UpstreamSlot, kind: number, user: number): void {
    const { at } = this
    this.touch(lane)
    at.upstream[lane] = upstream
    at.user[lane] = user
    at.baseUs[lane] = 0
    at.lastSendUs[lane] = 0
    at.intervalNs[lane] = 0
    at.concurrentMax[lane] = 0
    at.nextOrder[lane] = 0
    at.flags[lane] = LANE_USED | kind // decides: the lane exists from here on
    this.#makeEmpty(lane, upstream)
    this.#enterIdle(lane)
  }

  #makeEmpty(lane: LaneSlot, upstream: UpstreamSlot): void {
    const { at } = this
    at.count[lane] = 0
    at.inFlight[lane] = 0
    at.references[lane] = 0
    this.#lists.reset(lane)
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

  /** Fresh memory is zero, which must mean "none": sibling list heads are stored as lane + 1. */
  #siblingFirst(upstream: UpstreamSlot): number {
    return ((this.#siblingHead[upstream] as number) - 1) >>> 0
  }

  /** Counts a lane for the account; reclaims an idle one first if that is necessary. */
  #takeOwn(upstream: UpstreamSlot, user: number, nowUs: Micros): boolean {
    if (!this.#shares.mayOwn(upstream, user)) this.#reclaim(nowUs)
    return this.#shares.takeOwn(upstream, user, nowUs)
  }

  /** A free lane; one exists, since it was counted against the pool before. */
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

  /** Frees the longest idle lane that may be reclaimed, if one is among the first few. */
  #reclaim(nowUs: Micros): void {
    let lane = this.#idleHead
    for (let looks = 0; lane !== NONE && looks < RECLAIM_LOOKS_MAX; looks++) {
      if (this.#mayReclaim(lane as LaneSlot, nowUs)) {
        this.#leaveIdle(lane as LaneSlot)
        return this.#release(lane as LaneSlot)
      }
      lane = this.at.nextLane[lane] as number
    }
  }

  #mayReclaim(lane: LaneSlot, nowUs: Micros): boolean {
    const { at } = this
    const lastSendUs = at.lastSendUs[lane] as number
    if (lastSendUs > 0 && nowUs - lastSendUs < IDLE_KEEP_MS_MIN * US_PER_MS) return false
    return eligibleAtUs(at.baseUs[lane] as number, at.intervalNs[lane] as number) <= nowUs
  }

  /** Overflow lanes are never reclaimed, so they are not in the idle list. */
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

/** The index key of a shared lane: distinct for each group and upstream, and spread. */
export const groupKeyOf = (group: number, upstream: number): number =>
  Math.imul(group << UPSTREAM_BITS | upstream, KEY_SPREAD) >>> 0
