// A whole world from one seed: shards, network, callers and checkers in virtual time. A run loads
// the shards during faults, lets the faults stop, drains to empty, and repeats that; at the end it
// waits until all jobs are forgotten and releases the upstreams' slots.

import { Prng } from '../../shards/base/prng.ts'
import type { Micros } from '../../shards/base/units.ts'
import type { ShardViews } from '../../shards/memory/layout.ts'
import { IDLE_KEEP_MS_MIN } from '../../shards/memory/limits.ts'
import {
  nameUpstream, shardMemory, writeUpstream, type ShardMemory,
} from '../support/shard-memory.ts'
import { AnswerChecker } from './checkers/answer-checker.ts'
import { BudgetOracle } from './checkers/budget-oracle.ts'
import { DrainChecker } from './checkers/drain-checker.ts'
import { InFlightChecker } from './checkers/in-flight-checker.ts'
import { KeyChecker } from './checkers/key-checker.ts'
import { Ledger } from './checkers/ledger.ts'
import { MemoryChecker } from './checkers/memory-checker.ts'
import { OrderChecker } from './checkers/order-checker.ts'
import { PaceChecker } from './checkers/pace-checker.ts'
import { SurvivalChecker } from './checkers/survival-checker.ts'
import { TurnChecker } from './checkers/turn-checker.ts'
import { EventLog } from './event-log.ts'
import { FakeNetwork } from './fake-network.ts'
import { FrontDoor } from './front-door.ts'
import { JournalDisk } from './journal-disk.ts'
import type { Observer } from './observations.ts'
import type { Scenario } from './scenario.ts'
import { SimShard } from './sim-shard.ts'
import { promise } from './violation.ts'
import { VirtualTime } from './virtual-time.ts'
import { Workload } from './workload.ts'

const MAIN_STALL_US_MAX = 100_000
/** Limit per round of the times that the front door withdraws what a shard has not taken. */
const GIVE_UPS_MAX = 10
/** The same after a failed write, within this time. */
const FAILED_US_MAX = 2_000_000
/** Far more than any run takes; beyond it, a shard is in a loop. */
const STEPS_MAX = 1_000_000
/** Everything ends within this time after the faults: Retry-After, deadlines, webhooks. */
const DRAIN_US_MAX = 3600e6
const QUIET_US = 10_000
/** The longest time until a killed process is restarted. */
const RESTART_US_MAX = 500_000
/** A finished job is forgotten within this time after its TTL. */
const FORGOTTEN_AFTER_MS = 10_000

/** The result of a run. */
export interface RunSummary {
  readonly digest: string
  readonly lines: number
  readonly steps: number
  readonly jobs: number
  readonly virtualSeconds: number
}

/** The world of one run. */
export class Simulation {
  readonly time = new VirtualTime()
  readonly log: EventLog
  readonly network: FakeNetwork
  readonly door: FrontDoor
  readonly workload: Workload
  readonly ledger: Ledger
  readonly shards: readonly SimShard[]
  readonly #scenario: Scenario
  readonly #memory: ShardMemory
  readonly #drainChecker: DrainChecker
  readonly #observers: Observer[]
  readonly #mainPrng: Prng
  readonly #giveUpPrng: Prng
  readonly #survival: SurvivalChecker
  readonly #disks: readonly JournalDisk[]
  #steps = 0
  #readPlanned = false
  #broken: unknown

