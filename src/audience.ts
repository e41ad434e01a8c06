// Who follows which job: event streams and sockets alike. A shard tells the events of a job once,
// however many follow it here, and is told when nobody does any more.

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
}

/** Nobody follows anything. */
export const makeAudienceTable = (): AudienceTable =>
  ({ followed: new Map(), unwatchDue: new Set() })

/** All jobs that are followed. */
export class Audience {
  readonly #followed: Map<string, Followed>
  readonly #unwatchDue: Set<string>
  readonly #unwatch: (jobId: string) => boolean

  /** @param unwatch tells the job's shard that nobody follows; false when its ring is full. */
  constructor({ followed, unwatchDue }: AudienceTable, unwatch: (jobId: string) => boolean) {
    this.#followed = followed
    this.#unwatchDue = unwatchDue
    this.#unwatch = unwatch
  }

  /** Jobs, those included that a shard has still to be told to forget about. */
  get jobs(): number {
    return this.#followed.size + this.#unwatchDue.size
  }

  /** A shard is asked to watch: each call is followed by one of join() and giveUp(). */
  expect(jobId: string): void {
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
    else if (isEmpty(followed)) this.#followed.delete(jobId)
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
      if (followed.joining === 0) this.#followed.delete(jobId)
    }
    for (const follower of followers) follower.told(told)
  }

  /** Tells the shards what they could not be told before. */
  retryUnwatch(): void {
    for (const jobId of this.#unwatchDue) {
      if (!this.#unwatch(jobId)) return
      this.#unwatchDue.delete(jobId)
    }
  }

  #dropUnfollowed(jobId: string, followed: Followed): void {
    if (!isEmpty(followed)) return
    this.#followed.delete(jobId)
    if (!this.#unwatch(jobId)) this.#unwatchDue.add(jobId)
  }
}

const isEmpty = ({ joining, followers }: Followed): boolean =>
  joining === 0 && followers.size === 0
