// Who follows which job: event streams and sockets alike. A shard tells the events of a job once,
// however many follow it here, and is told when nobody does any more.

import { WATCHED_JOBS_MAX } from '../../shards/memory/limits.ts'
import {
  AccountShare, type HeldTable, makeHeldTable, type PoolSurroundings,
} from '../base/account-share.ts'
import { routeOf } from '../base/job-id.ts'
import { DOOR_POOLS } from '../base/pools.ts'
import { JobEvent } from './job-event.ts'

/** One who follows jobs. */
export interface Follower {
  /** Something has happened to a job that it follows; after a terminal event it does not. */
  told(event: JobEvent): void
}

/** A job with followers. */
export interface Followed {
  /** Those who have been told of nothing yet: their job or their WATCH is on its way. */
  joining: number
  readonly followers: Set<Follower>
}

/** Who follows what, as plain data. */
export interface AudienceTable {
  /** By the job's id. */
  readonly followed: Map<string, Followed>
  /** Jobs that nobody follows any more, which their shards could not yet be told. */
  readonly unwatchDue: Set<string>
  /** Both of them, by account. */
  readonly held: HeldTable
}

/** Nobody follows anything. */
export const makeAudienceTable = (): AudienceTable =>
  ({ followed: new Map(), unwatchDue: new Set(), held: makeHeldTable(WATCHED_JOBS_MAX) })

/** All jobs that are followed. */
export class Audience {
  readonly #followed: Map<string, Followed>
  readonly #unwatchDue: Set<string>
  readonly #share: AccountShare
  readonly #unwatch: (jobId: string) => boolean

  /** @param unwatch tells the job's shard that nobody follows; false when its ring is full. */
  constructor(
    { followed, held, unwatchDue }: AudienceTable, surroundings: PoolSurroundings,
    unwatch: (jobId: string) => boolean,
  ) {
    this.#followed = followed
    this.#unwatchDue = unwatchDue
    this.#share = new AccountShare(DOOR_POOLS.followedJobs, WATCHED_JOBS_MAX, held, surroundings)
    this.#unwatch = unwatch
  }

  /** Jobs, those included that a shard has still to be told to forget about. */
  get jobs(): number {
    return this.#followed.size + this.#unwatchDue.size
  }

  /** Whether its account may have the job followed. */
  mayFollow(jobId: string): boolean {
    return this.#isCounted(jobId) || this.mayFollowNew(routeOf(jobId))
  }

  /** Whether the account may have a job followed that has no id yet. */
  mayFollowNew(route: number): boolean {
    return this.#share.refusal(route) === undefined
  }

  /** A shard is asked to watch: each call is followed by one of join() and giveUp(). */
  expect(jobId: string): void {
    if (!this.#isCounted(jobId)) this.#share.take(routeOf(jobId))
    this.#unwatchDue.delete(jobId)
    const followed = this.#followed.get(jobId)
    if (followed === undefined) this.#followed.set(jobId, { joining: 1, followers: new Set() })
    else followed.joining++
  }

  /** It was in vain: no such job, or who asked has gone. @param isWatched the shard does watch. */
  giveUp(jobId: string, isWatched: boolean): void {
    const followed = this.#followed.get(jobId)
    if (followed === undefined) return
    followed.joining--
    if (isWatched) this.#dropUnfollowed(jobId, followed)
    else if (isEmpty(followed)) this.#drop(jobId)
  }

  /** The shard watches: the follower is told from now on. */
  join(jobId: string, follower: Follower): void {
    const followed = this.#followed.get(jobId)
    if (followed === undefined) return
    followed.joining--
    followed.followers.add(follower)
  }

  /** A follower has had enough of a job that it has joined. */
  leave(jobId: string, follower: Follower): void {
    const followed = this.#followed.get(jobId)
    if (followed === undefined || !followed.followers.delete(follower)) return
    this.#dropUnfollowed(jobId, followed)
  }

  /** One follower takes the place of another at a job that this one has joined. */
  replace(jobId: string, before: Follower, after: Follower): void {
    const followers = this.#followed.get(jobId)?.followers
    if (followers?.delete(before) === true) followers.add(after)
  }

  /** Tells all who follow the job; nobody does after a terminal event. @param event EVENT_… */
  event(jobId: string, event: number, data: object): void {
    const followed = this.#followed.get(jobId)
    if (followed === undefined) return
    const told = new JobEvent(jobId, event, data)
    const followers = [...followed.followers]
    if (told.isTerminal) {
      // A finished job is not watched any more, so the shard need not be told.
      followed.followers.clear()
      if (followed.joining === 0) this.#drop(jobId)
    }
    for (const follower of followers) follower.told(told)
  }

  /** Tells the shards what they could not be told before. */
  retryUnwatch(): void {
    for (const jobId of this.#unwatchDue) {
      if (!this.#unwatch(jobId)) return
      this.#unwatchDue.delete(jobId)
      this.#share.give(routeOf(jobId))
    }
  }

  #isCounted(jobId: string): boolean {
    return this.#followed.has(jobId) || this.#unwatchDue.has(jobId)
  }

  #drop(jobId: string): void {
    this.#followed.delete(jobId)
    this.#share.give(routeOf(jobId))
  }

  #dropUnfollowed(jobId: string, followed: Followed): void {
    if (!isEmpty(followed)) return
    if (this.#unwatch(jobId)) return this.#drop(jobId)
    this.#followed.delete(jobId)
    this.#unwatchDue.add(jobId)
  }
}

const isEmpty = ({ joining, followers }: Followed): boolean =>
  joining === 0 && followers.size === 0
