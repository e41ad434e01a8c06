// Decides which lane sends next, and when: lanes with jobs wait here until their budget is due.
// Thread: shard. Memory: round-robin lists, counts in views.lanes and views.upstreams; the wheel.
// Never: reads a clock, touches a socket, looks into a job's record.
// With account queues off, the upstream is in the wheel, and its lanes share its budget by deficit
// round robin (Shreedhar and Varghese 1995; every send costs one, so a deficit never carries over).
// With account queues on, each lane is in the wheel with its own budget.

import { assert } from '../base/assert.ts'
import { type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot } from '../base/units.ts'
import { intervalNs } from '../memory/interval.ts'
import {
  type ShardViews, KIND_UPSTREAM, UPSTREAM_CONCURRENT_MAX, UPSTREAM_INTERVAL_NS,
} from '../memory/layout.ts'
import { SENDS_PER_TURN_MAX } from '../memory/limits.ts'
import { CONNECT_AHEAD_US } from '../memory/socket-limits.ts'
import { MemberWheel, type MemberWheelBaton } from '../memory/wheel.ts'
import type { PaceUpdate } from '../signals/pace-headers.ts'
import {
  GATES, GATE_OPEN, GATE_PACE, GATE_PERMIT, GATE_TURN, GATE_WRITE, type Gate,
} from './gates.ts'
import { type Budget, type Charge, LaneBudgets } from './lane-budgets.ts'
import { LANE_ACTIVE, LANE_BLOCKED, LANE_ACCOUNT_QUEUE, type Lanes } from './lanes.ts'
import { baseAfterSend, baseHeldUntil, eligibleAtUs } from './pace.ts'
import { Parking, parkingLists } from './parking.ts'
import { RoundRobin, type RoundRobinBaton } from './round-robin.ts'
import type { SharedBudgets } from './shared-budget.ts'
import type { UnwrittenSends } from './unwritten.ts'

/** Retry delay of a lane or upstream stopped by GATE_TURN or GATE_WRITE. */
const GATE_RETRY_US = 1000

/** What the pacer needs from the sending side. */
export interface Sender {
  /** The gate that stops all sends to the upstream now, apart from budget and connections. */
  gateOf(upstream: UpstreamSlot): Gate
  /**
   * Whether a connection to the upstream is free. If not, the lane and others could use up to
   * `connections` of them, and lineFree() or lineFailed() is called later.
   */
  lineGateOf(upstream: UpstreamSlot, lane: LaneSlot, connections: number): Gate
  /** Ends the lane's next job if its latest start has passed; true when it did. */
  dropOverdue(lane: LaneSlot, slot: JobSlot, nowUs: Micros): boolean
  /** Starts an attempt whose budget is charged; the job has left its lane. */
  send(slot: JobSlot, lane: LaneSlot, upstream: UpstreamSlot, nowUs: Micros): void
  /** The same where no connection could be made: the attempt fails without a request. */
  failUnsent(slot: JobSlot, upstream: UpstreamSlot, nowUs: Micros): void
}

/** The timing wheel and the round-robin order, as handed over to a successor. */
export interface PacerBaton {
  readonly wheel: MemberWheelBaton
  readonly robin: RoundRobinBaton
}

/**
 * Useful connections for at most `countMax` sends at an interval: one for now, and one for each
 * send within CONNECT_AHEAD_US. At 2 per second 1; at 25 per second 3; at 1,000, 101.
 */
const connectionsAhead = (interval: number, countMax: number): number =>
  Math.max(1, Math.min(countMax, 1 + Math.floor((CONNECT_AHEAD_US * 1000) / interval)))

