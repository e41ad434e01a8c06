// Shares are fair, and the pace is reached: accounts with jobs always waiting share one upstream's
// budget, on one shard or unevenly spread over three, one of them perhaps with a hundred times the
// others' load. Those of a tenant share one part of it evenly. Measured are the rate, when only the
// pace limits it, and Jain's index of the sends, (Σx)² / (n Σx²), which is 1 when all are equal.

import { KIB, MIB } from '../../shards/base/units.ts'
import { KIND_UPSTREAM } from '../../shards/memory/layout.ts'
import type { Limits } from '../../shards/memory/plan.ts'
import type { Account, Attempt, Observer } from './observations.ts'
import { CALM, IDLE_HABITS, NEAR, PROMPT, type Scenario, SOCKET_BOUNDS } from './scenario.ts'
import { Simulation } from './simulation.ts'
import { promise } from './violation.ts'

const CHECKER = 'fairness'
const JAIN_MIN = 0.99
/** Maximum relative error of the long-run rate. */
const RATE_ERROR_MAX = 0.005
/** Waiting jobs of each account at any time. */
const BACKLOG = 20
const NOISE_FACTOR = 100
/** Enough users that every shard has as many as needed. */
const USERS = 240
const ACCOUNTS_OF_SHARDS: Readonly<Record<number, readonly number[]>> = { 1: [9], 3: [6, 2, 1] }

/** A configuration of competing accounts. */
export interface Contest {
  readonly name: string
  readonly pacePerSecond: number
  readonly concurrentMax: number
  /** Number of sends. */
  readonly sends: number
  /** Latency of an answer: 10^this to twice that, in microseconds. */
  readonly latency: number
  /** Whether the pace limits the sends. */
  readonly isPaced: boolean
  /** The accounts are dealt to these in turn; by default all are of tenant 0. */
  readonly tenants?: readonly number[]
}

/** Limited by a slow, a medium and a fast pace, and by requests in flight. */
export const CONTESTS: readonly Contest[] = [
  { name: '2/s', pacePerSecond: 2, concurrentMax: 100, sends: 225, latency: 4, isPaced: true },
  { name: '50/s', pacePerSecond: 50, concurrentMax: 100, sends: 900, latency: 4, isPaced: true },
  { name: '2000/s', pacePerSecond: 2000, concurrentMax: 1000, sends: 5000, latency: 4,
    isPaced: true },
  { name: '5 in flight', pacePerSecond: 50_000, concurrentMax: 5, sends: 900, latency: 4.3,
    isPaced: false },
  { name: '100 in flight', pacePerSecond: 1_000_000, concurrentMax: 100, sends: 4500, latency: 4.5,
    isPaced: false },
  { name: '1 in flight', pacePerSecond: 50_000, concurrentMax: 1, sends: 450, latency: 3.5,
    isPaced: false },
  { name: 'tenants', pacePerSecond: 50, concurrentMax: 100, sends: 900, latency: 4, isPaced: true,
    tenants: [0, 7, 0, 7, 7, 8, 7, 0, 7] },
]

/** (Σx)² / (n Σx²): [3, 3] → 1, [1, 0] → 0.5, [] → 1. */
export function jainIndex(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0)
  const squares = shares.reduce((total, share) => total + share * share, 0)
  return squares === 0 ? 1 : (sum * sum) / (shares.length * squares)
}

/** Counts sends by account, and keeps the times of the first and the last. */
class Tally implements Observer {
  readonly sends = new Map<Account, number>()
  /** Called for each send. */
  onSend: (account: Account) => number = () => 0
  count = 0
  #firstUs = 0
  #lastUs = 0

  sent(attempt: Attempt): void {
    const { account } = attempt.job
    this.sends.set(account, (this.sends.get(account) ?? 0) + 1)
    this.#lastUs = this.onSend(account)
    if (this.count++ === 0) this.#firstUs = this.#lastUs
  }

