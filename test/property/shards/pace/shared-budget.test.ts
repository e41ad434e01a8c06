// Model: the list of all shards' send times, checked by the promise; for permits a count per shard;
// for notices a set per shard. Turns are measured: shards that always have lanes waiting get
// shares in proportion to them, and one that never takes its turn costs the others no pace.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { type Micros, US_PER_SECOND, type UpstreamSlot } from '../../../../shards/base/units.ts'
import { intervalNs } from '../../../../shards/memory/interval.ts'
import {
  KIND_RECEIVER, UPSTREAM_CONCURRENT_MAX, UPSTREAM_INTERVAL_NS,
} from '../../../../shards/memory/layout.ts'
import { PACE_TOLERANCE_US, YIELD_US_MAX } from '../../../../shards/memory/limits.ts'
import { SharedBudgets } from '../../../../shards/pace/shared-budget.ts'
import {
  type PacedSend, assertPromise, assertPromiseAcrossPaces,
} from '../../../support/pace-promise.ts'
import { STATE_WORD } from '../../../support/ring-memory.ts'
import {
  type ShardMemory, shardMemory, smallLimits, writeUpstream,
} from '../../../support/shard-memory.ts'
import { Swarm, forEachSeed } from '../../../support/swarm.ts'

const RUNS = 250
const STEPS = 400
const UPSTREAMS = 3
const PACES = [0.5, 1, 2, 3, 50, 333, 1000, 7777]

/** One shard as the model knows it; sets are of upstreams. */
interface ModelShard {
  readonly inFlight: number[]
  readonly blocked: Set<number>
  readonly notices: Set<number>
  isRung: boolean
}

class Run {
  readonly #prng: Prng
  readonly #memory: ShardMemory
  readonly #hands: readonly SharedBudgets[]
  readonly #model: readonly ModelShard[]
  readonly #limits = Array.from({ length: UPSTREAMS }, () => 2)
  readonly #paces = Array.from({ length: UPSTREAMS }, () => 2)
  /** Of account queues: odd while they are on. */
  readonly #switches = Array.from({ length: UPSTREAMS }, () => 0)
  readonly sends: PacedSend[][] = Array.from({ length: UPSTREAMS }, () => [])
  #nowUs = 1_000_000_000 as Micros

