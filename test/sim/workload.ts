// The callers of a run: their accounts, when they submit, and what else they do: repeat keys, ask,
// cancel, watch. All of it is drawn from the seed.

import type { Prng } from '../../shards/base/prng.ts'
import { NONE } from '../../shards/base/units.ts'
import { shardOf } from '../../src/base/hash.ts'
import { drawBody } from './answers.ts'
import { type FrontDoor, idText } from './front-door.ts'
import type { Account, SimJob, SimKey } from './observations.ts'
import type { Scenario } from './scenario.ts'
import type { VirtualTime } from './virtual-time.ts'

/** Old jobs and keys that callers may still ask for. */
const REMEMBERED_MAX = 400
/** Tenants that ask for others' jobs; the last one has no jobs. */
const ASKING_TENANTS = [0, 7, 8, 65_535, 9]
const QUESTIONS = ['get', 'cancel', 'watch'] as const
const KEY_NUMBERS_MAX = 3

/** What the workload needs. */
export interface WorkloadParts {
  readonly scenario: Scenario
  readonly prng: Prng
  readonly time: VirtualTime
  readonly door: FrontDoor
}

/** Properties of a job that the seed does not decide. */
export interface JobChoice {
  readonly account?: Account
  readonly upstream?: number
  /** A receiver's place, or NONE. */
  readonly receiver?: number
  readonly bodyBytes?: number
  readonly repeatOf?: SimJob
}

/** All callers together. */
export class Workload {
  readonly accounts: readonly Account[]
  readonly #parts: WorkloadParts
  readonly #recent: SimJob[] = []
  /** By tenant. */
  readonly #routes = new Map<number, number>()
  #number = 0
  #comingUs = 0

  constructor(parts: WorkloadParts) {
    this.#parts = parts
    const { prng, scenario } = parts
    const accounts: Account[] = []
    /** By tenant, the next user's. */
    const names = new Map<number, number>()
    for (let user = 0; user < scenario.users; user++) {
      const { route, tenant } = this.#drawUser(user)
      const name = names.get(tenant) ?? 0
      names.set(tenant, name + 1)
      const apiKeys = prng.between(1, scenario.apiKeysMax)
      for (let key = 0; key < apiKeys; key++) {
        accounts.push(makeAccount(
          prng, accounts.length, { tenant, route, name }, key, scenario.upstreams))
      }
    }
    this.accounts = accounts
  }

