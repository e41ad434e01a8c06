// What a lane spends: its own budget, once account queues have given it one, or its upstream's.
// Thread: shard. Memory: the budgets and flags in views.lanes.
// Never: decides when account queues go on or off, or whose turn it is.

import type { LaneSlot, Micros, UpstreamSlot } from '../base/units.ts'
import { PACE_WRITE_LATE_US } from '../memory/limits.ts'
import { LANE_ACCOUNT_QUEUE, type Lanes } from './lanes.ts'
import { baseAfterReturn, baseAfterWrite } from './pace.ts'
import type { SharedBudgets } from './shared-budget.ts'
import type { UnwrittenSends } from './unwritten.ts'

/** What an attempt spends: its lane's account queue or its upstream's, by so many ns. */
export interface Charge {
  readonly accountQueue: boolean
  readonly intervalNs: number
  /** What the budget's base has become by it. */
  readonly spentUs: number
}

/** What a lane spends. */
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

  /** The budget that the lane spends, and has just spent. */
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

  /** An account queue starts at the upstream's present pace, from the lane's last send. */
  beginOwn(lane: LaneSlot, upstream: UpstreamSlot): void {
    if (this.has(lane, LANE_ACCOUNT_QUEUE)) return
    const at = this.change(lane)
    at.intervalNs[lane] = this.#budgets.intervalNs(upstream)
    at.concurrentMax[lane] = this.#budgets.concurrentMax(upstream)
    at.baseUs[lane] = Math.max(at.baseUs[lane] as number, at.lastSendUs[lane] as number)
    this.flag(lane, LANE_ACCOUNT_QUEUE, true) // decides: the numbers above hold
  }

  /** A send was not written after all: its place is free again, unless others have come since. */
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
   * A send leaves only now. What the upstream sees counts, so the budget's grid follows it when it
   * is late, or the next send would come too soon behind. Its charge is what it was decided at: an
   * account that has got a budget of its own since then may have to follow it, too.
   * @param countedNs what of it still counts as unwritten: until the base has followed, or another
   *   shard would decide by the old one.
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
      // Should it get one, that begins with what was written last.
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

  /** The lanes' fields, of which a fact of this lane is about to be changed. */
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