/** The pacer of one shard. */
export class Pacer {
  readonly #views: ShardViews
  readonly #lanes: Lanes
  readonly #budgets: SharedBudgets
  readonly #unwritten: UnwrittenSends
  readonly #wheel: MemberWheel
  readonly #robin: RoundRobin
  readonly #sender: Sender
  readonly #spends: LaneBudgets
  readonly #parking: Parking
  /** Number of checks that each gate has stopped; GATE_OPEN: those that none has stopped. */
  readonly stops = new Float64Array(GATES)
  /**
   * The switches of account queues applied here so far: odd while lanes have account queues. A
   * fact, written after the lanes have dropped the budgets of an earlier switch.
   */
  readonly #switches: Int32Array

  constructor(
    views: ShardViews, lanes: Lanes, budgets: SharedBudgets, unwritten: UnwrittenSends,
    sender: Sender, nowUs: Micros,
  ) {
    this.#views = views
    this.#lanes = lanes
    this.#budgets = budgets
    this.#unwritten = unwritten
    this.#sender = sender
    const { upstreamsMax } = views.limits
    this.#wheel = new MemberWheel(views.wheel, nowUs, parkingLists(upstreamsMax))
    this.#parking = new Parking(this.#wheel, upstreamsMax)
    this.#spends = new LaneBudgets(lanes, budgets, unwritten)
    this.#robin = new RoundRobin(views)
    this.#switches = views.upstreams.switches
  }