  /** The users of a tenant other than 0 have one hash. */
  #drawUser(user: number): { tenant: number; route: number } {
    const { prng, scenario: { tenants, tenantsCollide } } = this.#parts
    const drawn = prng.uint32()
    const tenant = tenants[user % tenants.length] as number
    if (tenant === 0 && (user !== 0 || !tenantsCollide)) return { tenant, route: drawn }
    const key = tenantsCollide ? 0 : tenant
    const route = this.#routes.get(key) ?? drawn
    this.#routes.set(key, route)
    return { tenant, route }
  }

  /** Whether this round has more jobs to come. */
  get isComing(): boolean {
    return this.#parts.time.nowUs() < this.#comingUs
  }

  /** Plans one round of load, from now on. */
  begin(): void {
    const { prng, scenario, time } = this.#parts
    const { jobs, durationUs, burstMax } = scenario.habits
    const startUs = time.nowUs()
    this.#comingUs = startUs + durationUs
    time.at(this.#comingUs, () => {}) // so that time advances even without other events
    for (let left = jobs; left > 0;) {
      const burst = Math.min(left, prng.between(1, burstMax))
      left -= burst
      time.at(startUs + prng.below(durationUs), () => {
        for (let place = 0; place < burst; place++) this.#act()
      })
    }
  }

  /** Submits one job. */
  submit(choice: JobChoice = {}): SimJob {
    const { door } = this.#parts
    const job = this.#make(choice)
    this.#remember(job)
    door.submit(job)
    return job
  }

  /** Submits one job, and perhaps does something with an older one. */
  #act(): void {
    const { prng, scenario, door } = this.#parts
    const { habits } = scenario
    const older = this.#recent.length > 0 ? prng.pick(this.#recent) : undefined
    if (older !== undefined) {
      if (prng.chance(habits.ask)) door.ask(older, 'get')
      if (prng.chance(habits.cancel)) door.ask(older, 'cancel')
      if (prng.chance(habits.watchLater)) door.ask(older, 'watch')
      if (prng.chance(habits.unwatch)) door.unwatch(older)
      if (prng.chance(habits.askOthers)) this.#askForOther(older)
      if (prng.chance(habits.repeat)) {
        this.submit({ account: this.#repeater(older), repeatOf: older })
      }
    }
    this.submit()
  }

  #askForOther(job: SimJob): void {
    const { door, prng } = this.#parts
    const tenant = prng.pick(ASKING_TENANTS)
    if (tenant !== job.account.tenant) door.askAs(tenant, job, prng.pick(QUESTIONS))
  }

  /** Who uses a job's key again: its account, or a user of the same name in another tenant. */
  #repeater({ account }: SimJob): Account {
    const { prng } = this.#parts
    const { tenant, userId } = account
    const others = this.accounts.filter((other) =>
      other.userId === userId && other.tenant !== tenant)
    return others.length > 0 && prng.chance(0.5) ? prng.pick(others) : account
  }

  #make(choice: JobChoice): SimJob {
    const { prng, scenario, time } = this.#parts
    const { habits, limits, places, upstreams } = scenario
    const account = choice.account ?? this.#pickAccount()
    const nowUs = time.nowUs()
    const idWords = [account.route, prng.uint32(), prng.uint32()] as const
    const hasReceiver = !prng.chance(habits.noWebhook)
    const beginByMs = prng.chance(habits.beginBy) ? prng.between(-50, habits.beginByMsMax) : 0
    // A repeated key mostly comes with the same request.
    const isAgain = choice.repeatOf !== undefined && prng.chance(0.7)
    const bodyBytes = choice.bodyBytes ??
      (habits.bodyBytesMax === 0 ? 0 : prng.below(habits.bodyBytesMax + 1))
    return {
      number: this.#number++, id: idText(idWords), idWords, account,
      shard: shardOf(account.route, limits.shards), key: this.#keyFor(choice.repeatOf),
      upstream: choice.upstream ?? choice.repeatOf?.upstream ?? prng.below(upstreams),
      receiver: choice.receiver ??
        (hasReceiver ? prng.between(upstreams, places.length - 1) : NONE),
      retriesMax: prng.pick(habits.retries),
      executeBeforeMs: beginByMs === 0 ? 0 : time.wallMs(nowUs) + beginByMs,
      body: isAgain ? choice.repeatOf?.body ?? null
        : bodyBytes === 0 ? null : drawBody(prng, bodyBytes),
      wantsAccountQueue: prng.chance(habits.wantsAccountQueue), watch: prng.chance(habits.watch),
      submittedUs: nowUs,
    }
  }

  #keyFor(repeatOf: SimJob | undefined): SimKey {
    if (repeatOf !== undefined) return repeatOf.key
    const { prng } = this.#parts
    return { text: `key-${this.#number}`, high: prng.uint32(), low: prng.uint32() }
  }

  #pickAccount(): Account {
    const { prng, scenario } = this.#parts
    const noisy = prng.chance(scenario.habits.noisy)
    return noisy ? this.accounts[0] as Account : prng.pick(this.accounts)
  }

  #remember(job: SimJob): void {
    if (this.#recent.length < REMEMBERED_MAX) this.#recent.push(job)
    else this.#recent[this.#parts.prng.below(REMEMBERED_MAX)] = job
  }
}

/** A user, by the number in its name. */
interface User {
  readonly tenant: number
  readonly route: number
  readonly name: number
}

/** One API key of one user. */
export function makeAccount(
  prng: Prng, number: number, { name, route, tenant }: User, key: number, upstreams: number,
): Account {
  return {
    number, tenant, keyNumber: tenant === 0 ? 0 : 1 + number % KEY_NUMBERS_MAX,
    route, userWord: Math.imul(name, 0x9e3779b1) >>> 0,
    userId: `user-${name}`, apiKey: `secret-${key}`,
    lanes: Array.from({ length: upstreams }, () => [prng.uint32(), prng.uint32()] as const),
  }
}
