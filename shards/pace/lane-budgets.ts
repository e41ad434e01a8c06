// The budget that a lane spends: its account queue's, if it has one, or its upstream's shared one.
// Thread: shard. Memory: the budgets and flags in views.lanes.
// Never: switches account queues on or off, or decides which lane is next.

import type { LaneSlot, Micros, UpstreamSlot } from '../base/units.ts'
import { PACE_WRITE_LATE_US } from '../memory/limits.ts'
import { LANE_ACCOUNT_QUEUE, type Lanes } from './lanes.ts'
import { baseAfterReturn, baseAfterWrite } from './pace.ts'
import type { SharedBudgets } from './shared-budget.ts'
import type { UnwrittenSends } from './unwritten.ts'

/** What an attempt was charged: to its lane's account queue or its upstream's budget, in ns. */
export interface Charge {
  readonly accountQueue: boolean
  readonly intervalNs: number
  /** The budget's base after the charge. */
  readonly spentUs: number
}

/** The budget that a lane spends. */
export interface Budget extends Charge {
  readonly concurrentMax: number
}

/** The budgets of one shard's lanes. */
export class LaneBudgets {
  readonly #lanes: Lanes
  readonly #budgets: SharedBudgets
  readonly #unwritten: UnwrittenSends

  constructor(lanes: Lanes, budgets: SharedBudgets, unwritten: UnwrittenSends) {
    this.#lanes = lanes
    this.#budgets = budgets
    this.#unwritten = unwritten
  }

  /** The budget that the lane spends; `spentUs` is meaningful right after the lane was charged. */
  of(lane: LaneSlot, upstream: UpstreamSlot): Budget {
    if (this.has(lane, LANE_ACCOUNT_QUEUE)) {
      return {
        intervalNs: this.#lanes.at.intervalNs[lane] as number,
        concurrentMax: this.#lanes.at.concurrentMax[lane] as number, accountQueue: true,
        spentUs: this.#lanes.at.baseUs[lane] as number,
      }
    }
    return {
      intervalNs: this.#budgets.intervalNs(upstream),
      concurrentMax: this.#budgets.concurrentMax(upstream), accountQueue: false,
      spentUs: this.#budgets.spentUs,
    }
  }

  /** An account queue starts with the upstream's current pace, from the lane's last send. */
  beginOwn(lane: LaneSlot, upstream: UpstreamSlot): void {
    if (this.has(lane, LANE_ACCOUNT_QUEUE)) return
    const at = this.change(lane)
    at.intervalNs[lane] = this.#budgets.intervalNs(upstream)
    at.concurrentMax[lane] = this.#budgets.concurrentMax(upstream)
    at.baseUs[lane] = Math.max(at.baseUs[lane] as number, at.lastSendUs[lane] as number)
    this.flag(lane, LANE_ACCOUNT_QUEUE, true) // decides: the numbers above hold
  }

  /** Refunds a send that was not written: its place is free again unless a later one was taken. */
  returned(
    lane: LaneSlot, upstream: UpstreamSlot, { intervalNs, accountQueue, spentUs }: Charge,
  ): void {
    if (!accountQueue) return this.#budgets.returned(upstream, spentUs, intervalNs)
    if (!this.has(lane, LANE_ACCOUNT_QUEUE)) return
    const before = this.#lanes.at.baseUs[lane] as number
    const base = baseAfterReturn(before, spentUs, intervalNs)
    if (base !== before) this.change(lane).baseUs[lane] = base
  }

  /**
   * A decided send is written now. The pace promise is about what the upstream sees, so a late
   * write moves the budget's grid; otherwise the next send would follow too closely. The charge
   * is the one of the decision: a lane that got an account queue since then may have to move that
   * queue's grid, too.
   * @param countedNs the part of this send that still counts as unwritten. It counts until the base
   *   has moved; otherwise another shard could decide by the old base.
   */
  written(
    lane: LaneSlot, upstream: UpstreamSlot, accountQueue: boolean, interval: number,
    countedNs: number, nowUs: Micros,
  ): void {
    if (!accountQueue) {
      const unwrittenNs = this.#unwritten.ofUpstream(upstream) - countedNs
      this.#budgets.written(upstream, interval, unwrittenNs, nowUs)
    }
    const { baseUs, lastSendUs } = this.#lanes.at
    if (!this.has(lane, LANE_ACCOUNT_QUEUE)) {
      // If the lane gets an account queue later, its budget starts from the last write.
      const isLate = nowUs - (lastSendUs[lane] as number) > PACE_WRITE_LATE_US
      if (isLate) this.change(lane).lastSendUs[lane] = nowUs
      return
    }
    const trail = this.#unwritten.moveLaneTrail(lane, interval, nowUs)
    const before = baseUs[lane] as number
    const unwrittenNs = this.#unwritten.ofLane(lane) - (accountQueue ? countedNs : 0)
    const base = baseAfterWrite(before, trail, unwrittenNs)
    if (base !== before) this.change(lane).baseUs[lane] = base
  }

  /** The lanes' fields, to change a fact of this lane, which is marked as changed first. */
  change(lane: LaneSlot): Lanes['at'] {
    this.#lanes.touch(lane)
    return this.#lanes.at
  }

  has(lane: LaneSlot, flag: number): boolean {
    return ((this.#lanes.at.flags[lane] as number) & flag) !== 0
  }

  flag(lane: LaneSlot, flag: number, on: boolean): void {
    const { flags } = (flag & LANE_ACCOUNT_QUEUE) === 0 ? this.#lanes.at : this.change(lane)
    flags[lane] = on ? (flags[lane] as number) | flag : (flags[lane] as number) & ~flag
  }
}
