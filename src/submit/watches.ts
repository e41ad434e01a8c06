// Which jobs are watched by whom, event streams and WebSockets alike. A shard sends each event of a
// job once, however many watch it here, and is notified when the last watcher leaves.

import { WATCHED_JOBS_MAX } from '../../shards/memory/limits.ts'
import {
  accountOf, AccountShare, type HeldTable, makeHeldTable, type PoolContext,
} from '../base/account-share.ts'
import { routeOf } from '../base/job-id.ts'
import { DOOR_POOLS } from '../base/pools.ts'
import { JobEvent } from './job-event.ts'

/** Receives the events of jobs that it watches. */
export interface Watcher {
  /** An event of a watched job; a terminal event ends the watch. */
  told(event: JobEvent): void
}

/** A job with watchers. */
export interface WatchedJob {
  /** Whose share it takes. */
  readonly account: number
  /** Its shard watches it, as far as is known. */
  isWatched: boolean
  /** Watchers that receive no events yet: their job or their WATCH request is on its way. */
  joining: number
  readonly watchers: Set<Watcher>
}

/** All watches, as plain data. */
export interface WatchTable {
  /** By the job's id. */
  readonly watched: Map<string, WatchedJob>
  /** Jobs without watchers whose shards could not be notified yet, and whose share each takes. */
  readonly unwatchDue: Map<string, number>
  /** Jobs in either of them, counted by account. */
  readonly held: HeldTable
}

/** An empty table. */
export const makeWatchTable = (): WatchTable =>
  ({ watched: new Map(), unwatchDue: new Map(), held: makeHeldTable(WATCHED_JOBS_MAX) })

/** All watched jobs. */
export class Watches {
  readonly #watched: Map<string, WatchedJob>
  readonly #unwatchDue: Map<string, number>
  readonly #share: AccountShare
  readonly #unwatch: (jobId: string) => boolean

  /** @param unwatch notifies the job's shard; false when its ring is full. */
  constructor(
    { watched, held, unwatchDue }: WatchTable, context: PoolContext,
    unwatch: (jobId: string) => boolean,
  ) {
    this.#watched = watched
    this.#unwatchDue = unwatchDue
    this.#share = new AccountShare(DOOR_POOLS.watchedJobs, WATCHED_JOBS_MAX, held, context)
    this.#unwatch = unwatch
  }

  /** Watched jobs, including those whose shard has yet to be notified of the end. */
  get jobs(): number {
    return this.#watched.size + this.#unwatchDue.size
  }

  /** Whether who asks may watch one more job, if it is one more. */
  mayWatch(jobId: string, tenant: number): boolean {
    return this.#isCounted(jobId) || this.mayWatchNew(routeOf(jobId), tenant)
  }

  /** The same for a job that has no id yet. */
  mayWatchNew(route: number, tenant: number): boolean {
    return this.#share.refusal(accountOf(tenant, route)) === undefined
  }

  /** Call it when a shard is asked to watch; join() or giveUp() must follow. */
  expect(jobId: string, tenant: number): void {
    const watched = this.#watched.get(jobId)
    if (watched !== undefined) return void watched.joining++
    const due = this.#unwatchDue.get(jobId)
    this.#unwatchDue.delete(jobId)
    const account = due ?? accountOf(tenant, routeOf(jobId))
    if (due === undefined) this.#share.take(account)
    this.#watched.set(jobId,
      { account, isWatched: due !== undefined, joining: 1, watchers: new Set() })
  }

  /** No such job, or the asker has gone. @param isWatched the shard does watch. */
  giveUp(jobId: string, isWatched: boolean): void {
    const watched = this.#watched.get(jobId)
    if (watched === undefined) return
    watched.joining--
    watched.isWatched ||= isWatched
    this.#dropUnwatched(jobId, watched)
  }

  /** The shard watches: the watcher receives events from now on. */
  join(jobId: string, watcher: Watcher): void {
    const watched = this.#watched.get(jobId)
    if (watched === undefined) return
    watched.joining--
    watched.isWatched = true
    watched.watchers.add(watcher)
  }

  /** Ends the watch of a job that the watcher has joined. */
  leave(jobId: string, watcher: Watcher): void {
    const watched = this.#watched.get(jobId)
    if (watched === undefined || !watched.watchers.delete(watcher)) return
    this.#dropUnwatched(jobId, watched)
  }

  /** Replaces a watcher that has joined the job by another one. */
  replace(jobId: string, before: Watcher, after: Watcher): void {
    const watchers = this.#watched.get(jobId)?.watchers
    if (watchers?.delete(before) === true) watchers.add(after)
  }

  /** Delivers an event to all watchers; a terminal one ends their watches. @param event EVENT_… */
  event(jobId: string, event: number, data: object): void {
    const watched = this.#watched.get(jobId)
    if (watched === undefined) return
    const told = new JobEvent(jobId, event, data)
    const watchers = [...watched.watchers]
    if (told.isTerminal) {
      // The shard of a finished job watches it no more, so it need not be notified.
      watched.watchers.clear()
      watched.isWatched = false
      if (watched.joining === 0) this.#drop(jobId, watched)
    }
    for (const watcher of watchers) watcher.told(told)
  }

  /** Retries the notifications that did not fit into a ring. */
  retryUnwatch(): void {
    for (const [jobId, account] of this.#unwatchDue) {
      if (!this.#unwatch(jobId)) return
      this.#unwatchDue.delete(jobId)
      this.#share.give(account)
    }
  }

  #isCounted(jobId: string): boolean {
    return this.#watched.has(jobId) || this.#unwatchDue.has(jobId)
  }

  #drop(jobId: string, { account }: WatchedJob): void {
    this.#watched.delete(jobId)
    this.#share.give(account)
  }

  #dropUnwatched(jobId: string, watched: WatchedJob): void {
    if (!isEmpty(watched)) return
    if (!watched.isWatched || this.#unwatch(jobId)) return this.#drop(jobId, watched)
    this.#watched.delete(jobId)
    this.#unwatchDue.set(jobId, watched.account)
  }
}

const isEmpty = ({ joining, watchers }: WatchedJob): boolean =>
  joining === 0 && watchers.size === 0