  /** After a crash, once the lanes' lists are linked: activates the lanes with jobs. */
  recover(nowUs: Micros): void {
    this.#lanes.forEachWaiting((lane) => {
      const upstream = this.#upstreamOf(lane)
      this.#syncMode(upstream, nowUs)
      this.#addQueued(upstream, this.#lanes.count(lane))
      this.#activate(lane, upstream)
    })
  }

  /** The state a successor on the same memory starts from. The pacer must not be used after it. */
  handOver(): PacerBaton {
    // Gates are state of this thread: the successor checks them anew.
    this.#parking.unparkAll()
    return { wheel: this.#wheel.handOver(), robin: this.#robin.handOver() }
  }

  takeOver(baton: PacerBaton): void {
    this.#wheel.takeOver(baton.wheel)
    this.#robin.takeOver(baton.robin)
  }

  /** Lanes with jobs waiting. */
  get activeLanes(): number {
    return this.#robin.lanesActive
  }

  /** Number of checks whether a lane or an upstream may send. */
  get looks(): number {
    return this.stops.reduce((sum, count) => sum + count)
  }

  /** When the next lane or upstream is due. */
  nextUs(): Micros {
    return this.#wheel.nextUs()
  }

  /** Adds a job that has its place to its lane: at the end or (a retry) at the front. */
  enqueue(lane: LaneSlot, slot: JobSlot, atFront: boolean, nowUs: Micros): void {
    const upstream = this.#upstreamOf(lane)
    this.#syncMode(upstream, nowUs)
    this.#lanes.link(lane, slot, atFront)
    this.#addQueued(upstream, 1)
    if (!this.#has(lane, LANE_ACTIVE)) this.#activate(lane, upstream)
  }

  /** Removes a queued job from its lane. */
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
      const gate = item < lanesMax ? this.#serveOwn(item as LaneSlot, nowUs)
        : this.#serveShared((item - lanesMax) as UpstreamSlot, nowUs)
      this.stops[gate] = (this.stops[gate] as number) + 1
    }, SENDS_PER_TURN_MAX) > 0
  }

  /** Gives back the permit of an attempt that has ended; waiters for one are checked again. */
  attemptEnded(lane: LaneSlot, upstream: UpstreamSlot, nowUs: Micros): void {
    const inFlight = this.#lanes.at.inFlight
    assert((inFlight[lane] as number) > 0, 'a lane had fewer in flight than have ended')
    inFlight[lane] = (inFlight[lane] as number) - 1
    this.#budgets.giveBack(upstream)
    this.#parking.permitFree(upstream)
    if (!this.#has(lane, LANE_BLOCKED)) return
    this.#spends.flag(lane, LANE_BLOCKED, false)
    if (this.#has(lane, LANE_ACTIVE)) this.#wheel.reschedule(lane, nowUs)
  }

  /** A connection is free, or more may be opened: the upstream's first waiter is checked again. */
  lineFree(upstream: UpstreamSlot): void {
    this.#parking.lineFree(upstream)
  }

  /** No connection could be made: the next attempt of the upstream's first waiter fails. */
  lineFailed(upstream: UpstreamSlot): void {
    this.#parking.lineFailed(upstream)
  }

  /** The state behind GATE_HOLD has changed: those who wait for it are checked again. */
  gateChanged(): void {
    this.#parking.holdChanged()
  }

  /** Checks the upstreams again that other shards have changed or freed a permit of. */
  takeNotices(nowUs: Micros): void {
    if (!this.#budgets.takeNotices()) return
    this.#robin.forEachUpstream((upstream) => {
      if (this.#budgets.takeNotice(upstream)) this.#lookAgain(upstream, nowUs)
    })
  }

  /** Applies a response's pace, limit and account queues, from the next send on. */
  applyUpdate(
    lane: LaneSlot, upstream: UpstreamSlot, update: PaceUpdate, nowUs: Micros,
  ): void {
    if (update.accountQueues !== undefined) {
      this.setAccountQueues(upstream, update.accountQueues, nowUs)
    }
    const accountQueue = this.#hasAccountQueue(lane, upstream, nowUs)
    if (update.pacePerSecond !== undefined) {
      const interval = intervalNs(update.pacePerSecond)
      if (accountQueue) this.#spends.change(lane).intervalNs[lane] = interval
      else this.#budgets.setWord(upstream, UPSTREAM_INTERVAL_NS, interval)
    }
    if (update.concurrentMax !== undefined) {
      if (accountQueue) this.#spends.change(lane).concurrentMax[lane] = update.concurrentMax
      else this.#budgets.setWord(upstream, UPSTREAM_CONCURRENT_MAX, update.concurrentMax)
    }
    if (!accountQueue) return this.#lookAgain(upstream, nowUs)
    this.#spends.flag(lane, LANE_BLOCKED, false)
    if (this.#has(lane, LANE_ACTIVE)) this.#scheduleOwn(lane)
    this.#parking.wakeNext(upstream) // this lane may have been woken to use a free connection
  }

  /** Switches account queues for all shards; webhook receivers have none. */
  setAccountQueues(upstream: UpstreamSlot, on: boolean, nowUs: Micros): void {
    if (this.#budgets.kind(upstream) !== KIND_UPSTREAM) return
    if (this.#budgets.switchAccountQueues(upstream, on) && !on) {
      this.#budgets.restartAt(upstream, nowUs)
    }
    this.#syncMode(upstream, nowUs)
  }

  /** Holds the lane's budget until `untilUs`, as a 429's Retry-After asks. */
  holdUntil(lane: LaneSlot, upstream: UpstreamSlot, untilUs: Micros, nowUs: Micros): void {
    if (!this.#hasAccountQueue(lane, upstream, nowUs)) {
      return this.#budgets.holdUntil(upstream, untilUs)
    }
    const { baseUs, intervalNs: intervals } = this.#spends.change(lane)
    baseUs[lane] = baseHeldUntil(baseUs[lane] as number, intervals[lane] as number, untilUs)
  }

  /** A decided send is written now; see LaneBudgets. */
  written(
    lane: LaneSlot, upstream: UpstreamSlot, accountQueue: boolean, interval: number,
    countedNs: number, nowUs: Micros,
  ): void {
    this.#spends.written(lane, upstream, accountQueue, interval, countedNs, nowUs)
  }

  /** Refunds a send that was not written; the next send can use its charge. */
  returned(lane: LaneSlot, upstream: UpstreamSlot, charge: Charge, nowUs: Micros): void {
    this.#spends.returned(lane, upstream, charge)
    if (!this.#hasAccountQueues(upstream)) this.#lookAgain(upstream, nowUs)
    else if (this.#has(lane, LANE_ACTIVE)) this.#scheduleOwn(lane)
  }

  /** The budget that the lane spends. */
  budgetOf(lane: LaneSlot, upstream: UpstreamSlot): Budget {
    return this.#spends.of(lane, upstream)
  }

  // --- serving ---

  /** Serves an upstream whose budget is due: its lanes, round robin, until a gate stops them. */
  #serveShared(upstream: UpstreamSlot, nowUs: Micros): Gate {
    const item = this.#item(upstream)
    for (let sends = 0; sends < SENDS_PER_TURN_MAX; sends++) {
      const lane = this.#robin.first(upstream)
      if (lane === NONE) return GATE_OPEN
      const shut = this.#sender.gateOf(upstream)
      if (this.#parking.parkAt(shut, item, upstream)) return shut
      if (this.#dropOverdue(lane, nowUs)) continue
      const atUs = this.#budgets.eligibleAtUs(upstream)
      if (atUs > nowUs) return this.#waitUntil(atUs, item, upstream, GATE_PACE)
      const interval = this.#budgets.intervalNs(upstream)
      if (!this.#unwritten.mayFollow(lane, upstream, false, interval)) {
        return this.#waitUntil(nowUs + GATE_RETRY_US, item, upstream, GATE_WRITE)
      }
      if (!this.#budgets.mayGo(upstream, nowUs)) {
        return this.#waitUntil(nowUs + GATE_RETRY_US, item, upstream, GATE_TURN)
      }
      const mustFail = this.#parking.takeFailing(upstream)
      const line = mustFail ? GATE_OPEN
        : this.#sender.lineGateOf(upstream, lane, this.#connectionsForAll(upstream))
      if (this.#parking.parkAt(line, item, upstream)) return line
      // A notice comes with the next free permit.
      if (!this.#budgets.tryTake(upstream)) return GATE_PERMIT
      if (!this.#budgets.trySpend(upstream, nowUs)) {
        this.#budgets.giveBack(upstream)
        if (mustFail) this.#parking.addFailing(upstream)
        continue
      }
      this.#budgets.countTurn(upstream)
      this.#robin.rotate(upstream)
      this.#spends.change(lane).baseUs[lane] = nowUs
      if (mustFail) {
        this.#budgets.giveBack(upstream)
        this.#failFrom(lane, upstream, nowUs)
      } else this.#sendFrom(lane, upstream, nowUs)
      this.#parking.wakeNext(upstream)
    }
    return this.#waitUntil(nowUs, item, upstream, GATE_OPEN)
  }

  /** Serves a lane whose account queue is due, until a gate stops it. */
  #serveOwn(lane: LaneSlot, nowUs: Micros): Gate {
    const { at } = this.#lanes
    const upstream = this.#upstreamOf(lane)
    while (this.#has(lane, LANE_ACTIVE)) {
      const shut = this.#sender.gateOf(upstream)
      if (this.#parking.parkAt(shut, lane, upstream)) return shut
      if (this.#dropOverdue(lane, nowUs)) continue
      const interval = at.intervalNs[lane] as number
      const base = at.baseUs[lane] as number
      const atUs = eligibleAtUs(base, interval)
      if (atUs > nowUs) return this.#waitUntil(atUs, lane, upstream, GATE_PACE)
      if (!this.#unwritten.mayFollow(lane, upstream, true, interval)) {
        return this.#waitUntil(nowUs + GATE_RETRY_US, lane, upstream, GATE_WRITE)
      }
      const room = (at.concurrentMax[lane] as number) - (at.inFlight[lane] as number)
      if (room <= 0) {
        this.#spends.flag(lane, LANE_BLOCKED, true)
        this.#parking.wakeNext(upstream)
        return GATE_PERMIT
      }
      // For this lane, and for the lanes that are due and already wait for one.
      const connections = this.#parking.atLine(upstream) +
        connectionsAhead(interval, Math.min(room, this.#lanes.count(lane)))
      const mustFail = this.#parking.takeFailing(upstream)
      const line = mustFail ? GATE_OPEN : this.#sender.lineGateOf(upstream, lane, connections)
      if (this.#parking.parkAt(line, lane, upstream)) return line
      this.#spends.change(lane).baseUs[lane] = baseAfterSend(base, interval, nowUs)
      if (mustFail) this.#failFrom(lane, upstream, nowUs)
      else {
        this.#budgets.countInFlight(upstream)
        this.#sendFrom(lane, upstream, nowUs)
      }
      this.#parking.wakeNext(upstream)
    }
    this.#parking.wakeNext(upstream)
    return GATE_OPEN
  }

  /** Reschedules the item; what it was unparked for, if anything, may serve others meanwhile. */
  #waitUntil(atUs: number, item: number, upstream: UpstreamSlot, gate: Gate): Gate {
    this.#wheel.reschedule(item, atUs as Micros)
    this.#parking.wakeNext(upstream)
    return gate
  }

  /** Connections that the upstream's shared budget can use soon. */
  #connectionsForAll(upstream: UpstreamSlot): number {
    const room = this.#budgets.concurrentMax(upstream) - this.#budgets.inFlight(upstream)
    const queued = this.#views.upstreams.queued[upstream] as number
    return connectionsAhead(this.#budgets.intervalNs(upstream), Math.min(room, queued))
  }

  #failFrom(lane: LaneSlot, upstream: UpstreamSlot, nowUs: Micros): void {
    const slot = this.#lanes.next(lane)
    assert(slot !== NONE, 'an active lane has no job')
    this.#lanes.countTurn(lane, slot as JobSlot)
    this.withdraw(lane, slot as JobSlot)
    this.#sender.failUnsent(slot as JobSlot, upstream, nowUs)
  }

  #sendFrom(lane: LaneSlot, upstream: UpstreamSlot, nowUs: Micros): void {
    const { at } = this.#lanes
    const slot = this.#lanes.next(lane)
    assert(slot !== NONE, 'an active lane has no job')
    this.#lanes.countTurn(lane, slot as JobSlot)
    at.inFlight[lane] = (at.inFlight[lane] as number) + 1
    this.#lanes.touch(lane)
    at.lastSendUs[lane] = nowUs
    this.#budgets.touch(upstream)
    this.#views.upstreams.lastSendUs[upstream] = nowUs
    this.withdraw(lane, slot as JobSlot)
    this.#sender.send(slot as JobSlot, lane, upstream, nowUs)
  }

  #dropOverdue(lane: LaneSlot, nowUs: Micros): boolean {
    const slot = this.#lanes.next(lane)
    return slot !== NONE && this.#sender.dropOverdue(lane, slot as JobSlot, nowUs)
  }

  // --- becoming active, idle, due ---

  #activate(lane: LaneSlot, upstream: UpstreamSlot): void {
    this.#spends.flag(lane, LANE_ACTIVE, true)
    this.#robin.add(upstream, lane)
    if (this.#hasAccountQueues(upstream)) {
      this.#spends.beginOwn(lane, upstream)
      return this.#scheduleOwn(lane)
    }
    this.#budgets.setWaiting(upstream, this.#robin.turns(upstream))
    if (!this.#wheel.has(this.#item(upstream))) {
      this.#wake(upstream, this.#budgets.eligibleAtUs(upstream))
    }
  }

  #deactivate(lane: LaneSlot, upstream: UpstreamSlot): void {
    this.#spends.flag(lane, LANE_ACTIVE | LANE_BLOCKED, false)
    this.#robin.remove(upstream, lane)
    if (this.#robin.turns(upstream) === 0) this.#parking.forget(upstream)
    if (this.#hasAccountQueues(upstream)) {
      if (!this.#wheel.has(lane)) return
      this.#wheel.cancel(lane)
      return this.#parking.wakeNext(upstream)
    }
    const turns = this.#robin.turns(upstream)
    this.#budgets.setWaiting(upstream, turns)
    if (turns === 0 && this.#wheel.has(this.#item(upstream))) {
      this.#wheel.cancel(this.#item(upstream))
    }
  }

  /** Pace, limit or a permit has changed: schedules the upstream by its budget anew. */
  #lookAgain(upstream: UpstreamSlot, nowUs: Micros): void {
    this.#syncMode(upstream, nowUs)
    if (this.#hasAccountQueues(upstream) || this.#robin.turns(upstream) === 0) return
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
   * Applies switches of account queues in the upstream's record. Jobs stay in their lanes, only the
   * budget changes. If they went off and on unnoticed, the lanes' earlier budgets are dropped, too.
   */
  #syncMode(upstream: UpstreamSlot, nowUs: Micros): void {
    const switches = this.#budgets.accountQueueSwitches(upstream)
    if (this.#switches[upstream] === switches) return
    const wasOn = this.#hasAccountQueues(upstream)
    if (wasOn) this.#dropAccountQueues(upstream)
    this.#budgets.touch(upstream)
    this.#switches[upstream] = switches
    if (this.#hasAccountQueues(upstream)) this.#beginAccountQueues(upstream)
    else if (wasOn) this.#beginSharedBudget(upstream, nowUs)
  }

  /** Whether this shard's lanes of the upstream are account queues. */
  #hasAccountQueues(upstream: UpstreamSlot): boolean {
    return ((this.#switches[upstream] as number) & 1) === 1
  }

  #beginAccountQueues(upstream: UpstreamSlot): void {
    this.#budgets.setWaiting(upstream, 0)
    if (this.#wheel.has(this.#item(upstream))) this.#wheel.cancel(this.#item(upstream))
    this.#robin.forEachLane(upstream, (lane) => {
      this.#spends.beginOwn(lane, upstream)
      this.#scheduleOwn(lane)
    })
  }

  #dropAccountQueues(upstream: UpstreamSlot): void {
    this.#lanes.forEachOf(upstream, (lane) => {
      this.#spends.flag(lane, LANE_ACCOUNT_QUEUE | LANE_BLOCKED, false)
      if (this.#wheel.has(lane)) this.#wheel.cancel(lane)
    })
  }

  #beginSharedBudget(upstream: UpstreamSlot, nowUs: Micros): void {
    const turns = this.#robin.turns(upstream)
    this.#budgets.setWaiting(upstream, turns)
    if (turns > 0) this.#lookAgain(upstream, nowUs)
  }

  /**
   * Whether a response is about the lane's account queue. A lane without waiting jobs gets its
   * queue here; otherwise one account's response would change the budget of all accounts.
   */
  #hasAccountQueue(lane: LaneSlot, upstream: UpstreamSlot, nowUs: Micros): boolean {
    this.#syncMode(upstream, nowUs)
    if (this.#hasAccountQueues(upstream)) this.#spends.beginOwn(lane, upstream)
    return this.#has(lane, LANE_ACCOUNT_QUEUE)
  }

  // --- small things ---

  #item(upstream: UpstreamSlot): number {
    return this.#views.limits.lanesMax + upstream
  }

  #upstreamOf(lane: LaneSlot): UpstreamSlot {
    return this.#lanes.at.upstream[lane] as UpstreamSlot
  }

  #has(lane: LaneSlot, flag: number): boolean {
    return this.#spends.has(lane, flag)
  }

  #addQueued(upstream: UpstreamSlot, amount: number): void {
    const { queued } = this.#views.upstreams
    queued[upstream] = (queued[upstream] as number) + amount
  }
}
