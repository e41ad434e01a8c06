// One shard in virtual time, in place of shards/shard/worker.ts. The engine takes a turn when it
// has asked for one, or when its bell is rung, each a little late, as with real timers and threads.
// There is no slow poll, which would hide a missing ring of the bell. Where the scenario has
// crashes, the thread ends between any two of its stores, and another takes over its memory.

import { Prng } from '../../shards/base/prng.ts'
import type { ShardViews } from '../../shards/memory/layout.ts'
import type { StatValues } from '../../shards/memory/stats.ts'
import { readStats } from '../../shards/memory/stats.ts'
import type { EngineBaton } from '../../shards/shard/baton.ts'
import { Engine } from '../../shards/shard/engine.ts'
import { RelayedTransport } from '../../shards/transport/relayed-transport.ts'
import type { ShardMemory } from '../support/shard-memory.ts'
import { FakeTransport, type FakeNetwork } from './fake-network.ts'
import { DECISIVE, Death, Fuse, burn, countStores } from './fuse.ts'
import type { JournalDisk } from './journal-disk.ts'
import type { Observer } from './observations.ts'
import type { Scenario } from './scenario.ts'
import { SimPort } from './sim-port.ts'
import type { VirtualTime } from './virtual-time.ts'

/** The delay of the next turn after one that has more to do. */
const NEXT_TURN_US = 20
const STALL_US_MIN = 5000
/** The engine verifies its own memory once in so many turns. */
const VERIFY_EVERY_TURNS = 64
/** The longest time until a crashed thread's successor starts. */
const REPLACED_US_MAX = 100_000
/** The longest time until a thread takes over from a running one. */
const TAKEN_OVER_US_MAX = 20_000
/** How often the old thread ends by itself, with its requests in flight, and within what time. */
const RELAY_ENDS = 0.1
const RELAY_ENDS_US_MAX = 500_000

/** What a simulated shard needs. */
export interface SimShardParts {
  readonly shard: number
  readonly scenario: Scenario
  readonly memory: ShardMemory
  readonly network: FakeNetwork
  readonly time: VirtualTime
  readonly prng: Prng
  readonly observers: readonly Observer[]
  /** The disk of its journal; null without one. */
  readonly disk: JournalDisk | null
  /** An assertion of the engine failed in an event of the network. */
  readonly broken: (error: unknown) => void
}

/** One thread of a shard. */
interface Life {
  readonly engine: Engine
  readonly transport: RelayedTransport
  readonly fuse: Fuse | undefined
}

/** What a thread gets that takes over from a running one. */
interface Handed {
  readonly baton: EngineBaton
  readonly port: SimPort
}

/** One shard. */
export class SimShard {
  readonly views: ShardViews
  readonly #parts: SimShardParts
  /** Stalls and crashes happen only while there are faults. */
  faults = true
  #life: Life | undefined
  /** It has crashed, and its successor is to start; code that still runs crashes no second time. */
  #isDead = false
  /** The thread's own sockets, and those of predecessors that relay to it. */
  #sockets: FakeTransport[] = []
  #turnAtUs = Infinity
  #freeAtUs = 0
  #turns = 0

  constructor(parts: SimShardParts) {
    const { shard, memory } = parts
    this.#parts = parts
    this.views = memory.shards[shard] as ShardViews
    this.#live(false)
  }

  /** Undefined while it has no thread. */
  get engine(): Engine | undefined {
    return this.#life?.engine
  }

  /** The memory of its sockets: of the thread that started last. */
  get sockets(): FakeTransport {
    return this.#sockets[this.#sockets.length - 1] as FakeTransport
  }

