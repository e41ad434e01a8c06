// One shard in virtual time: what shards/worker.ts is to a thread. The engine is turned when it
// asked to be, or when its bell would have rung, each a little late, as real timers and threads
// are. There is no slow poll here that would hide a ring that was forgotten. Where the scenario
// has deaths, the thread ends between any two of its stores, and another takes over its memory.

import { Engine } from '../../shards/engine.ts'
import { Prng } from '../../shards/prng.ts'
import type { StatValues } from '../../shards/stats.ts'
import { readStats } from '../../shards/stats.ts'
import type { ShardMemory } from '../support/shard-memory.ts'
import type { ShardViews } from '../../shards/layout.ts'
import { FakeTransport, type FakeNetwork } from './fake-network.ts'
import { DECISIVE, Death, Fuse, burn, countStores } from './fuse.ts'
import type { Observer } from './observations.ts'
import type { Scenario } from './scenario.ts'
import type { VirtualTime } from './virtual-time.ts'

/** A turn that has more to do at once is followed by the next so soon. */
const NEXT_TURN_US = 20
const STALL_US_MIN = 5000
/** Every so many turns the engine walks through its own memory. */
const VERIFY_EVERY_TURNS = 64
/** A dead thread's successor comes after at most this. */
const REPLACED_US_MAX = 100_000

/** What a simulated shard is given. */
export interface SimShardParts {
  readonly shard: number
  readonly scenario: Scenario
  readonly memory: ShardMemory
  readonly network: FakeNetwork
  readonly time: VirtualTime
  readonly prng: Prng
  readonly observers: readonly Observer[]
  /** The engine broke an assertion while the network spoke to it. */
  readonly broken: (error: unknown) => void
}

/** One thread of a shard. */
interface Life {
  readonly engine: Engine
  readonly transport: FakeTransport
  readonly fuse: Fuse | undefined
}

/** One shard. */
export class SimShard {
  readonly views: ShardViews
  readonly #parts: SimShardParts
  /** Stalls and deaths come only while there are faults. */
  faults = true
  #life: Life | undefined
  #turnAtUs = Infinity
  #freeAtUs = 0
  #turns = 0

  constructor(parts: SimShardParts) {
    const { shard, memory } = parts
    this.#parts = parts
    this.views = memory.shards[shard] as ShardViews
    this.#live(false)
  }

  /** Undefined while it is dead. */
  get engine(): Engine | undefined {
    return this.#life?.engine
  }

  /** Whether nothing is under way here. */
  get isIdle(): boolean {
    if (this.#life === undefined) return false
    const { engine, transport } = this.#life
    return engine.isIdle && engine.unfinished === 0 && transport.inFlight === 0 &&
      !engine.hasWork()
  }

  describe(): string {
    if (this.#life === undefined) return 'dead'
    const { engine, transport } = this.#life
    return `unfinished ${engine.unfinished}, retrying ${this.stats.retrying}, ` +
      `webhooks ${this.stats.webhooksWaiting}, in flight ${transport.inFlight}`
  }

  get stats(): StatValues {
    return readStats(this.views.stats)
  }

  /** What its bell would do: wakes the shard if it has got something. */
  poke(): void {
    if (this.#turnAtUs === Infinity || this.#turnAtUs > this.#parts.time.nowUs()) {
      if (this.engine?.hasWork() === true) this.#wantSoon()
    }
  }

  /** A thread attaches to the memory, the first or the next. */
  #live(recover: boolean): void {
    const { shard, scenario, memory, network, time, prng, broken } = this.#parts
    const fuse = this.#drawFuse()
    const alive = (run: () => void): void => this.#alive(fuse, run)
    const transport = new FakeTransport(network, shard, () => this.#freeAtUs, alive)
    const shards = scenario.deaths === 0 ? memory.shards
      : memory.shards.map((views, at) => at === shard ? countStores(views) : views)
    this.#freeAtUs = 0
    this.#turnAtUs = Infinity
    alive(() => {
      const engine = new Engine({
        shard, shared: memory.shared, shards, settings: scenario.settings, clock: time.clock(),
        prng: new Prng(prng.uint32()), transport, recover, wantTurn: () => this.#wantSoon(),
        broken: (error) => {
          if (error instanceof Death) this.#die(transport)
          else broken(error)
        },
      })
      this.#life = { engine, transport, fuse }
    })
    if (this.#life === undefined) return
    for (const observer of this.#parts.observers) observer.lives?.(shard, this.views)
    this.#wantSoon()
  }

  /**
   * How many stores the next thread makes, of all or of those to one array: some die while they
   * still recover.
   */
  #drawFuse(): Fuse | undefined {
    const { prng, scenario } = this.#parts
    if (!this.faults || !prng.chance(scenario.deaths)) return undefined
    if (prng.chance(0.3)) return new Fuse(Math.floor(10 ** (4.5 * prng.unit())))
    return new Fuse(1 + Math.floor(10 ** (2.2 * prng.unit())), prng.pick(DECISIVE))
  }

  /** Runs something of this thread; if it does not survive that, it is dead. */
  #alive(fuse: Fuse | undefined, run: () => void): void {
    try {
      burn(this.faults ? fuse : undefined, run)
    } catch (error) {
      if (!(error instanceof Death)) throw error
      this.#die(this.#life?.transport)
    }
  }

  #die(transport: FakeTransport | undefined): void {
    const { shard, time, prng, observers, network } = this.#parts
    this.#life = undefined
    this.#turnAtUs = Infinity
    network.parts.log.add(`s${shard} dies`)
    transport?.die()
    for (const observer of observers) observer.died?.(shard)
    time.after(1 + prng.below(REPLACED_US_MAX), () => this.#live(true))
  }

  #wantSoon(): void {
    const { prng, scenario, time } = this.#parts
    // What was asked for within the same wake-up comes with it: no second latency is drawn.
    if (this.#turnAtUs <= time.nowUs() + scenario.lateness.wakeUsMax) return
    this.#want(time.nowUs() + 1 + prng.below(scenario.lateness.wakeUsMax))
  }

  #want(atUs: number): void {
    if (atUs >= this.#turnAtUs) return
    this.#turnAtUs = atUs
    this.#parts.time.at(atUs, () => this.#wake(atUs))
  }

  #wake(atUs: number): void {
    if (atUs !== this.#turnAtUs) return // an earlier turn took its place
    this.#turnAtUs = Infinity
    const { time } = this.#parts
    if (time.nowUs() < this.#freeAtUs) return this.#want(this.#freeAtUs)
    this.#turn()
  }

  #turn(): void {
    const { prng, scenario, time, observers, shard } = this.#parts
    const life = this.#life
    if (life === undefined) return
    const { timerUsMax, stallChance, stallUsMax } = scenario.lateness
    const nowUs = time.nowUs()
    let nextUs = 0
    this.#alive(life.fuse, () => { nextUs = life.engine.turn() })
    if (this.#life !== life) return
    life.transport.settle()
    if (this.#turns++ % VERIFY_EVERY_TURNS === 0) life.engine.verify()
    if (this.faults && prng.chance(stallChance)) {
      this.#freeAtUs = nowUs + prng.between(STALL_US_MIN, stallUsMax)
    }
    if (nextUs <= nowUs) this.#want(nowUs + NEXT_TURN_US)
    else if (nextUs !== Infinity) this.#want(Math.ceil(nextUs) + prng.below(timerUsMax + 1))
    for (const observer of observers) observer.turned?.(shard)
  }
}
