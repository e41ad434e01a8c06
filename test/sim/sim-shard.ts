// One shard in virtual time: what shards/worker.ts is to a thread. The engine is turned when it
// asked to be, or when its bell would have rung, each a little late, as real timers and threads
// are. There is no slow poll here that would hide a ring that was forgotten.

import { Engine } from '../../shards/engine.ts'
import { Prng } from '../../shards/prng.ts'
import type { StatValues } from '../../shards/stats.ts'
import { readStats } from '../../shards/stats.ts'
import type { ShardMemory } from '../support/shard-memory.ts'
import type { ShardViews } from '../../shards/layout.ts'
import { FakeTransport, type FakeNetwork } from './fake-network.ts'
import type { Scenario } from './scenario.ts'
import type { VirtualTime } from './virtual-time.ts'

/** A turn that has more to do at once is followed by the next so soon. */
const NEXT_TURN_US = 20
const STALL_US_MIN = 5000
/** Every so many turns the engine walks through its own memory. */
const VERIFY_EVERY_TURNS = 64

/** What a simulated shard is given. */
export interface SimShardParts {
  readonly shard: number
  readonly scenario: Scenario
  readonly memory: ShardMemory
  readonly network: FakeNetwork
  readonly time: VirtualTime
  readonly prng: Prng
  /** Called after every turn. */
  readonly turned: (shard: number) => void
  /** The engine broke an assertion while the network spoke to it. */
  readonly broken: (error: unknown) => void
}

/** One shard. */
export class SimShard {
  readonly engine: Engine
  readonly transport: FakeTransport
  readonly views: ShardViews
  readonly #parts: SimShardParts
  /** Stalls come only while there are faults. */
  stalls = true
  #turnAtUs = Infinity
  #freeAtUs = 0
  #turns = 0

  constructor(parts: SimShardParts) {
    const { shard, scenario, memory, network, time } = parts
    this.#parts = parts
    this.views = memory.shards[shard] as ShardViews
    this.transport = new FakeTransport(network, shard, () => this.#freeAtUs)
    this.engine = new Engine({
      shard, shared: memory.shared, shards: memory.shards, settings: scenario.settings,
      clock: time.clock(), prng: new Prng(parts.prng.uint32()), transport: this.transport,
      wantTurn: () => this.#wantSoon(), broken: parts.broken,
    })
    this.#wantSoon()
  }

  get stats(): StatValues {
    return readStats(this.views.stats)
  }

  /** What its bell would do: wakes the shard if it has got something. */
  poke(): void {
    if (this.#turnAtUs === Infinity || this.#turnAtUs > this.#parts.time.nowUs()) {
      if (this.engine.hasWork()) this.#wantSoon()
    }
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
    const { prng, scenario, time, turned, shard } = this.#parts
    const { timerUsMax, stallChance, stallUsMax } = scenario.lateness
    const nowUs = time.nowUs()
    const nextUs = this.engine.turn()
    if (this.#turns++ % VERIFY_EVERY_TURNS === 0) this.engine.verify()
    if (this.stalls && prng.chance(stallChance)) {
      this.#freeAtUs = nowUs + prng.between(STALL_US_MIN, stallUsMax)
    }
    if (nextUs <= nowUs) this.#want(nowUs + NEXT_TURN_US)
    else if (nextUs !== Infinity) this.#want(Math.ceil(nextUs) + prng.below(timerUsMax + 1))
    turned(shard)
  }
}