  /** @param extra further checkers, after the usual ones. */
  constructor(
    scenario: Scenario, print?: (line: string) => void, extra: readonly Observer[] = [],
  ) {
    const { time } = this
    this.#scenario = scenario
    this.#memory = shardMemory(scenario.limits)
    this.#writePlaces()
    this.log = new EventLog(time, print)
    this.ledger = new Ledger(time)
    this.#drainChecker = new DrainChecker(
      this.ledger, scenario, this.#memory.shared, this.#memory.shards)
    this.#survival = new SurvivalChecker(time, this.#memory.shards)
    this.#observers = [...this.#makeCheckers(), ...extra]
    const seeds = new Prng(scenario.seed ^ 0x5eed)
    const { log } = this
    const observers = this.#observers
    this.door = new FrontDoor({ scenario, memory: this.#memory, time, log, observers })
    this.network = new FakeNetwork({
      scenario, time, log, observers, prng: new Prng(seeds.uint32()),
      jobById: (id) => this.door.jobById(id),
    })
    this.workload = new Workload({
      scenario, time, door: this.door, prng: new Prng(seeds.uint32()),
    })
    this.#mainPrng = new Prng(seeds.uint32())
    this.#giveUpPrng = new Prng(scenario.seed ^ 0x61fe)
    this.#disks = !scenario.isJournalled ? []
      : this.#memory.shards.map((_, shard) => this.#disk(shard))
    this.shards = this.#memory.shards.map((_, shard) => new SimShard({
      shard, scenario, memory: this.#memory, network: this.network, time,
      prng: new Prng(seeds.uint32()), broken: (error) => { this.#broken ??= error }, observers,
      disk: this.#disks[shard] ?? null,
    }))
  }

  /** The whole run; throws the error of a checker or an assertion. */
  run(): RunSummary {
    for (let round = 0; round < this.#scenario.rounds; round++) {
      this.log.add(`round ${round}`)
      this.network.healthy = false
      for (const shard of this.shards) shard.faults = true
      this.workload.begin()
      this.#planKills()
      this.#planGiveUps()
      while (this.workload.isComing) this.step(Infinity)
      this.heal()
      this.drain()
    }
    this.#forgetAll()
    return this.summary()
  }

  summary(): RunSummary {
    return {
      digest: this.log.digest(), lines: this.log.count, steps: this.#steps,
      jobs: this.ledger.all.length, virtualSeconds: this.time.nowUs() / 1e6,
    }
  }

