// Who watches which job: event streams and sockets alike. A shard tells the events of a job once,
// however many watch it here, and is told when nobody does any more.

import { WATCHED_JOBS_MAX } from '../../shards/memory/limits.ts'
import {
  AccountShare, type HeldTable, makeHeldTable, type PoolContext,
} from '../base/account-share.ts'
import { routeOf } from '../base/job-id.ts'
import { DOOR_POOLS } from '../base/pools.ts'
import { JobEvent } from './job-event.ts'

/** One who watches jobs. */
export interface Watcher {
  /** Something has happened to a job that it watches; after a terminal event it does not. */
  told(event: JobEvent): void
}

/** A job with watchers. */
export interface WatchedJob {
  /** Those who have been told of nothing yet: their job or their WATCH is on its way. */
  joining: number
  readonly watchers: Set<Watcher>
}

/** Who watches what, as plain data. */
export interface WatchTable {
  /** By the job's id. */
  readonly watched: Map<string, WatchedJob>
  /** Jobs that nobody watches any more, which their shards could not yet be told. */
  readonly unwatchDue: Set<string>
  /** Both of them, by account. */
  readonly held: HeldTable
}

/** Nobody watches anything. */
export const makeWatchTable = (): WatchTable =>
  ({ watched: new Map(), unwatchDue: new Set(), held: makeHeldTable(WATCHED_JOBS_MAX) })

/** All jobs that are watched. */
export class Watches {
  readonly #watched: Map<string, WatchedJob>
  readonly #unwatchDue: Set<string>
  readonly #share: AccountShare
  readonly #unwatch: (jobId: string) => boolean

  /** @param unwatch tells the job's shard that nobody watches; false when its ring is full. */
  constructor(
    { watched, held, unwatchDue }: WatchTable, context: PoolContext,
    unwatch: (jobId: string) => boolean,
  ) {
    this.#watched = watched
    this.#unwatchDue = unwatchDue
    this.#share = new AccountShare(DOOR_POOLS.watchedJobs, WATCHED_JOBS_MAX, held, context)
    this.#unwatch = unwatch
  }

  /** Jobs, those included that a shard has still to be told to forget about. */
  get jobs(): number {
    return this.#watched.size + this.#unwatchDue.size
  }

  /** Whether its account may have the job watched. */
  mayWatch(jobId: string): boolean {
    return this.#isCounted(jobId) || this.mayWatchNew(routeOf(jobId))
  }

  /** Whether the account may have a job watched that has no id yet. */
  mayWatchNew(route: number): boolean {
    return this.#share.refusal(route) === undefined
  }

  /** A shard is asked to watch: each call is followed by one of join() and giveUp(). */
  expect(jobId: string): void {
    if (!this.#isCounted(jobId)) this.#share.take(routeOf(jobId))
    this.#unwatchDue.delete(jobId)
    const watched = this.#watched.get(jobId)
    if (watched === undefined) this.#watched.set(jobId, { joining: 1, watchers: new Set() })
    else watched.joining++
  }

  /** It was in vain: no such job, or who asked has gone. @param isWatched the shard does watch. */
  giveUp(jobId: string, isWatched: boolean): void {
    const watched = this.#watched.get(jobId)
    if (watched === undefined) return
    watched.joining--
    if (isWatched) this.#dropUnwatched(jobId, watched)
    else if (isEmpty(watched)) this.#drop(jobId)
  }

  /** The shard watches: the watcher is told from now on. */
  join(jobId: string, watcher: Watcher): void {
    const watched = this.#watched.get(jobId)
    if (watched === undefined) return
    watched.joining--
    watched.watchers.add(watcher)
  }

  /** A watcher has had enough of a job that it has joined. */
  leave(jobId: string, watcher: Watcher): void {
    const watched = this.#watched.get(jobId)
    if (watched === undefined || !watched.watchers.delete(watcher)) return
    this.#dropUnwatched(jobId, watched)
  }

  /** One watcher takes the place of another at a job that this one has joined. */
  replace(jobId: string, before: Watcher, after: Watcher): void {
    const watchers = this.#watched.get(jobId)?.watchers
    if (watchers?.delete(before) === true) watchers.add(after)
  }

  /** Tells all who watch the job; nobody does after a terminal event. @param event EVENT_… */
  event(jobId: string, event: number, data: object): void {
    const watched = this.#watched.get(jobId)
    if (watched === undefined) return
    const told = new JobEvent(jobId, event, data)
    const watchers = [...watched.watchers]
    if (told.isTerminal) {
      // A finished job is not watched any more, so the shard need not be told.
      watched.watchers.clear()
      if (watched.joining === 0) this.#drop(jobId)
    }
    for (const watcher of watchers) watcher.told(told)
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
    return this.#watched.has(jobId) || this.#unwatchDue.has(jobId)
  }

  #drop(jobId: string): void {
    this.#watched.delete(jobId)
    this.#share.give(routeOf(jobId))
  }

  #dropUnwatched(jobId: string, watched: WatchedJob): void {
    if (!isEmpty(watched)) return
    if (this.#unwatch(jobId)) return this.#drop(jobId)
    this.#watched.delete(jobId)
    this.#unwatchDue.add(jobId)
  }
}

const isEmpty = ({ joining, watchers }: WatchedJob): boolean =>
  joining === 0 && watchers.size === 0
