// Everything that a seed decides before its run begins: sizes of memory, accounts, how upstreams
// behave, how late threads wake up. The seed switches every feature on or off and gives it a weight
// (swarm testing), so that rare combinations occur and no feature hides another.

import { Prng } from '../../shards/base/prng.ts'
import { KIB, alignUp, powerOfTwoAtLeast } from '../../shards/base/units.ts'
import { KIND_RECEIVER, KIND_UPSTREAM } from '../../shards/memory/layout.ts'
import type { Limits } from '../../shards/memory/plan.ts'
import {
  CONNECTIONS_PER_SHARD_MAX, RESPONSE_BUFFER_BYTES_MAX,
} from '../../shards/memory/socket-limits.ts'
import type { ShardSettings } from '../../shards/wire/contract.ts'
import type { UpstreamStart } from '../support/shard-memory.ts'

/** How responses are made; weights by kind. */
export interface Weather {
  readonly ok: number
  readonly otherAnswer: number
  readonly tooMany: number
  readonly tooManyWait: number
  readonly serverError: number
  readonly requestTimeout: number
  readonly broken: number
  readonly brokenMidway: number
  readonly silent: number
  readonly refused: number
  /** Latency of the head: 10^low … 10^high microseconds, uniform in the exponent. */
  readonly latencyLow: number
  readonly latencyHigh: number
  /** Probability that a body takes time after its head. */
  readonly slowBody: number
  /** The longest response body. */
  readonly bodyBytesMax: number
  /** Probabilities that a response announces pace, limit or account queues. */
  readonly saysPace: number
  readonly saysLimit: number
  readonly saysQueues: number
  readonly saysNonsense: number
  /** The paces and limits that it chooses from. */
  readonly paces: readonly number[]
  readonly limits: readonly number[]
  readonly retryAfterMsMax: number
}

/** How connections to a place are opened and lost; a probability each. */
export interface Reach {
  /** Time to open one: 10^low … 10^high microseconds, uniform in the exponent. */
  readonly connectLow: number
  readonly connectHigh: number
  /** Limit for each shard. */
  readonly connectionsMax: number
  /** It cannot be opened. */
  readonly fails: number
  /** It is lost while idle, with the end of its request, or before that is written. */
  readonly idlesOut: number
  readonly closes: number
  readonly returns: number
  /** When connections are requested: an outage begins. */
  readonly outages: number
}

/** An upstream or a webhook receiver; its index in the scenario's list is its slot. */
export interface Place {
  readonly origin: string
  readonly start: Required<UpstreamStart>
  readonly weather: Weather
  readonly reach: Reach
}

/** Delays of things that should happen immediately. */
export interface Lateness {
  readonly wakeUsMax: number
  readonly timerUsMax: number
  readonly stallChance: number
  readonly stallUsMax: number
  /** Probability, for each send, that its place's responses fill their memory, for a while. */
  readonly chokeChance: number
  readonly mainUsMax: number
  readonly mainStallChance: number
}

/** What callers do; probabilities for each submitted job. */
export interface Habits {
  readonly jobs: number
  readonly durationUs: number
  /** Jobs that are submitted together. */
  readonly burstMax: number
  readonly repeat: number
  readonly ask: number
  readonly cancel: number
  /** Somebody of another tenant asks, cancels or watches. */
  readonly askOthers: number
  readonly watch: number
  readonly watchLater: number
  readonly unwatch: number
  readonly wantsAccountQueue: number
  readonly beginBy: number
  readonly beginByMsMax: number
  readonly noWebhook: number
  readonly bodyBytesMax: number
  readonly retries: readonly number[]
  /** The part of the jobs that belong to the first account. */
  readonly noisy: number
}

/** Limits of a shard's sockets, over all places. */
export interface SocketBounds {
  readonly connectionsMax: number
  /** Memory for responses while they arrive. */
  readonly responseBytesMax: number
}

/** The real limits of a shard. */
export const SOCKET_BOUNDS: SocketBounds =
  { connectionsMax: CONNECTIONS_PER_SHARD_MAX, responseBytesMax: RESPONSE_BUFFER_BYTES_MAX }

