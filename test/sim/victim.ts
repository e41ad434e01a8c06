// A victim that is entitled to PER_SECOND sends a second, beside an attacker who has filled a pool
// that both use, in virtual time: the victim arrives when the pool is full, and still gets its
// sends, the webhooks of its jobs, and complete results. Durations are checked here, since they
// cannot be over real sockets (test/victim).

import { Prng } from '../../shards/base/prng.ts'
import { KIB, MIB } from '../../shards/base/units.ts'
import { KIND_RECEIVER, KIND_UPSTREAM } from '../../shards/memory/layout.ts'
import type { Limits } from '../../shards/memory/plan.ts'
import type { StatValues } from '../../shards/memory/stats.ts'
import type { JobSnapshot } from '../../shards/wire/contract.ts'
import type { POOLS } from '../../src/base/pools.ts'
import type { FakeTransport } from './fake-network.ts'
import type { Account, Attempt, Ending, Observer, Question, SimJob, Verdict }
  from './observations.ts'
import {
  CALM, IDLE_HABITS, NEAR, type Place, PROMPT, type Reach, type Scenario, SOCKET_BOUNDS,
  type SocketBounds,
} from './scenario.ts'
import { Simulation } from './simulation.ts'
import { promise } from './violation.ts'
import { type JobChoice, makeAccount } from './workload.ts'

/** A pool of POOLS. */
export type PoolName = keyof typeof POOLS

const CHECKER = 'victim'
/** The victim's sends per second. */
export const PER_SECOND = 50
/** The number of its sends that must happen, */
export const SENDS = 500
export const SENDS_SHARE_MIN = 0.99
/** with no longer pause than this. */
export const GAP_MS_MAX = 100
/** Its waiting jobs, over all its accounts. */
const AHEAD = 20
/** The pause before it submits again what was refused. */
const AGAIN_US = 20_000
/** The pause after the webhook before it asks for the result. */
const ASKS_AFTER_US = 500_000
const RESULT_BYTES = 200
const FILL_US_MAX = 30e6
const LOOK_EVERY_US = 1000
/** The victim's upstream; the attacker's have higher numbers. */
export const VICTIM_PLACE = 0

/** An upstream or receiver of the attacker. */
export type PlaceFacts = Omit<Place, 'origin'>

/** The surroundings of an attack; each has a default. */
export interface World {
  /** The attacker's, in places from 1 on. */
  readonly upstreams: readonly PlaceFacts[]
  /** The attacker's: see VictimStage.receivers. */
  readonly receivers: readonly PlaceFacts[]
  readonly limits: Partial<Limits>
  readonly sockets: SocketBounds
  /** The victim's users: each has a budget of its own, a part of PER_SECOND. */
  readonly victims: number
  /** How the victim's connections are opened and lost. */
  readonly reach: Reach
}

/** An attack. */
export interface SimAttack {
  readonly pool: PoolName
  readonly what: string
  readonly world: Partial<World>
  /** Starts it; returns a function that tells whether the pool is full. */
  readonly begin: (stage: VictimStage) => () => boolean
}

/** What the victim got. */
export interface VictimReport {
  readonly sends: number
  readonly deliveries: number
  /** The longer one, of sends and of webhooks, from its first submission on. */
  readonly longestGapMs: number
  /** Results that it asked for and received completely. */
  readonly results: number
}

/** A world with an attacker and a victim. */
export class VictimStage implements Observer {
  readonly simulation: Simulation
  /** The places of the attacker's receivers. */
  readonly receivers: readonly number[]
  /** Refused jobs of the attacker. */
  refused = 0
  readonly #prng: Prng
  readonly #victims: readonly Account[]
  readonly #upstreams: number
  readonly #ownReceiver: number
  readonly #sends: number[] = []
  readonly #deliveries: number[] = []
  #results = 0
  #accounts = 1000
  /** The first fault that the victim noticed. */
  #complaint: string | undefined

