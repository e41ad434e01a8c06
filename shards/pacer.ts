// Who may send next, and when: lanes with jobs wait here for their budget's time.
// Thread: shard. Memory: turn lists and counts in views.lanes and views.upstreams; the lane wheel.
// Never: reads a clock, touches a socket, looks into a job's record.
// With account queues off, an upstream is in the wheel and its lanes take turns at the shared
// budget (deficit round robin, Shreedhar and Varghese 1995; every send costs one, so a deficit
// never carries over). With account queues on, each lane is in the wheel with its own budget.

import { assert } from './assert.ts'
import type { PaceUpdate } from './headers.ts'
import {
  LANE_ACTIVE, LANE_BLOCKED, LANE_OWN_BUDGET, type Lanes,
} from './lanes.ts'
import {
  type ShardViews, KIND_UPSTREAM, UPSTREAM_CONCURRENT_MAX, UPSTREAM_INTERVAL_NS,
} from './layout.ts'
import { SENDS_PER_TURN_MAX } from './limits.ts'
import {
  baseAfterSend, baseAfterWrite, baseHeldUntil, eligibleAtUs, intervalNs, mayFollow,
  trailAfterWrite,
} from './pace.ts'
import type { SharedBudgets } from './shared-budget.ts'
import { TurnLists, type TurnListsBaton } from './turn-lists.ts'
import { type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot } from './units.ts'
import { MemberWheel, type MemberWheelBaton } from './wheel.ts'
import type { Writes } from './writes.ts'

/** How soon a lane looks again that could go, but for sockets, writes or another shard's turn. */
const LOOK_AGAIN_US = 1000

/** What the pacer asks of those who send. */
export interface Sender {
  /** Whether anything may be sent to the upstream now, its budget aside. */
  maySend(upstream: UpstreamSlot): boolean
  /** Ends the lane's first job if it is too late for it to begin; true when it did. */
  dropOverdue(lane: LaneSlot, slot: JobSlot, nowUs: Micros): boolean
  /** Starts an attempt; its budget is charged and the job has left its lane. */
  send(slot: JobSlot, lane: LaneSlot, upstream: UpstreamSlot, nowUs: Micros): void
}

/** Who is due when, and whose turn it is. */
export interface PacerBaton {
  readonly wheel: MemberWheelBaton
  readonly turns: TurnListsBaton
}

/** What an attempt spends: its lane's own budget or its upstream's, by so many ns. */
export interface Charge {
  readonly own: boolean
  readonly intervalNs: number
}

/** What a lane spends. */
export interface Budget extends Charge {
  readonly concurrentMax: number
}

/** The pacer of one shard. */
export class Pacer {
  readonly #views: ShardViews
  readonly #lanes: Lanes
  readonly #budgets: SharedBudgets
  readonly #writes: Writes
  readonly #wheel: MemberWheel
  readonly #turns: TurnLists
  readonly #sender: Sender
  /**
   * The switches of account queues followed so far: odd while lanes spend budgets of their own. A
   * fact, written when the lanes have forgotten the budgets of an earlier switch.
   */
  readonly #switches: Int32Array

  constructor(
    views: ShardViews, lanes: Lanes, budgets: SharedBudgets, writes: Writes, sender: Sender,
    nowUs: Micros,
  ) {
    this.#views = views
    this.#lanes = lanes
    this.#budgets = budgets
    this.#writes = writes
    this.#sender = sender
    this.#wheel = new MemberWheel(views.wheel, nowUs)
    this.#turns = new TurnLists(views)
    this.#switches = views.upstreams.switches
  }

