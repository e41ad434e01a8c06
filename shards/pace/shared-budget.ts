// An upstream's shared budget: one time and one in-flight count that all shards spend together.
// Thread: any shard, concurrently. Memory: upstream records, by compare-and-swap; each shard's own
// words about the upstream (waiting, rounds, in flight), which the others read.
// Never: retries without bound, or rings a bell without need. A lost race is a normal result.
// Blocks only in recover().
// Fairness: each shard counts the rounds that its lanes have had. A shard ahead of another that has
// waiting lanes yields to it, for at most YIELD_US_MAX, so a crashed shard costs no pace.
// Permits: one count of what all shards hold, and each shard's own count. While a shard changes the
// two, its operation word names the upstream, so its successor knows what to give back.
// Source: start-time fair queueing (Goyal, Vin, Cheng 1996), with a lane as the unit of weight.

import { assert } from '../base/assert.ts'
import { type Micros, type UpstreamSlot } from '../base/units.ts'
import { BUDGET_OPERATION } from '../memory/crash-notes.ts'
import { Marks } from '../memory/dirty-pages.ts'
import { Bell } from '../memory/doorbell.ts'
import {
  BELL_NOTICE, type SharedViews, type ShardViews, UPSTREAM_ACCOUNT_QUEUES, UPSTREAM_BASE_F64,
  UPSTREAM_CONCURRENT_MAX, UPSTREAM_INTERVAL_NS, UPSTREAM_IN_FLIGHT, UPSTREAM_KIND,
  UPSTREAM_RECORD_WORDS, UPSTREAM_TIMEOUT_MS, UPSTREAM_TRAIL_F64,
} from '../memory/layout.ts'
import { YIELD_US_MAX } from '../memory/limits.ts'
import {
  baseAfterReturn, baseAfterSend, baseAfterWrite, baseHeldUntil, eligibleAtUs, trailAfterWrite,
} from './pace.ts'

const TIME_WORDS = UPSTREAM_RECORD_WORDS / 2
/** One round-robin round, in the fixed-point units of the rounds word. */
const ROUND = 65_536
/** A shard whose lanes wait again keeps a lead up to this; a larger one is from before a wrap. */
const LEAD_KEPT_MAX = 16 * ROUND
/** A race lost this often in a row means that another shard is spending; the caller tries later. */
const CAS_TRIES_MAX = 8
/** The operation word: upstream + 1 in the lower bits, a count of operations above them. */
const OPERATION_BITS = 15
const OPERATION_MASK = 2 ** OPERATION_BITS - 1
/** Attempts to read a consistent snapshot of a budget while other shards spend it. */
const SNAPSHOT_LOOKS_MAX = 10_000
/** Sleeps a millisecond after so many attempts, since a spending shard may need this core. */
const SNAPSHOT_LOOKS_PER_MS = 50

/** One shard's access to the shared budgets. */
export class SharedBudgets {
  readonly #words: Int32Array
  readonly #times: BigInt64Array
  readonly #timesF64: Float64Array
  readonly #marks: Marks
  readonly #shard: number
  readonly #shards: readonly ShardViews[]
  readonly #bells: readonly Bell[]
  #spentUs = 0 as Micros
  readonly #scratchF64 = new Float64Array(1)
  readonly #scratchBits = new BigInt64Array(this.#scratchF64.buffer)
  /** When this shard began to yield to others, by upstream; 0 while it does not. */
  readonly #yieldedAtUs: Float64Array
  /** The budget's base at that time: once it has moved, another shard has sent. */
  readonly #yieldedBaseUs: Float64Array
  #operations: number

  constructor(
    shared: SharedViews, shard: number, shards: readonly ShardViews[],
    marks = new Marks(shards[shard] as ShardViews, false),
  ) {
    this.#marks = marks
    this.#words = shared.upstreams
    this.#times = shared.upstreamTimes
    this.#timesF64 = shared.upstreamTimesF64
    this.#shard = shard
    this.#shards = shards
    this.#bells = shards.map((views) => new Bell(views.bell))
    const { limits: { upstreamsMax }, progress } = shards[shard] as ShardViews
    assert(upstreamsMax < OPERATION_MASK, 'an upstream that the operation word cannot name')
    this.#operations = (progress[BUDGET_OPERATION] as number) >>> OPERATION_BITS
    this.#yieldedAtUs = new Float64Array(upstreamsMax)
    this.#yieldedBaseUs = new Float64Array(upstreamsMax)
  }