/** Everything that a run needs to know. */
export interface Scenario {
  readonly seed: number
  readonly limits: Limits
  readonly settings: ShardSettings
  /** Upstreams first, then receivers. */
  readonly places: readonly Place[]
  readonly upstreams: number
  readonly users: number
  /** The users are dealt to these in turn, under the same names in each. */
  readonly tenants: readonly number[]
  /** Whether the hashes of tenants are the same, and that of a user of tenant 0. */
  readonly tenantsCollide: boolean
  readonly apiKeysMax: number
  readonly sockets: SocketBounds
  readonly lateness: Lateness
  readonly habits: Habits
  /** Number of rounds of load, each followed by a drain. */
  readonly rounds: number
  /** Whether there may be too few lanes for all accounts. */
  readonly lanesScarce: boolean
  /** Probability that a thread crashes while there are faults; also for its successors. */
  readonly deaths: number
  /** Probability, at each turn while there are faults, of a handover to a new thread. */
  readonly reloads: number
  /** Probability, for each place and thread, that the thread's rules refuse its addresses. */
  readonly refusals: number
  /** Whether a journal is kept. */
  readonly isJournalled: boolean
  /** How often the process is killed in each round. */
  readonly kills: number
}

/** Optional extra faults of a scenario. */
export type Trouble = 'deaths' | 'journal' | 'kills' | 'reloads'

/** Connections are opened at once and stay. */
export const NEAR: Reach = {
  connectLow: 2, connectHigh: 2, connectionsMax: 1024, fails: 0, idlesOut: 0, closes: 0, returns: 0,
  outages: 0,
}

/** Each request has an answer after 1 ms, without announcements. */
export const CALM: Weather = {
  ok: 1, otherAnswer: 0, tooMany: 0, tooManyWait: 0, serverError: 0, requestTimeout: 0, broken: 0,
  brokenMidway: 0, silent: 0, refused: 0, latencyLow: 3, latencyHigh: 3, slowBody: 0,
  bodyBytesMax: 0, saysPace: 0, saysLimit: 0, saysQueues: 0, saysNonsense: 0, paces: [1],
  limits: [1], retryAfterMsMax: 1,
}

/** Delays below the tolerance, as on a real machine under load. */
export const PROMPT: Lateness = {
  wakeUsMax: 200, timerUsMax: 1000, stallChance: 0, stallUsMax: 0, chokeChance: 0,
  mainUsMax: 300, mainStallChance: 0,
}

/** Callers that do nothing on their own. */
export const IDLE_HABITS: Habits = {
  jobs: 0, durationUs: 0, burstMax: 1, repeat: 0, ask: 0, cancel: 0, askOthers: 0, watch: 0,
  watchLater: 0, unwatch: 0, wantsAccountQueue: 0, beginBy: 0, beginByMsMax: 0, noWebhook: 1,
  bodyBytesMax: 0, retries: [4], noisy: 0,
}

const some = (prng: Prng, chance: number, weightMax: number): number =>
  prng.chance(chance) ? prng.between(1, weightMax) : 0

function drawWeather(prng: Prng, responseBytesMax: number): Weather {
  const calm = prng.chance(0.2)
  const fault = calm ? 0 : 0.4
  const low = prng.pick([2, 3, 4])
  return {
    ok: prng.between(10, 40), otherAnswer: some(prng, 0.5, 10),
    tooMany: some(prng, fault, 10), tooManyWait: some(prng, fault, 10),
    serverError: some(prng, fault, 15), requestTimeout: some(prng, fault, 3),
    broken: some(prng, fault, 10), brokenMidway: some(prng, fault, 5),
    silent: some(prng, fault * 0.7, 4), refused: some(prng, fault * 0.5, 2),
    latencyLow: low, latencyHigh: low + prng.pick([0.3, 1, 2, 3]),
    slowBody: prng.pick([0, 0.1, 0.5]),
    bodyBytesMax: prng.pick([0, 64, 512, responseBytesMax, responseBytesMax * 2]),
    saysPace: prng.pick([0, 0, 0.05, 0.3, 1]), saysLimit: prng.pick([0, 0, 0.05, 0.3]),
    saysQueues: prng.pick([0, 0, 0, 0.02, 0.2]), saysNonsense: prng.pick([0, 0, 0.1]),
    paces: prng.pick([[0.5, 10_000], [0.5, 2, 50, 1000, 10_000], [3, 7.5, 33.3], [200, 2000]]),
    limits: prng.pick([[1], [1, 100], [2, 5, 20], [1, 1_000_000]]),
    retryAfterMsMax: prng.pick([1500, 10_000, 120_000]),
  }
}