  constructor({ world }: SimAttack, seed: number) {
    const scenario = scenarioOf(world, seed)
    this.#prng = new Prng(seed)
    this.#upstreams = scenario.upstreams
    this.#ownReceiver = scenario.upstreams
    this.receivers = scenario.places.flatMap((_, place) => place > this.#ownReceiver ? [place] : [])
    this.simulation = new Simulation(scenario, undefined, [this])
    this.simulation.network.healthy = false
    for (const shard of this.simulation.shards) shard.faults = false
    // In different groups of users, so that no two share a lane.
    this.#victims = Array.from({ length: world.victims ?? 1 }, (_, at) =>
      this.account(0xabcdef00 + at))
  }

  /** An account with a key of its own. @param route its user's. */
  account(route: number = this.#prng.uint32()): Account {
    const number = this.#accounts++
    return makeAccount(
      this.#prng, number, { tenant: 0, route, name: route }, number, this.#upstreams)
  }

  /** Submits so many jobs for the attacker. */
  submit(count: number, choiceOf: (at: number) => JobChoice): void {
    for (let at = 0; at < count; at++) this.simulation.workload.submit(choiceOf(at))
  }

  /** Repeats something periodically. */
  every(ms: number, run: () => void): void {
    const { time } = this.simulation
    const again = (): void => {
      run()
      time.after(ms * 1000, again)
    }
    again()
  }

  get stats(): StatValues {
    return this.#shard.stats
  }

  /** Refused lanes. */
  get lanesRefused(): number {
    return this.stats.lanesRefusedByShare + this.stats.lanesRefusedByBound
  }

  /** The used part of the log. */
  get logFill(): number {
    return this.stats.logLiveBytes / this.stats.logCapacityBytes
  }

  get sockets(): FakeTransport {
    return this.#shard.sockets
  }

  /** Runs the attack until its pool is full. */
  fill({ begin, what }: SimAttack): void {
    const { simulation } = this
    const isFull = begin(this)
    const endUs = simulation.time.nowUs() + FILL_US_MAX
    for (let atUs: number = simulation.time.nowUs(); !isFull(); atUs += LOOK_EVERY_US) {
      promise(atUs < endUs, CHECKER, () => `the pool is not filled by ${what}`)
      while (simulation.step(atUs));
    }
  }

  /** Runs the victim until it has had its sends. */
  serve(): VictimReport {
    const { time } = this.simulation
    const fromUs = time.nowUs()
    const untilUs = fromUs + (SENDS / PER_SECOND) * 1e6
    for (const [at, account] of this.#victims.entries()) {
      time.after((at * 1e6) / PER_SECOND, () => {
        for (let left = AHEAD / this.#victims.length; left > 0; left--) this.#submitFor(account)
      })
    }
    while (this.simulation.step(untilUs));
    const gaps = [this.#sends, this.#deliveries].map((times) => longestGap(times, fromUs, untilUs))
    return {
      sends: this.#sends.length, deliveries: this.#deliveries.length, results: this.#results,
      longestGapMs: Math.max(...gaps) / 1000,
    }
  }

  /** Throws a Violation unless the victim had everything. */
  judge(report: VictimReport, title: string): void {
    const { deliveries, longestGapMs, results, sends } = report
    const least = SENDS * SENDS_SHARE_MIN
    promise(this.#complaint === undefined, CHECKER, () => `${title}: ${this.#complaint}`)
    promise(sends >= least, CHECKER, () => `${title}: only ${sends} sends`)
    promise(deliveries >= least, CHECKER, () => `${title}: only ${deliveries} webhooks`)
    promise(longestGapMs <= GAP_MS_MAX, CHECKER, () => `${title}: nothing for ${longestGapMs} ms`)
    promise(results >= SENDS / 2, CHECKER, () => `${title}: only ${results} results`)
  }

  // --- as an observer ---

  judged(job: SimJob, verdict: Verdict): void {
    if (verdict.kind === 'accepted') return
    if (!this.#isVictim(job)) this.refused++
    else this.simulation.time.after(AGAIN_US, () => this.#submitFor(job.account))
  }

  written({ isWebhook, job }: Attempt): void {
    if (!this.#isVictim(job)) return
    const { time } = this.simulation
    if (isWebhook) {
      this.#deliveries.push(time.nowUs())
      return
    }
    this.#sends.push(time.nowUs())
    time.after(0, () => this.#submitFor(job.account))
  }

  ended({ answer, isWebhook, job }: Attempt, ending: Ending): void {
    if (!this.#isVictim(job)) return
    const { door, time } = this.simulation
    if (ending !== 'response') this.#complaint ??= `a request ended by ${ending}`
    if (answer.truncated) this.#complaint ??= 'a response was cut'
    if (isWebhook) time.after(ASKS_AFTER_US, () => door.ask(job, 'get'))
  }

  answered(job: SimJob, _: Question, code: number, view: JobSnapshot | null): void {
    if (!this.#isVictim(job)) return
    const { result } = view ?? {}
    if (result === undefined) this.#complaint ??= `no result, but code ${code}`
    else if (result.truncated === true) this.#complaint ??= 'a result lost its body'
    else this.#results++
  }

  #isVictim(job: SimJob): boolean {
    return this.#victims.includes(job.account)
  }

  #submitFor(account: Account): void {
    this.simulation.workload.submit({
      account, upstream: VICTIM_PLACE, receiver: this.#ownReceiver, bodyBytes: RESULT_BYTES,
    })
  }

  get #shard(): Simulation['shards'][number] {
    return this.simulation.shards[0] as Simulation['shards'][number]
  }
}

/** Runs one attack; throws a Violation unless the victim had its share. */
export function runSimAttack(attack: SimAttack, seed: number): VictimReport {
  const stage = new VictimStage(attack, seed)
  stage.fill(attack)
  const report = stage.serve()
  stage.judge(report, `${attack.pool}, ${attack.what} (seed ${seed})`)
  return report
}

/** The longest pause between these times, including before the first and after the last. */
export function longestGap(times: readonly number[], fromUs: number, untilUs: number): number {
  const marks = [fromUs, ...times, untilUs]
  return Math.max(...marks.slice(1).map((at, place) => at - (marks[place] as number)))
}

const LIMITS: Limits = {
  memoryBytes: 0, shards: 1, bodyBytesMax: 8 * KIB, responseBytesMax: 8 * KIB,
  recordBytesMax: 16 * KIB, ringBytes: MIB, segmentBytes: 64 * KIB, segmentsMax: 64, jobsMax: 4096,
  lanesMax: 512, templatesMax: 128, upstreamsMax: 32,
}

function scenarioOf(world: Partial<World>, seed: number): Scenario {
  const {
    limits, reach = NEAR, receivers = [], sockets = SOCKET_BOUNDS, upstreams = [], victims = 1,
  } = world
  const own: PlaceFacts = {
    weather: { ...CALM, latencyHigh: 4, bodyBytesMax: RESULT_BYTES }, reach,
    start: {
      pacePerSecond: PER_SECOND / victims, concurrentMax: 100, accountQueues: victims > 1,
      kind: KIND_UPSTREAM, timeoutMs: 30_000,
    },
  }
  const ownReceiver: PlaceFacts = {
    weather: CALM, reach,
    start: {
      pacePerSecond: 100_000, concurrentMax: 128, accountQueues: false, kind: KIND_RECEIVER,
      timeoutMs: 10_000,
    },
  }
  const places = [own, ...upstreams, ownReceiver, ...receivers].map((facts, place): Place =>
    ({ ...facts, origin: `https://place-${place}.test` }))
  return {
    seed, limits: { ...LIMITS, ...limits }, lanesScarce: true, isJournalled: false,
    reloads: 0, refusals: 0, kills: 0, deaths: 0, upstreams: 1 + upstreams.length, users: 0,
    apiKeysMax: 1, tenants: [0], tenantsCollide: false, rounds: 1, places, sockets,
    lateness: PROMPT, habits: IDLE_HABITS,
    settings: {
      keyMismatch: 'reject', completedTtlMs: 1_800_000, failedTtlMs: 7_200_000,
      responseBytesMax: 8 * KIB, webhookRetryAfterMsMax: 300_000, connectionsPerOriginMax: 1024,
      extraCaPem: '', userAgent: 'sluice-sim',
    },
  }
}