  /** To be called before a fact of the upstream is changed by code outside of this class. */
  touch(upstream: UpstreamSlot): void {
    this.#marks.upstream(upstream)
  }

  kind(upstream: UpstreamSlot): number {
    return this.#word(upstream, UPSTREAM_KIND)
  }

  intervalNs(upstream: UpstreamSlot): number {
    return this.#word(upstream, UPSTREAM_INTERVAL_NS)
  }

  concurrentMax(upstream: UpstreamSlot): number {
    return this.#word(upstream, UPSTREAM_CONCURRENT_MAX)
  }

  inFlight(upstream: UpstreamSlot): number {
    return this.#word(upstream, UPSTREAM_IN_FLIGHT)
  }

  /** Requests in flight from this shard. */
  inFlightHere(upstream: UpstreamSlot): number {
    return this.#own().inFlight[upstream] as number
  }

  timeoutMs(upstream: UpstreamSlot): number {
    return this.#word(upstream, UPSTREAM_TIMEOUT_MS)
  }

  /** How often account queues were switched: odd while they are on. */
  accountQueueSwitches(upstream: UpstreamSlot): number {
    return this.#word(upstream, UPSTREAM_ACCOUNT_QUEUES)
  }

  /** The earliest time of the next send of this budget, by any shard. */
  eligibleAtUs(upstream: UpstreamSlot): Micros {
    return eligibleAtUs(this.#baseUs(upstream), this.intervalNs(upstream))
  }

  /** Takes the next send's place on the grid; false if it is not due or another shard took it. */
  trySpend(upstream: UpstreamSlot, nowUs: Micros): boolean {
    const interval = this.intervalNs(upstream)
    return this.#moveBase(upstream, (base) => {
      if (eligibleAtUs(base, interval) > nowUs) return undefined
      this.#spentUs = baseAfterSend(base, interval, nowUs)
      return this.#spentUs
    })
  }

  /** The base after the last trySpend() that succeeded. */
  get spentUs(): Micros {
    return this.#spentUs
  }

  /** Refunds a send that had moved the base to `spentUs`, at an interval, and was not written. */
  returned(upstream: UpstreamSlot, spentUs: number, interval: number): void {
    const moved = (base: number): Micros => baseAfterReturn(base, spentUs, interval)
    const base = this.#baseUs(upstream)
    if (moved(base) !== base) this.#moveBase(upstream, moved)
  }

  /**
   * A send that was decided at an interval was written; others of the budget, of any shard, whose
   * intervals add up to `unwrittenNs`, are not yet.
   */
  written(upstream: UpstreamSlot, interval: number, unwrittenNs: number, nowUs: Micros): void {
    let trail = nowUs
    this.#moveTime(upstream, UPSTREAM_TRAIL_F64, (before) => {
      trail = trailAfterWrite(before, interval, nowUs)
      return trail
    })
    const moved = (base: number): Micros => baseAfterWrite(base, trail, unwrittenNs)
    const base = this.#baseUs(upstream)
    if (moved(base) !== base) this.#moveBase(upstream, moved)
  }

  /** Holds the budget until `untilUs`. */
  holdUntil(upstream: UpstreamSlot, untilUs: Micros): void {
    const interval = this.intervalNs(upstream)
    this.#moveBase(upstream, (base) => baseHeldUntil(base, interval, untilUs))
  }

  /** Moves the budget's grid forward to `atUs`, for when it replaces the lanes' account queues. */
  restartAt(upstream: UpstreamSlot, atUs: Micros): void {
    this.#moveBase(upstream, (base) => Math.max(base, atUs))
  }

  /** Takes an in-flight permit; false at the limit, and this shard is notified when one is free. */
  tryTake(upstream: UpstreamSlot): boolean {
    if (this.#tryTakeOnce(upstream)) return true
    Atomics.store(this.#own().blocked, upstream, 1)
    // A permit given back before the store above was not followed by a notice, so try again.
    return this.#tryTakeOnce(upstream)
  }

  /** Counts a send that was charged to an account queue. */
  countInFlight(upstream: UpstreamSlot): void {
    this.#beginOperation(upstream)
    Atomics.add(this.#words, upstream * UPSTREAM_RECORD_WORDS + UPSTREAM_IN_FLIGHT, 1)
    this.#addOwnInFlight(upstream, 1)
    this.#endOperation()
  }

  /** Gives an in-flight permit back and notifies the shards that wait for one. */
  giveBack(upstream: UpstreamSlot): void {
    const at = upstream * UPSTREAM_RECORD_WORDS + UPSTREAM_IN_FLIGHT
    this.#beginOperation(upstream)
    const before = Atomics.sub(this.#words, at, 1)
    assert(before > 0, 'a permit was given back twice')
    this.#addOwnInFlight(upstream, -1)
    this.#endOperation()
    this.#notifyBlocked(upstream)
  }

  /**
   * After a crash: gives back every permit that the thread held, whatever it was doing, and resets
   * its waiting and queued counts. What it had charged to a budget stays charged.
   */
  recover(): void {
    const { limits, progress } = this.#shards[this.#shard] as ShardViews
    const own = this.#own()
    own.waiting.fill(0)
    own.queued.fill(0)
    const pending = ((progress[BUDGET_OPERATION] as number) & OPERATION_MASK) - 1
    if (pending >= 0) {
      this.#giveBackAll(pending as UpstreamSlot, this.#heldOf(pending as UpstreamSlot))
    }
    for (let slot = 0; slot < limits.upstreamsMax; slot++) {
      const upstream = slot as UpstreamSlot
      const held = own.inFlight[upstream] as number
      if (held !== 0) this.#giveBackAll(upstream, held)
      Atomics.store(own.blocked, upstream, 0)
    }
  }

  #giveBackAll(upstream: UpstreamSlot, held: number): void {
    const at = upstream * UPSTREAM_RECORD_WORDS + UPSTREAM_IN_FLIGHT
    this.#beginOperation(upstream)
    const before = Atomics.sub(this.#words, at, held)
    assert(before >= held, 'a crashed shard held more permits than there were')
    this.#own().inFlight[upstream] = 0
    this.#endOperation()
    this.#notifyBlocked(upstream)
  }

  /**
   * The part of the common count that the other shards do not hold, read while none of them changes
   * it. A shard that crashed during such a change makes the result one too low or too high, until
   * its own successor has made the same correction.
   */
  #heldOf(upstream: UpstreamSlot): number {
    const sleep = new Int32Array(new SharedArrayBuffer(4))
    let held = 0
    for (let looks = 0; looks < SNAPSHOT_LOOKS_MAX; looks++) {
      if (looks % SNAPSHOT_LOOKS_PER_MS === SNAPSHOT_LOOKS_PER_MS - 1) Atomics.wait(sleep, 0, 0, 1)
      const before = this.#othersOperations(upstream)
      held = this.inFlight(upstream)
      for (let shard = 0; shard < this.#shards.length; shard++) {
        if (shard === this.#shard) continue
        held -= Atomics.load((this.#shards[shard] as ShardViews).upstreams.inFlight, upstream)
      }
      if (before !== undefined && before === this.#othersOperations(upstream)) break
    }
    return Math.max(0, held)
  }

  /** The sum of the other shards' operation counts; undefined while one changes this budget. */
  #othersOperations(upstream: UpstreamSlot): number | undefined {
    let sum = 0
    for (let shard = 0; shard < this.#shards.length; shard++) {
      if (shard === this.#shard) continue
      const { progress } = this.#shards[shard] as ShardViews
      const word = Atomics.load(progress, BUDGET_OPERATION)
      if ((word & OPERATION_MASK) === upstream + 1) return undefined
      sum += word >>> OPERATION_BITS
    }
    return sum
  }

  #notifyBlocked(upstream: UpstreamSlot): void {
    for (let shard = 0; shard < this.#shards.length; shard++) {
      const blocked = (this.#shards[shard] as ShardViews).upstreams.blocked
      if (Atomics.load(blocked, upstream) === 1 &&
        Atomics.exchange(blocked, upstream, 0) === 1) this.#notify(shard, upstream)
    }
  }

  /** Sets pace or limit; true if the word changed, and then the other shards are notified. */
  setWord(upstream: UpstreamSlot, word: number, value: number): boolean {
    const at = upstream * UPSTREAM_RECORD_WORDS + word
    this.touch(upstream)
    if (Atomics.exchange(this.#words, at, value) === value) return false
    this.noticeOthers(upstream)
    return true
  }

  /** Switches account queues; true if that is a change, and then the other shards are notified. */
  switchAccountQueues(upstream: UpstreamSlot, on: boolean): boolean {
    const at = upstream * UPSTREAM_RECORD_WORDS + UPSTREAM_ACCOUNT_QUEUES
    this.touch(upstream)
    const seen = Atomics.load(this.#words, at)
    if (((seen & 1) === 1) === on) return false
    // A lost race means that another shard has just switched them the same way.
    if (Atomics.compareExchange(this.#words, at, seen, seen + 1) !== seen) return false
    this.noticeOthers(upstream)
    return true
  }

  /** Notifies all other shards that this upstream has changed. */
  noticeOthers(upstream: UpstreamSlot): void {
    for (let shard = 0; shard < this.#shards.length; shard++) {
      if (shard !== this.#shard) this.#notify(shard, upstream)
    }
  }

  // --- fairness between shards ---

  /** Publishes how many turns wait here; a shard that joins starts with the rounds of the last. */
  setWaiting(upstream: UpstreamSlot, turns: number): void {
    const own = this.#own()
    const before = own.waiting[upstream] as number
    if (before === 0 && turns > 0) this.#levelWithLast(upstream)
    Atomics.store(own.waiting, upstream, turns)
    if (turns === 0) this.#yieldedAtUs[upstream] = 0
  }

  /** Whether this shard may send now; if not, another is behind it and has waiting turns. */
  mayGo(upstream: UpstreamSlot, nowUs: Micros): boolean {
    if (this.#shards.length === 1) return true
    const last = this.#roundsOfLast(upstream)
    if (last === undefined) return true
    const own = this.#own()
    const lead = ((own.rounds[upstream] as number) - last) | 0
    const turns = Math.max(1, own.waiting[upstream] as number)
    // An allowed lead saves the shards from alternating send by send, but not where permits are
    // scarce: the last ones are for the shard that is behind.
    const permits = this.concurrentMax(upstream) - this.inFlight(upstream)
    if (permits <= 0) return true // nothing to yield
    const burst = Math.min(permits, (YIELD_US_MAX * 1000) / this.intervalNs(upstream))
    if (lead <= (ROUND * burst) / turns) {
      this.#yieldedAtUs[upstream] = 0
      return true
    }
    const since = this.#yieldedAtUs[upstream] as number
    const baseUs = this.#baseUs(upstream)
    if (since === 0 || this.#yieldedBaseUs[upstream] !== baseUs) {
      this.#yieldedAtUs[upstream] = nowUs
      this.#yieldedBaseUs[upstream] = baseUs
      return false
    }
    if (nowUs - since < YIELD_US_MAX) return false
    this.#yieldedAtUs[upstream] = 0
    Atomics.store(own.rounds, upstream, last)
    return true
  }

  /** Counts a send: it advances this shard by one turn's share of a round. */
  countTurn(upstream: UpstreamSlot): void {
    const own = this.#own()
    const turns = Math.max(1, own.waiting[upstream] as number)
    const rounds = ((own.rounds[upstream] as number) + Math.ceil(ROUND / turns)) | 0
    Atomics.store(own.rounds, upstream, rounds)
  }

  /** Jobs queued for the upstream, over all shards. */
  queuedEverywhere(upstream: UpstreamSlot): number {
    let sum = 0
    for (const views of this.#shards) sum += views.upstreams.queued[upstream] as number
    return sum
  }

  /** Whether another shard has notified this one. */
  hasNotices(): boolean {
    return Atomics.load((this.#shards[this.#shard] as ShardViews).bell, BELL_NOTICE) === 1
  }

  /** The same; clears the flag. */
  takeNotices(): boolean {
    const bell = (this.#shards[this.#shard] as ShardViews).bell
    return Atomics.load(bell, BELL_NOTICE) === 1 && Atomics.exchange(bell, BELL_NOTICE, 0) === 1
  }

  /** Whether the notice is about this upstream; clears it. */
  takeNotice(upstream: UpstreamSlot): boolean {
    return Atomics.exchange(this.#own().notice, upstream, 0) === 1
  }

  #own(): ShardViews['upstreams'] {
    return (this.#shards[this.#shard] as ShardViews).upstreams
  }

  #baseUs(upstream: UpstreamSlot): number {
    return this.#timesF64[upstream * TIME_WORDS + UPSTREAM_BASE_F64] as number
  }

  #word(upstream: UpstreamSlot, word: number): number {
    return Atomics.load(this.#words, upstream * UPSTREAM_RECORD_WORDS + word)
  }

  #notify(shard: number, upstream: UpstreamSlot): void {
    const views = this.#shards[shard] as ShardViews
    Atomics.store(views.upstreams.notice, upstream, 1)
    Atomics.store(views.bell, BELL_NOTICE, 1)
    this.#bells[shard]?.ring()
  }

  #tryTakeOnce(upstream: UpstreamSlot): boolean {
    const at = upstream * UPSTREAM_RECORD_WORDS + UPSTREAM_IN_FLIGHT
    const concurrentMax = this.concurrentMax(upstream)
    let seen = Atomics.load(this.#words, at)
    if (seen >= concurrentMax) return false
    this.#beginOperation(upstream)
    while (seen < concurrentMax) {
      const found = Atomics.compareExchange(this.#words, at, seen, seen + 1)
      if (found === seen) {
        this.#addOwnInFlight(upstream, 1)
        break
      }
      seen = found
    }
    this.#endOperation()
    return seen < concurrentMax
  }

  /** The operation count wraps: only a whole wrap between a reader's two reads would be missed. */
  #beginOperation(upstream: UpstreamSlot): void {
    const { progress } = this.#shards[this.#shard] as ShardViews
    this.#operations++
    Atomics.store(progress, BUDGET_OPERATION,
      (this.#operations << OPERATION_BITS) | (upstream + 1))
  }

  #endOperation(): void {
    const { progress } = this.#shards[this.#shard] as ShardViews
    Atomics.store(progress, BUDGET_OPERATION, this.#operations << OPERATION_BITS)
  }

  #addOwnInFlight(upstream: UpstreamSlot, amount: number): void {
    const own = this.#own().inFlight
    own[upstream] = (own[upstream] as number) + amount
  }

  #moveBase(upstream: UpstreamSlot, move: (base: number) => number | undefined): boolean {
    this.touch(upstream)
    return this.#moveTime(upstream, UPSTREAM_BASE_F64, move)
  }

  #moveTime(
    upstream: UpstreamSlot, word: number, move: (time: number) => number | undefined,
  ): boolean {
    const at = upstream * TIME_WORDS + word
    for (let tries = 0; tries < CAS_TRIES_MAX; tries++) {
      const bits = Atomics.load(this.#times, at)
      this.#scratchBits[0] = bits
      const moved = move(this.#scratchF64[0] as number)
      if (moved === undefined) return false
      this.#scratchF64[0] = moved
      if (Atomics.compareExchange(this.#times, at, bits, this.#scratchBits[0]) === bits) return true
    }
    return false
  }

  /** The lowest rounds among the other shards with waiting lanes; undefined if there is none. */
  #roundsOfLast(upstream: UpstreamSlot): number | undefined {
    let last: number | undefined
    for (let shard = 0; shard < this.#shards.length; shard++) {
      if (shard === this.#shard) continue
      const other = (this.#shards[shard] as ShardViews).upstreams
      if (Atomics.load(other.waiting, upstream) === 0) continue
      const rounds = Atomics.load(other.rounds, upstream)
      if (last === undefined || ((rounds - last) | 0) < 0) last = rounds
    }
    return last
  }

  #levelWithLast(upstream: UpstreamSlot): void {
    const last = this.#roundsOfLast(upstream)
    if (last === undefined) return
    const rounds = this.#own().rounds
    const lead = ((rounds[upstream] as number) - last) | 0
    if (lead < 0 || lead > LEAD_KEPT_MAX) Atomics.store(rounds, upstream, last)
  }
}
