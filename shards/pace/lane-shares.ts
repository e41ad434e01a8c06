// Admission to a shard's lanes, a pool in which each upstream and each user has a share.
// Thread: shard. Memory: its own counts, derived from the lanes' facts.
// Never: finds, makes or frees a lane. Imports no Node module.
// An account's own lane counts against its upstream and its user, who may have many API keys. A
// shared lane counts against the upstream alone. Both come from the same pool, of which a part is
// reserved for shared lanes: those serve an upstream's accounts once it has used up its share.

import type { Micros, UpstreamSlot } from '../base/units.ts'
import { HeldCounts } from '../memory/held-counts.ts'
import { LANE_USERS_COUNTED, lanesForAccounts, lanesKeptForShared } from '../memory/lane-limits.ts'
import type { Limits } from '../memory/plan.ts'
import { SHARD_POOLS, type SharedPool } from '../memory/pools.ts'
import { makeShareCounts, Share, type ShareCounts, type ShareWarning } from '../memory/share.ts'
import type { PoolWarning } from '../wire/contract.ts'

/** A user's second count is indexed by its hash shifted by this; the first uses the lower bits. */
const USER_BITS = 11

/** All counts, as handed over to a successor. */
export interface LaneSharesBaton {
  readonly pool: ShareCounts
  readonly own: Uint32Array
  readonly shared: Uint32Array
  readonly users: Uint32Array
}

/** Counts which upstream and user holds how many of a shard's lanes. */
export class LaneShares {
  readonly #pool = makeShareCounts()
  readonly #byUpstream: Share
  readonly #byUser: Share
  readonly #shared: Share
  /** By upstream. */
  readonly #ownLanes: Uint32Array
  readonly #sharedLanes: Uint32Array
  readonly #userCounts = HeldCounts.make(LANE_USERS_COUNTED)
  readonly #users = new HeldCounts(this.#userCounts)
  #warning: PoolWarning | undefined

  constructor(limits: Limits) {
    const bound = lanesForAccounts(limits)
    const reserve = lanesKeptForShared(limits)
    const warn: ShareWarning = ({ name, used }, refusal) => {
      this.#warning = { pool: name, refusal, bound, used }
    }
    const shareOf = ({ alpha, name }: SharedPool, kept: number): Share =>
      new Share({ name, bound, alpha, reserve: kept }, warn, this.#pool)
    this.#byUpstream = shareOf(SHARD_POOLS.lanesByUpstream, reserve)
    this.#byUser = shareOf(SHARD_POOLS.lanesByUser, reserve)
    this.#shared = shareOf(SHARD_POOLS.sharedLanes, 0)
    this.#ownLanes = new Uint32Array(limits.upstreamsMax)
    this.#sharedLanes = new Uint32Array(limits.upstreamsMax)
  }

  /** Resets the counts, before the lanes of a crashed thread are adopted. */
  recover(): void {
    this.#pool.used = 0
    this.#ownLanes.fill(0)
    this.#sharedLanes.fill(0)
    this.#users.clear()
  }

  /** The state that a successor starts from. */
  handOver(): LaneSharesBaton {
    return {
      pool: this.#pool, own: this.#ownLanes, shared: this.#sharedLanes, users: this.#userCounts,
    }
  }

  takeOver({ own, pool, shared, users }: LaneSharesBaton): void {
    Object.assign(this.#pool, pool)
    this.#ownLanes.set(own)
    this.#sharedLanes.set(shared)
    this.#userCounts.set(users)
  }

  get counts(): Readonly<ShareCounts> {
    return this.#pool
  }

  /** The latest warning since the last call. */
  takeWarning(): PoolWarning | undefined {
    const warning = this.#warning
    this.#warning = undefined
    return warning
  }

  /** Whether the upstream has lanes that accounts share. */
  hasShared(upstream: UpstreamSlot): boolean {
    return (this.#sharedLanes[upstream] as number) > 0
  }

  /** Whether takeOwn() would succeed. */
  mayOwn(upstream: UpstreamSlot, user: number): boolean {
    return this.#byUpstream.mayTake(this.#ownLanes[upstream] as number, 1) &&
      this.#byUser.mayTake(this.#users.of(user >>> USER_BITS, user), 1)
  }

  /** Takes a lane for one of the user's accounts; false if refused, which is counted. */
  takeOwn(upstream: UpstreamSlot, user: number, nowUs: Micros): boolean {
    const ofUser = this.#users.of(user >>> USER_BITS, user)
    const refusal = this.#byUser.refusal(ofUser, 1)
    if (refusal !== undefined) {
      this.#byUser.refuse(refusal, nowUs)
      return false
    }
    if (!this.#byUpstream.take(this.#ownLanes[upstream] as number, 1, nowUs)) return false
    this.#countOwn(upstream, user)
    return true
  }

  /** Takes a lane that accounts share; false if refused, which is counted. */
  takeShared(upstream: UpstreamSlot, nowUs: Micros): boolean {
    const held = this.#sharedLanes[upstream] as number
    if (!this.#shared.take(held, 1, nowUs)) return false
    this.#sharedLanes[upstream] = held + 1
    return true
  }

  /** Counts an existing lane, even beyond the share. */
  adoptOwn(upstream: UpstreamSlot, user: number): void {
    this.#byUpstream.adopt(1)
    this.#countOwn(upstream, user)
  }

  adoptShared(upstream: UpstreamSlot): void {
    this.#shared.adopt(1)
    this.#sharedLanes[upstream] = (this.#sharedLanes[upstream] as number) + 1
  }

  giveOwn(upstream: UpstreamSlot, user: number): void {
    this.#byUpstream.give(1)
    this.#ownLanes[upstream] = (this.#ownLanes[upstream] as number) - 1
    this.#users.drop(user >>> USER_BITS, user, 1)
  }

  giveShared(upstream: UpstreamSlot): void {
    this.#shared.give(1)
    this.#sharedLanes[upstream] = (this.#sharedLanes[upstream] as number) - 1
  }

  #countOwn(upstream: UpstreamSlot, user: number): void {
    this.#ownLanes[upstream] = (this.#ownLanes[upstream] as number) + 1
    this.#users.add(user >>> USER_BITS, user, 1)
  }
}