function drawReach(prng: Prng): Reach {
  const calm = prng.chance(0.2)
  const oneOf = (chances: readonly number[]): number => calm ? 0 : prng.pick(chances)
  const low = prng.pick([2, 3, 4])
  return {
    connectLow: low, connectHigh: low + prng.pick([0.3, 1, 2]),
    connectionsMax: prng.pick([1, 2, 8, 1024, 1024]),
    fails: oneOf([0, 0, 0.05, 0.4]), idlesOut: oneOf([0, 0.1, 0.5]), closes: oneOf([0, 0.1, 1]),
    returns: oneOf([0, 0, 0.02, 0.3]), outages: oneOf([0, 0, 0.01, 0.1]),
  }
}

function drawLimits(prng: Prng, shards: number): { limits: Limits; lanesScarce: boolean } {
  const bodyBytesMax = prng.pick([KIB, 4 * KIB, 16 * KIB])
  const responseBytesMax = prng.pick([KIB, 4 * KIB, 16 * KIB])
  const recordBytesMax = alignUp(2 * KIB + Math.max(bodyBytesMax, responseBytesMax), 8)
  const segmentBytes = powerOfTwoAtLeast(recordBytesMax)
  const upstreamsMax = 8
  const lanesScarce = prng.chance(0.25)
  const segmentsMax = prng.chance(0.5) ? prng.between(8, 24) : 128
  return {
    lanesScarce,
    limits: {
      memoryBytes: 0, shards, bodyBytesMax, responseBytesMax, recordBytesMax,
      ringBytes: Math.max(64 * KIB, 4 * segmentBytes), segmentBytes, segmentsMax,
      jobsMax: prng.chance(0.3) ? prng.between(4, 64) : 2048,
      lanesMax: upstreamsMax + (lanesScarce ? prng.pick([1, 3, 8, 20, 40]) : 1024),
      templatesMax: prng.pick([2, 16, 256]), upstreamsMax,
    },
  }
}

function drawPlaces(prng: Prng, upstreams: number, receivers: number, limits: Limits): Place[] {
  const reaches = new Prng(prng.uint32())
  return Array.from({ length: upstreams + receivers }, (_, slot) => {
    const isReceiver = slot >= upstreams
    const drawn = drawWeather(prng, limits.responseBytesMax)
    const weather = isReceiver ? { ...drawn, bodyBytesMax: 0, refused: 0 } : drawn
    return {
      origin: isReceiver ? `http://hook-${slot}.test:8080` : `https://api-${slot}.test`,
      weather,
      reach: drawReach(reaches),
      start: {
        pacePerSecond: isReceiver ? 100_000 : prng.pick([0.5, 2, 2, 20, 500, 5000]),
        concurrentMax: isReceiver ? 128 : prng.pick([1, 3, 100, 100]),
        accountQueues: !isReceiver && prng.chance(0.2),
        kind: isReceiver ? KIND_RECEIVER : KIND_UPSTREAM,
        timeoutMs: prng.pick([500, 5000, 30_000]),
      },
    }
  })
}

function drawLateness(prng: Prng): Lateness {
  const prompt = prng.chance(0.3)
  return {
    wakeUsMax: prompt ? 20 : 200,
    timerUsMax: prng.pick([0, 1000, 5000]),
    stallChance: prompt ? 0 : prng.pick([0, 0.001, 0.02]),
    stallUsMax: prng.pick([5000, 50_000]),
    chokeChance: prng.pick([0, 0, 0.001]),
    mainUsMax: prompt ? 20 : 300,
    mainStallChance: prompt ? 0 : prng.pick([0, 0.002, 0.02]),
  }
}