  /** Whether nothing is in progress here. */
  get isIdle(): boolean {
    if (this.#life === undefined) return false
    const { engine } = this.#life
    return engine.isIdle && engine.unfinished === 0 && this.#inFlight === 0 &&
      !engine.hasWork() && this.#isWritten
  }

  /** Whether the journal is complete: a failed batch has yet to be written again. */
  get #isWritten(): boolean {
    if (this.#parts.disk === null) return true
    const [tail, written] = this.views.answers.control
    return this.#parts.disk.isIdle && tail === written
  }

  describe(): string {
    if (this.#life === undefined) return 'dead'
    const { engine } = this.#life
    return `unfinished ${engine.unfinished}, retrying ${this.stats.retrying}, ` +
      `webhooks ${this.stats.webhooksWaiting}, in flight ${this.#inFlight}`
  }

  get #inFlight(): number {
    return this.#sockets.reduce((sum, sockets) => sum + sockets.inFlight, 0)
  }

  get stats(): StatValues {
    return readStats(this.views.stats)
  }

  /** The effect of its bell: wakes the shard if there is something for it. */
  poke(): void {
    if (this.#turnAtUs === Infinity || this.#turnAtUs > this.#parts.time.nowUs()) {
      if (this.engine?.hasWork() === true) this.#wantSoon()
    }
  }

  /** A thread attaches to the memory. */
  #live(recover: boolean, handed?: Handed): void {
    const { shard, scenario, memory, network, time, prng, broken } = this.#parts
    const fuse = this.#drawFuse()
    const alive = (run: () => void): void => this.#alive(fuse, run)
    // Events of an old thread's sockets are delivered to the present thread.
    const sockets = new FakeTransport(network, shard, () => this.#freeAtUs,
      (run) => this.#alive(this.#life?.fuse ?? fuse, run))
    this.#sockets.push(sockets)
    const transport = new RelayedTransport(sockets)
    const shards = scenario.deaths === 0 ? memory.shards
      : memory.shards.map((views, at) => at === shard ? countStores(views) : views)
    this.#freeAtUs = 0
    this.#turnAtUs = Infinity
    this.#isDead = false
    alive(() => {
      const engine = new Engine({
        shard, shared: memory.shared, shards, settings: scenario.settings, clock: time.clock(),
        prng: new Prng(prng.uint32()), transport, recover, baton: handed?.baton,
        wantTurn: () => this.#wantSoon(),
        journal: this.#parts.disk?.sink((run) => {
          if (this.#life?.transport === transport) alive(run)
        }) ?? null,
        broken: (error) => {
          if (error instanceof Death) this.#die()
          else broken(error)
        },
      })
      if (handed !== undefined) {
        transport.receiveFrom(handed.port, handed.baton.attempts.attemptId, () => {})
      }
      this.#life = { engine, transport, fuse }
    })
    if (this.#life === undefined) return
    if (handed === undefined) {
      for (const observer of this.#parts.observers) observer.lives?.(shard, this.views)
    }
    this.#wantSoon()
  }

  /** Another thread takes over from this one, which relays its requests in flight. */
  #reload({ engine, transport }: Life): void {
    const { network, prng, shard, time } = this.#parts
    network.parts.log.add(`s${shard} hands over`)
    const baton = structuredClone(engine.handOver())
    const [theirs, ours] = SimPort.pair()
    transport.relayTo(ours, baton.attempts.attemptId)
    const old = [...this.#sockets]
    this.#life = undefined
    const atUs = time.nowUs() + 1 + prng.below(TAKEN_OVER_US_MAX)
    this.#freeAtUs = atUs + 1
    time.at(atUs, () => this.#live(false, { baton, port: theirs }))
    if (!prng.chance(RELAY_ENDS)) return
    time.after(prng.below(RELAY_ENDS_US_MAX), () => this.#endRelay(old, ours))
  }

  /** Ends an old thread, and all that it relays from, with what they have in flight. */
  #endRelay(old: readonly FakeTransport[], port: SimPort): void {
    const { time } = this.#parts
    if (time.nowUs() < this.#freeAtUs) {
      return time.at(this.#freeAtUs, () => this.#endRelay(old, port))
    }
    const ended = old.filter((sockets) => this.#sockets.includes(sockets))
    if (ended.length === 0 || this.#life === undefined) return // crashed, with its successor
    this.#sockets = this.#sockets.filter((sockets) => !ended.includes(sockets))
    for (const sockets of ended) sockets.breakOff()
    this.#alive(this.#life.fuse, () => port.close())
    // If a thread crashes in this, it is not known whether it has stored the events.
    for (const sockets of ended) {
      if (this.#isDead) sockets.die()
      else sockets.settle()
    }
  }

  /**
   * How many stores the next thread makes, of all or of those to one array: some threads crash
   * during recovery.
   */
  #drawFuse(): Fuse | undefined {
    const { prng, scenario } = this.#parts
    if (!this.faults || !prng.chance(scenario.deaths)) return undefined
    if (prng.chance(0.3)) return new Fuse(Math.floor(10 ** (4.5 * prng.unit())))
    return new Fuse(1 + Math.floor(10 ** (2.2 * prng.unit())), prng.pick(DECISIVE))
  }

  /** Runs something in this thread; if it throws Death, the thread has crashed. */
  #alive(fuse: Fuse | undefined, run: () => void): void {
    try {
      burn(this.faults ? fuse : undefined, run)
    } catch (error) {
      if (!(error instanceof Death)) throw error
      this.#die()
    }
  }

  #die(): void {
    if (this.#isDead) return
    this.#isDead = true
    const { shard, time, prng, observers, network } = this.#parts
    this.#life = undefined
    this.#turnAtUs = Infinity
    network.parts.log.add(`s${shard} dies`)
    for (const sockets of this.#sockets.splice(0)) sockets.die()
    for (const observer of observers) observer.died?.(shard)
    time.after(1 + prng.below(REPLACED_US_MAX), () => this.#live(true))
  }

  /** The whole process is killed, and the thread with it. */
  kill(): void {
    this.#life = undefined
    this.#turnAtUs = Infinity
    for (const sockets of this.#sockets.splice(0)) sockets.die()
  }

  /** Another process has loaded the memory from the journal. */
  restart(): void {
    this.#live(true)
  }

  #wantSoon(): void {
    const { prng, scenario, time } = this.#parts
    // Covered by a wake-up that is already planned: no second latency is drawn.
    if (this.#turnAtUs <= time.nowUs() + scenario.lateness.wakeUsMax) return
    this.#want(time.nowUs() + 1 + prng.below(scenario.lateness.wakeUsMax))
  }

  #want(atUs: number): void {
    if (atUs >= this.#turnAtUs) return
    this.#turnAtUs = atUs
    this.#parts.time.at(atUs, () => this.#wake(atUs))
  }

  #wake(atUs: number): void {
    if (atUs !== this.#turnAtUs) return // replaced by an earlier turn
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
    for (const sockets of this.#sockets) sockets.settle()
    if (this.#turns++ % VERIFY_EVERY_TURNS === 0) life.engine.verify()
    if (this.faults && prng.chance(stallChance)) {
      this.#freeAtUs = nowUs + prng.between(STALL_US_MIN, stallUsMax)
    }
    if (nextUs <= nowUs) this.#want(nowUs + NEXT_TURN_US)
    else if (nextUs !== Infinity) this.#want(Math.ceil(nextUs) + prng.below(timerUsMax + 1))
    for (const observer of observers) observer.turned?.(shard)
    if (scenario.reloads > 0 && this.faults && prng.chance(scenario.reloads)) this.#reload(life)
  }
}