  /** Runs the next event and its immediate consequences. False when none is left. */
  step(untilUs: number): boolean {
    if (!this.time.step(untilUs)) return false
    if (this.#broken !== undefined) throw this.#broken
    promise(this.#steps++ < STEPS_MAX, 'progress', () => 'a shard turns in circles')
    for (const shard of this.shards) shard.poke()
    if (!this.#readPlanned && this.door.hasAnswers()) this.#planRead()
    return true
  }

  /** Stops all faults. */
  heal(): void {
    this.log.add('healthy')
    this.network.healthy = true
    for (const shard of this.shards) shard.faults = false
  }

  /** Runs until everything has ended, which it must. */
  drain(): void {
    const untilUs = this.time.nowUs() + DRAIN_US_MAX
    while (!this.#isDrained()) {
      const went = this.step(untilUs)
      promise(went, 'drain', () => `not empty: ${this.#whatIsLeft()}`)
    }
    // The last turn, requested by the last response, publishes the statistics.
    const quietUs = this.time.nowUs() + QUIET_US
    while (this.step(quietUs)) { /* until that turn is over */ }
    for (const observer of this.#observers) observer.drained?.()
    for (const { engine } of this.shards) engine?.verify()
  }

  /** Writes upstream records, as the front door does. */
  #writePlaces(): void {
    const { shared } = this.#memory
    for (const [slot, { origin, start }] of this.#scenario.places.entries()) {
      writeUpstream(shared, slot, start)
      nameUpstream(shared, slot, origin)
    }
  }

  #makeCheckers(): Observer[] {
    const { ledger, time } = this
    const { shared, shards } = this.#memory
    if (this.#scenario.kills > 0) {
      this.#survival.keyTtlUs = this.#scenario.settings.completedTtlMs * 1000
      return [this.#survival, { submitted: (job) => ledger.submitted(job) }]
    }
    const memory = new MemoryChecker(ledger, shards)
    ledger.mayWait = (shard) => memory.wasFull(shard)
    const oracle = new BudgetOracle(this.#scenario, shared, () => time.nowUs())
    return [
      ledger, memory, oracle, new PaceChecker(oracle, time), new InFlightChecker(oracle),
      { written: (attempt) => oracle.noteWritten(attempt) },
      new OrderChecker(), new TurnChecker(shards),
      new KeyChecker(ledger, memory, time, this.#scenario, shards),
      new AnswerChecker(ledger, memory, time, this.#scenario),
      this.#drainChecker,
    ]
  }

  /** With its own random numbers, so that a seed's run is the same without a journal. */
  #disk(shard: number): JournalDisk {
    return new JournalDisk({
      views: this.#memory.shards[shard] as ShardViews, time: this.time,
      prng: new Prng(this.#scenario.seed ^ (0xd15c + shard)), mayFail: () => !this.network.healthy,
      ends: () => this.#survival.ends,
      onFailure: () => this.#giveUpWithin(shard, FAILED_US_MAX),
    })
  }

  /** Kills the process at random times during the load. */
  #planKills(): void {
    const { habits, kills } = this.#scenario
    for (let left = kills; left > 0; left--) {
      this.time.after(this.#mainPrng.below(habits.durationUs), () => this.#kill())
    }
  }

  /** The front door withdraws requests to a shard, whatever that is doing at the time. */
  #planGiveUps(): void {
    const { deaths, habits, isJournalled, limits, reloads } = this.#scenario
    if (deaths === 0 && reloads === 0 && !isJournalled) return
    for (let left = this.#giveUpPrng.below(GIVE_UPS_MAX); left > 0; left--) {
      this.#giveUpWithin(this.#giveUpPrng.below(limits.shards), habits.durationUs)
    }
  }

  #giveUpWithin(shard: number, us: number): void {
    this.time.after(this.#giveUpPrng.below(us), () => this.door.giveUp(shard))
  }

  #kill(): void {
    const { time } = this
    if (!this.shards.every((shard) => shard.engine !== undefined)) return // not restarted yet
    this.log.add('killed')
    for (const shard of this.shards) shard.kill()
    const { shared, shards } = this.#memory
    for (const [shard, disk] of this.#disks.entries()) {
      disk.cut()
      this.#survival.killed(shard, disk.durableEnds)
    }
    for (const { buffer } of [shared, ...shards]) new Uint8Array(buffer).fill(0)
    this.door.attach()
    this.#writePlaces()
    for (const [shard, disk] of this.#disks.entries()) {
      const backUs = time.nowUs() + this.#mainPrng.below(RESTART_US_MAX)
      disk.load(shards[shard] as ShardViews, backUs as Micros)
      time.at(backUs, () => (this.shards[shard] as SimShard).restart())
    }
  }

  #planRead(): void {
    const { mainUsMax, mainStallChance } = this.#scenario.lateness
    this.#readPlanned = true
    const stalls = !this.network.healthy && this.#mainPrng.chance(mainStallChance)
    const delayUs = this.#mainPrng.below(stalls ? MAIN_STALL_US_MAX : mainUsMax + 1)
    this.time.after(delayUs, () => {
      this.#readPlanned = false
      this.door.read()
    })
  }

  #isDrained(): boolean {
    return this.door.pending === 0 && !this.door.hasAnswers() &&
      this.shards.every((shard) => shard.isIdle)
  }

  #whatIsLeft(): string {
    const shards = this.shards.map((shard) => shard.describe())
    return `${this.door.pending} requests pending; ${shards.join('; ')}`
  }

  /** Waits for the TTL of every finished job, then releases the upstreams' slots. */
  #forgetAll(): void {
    const { completedTtlMs, failedTtlMs } = this.#scenario.settings
    const keptMs = Math.max(completedTtlMs, failedTtlMs, IDLE_KEEP_MS_MIN) + FORGOTTEN_AFTER_MS
    const untilUs = this.time.nowUs() + keptMs * 1000
    this.time.at(untilUs, () => {}) // so that time advances even without other events
    while (this.step(untilUs)) { /* until no event is left */ }
    for (const [shard, { engine }] of this.shards.entries()) {
      engine?.verify()
      this.#drainChecker.checkForgotten(shard)
      for (let place = 0; place < this.#scenario.places.length; place++) {
        this.door.release(shard, place, (done) => promise(done, 'drain', () =>
          `shard ${shard} does not give upstream ${place} back`))
      }
    }
    for (const shard of this.shards) shard.poke()
    while (this.door.pending > 0) {
      const went = this.step(Infinity)
      promise(went, 'drain', () => 'a release was not answered')
    }
  }
}