  constructor(prng: Prng) {
    this.#prng = prng
    this.#memory = shardMemory(smallLimits({ shards: prng.between(1, 4) }))
    const { shared, shards } = this.#memory
    for (let upstream = 0; upstream < UPSTREAMS; upstream++) {
      this.#limits[upstream] = prng.between(1, 5)
      this.#paces[upstream] = prng.pick(PACES)
      writeUpstream(shared, upstream, {
        pacePerSecond: this.#paces[upstream] as number,
        concurrentMax: this.#limits[upstream] as number,
      })
    }
    this.#hands = shards.map((_, shard) => new SharedBudgets(shared, shard, shards))
    this.#model = shards.map(() => ({
      inFlight: Array.from({ length: UPSTREAMS }, () => 0),
      blocked: new Set(), notices: new Set(), isRung: false,
    }))
  }

  /** At any moment: early, in time or late. */
  spend(): void {
    const { hand, upstream } = this.#draw()
    const atUs = hand.eligibleAtUs(upstream)
    const target = this.#prng.pick([atUs - 1, atUs, atUs + this.#prng.below(20_000), this.#nowUs])
    this.#nowUs = Math.max(this.#nowUs, Math.floor(target)) as Micros
    const isDue = atUs <= this.#nowUs
    assert.equal(hand.trySpend(upstream, this.#nowUs), isDue)
    const pacePerSecond = this.#paces[upstream] as number
    if (isDue) this.sends[upstream]?.push({ atUs: this.#nowUs, pacePerSecond })
  }

  take(): void {
    const { hand, shard, upstream } = this.#draw()
    const isFree = this.#inFlight(upstream) < (this.#limits[upstream] as number)
    assert.equal(hand.tryTake(upstream), isFree)
    if (isFree) this.#count(shard, upstream, 1)
    else shard.blocked.add(upstream)
  }

  /** A send that a lane's account queue has let go; no limit holds it. */
  countInFlight(): void {
    const { hand, shard, upstream } = this.#draw()
    hand.countInFlight(upstream)
    this.#count(shard, upstream, 1)
  }

  giveBack(): void {
    const { hand, shard, upstream } = this.#draw()
    if (shard.inFlight[upstream] === 0) return
    hand.giveBack(upstream)
    this.#count(shard, upstream, -1)
    for (const other of this.#model) {
      if (other.blocked.delete(upstream)) this.#notify(other, upstream)
    }
  }

  changePace(): void {
    const { hand, shard, upstream } = this.#draw()
    const pace = this.#prng.pick(PACES)
    const isNew = this.#paces[upstream] !== pace
    assert.equal(hand.setWord(upstream, UPSTREAM_INTERVAL_NS, intervalNs(pace)), isNew)
    this.#paces[upstream] = pace
    if (isNew) this.#notifyOthers(shard, upstream)
  }

  changeLimit(): void {
    const { hand, shard, upstream } = this.#draw()
    const limit = this.#prng.between(1, 5)
    const isNew = this.#limits[upstream] !== limit
    assert.equal(hand.setWord(upstream, UPSTREAM_CONCURRENT_MAX, limit), isNew)
    this.#limits[upstream] = limit
    if (isNew) this.#notifyOthers(shard, upstream)
  }

  switchQueues(): void {
    const { hand, shard, upstream } = this.#draw()
    const on = this.#prng.chance(0.5)
    const switches = this.#switches[upstream] as number
    const isNew = (switches % 2 === 1) !== on
    assert.equal(hand.switchAccountQueues(upstream, on), isNew)
    if (!isNew) return
    this.#switches[upstream] = switches + 1
    this.#notifyOthers(shard, upstream)
  }

  hold(): void {
    const { hand, upstream } = this.#draw()
    const before = hand.eligibleAtUs(upstream)
    const untilUs = this.#nowUs + this.#prng.below(3_000_000)
    hand.holdUntil(upstream, untilUs as Micros)
    assertNear(hand.eligibleAtUs(upstream), Math.max(before, untilUs))
  }

  restart(): void {
    const { hand, upstream } = this.#draw()
    const before = hand.eligibleAtUs(upstream)
    hand.restartAt(upstream, this.#nowUs)
    const freshUs = this.#nowUs + hand.intervalNs(upstream) / 1000
    assertNear(hand.eligibleAtUs(upstream), Math.max(before, freshUs))
  }

  listen(): void {
    const { hand, shard } = this.#draw()
    assert.equal(hand.takeNotices(), shard.isRung)
    shard.isRung = false
    for (let upstream = 0; upstream < UPSTREAMS; upstream++) {
      assert.equal(hand.takeNotice(upstream as UpstreamSlot), shard.notices.delete(upstream))
    }
  }

  check(): void {
    for (const [index, shard] of this.#model.entries()) {
      const hand = this.#hands[index] as SharedBudgets
      const views = this.#memory.shards[index]
      assert.equal(hand.hasNotices(), shard.isRung)
      for (let upstream = 0 as UpstreamSlot; upstream < UPSTREAMS; upstream++) {
        assert.equal(hand.inFlight(upstream), this.#inFlight(upstream))
        assert.equal(hand.concurrentMax(upstream), this.#limits[upstream])
        assert.equal(hand.accountQueueSwitches(upstream), this.#switches[upstream])
        assert.equal(hand.intervalNs(upstream), intervalNs(this.#paces[upstream] as number))
        assert.equal(views?.upstreams.inFlight[upstream], shard.inFlight[upstream])
      }
    }
  }

  #draw(): { hand: SharedBudgets; shard: ModelShard; upstream: UpstreamSlot } {
    const index = this.#prng.below(this.#hands.length)
    const upstream = this.#prng.below(UPSTREAMS) as UpstreamSlot
    // Every shard sleeps before each step, so that what is not rung shows.
    for (const [at, { bell }] of this.#memory.shards.entries()) {
      const isNoticed = this.#model[at]?.isRung === true
      if (isNoticed) assert.equal(bell[STATE_WORD], 0, 'a notice without a ring')
      else bell[STATE_WORD] = 1
    }
    return {
      hand: this.#hands[index] as SharedBudgets, shard: this.#model[index] as ModelShard, upstream,
    }
  }

  #inFlight(upstream: UpstreamSlot): number {
    return this.#model.reduce((sum, shard) => sum + (shard.inFlight[upstream] as number), 0)
  }

  #count(shard: ModelShard, upstream: UpstreamSlot, amount: number): void {
    shard.inFlight[upstream] = (shard.inFlight[upstream] as number) + amount
  }

  #notify(shard: ModelShard, upstream: UpstreamSlot): void {
    shard.notices.add(upstream)
    shard.isRung = true
  }

  #notifyOthers(self: ModelShard, upstream: UpstreamSlot): void {
    for (const shard of this.#model) if (shard !== self) this.#notify(shard, upstream)
  }
}

/** Times are sums of fractions of microseconds; a nanosecond makes no send early. */
function assertNear(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 0.001, `${actual} is not ${expected}`)
}

test('several shards spend one budget as one would', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(prng, 'spend', ['take', 'countInFlight', 'giveBack', 'changePace',
      'changeLimit', 'switchQueues', 'hold', 'restart', 'listen'])
    for (let step = 0; step < STEPS; step++) {
      run[swarm.next()]()
      run.check()
    }
    for (const sends of run.sends) {
      assertPromiseAcrossPaces(sends)
      const paces = new Set(sends.map(({ pacePerSecond }) => pacePerSecond))
      const [pace] = paces
      if (paces.size === 1) assertPromise(sends.map(({ atUs }) => atUs), pace as number)
    }
  })
})

test('an upstream is read as the front door wrote it', () => {
  const { shared, shards } = shardMemory(smallLimits({ shards: 2 }))
  const upstream = 3 as UpstreamSlot
  writeUpstream(shared, upstream, {
    accountQueues: true, kind: KIND_RECEIVER, timeoutMs: 1234, concurrentMax: 9,
  })
  const budgets = new SharedBudgets(shared, 1, shards)
  assert.deepEqual([
    budgets.accountQueueSwitches(upstream), budgets.kind(upstream), budgets.timeoutMs(upstream),
    budgets.concurrentMax(upstream), budgets.intervalNs(upstream), budgets.inFlight(upstream),
  ], [1, KIND_RECEIVER, 1234, 9, 500_000_000, 0])
})

test('jobs are counted over all shards', () => {
  const { shared, shards } = shardMemory(smallLimits({ shards: 3 }))
  const upstream = 2 as UpstreamSlot
  for (const [at, views] of shards.entries()) views.upstreams.queued[upstream] = at + 5
  assert.equal(new SharedBudgets(shared, 0, shards).queuedEverywhere(upstream), 18)
})

test('a permit is not given back twice', () => {
  const { shared, shards } = shardMemory(smallLimits())
  writeUpstream(shared, 0)
  const budgets = new SharedBudgets(shared, 0, shards)
  assert.throws(() => budgets.giveBack(0 as UpstreamSlot), /given back twice/)
})

// --- turns ---

interface TurnRun {
  readonly pacePerSecond: number
  /** Lanes waiting at each shard; they never run out of jobs. */
  readonly lanes: readonly number[]
  /** Shards that say that they wait, and never send. */
  readonly dead?: readonly number[]
  readonly sends: number
}

/** Polls all shards in random order, some 200 us apart, until so many sends are made. */
function takeTurns(prng: Prng, run: TurnRun): { shares: number[]; timesUs: number[] } {
  const { lanes, pacePerSecond } = run
  const { shared, shards } = shardMemory(smallLimits({ shards: lanes.length }))
  const upstream = 0 as UpstreamSlot
  writeUpstream(shared, upstream, { pacePerSecond })
  const hands = lanes.map((_, shard) => new SharedBudgets(shared, shard, shards))
  const start = prng.uint32() | 0
  for (const [at, hand] of hands.entries()) {
    // As if they had taken turns for ever: near 2^31 the count wraps.
    const rounds = shards[at]?.upstreams.rounds
    if (rounds !== undefined) rounds[upstream] = prng.pick([start, 0x7fffffff])
    hand.setWaiting(upstream, lanes[at] as number)
  }
  const alive = lanes.map((_, at) => at).filter((at) => run.dead?.includes(at) !== true)
  const shares = lanes.map(() => 0)
  const timesUs: number[] = []
  let nowUs = 1_000_000_000
  while (timesUs.length < run.sends) {
    nowUs += prng.between(1, 400)
    const at = prng.pick(alive)
    const hand = hands[at] as SharedBudgets
    while (hand.eligibleAtUs(upstream) <= nowUs && hand.mayGo(upstream, nowUs as Micros) &&
      hand.trySpend(upstream, nowUs as Micros)) {
      hand.countTurn(upstream)
      shares[at] = (shares[at] as number) + 1
      timesUs.push(nowUs)
    }
  }
  return { shares, timesUs }
}

for (const pacePerSecond of [50, 400, 2000]) {
  for (const lanes of [[1, 1], [1, 9], [5, 2, 1]]) {
    test(`turns at ${pacePerSecond} per second are shared as the lanes ${lanes}`, () => {
      forEachSeed(5, (prng) => {
        const { shares, timesUs } = takeTurns(prng, { pacePerSecond, lanes, sends: 1500 })
        assertPromiseAcrossPaces(timesUs.map((atUs) => ({ atUs, pacePerSecond })))
        const total = lanes.reduce((sum, count) => sum + count, 0)
        for (const [at, count] of lanes.entries()) {
          const fair = (1500 * count) / total
          const isFair = Math.abs((shares[at] as number) - fair) < 0.1 * fair + 10
          assert.ok(isFair, `shares ${shares} for lanes ${lanes}`)
        }
      })
    })
  }
  test(`a shard that never takes its turn costs no pace at ${pacePerSecond} per second`, () => {
    forEachSeed(5, (prng) => {
      const run = { pacePerSecond, lanes: [2, 3, 1], dead: [1], sends: 1500 }
      const { timesUs } = takeTurns(prng, run)
      const tookUs = (timesUs.at(-1) as number) - (timesUs[0] as number)
      const rate = ((timesUs.length - 1) * US_PER_SECOND) / tookUs
      const slackUs = YIELD_US_MAX + PACE_TOLERANCE_US
      assert.ok(rate > pacePerSecond * 0.995 * (1 - slackUs / tookUs), `only ${rate}`)
    })
  })
}

test('a shard that was away for long neither owes turns nor has them due', () => {
  forEachSeed(20, (prng) => {
    const { shared, shards } = shardMemory(smallLimits({ shards: 2 }))
    const upstream = 0 as UpstreamSlot
    writeUpstream(shared, upstream, { pacePerSecond: 100 })
    const [here, there] = shards.map((_, shard) => new SharedBudgets(shared, shard, shards))
    assert.ok(here !== undefined && there !== undefined)
    here.setWaiting(upstream, 1)
    for (let sends = prng.below(200_000); sends > 0; sends--) here.countTurn(upstream)
    there.setWaiting(upstream, 1)
    const [mine, theirs] = shards.map((views) => views.upstreams.rounds[upstream])
    assert.equal(mine, theirs, 'whoever comes back starts level with who is there')
    assert.ok(here.mayGo(upstream, 1_000_000 as Micros))
    assert.ok(there.mayGo(upstream, 1_000_000 as Micros))
  })
})