  get perSecond(): number {
    return ((this.count - 1) * 1e6) / (this.#lastUs - this.#firstUs)
  }
}

/** Runs one contest. Throws a Violation unless it is fair and as fast as allowed. */
export function runContest(contest: Contest, seed: number, shards: number, noisy: boolean):
  { jain: number; perSecond: number } {
  const tally = new Tally()
  const simulation = new Simulation(contestScenario(contest, seed, shards), undefined, [tally])
  const { time, workload } = simulation
  const accounts = pickAccounts(workload.accounts, shards)
  tally.onSend = (account) => {
    time.after(0, () => workload.submit({ account, upstream: 0 }))
    return time.nowUs()
  }
  for (const [place, account] of accounts.entries()) {
    const backlog = noisy && place === 0 ? BACKLOG * NOISE_FACTOR : BACKLOG
    for (let left = backlog; left > 0; left--) workload.submit({ account, upstream: 0 })
  }
  while (tally.count < contest.sends) {
    const went = simulation.step(Infinity)
    promise(went, CHECKER, () => `${contest.name}: everything stands still`)
  }
  const { perSecond } = tally
  const label = `${contest.name} on ${shards} shards${noisy ? ', one noisy' : ''} (seed ${seed})`
  const jains = groupsOf(accounts, tally.sends).map((shares) => {
    const index = jainIndex(shares)
    promise(index >= JAIN_MIN, CHECKER, () =>
      `${label}: Jain's index is ${index} of ${shares.join(' ')}`)
    return index
  })
  const jain = Math.min(...jains)
  const error = Math.abs(perSecond / contest.pacePerSecond - 1)
  promise(!contest.isPaced || error <= RATE_ERROR_MAX, CHECKER, () =>
    `${label}: ${perSecond} per second`)
  return { jain, perSecond }
}

/**
 * The sends that should be equal: those of each tenant's accounts; and those of all tenants, and of
 * each account of tenant 0.
 */
function groupsOf(
  accounts: readonly Account[], sends: ReadonlyMap<Account, number>,
): readonly (readonly number[])[] {
  const byTenant = new Map<number, number[]>()
  for (const account of accounts) {
    const shares = byTenant.get(account.tenant) ?? []
    byTenant.set(account.tenant, [...shares, sends.get(account) ?? 0])
  }
  const alone = byTenant.get(0) ?? []
  byTenant.delete(0)
  const tenants = [...byTenant.values()]
  const sums = tenants.map((shares) => shares.reduce((total, share) => total + share, 0))
  return [[...alone, ...sums], ...tenants]
}

/** Every contest, on one shard and on three, without and with a noisy account. */
export function runFairness(seed: number): void {
  for (const contest of CONTESTS) {
    for (const shards of [1, 3]) {
      for (const noisy of [false, true]) runContest(contest, seed, shards, noisy)
    }
  }
}

/** As many accounts of each shard as the contest needs. */
function pickAccounts(all: readonly Account[], shards: number): Account[] {
  const wanted = ACCOUNTS_OF_SHARDS[shards] ?? []
  return wanted.flatMap((count, shard) => {
    const own = all.filter(({ route }) => Math.floor((route / 2 ** 32) * shards) === shard)
    promise(own.length >= count, CHECKER, () => `only ${own.length} users on shard ${shard}`)
    return own.slice(0, count)
  })
}

function contestLimits(shards: number): Limits {
  return {
    memoryBytes: 0, shards, bodyBytesMax: KIB, responseBytesMax: KIB, recordBytesMax: 4 * KIB,
    ringBytes: 4 * MIB, segmentBytes: 64 * KIB, segmentsMax: 128, jobsMax: 16_384, lanesMax: 128,
    templatesMax: 128, upstreamsMax: 8,
  }
}

function contestScenario(contest: Contest, seed: number, shards: number): Scenario {
  const { pacePerSecond, concurrentMax, latency } = contest
  return {
    seed, limits: contestLimits(shards), sockets: SOCKET_BOUNDS,
    lanesScarce: false, isJournalled: false,
    reloads: 0, refusals: 0, kills: 0, deaths: 0, upstreams: 1, users: USERS,
    tenants: contest.tenants ?? [0], tenantsCollide: false, apiKeysMax: 1, rounds: 1,
    settings: {
      keyMismatch: 'reject', completedTtlMs: 1000, failedTtlMs: 1000,
      responseBytesMax: KIB, webhookRetryAfterMsMax: 300_000,
      connectionsPerOriginMax: 1024, extraCaPem: '', userAgent: 'sluice-sim',
    },
    places: [{
      origin: 'https://api-0.test',
      weather: { ...CALM, latencyLow: latency, latencyHigh: latency + Math.log10(2) },
      reach: NEAR,
      start: {
        pacePerSecond, concurrentMax, accountQueues: false, kind: KIND_UPSTREAM,
        timeoutMs: 30_000,
      },
    }],
    lateness: PROMPT, habits: IDLE_HABITS,
  }
}