function drawHabits(prng: Prng, limits: Limits): Habits {
  const rare = (): number => prng.pick([0, 0, 0.03, 0.2])
  return {
    jobs: prng.pick([60, 150, 300]), durationUs: prng.pick([0.2, 5, 60, 600]) * 1e6,
    burstMax: prng.pick([1, 10, 100]),
    repeat: rare(), ask: rare(), cancel: rare(), askOthers: 0, watch: rare(), watchLater: rare(),
    unwatch: rare(), wantsAccountQueue: prng.pick([0, 0, 0, 0.01]),
    beginBy: rare(), beginByMsMax: prng.pick([200, 3000, 20_000]),
    noWebhook: prng.pick([0, 0.3, 1]), bodyBytesMax: prng.pick([0, 100, limits.bodyBytesMax]),
    retries: prng.pick([[4], [0, 1, 4], [-1, 0, 4], [0]]),
    noisy: prng.pick([0, 0, 0.9]),
  }
}

/** All that `seed` decides, for the given number of shards. */
export function drawScenario(seed: number, shards: number): Scenario {
  const prng = new Prng(seed)
  const { limits, lanesScarce } = drawLimits(prng, shards)
  const upstreams = prng.between(1, 4)
  const tenancy = drawTenancy(seed)
  return {
    seed, limits, lanesScarce, upstreams, tenants: tenancy.tenants,
    tenantsCollide: tenancy.tenantsCollide,
    settings: drawSettings(prng, limits, seed),
    places: drawPlaces(prng, upstreams, prng.between(1, 2), limits),
    users: prng.pick([1, 3, 10, 30]), apiKeysMax: prng.pick([1, 1, 2]),
    lateness: drawLateness(prng),
    habits: withTenants(drawHabits(prng, limits), tenancy),
    rounds: prng.pick([1, 1, 2, 3]), deaths: 0, reloads: 0, refusals: drawRefusals(seed),
    isJournalled: false, kills: 0, sockets: SOCKET_BOUNDS,
  }
}

/** What a seed decides about tenants. */
interface Tenancy {
  readonly tenants: readonly number[]
  readonly tenantsCollide: boolean
  readonly askOthers: number
}

function drawTenancy(seed: number): Tenancy {
  const prng = new Prng(seed ^ 0x7e7a7)
  return {
    tenants: prng.pick([[0], [0, 7], [0, 0, 7, 8, 65_535], [7, 8], [1]]),
    tenantsCollide: prng.chance(0.5), askOthers: prng.pick([0, 0.03, 0.2]),
  }
}

/** Only where keys are repeated does it matter that the hashes of tenants collide. */
const withTenants = (habits: Habits, { askOthers, tenantsCollide }: Tenancy): Habits =>
  ({ ...habits, askOthers, repeat: Math.max(habits.repeat, tenantsCollide ? 0.2 : 0) })

const KILLS_MAX = 5

/** The same scenario with extra faults. */
export function withTroubles(scenario: Scenario, troubles: readonly Trouble[]): Scenario {
  const troubled = troubles.includes('deaths') ? withDeaths(scenario) : scenario
  return {
    ...troubled, isJournalled: troubles.includes('journal') || troubles.includes('kills'),
    kills: troubles.includes('kills') ? 1 + scenario.seed % KILLS_MAX : 0,
    reloads: troubles.includes('reloads') ? drawReloads(scenario) : 0,
  }
}

const drawRefusals = (seed: number): number =>
  new Prng(seed ^ 0xe6e55).pick([0, 0, 0.1, 0.5])

const drawReloads = ({ seed }: Scenario): number =>
  new Prng(seed ^ 0x4e10ad).pick([0.002, 0.01, 0.05])

/** With crashing threads, and fewer jobs, since counting every store is slow. */
function withDeaths(scenario: Scenario): Scenario {
  const prng = new Prng(scenario.seed ^ 0xdead)
  const { habits } = scenario
  return {
    ...scenario, deaths: prng.pick([0.5, 0.9, 0.97]), rounds: Math.min(2, scenario.rounds),
    habits: { ...habits, jobs: Math.min(habits.jobs, 150) },
  }
}

function drawSettings(prng: Prng, limits: Limits, seed: number): ShardSettings {
  return {
    completedTtlMs: prng.pick([1000, 30_000, 1_800_000]),
    failedTtlMs: prng.pick([1000, 30_000, 7_200_000]),
    responseBytesMax: limits.responseBytesMax,
    keyMismatch: seed % 3 === 0 ? 'duplicate' : 'reject', connectionsPerOriginMax: 1024,
    webhookRetryAfterMsMax: 300_000, extraCaPem: '', userAgent: 'sluice-sim',
  }
}