  /** After another thread's death, once the lines are linked: their lanes take turns again. */
  recover(nowUs: Micros): void {
    this.#lanes.forEachWaiting((lane) => {
      const upstream = this.#upstreamOf(lane)
      this.#syncMode(upstream, nowUs)
      this.#addQueued(upstream, this.#lanes.count(lane))
      this.#activate(lane, upstream)
    })
  }

  /** What a successor on the same memory begins with. The pacer must not be used after it. */
  handOver(): PacerBaton {
    return { wheel: this.#wheel.handOver(), turns: this.#turns.handOver() }
  }

  takeOver(baton: PacerBaton): void {
    this.#wheel.takeOver(baton.wheel)
    this.#turns.takeOver(baton.turns)
  }

  /** Lanes with jobs waiting. */
  get activeLanes(): number {
    return this.#turns.lanesActive
  }

  /** When the next lane or upstream is due. */
  nextUs(): Micros {
    return this.#wheel.nextUs()
  }

  /** Adds a job, which has its place, to its lane's line: at the end or (a retry) at the front. */
  enqueue(lane: LaneSlot, slot: JobSlot, atFront: boolean, nowUs: Micros): void {
    const upstream = this.#upstreamOf(lane)
    this.#syncMode(upstream, nowUs)
    this.#lanes.link(lane, slot, atFront)
    this.#addQueued(upstream, 1)
    if (!this.#has(lane, LANE_ACTIVE)) this.#activate(lane, upstream)
  }

  /** Takes a waiting job out of its lane's line. */
  withdraw(lane: LaneSlot, slot: JobSlot): void {
    this.#lanes.remove(lane, slot)
    const upstream = this.#upstreamOf(lane)
    this.#addQueued(upstream, -1)
    if (this.#lanes.count(lane) === 0) this.#deactivate(lane, upstream)
  }

  /** Sends what is due. @returns whether something was due. */
  advance(nowUs: Micros): boolean {
    const { lanesMax } = this.#views.limits
    return this.#wheel.advance(nowUs, (item) => {
      if (item < lanesMax) this.#serveOwn(item as LaneSlot, nowUs)
      else this.#serveShared((item - lanesMax) as UpstreamSlot, nowUs)
    }, SENDS_PER_TURN_MAX) > 0
  }

  /** An attempt ended: its token goes back, and whoever waited for one looks again. */
  attemptEnded(lane: LaneSlot, upstream: UpstreamSlot, nowUs: Micros): void {
    const inFlight = this.#lanes.at.inFlight
    assert((inFlight[lane] as number) > 0, 'a lane had fewer in flight than have ended')
    inFlight[lane] = (inFlight[lane] as number) - 1
    this.#budgets.giveBack(upstream)
    if (!this.#has(lane, LANE_BLOCKED)) return
    this.#flag(lane, LANE_BLOCKED, false)
    if (this.#has(lane, LANE_ACTIVE)) this.#wheel.reschedule(lane, nowUs)
  }

  /** Looks again at the upstreams that other shards have changed or freed a token of. */
  takeNotices(nowUs: Micros): void {
    if (!this.#budgets.takeNotices()) return
    this.#turns.forEachUpstream((upstream) => {
      if (this.#budgets.takeNotice(upstream)) this.#lookAgain(upstream, nowUs)
    })
  }

  /** What a response said of pace, limit and account queues; holds from the next send on. */
  applyUpdate(
    lane: LaneSlot, upstream: UpstreamSlot, update: PaceUpdate, nowUs: Micros,
  ): void {
    if (update.accountQueues !== undefined) {
      this.setAccountQueues(upstream, update.accountQueues, nowUs)
    }
    const own = this.#spendsOwn(lane, upstream, nowUs)
    if (update.pacePerSecond !== undefined) {
      const interval = intervalNs(update.pacePerSecond)
      if (own) this.#own(lane).intervalNs[lane] = interval
      else this.#budgets.setWord(upstream, UPSTREAM_INTERVAL_NS, interval)
    }
    if (update.concurrentMax !== undefined) {
      if (own) this.#own(lane).concurrentMax[lane] = update.concurrentMax
      else this.#budgets.setWord(upstream, UPSTREAM_CONCURRENT_MAX, update.concurrentMax)
    }
    if (!own) return this.#lookAgain(upstream, nowUs)
    this.#flag(lane, LANE_BLOCKED, false)
    if (this.#has(lane, LANE_ACTIVE)) this.#scheduleOwn(lane)
  }

  /** Switches account queues for all shards; only a webhook receiver has none to switch. */
  setAccountQueues(upstream: UpstreamSlot, on: boolean, nowUs: Micros): void {
    if (this.#budgets.kind(upstream) !== KIND_UPSTREAM) return
    if (this.#budgets.switchAccountQueues(upstream, on) && !on) {
      this.#budgets.restartAt(upstream, nowUs)
    }
    this.#syncMode(upstream, nowUs)
  }

  /** Keeps the lane's budget from sending before `untilUs`, as a 429's Retry-After asks. */
  holdUntil(lane: LaneSlot, upstream: UpstreamSlot, untilUs: Micros, nowUs: Micros): void {
    if (!this.#spendsOwn(lane, upstream, nowUs)) return this.#budgets.holdUntil(upstream, untilUs)
    const { baseUs, intervalNs: intervals } = this.#own(lane)
    baseUs[lane] = baseHeldUntil(baseUs[lane] as number, intervals[lane] as number, untilUs)
  }

  /**
   * A send leaves only now. What the upstream sees counts, so the budget's grid follows it when it
   * is late, or the next send would come too soon behind. Its charge is what it was decided at: an
   * account that has got a budget of its own since then may have to follow it, too.
   */
  written(
    lane: LaneSlot, upstream: UpstreamSlot, own: boolean, interval: number, nowUs: Micros,
  ): void {
    if (!own) {
      this.#budgets.written(upstream, interval, this.#writes.everywhere(upstream), nowUs)
    }
    if (!this.#has(lane, LANE_OWN_BUDGET)) return
    const { baseUs } = this.#lanes.at
    const { laneTrailUs } = this.#writes
    const trail = trailAfterWrite(laneTrailUs[lane] as number, interval, nowUs)
    laneTrailUs[lane] = trail
    const before = baseUs[lane] as number
    const base = baseAfterWrite(before, trail, this.#writes.ofLane(lane))
    if (base !== before) this.#own(lane).baseUs[lane] = base
  }

  /** The budget that the lane spends. */
  budgetOf(lane: LaneSlot, upstream: UpstreamSlot): Budget {
    if (this.#has(lane, LANE_OWN_BUDGET)) {
      return {
        intervalNs: this.#lanes.at.intervalNs[lane] as number,
        concurrentMax: this.#lanes.at.concurrentMax[lane] as number, own: true,
      }
    }
    return {
      intervalNs: this.#budgets.intervalNs(upstream),
      concurrentMax: this.#budgets.concurrentMax(upstream), own: false,
    }
  }

  // --- serving ---

  /** The upstream's budget is due: its lanes take turns while it lets them. */
  #serveShared(upstream: UpstreamSlot, nowUs: Micros): void {
    for (let sends = 0; sends < SENDS_PER_TURN_MAX; sends++) {
      const lane = this.#turns.first(upstream)
      if (lane === NONE) return
      if (!this.#sender.maySend(upstream)) return this.#wake(upstream, nowUs + LOOK_AGAIN_US)
      if (this.#dropOverdue(lane, nowUs)) continue
      const atUs = this.#budgets.eligibleAtUs(upstream)
      if (atUs > nowUs) return this.#wake(upstream, atUs)
      if (!mayFollow(this.#writes.ofUpstream(upstream)) ||
        !this.#budgets.mayGo(upstream, nowUs)) {
        return this.#wake(upstream, nowUs + LOOK_AGAIN_US)
      }
      if (!this.#budgets.tryTake(upstream)) return // a notice comes with the next free token
      if (!this.#budgets.trySpend(upstream, nowUs)) {
        this.#budgets.giveBack(upstream)
        continue
      }
      this.#budgets.countTurn(upstream)
      this.#turns.rotate(upstream)
      this.#own(lane).baseUs[lane] = nowUs
      this.#sendFrom(lane, upstream, nowUs)
    }
    this.#wake(upstream, nowUs)
  }

  /** The lane's own budget is due. */
  #serveOwn(lane: LaneSlot, nowUs: Micros): void {
    const { at } = this.#lanes
    const upstream = this.#upstreamOf(lane)
    while (this.#has(lane, LANE_ACTIVE)) {
      if (!this.#sender.maySend(upstream)) {
        return this.#wheel.reschedule(lane, (nowUs + LOOK_AGAIN_US) as Micros)
      }
      if (this.#dropOverdue(lane, nowUs)) continue
      const interval = at.intervalNs[lane] as number
      const base = at.baseUs[lane] as number
      if (eligibleAtUs(base, interval) > nowUs) return this.#scheduleOwn(lane)
      if (!mayFollow(this.#writes.ofLane(lane))) {
        return this.#wheel.reschedule(lane, (nowUs + LOOK_AGAIN_US) as Micros)
      }
      if ((at.inFlight[lane] as number) >= (at.concurrentMax[lane] as number)) {
        return this.#flag(lane, LANE_BLOCKED, true)
      }
      this.#lanes.touch(lane)
      at.baseUs[lane] = baseAfterSend(base, interval, nowUs)
      this.#budgets.countInFlight(upstream)
      this.#sendFrom(lane, upstream, nowUs)
    }
  }

  #sendFrom(lane: LaneSlot, upstream: UpstreamSlot, nowUs: Micros): void {
    const { at } = this.#lanes
    const slot = this.#lanes.first(lane)
    assert(slot !== NONE, 'an active lane has no job')
    at.inFlight[lane] = (at.inFlight[lane] as number) + 1
    this.#lanes.touch(lane)
    at.lastSendUs[lane] = nowUs
    this.#budgets.touch(upstream)
    this.#views.upstreams.lastSendUs[upstream] = nowUs
    this.withdraw(lane, slot as JobSlot)
    this.#sender.send(slot as JobSlot, lane, upstream, nowUs)
  }

  #dropOverdue(lane: LaneSlot, nowUs: Micros): boolean {
    const slot = this.#lanes.first(lane)
    return slot !== NONE && this.#sender.dropOverdue(lane, slot as JobSlot, nowUs)
  }

  // --- becoming active, idle, due ---

  #activate(lane: LaneSlot, upstream: UpstreamSlot): void {
    this.#flag(lane, LANE_ACTIVE, true)
    this.#turns.add(upstream, lane)
    if (this.#isSplit(upstream)) {
      this.#beginOwnBudget(lane, upstream)
      return this.#scheduleOwn(lane)
    }
    this.#budgets.setWaiting(upstream, this.#turns.count(upstream))
    if (!this.#wheel.has(this.#item(upstream))) {
      this.#wake(upstream, this.#budgets.eligibleAtUs(upstream))
    }
  }

  #deactivate(lane: LaneSlot, upstream: UpstreamSlot): void {
    this.#flag(lane, LANE_ACTIVE | LANE_BLOCKED, false)
    this.#turns.remove(upstream, lane)
    if (this.#isSplit(upstream)) {
      if (this.#wheel.has(lane)) this.#wheel.cancel(lane)
      return
    }
    const count = this.#turns.count(upstream)
    this.#budgets.setWaiting(upstream, count)
    if (count === 0 && this.#wheel.has(this.#item(upstream))) {
      this.#wheel.cancel(this.#item(upstream))
    }
  }

  /** Pace, limit or a token changed: ask the budget anew, now. */
  #lookAgain(upstream: UpstreamSlot, nowUs: Micros): void {
    this.#syncMode(upstream, nowUs)
    if (this.#isSplit(upstream) || this.#turns.count(upstream) === 0) return
    this.#wake(upstream, this.#budgets.eligibleAtUs(upstream))
  }

  #wake(upstream: UpstreamSlot, atUs: number): void {
    this.#wheel.reschedule(this.#item(upstream), atUs as Micros)
  }

  #scheduleOwn(lane: LaneSlot): void {
    const { baseUs, intervalNs: intervals } = this.#lanes.at
    this.#wheel.reschedule(lane, eligibleAtUs(baseUs[lane] as number, intervals[lane] as number))
  }

  // --- account queues on and off ---

  /**
   * Follows the upstream's record: jobs stay in their lanes, only the budget asked changes. When
   * account queues went off and on again unseen, what the lanes had been told before is over, too.
   */
  #syncMode(upstream: UpstreamSlot, nowUs: Micros): void {
    const switches = this.#budgets.accountQueueSwitches(upstream)
    if (this.#switches[upstream] === switches) return
    const wasSplit = this.#isSplit(upstream)
    if (wasSplit) this.#dropOwnBudgets(upstream)
    this.#budgets.touch(upstream)
    this.#switches[upstream] = switches
    if (this.#isSplit(upstream)) this.#splitBudget(upstream)
    else if (wasSplit) this.#joinBudgets(upstream, nowUs)
  }

  /** Whether this shard's lanes of the upstream spend budgets of their own. */
  #isSplit(upstream: UpstreamSlot): boolean {
    return ((this.#switches[upstream] as number) & 1) === 1
  }

  #splitBudget(upstream: UpstreamSlot): void {
    this.#budgets.setWaiting(upstream, 0)
    if (this.#wheel.has(this.#item(upstream))) this.#wheel.cancel(this.#item(upstream))
    this.#turns.forEachLane(upstream, (lane) => {
      this.#beginOwnBudget(lane, upstream)
      this.#scheduleOwn(lane)
    })
  }

  #dropOwnBudgets(upstream: UpstreamSlot): void {
    this.#lanes.forEachOf(upstream, (lane) => {
      this.#flag(lane, LANE_OWN_BUDGET | LANE_BLOCKED, false)
      if (this.#wheel.has(lane)) this.#wheel.cancel(lane)
    })
  }

  #joinBudgets(upstream: UpstreamSlot, nowUs: Micros): void {
    const count = this.#turns.count(upstream)
    this.#budgets.setWaiting(upstream, count)
    if (count > 0) this.#lookAgain(upstream, nowUs)
  }

  /**
   * Whether a response is about the lane's own budget. A lane with nothing waiting gets its budget
   * here, or what one account is told would hold for all that come after it.
   */
  #spendsOwn(lane: LaneSlot, upstream: UpstreamSlot, nowUs: Micros): boolean {
    this.#syncMode(upstream, nowUs)
    if (this.#isSplit(upstream)) this.#beginOwnBudget(lane, upstream)
    return this.#has(lane, LANE_OWN_BUDGET)
  }

  /** An own budget starts at the upstream's present pace, from the lane's last send. */
  #beginOwnBudget(lane: LaneSlot, upstream: UpstreamSlot): void {
    if (this.#has(lane, LANE_OWN_BUDGET)) return
    const at = this.#own(lane)
    at.intervalNs[lane] = this.#budgets.intervalNs(upstream)
    at.concurrentMax[lane] = this.#budgets.concurrentMax(upstream)
    at.baseUs[lane] = Math.max(at.baseUs[lane] as number, at.lastSendUs[lane] as number)
    this.#flag(lane, LANE_OWN_BUDGET, true) // decides: the numbers above hold
  }

  // --- small things ---

  #item(upstream: UpstreamSlot): number {
    return this.#views.limits.lanesMax + upstream
  }

  #upstreamOf(lane: LaneSlot): UpstreamSlot {
    return this.#lanes.at.upstream[lane] as UpstreamSlot
  }

  /** The lanes' fields, of which a fact of this lane is about to be changed. */
  #own(lane: LaneSlot): Lanes['at'] {
    this.#lanes.touch(lane)
    return this.#lanes.at
  }

  #has(lane: LaneSlot, flag: number): boolean {
    return ((this.#lanes.at.flags[lane] as number) & flag) !== 0
  }

  #flag(lane: LaneSlot, flag: number, on: boolean): void {
    const { flags } = (flag & LANE_OWN_BUDGET) === 0 ? this.#lanes.at : this.#own(lane)
    flags[lane] = on ? (flags[lane] as number) | flag : (flags[lane] as number) & ~flag
  }

  #addQueued(upstream: UpstreamSlot, amount: number): void {
    const { queued } = this.#views.upstreams
    queued[upstream] = (queued[upstream] as number) + amount
  }
}
