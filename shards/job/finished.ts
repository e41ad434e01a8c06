// Finished jobs: kept for their time to live, so that polls and repeated keys find them.
// Thread: shard. Memory: three lists through the slots of finished jobs; frees slots and records.
// Never: touches a job with a pending webhook.
// Bounded memory: results take at most RESULTS_PER_MILLE_MAX of the log. Above that, and when slots
// or log run out, the largest user's oldest are evicted (kept-results.ts).

import { type JobSlot, type Micros, NONE, msToUs } from '../base/units.ts'
import { JobLists } from '../memory/job-list.ts'
import { EXPIRED_PER_TURN_MAX } from '../memory/limits.ts'
import { RESULTS_GIVEN_UP_PER_STORE_MAX } from '../memory/result-limits.ts'
import type { StatsWriter } from '../memory/stats.ts'
import type { JobRecords } from '../store/job-records.ts'
import {
  JOB_CANCELLED, JOB_COMPLETED, JOB_FAILED, JOB_WATCHED, type JobSlots,
} from '../store/job-slots.ts'
import { KeptResults, type KeptResultsBaton } from '../store/kept-results.ts'

const LIST_COMPLETED = 0
const LIST_FAILED = 1
const LIST_CANCELLED = 2
const LISTS = 3

/** How long finished jobs are kept, and how many bytes their results may take. */
export interface FinishedSettings {
  readonly completedTtlMs: number
  readonly failedTtlMs: number
  readonly resultBytesMax: number
  /** Called before a watched job is forgotten, so that no more events are sent for its slot. */
  readonly unwatch: (slot: JobSlot) => void
}

/** Ends of the lists, the number of jobs, and the results by user; links are in the slots. */
export interface FinishedBaton {
  readonly heads: Uint32Array
  readonly tails: Uint32Array
  readonly count: number
  readonly results: KeptResultsBaton
}

/** The finished jobs of one shard. */
export class Finished {
  readonly #jobs: JobSlots
  readonly #records: JobRecords
  readonly #stats: StatsWriter
  readonly #settings: FinishedSettings
  readonly #heads = new Uint32Array(LISTS).fill(NONE)
  readonly #tails = new Uint32Array(LISTS).fill(NONE)
  readonly #lists: JobLists
  readonly #results: KeptResults
  #count = 0

  constructor(
    jobs: JobSlots, records: JobRecords, stats: StatsWriter, settings: FinishedSettings,
  ) {
    this.#jobs = jobs
    this.#records = records
    this.#stats = stats
    this.#settings = settings
    this.#lists = new JobLists(jobs.at, this.#heads, this.#tails)
    this.#results = new KeptResults(jobs, records, (slot) =>
      (jobs.at.timeUs[slot] as number) - msToUs(this.#ttlMsOf(this.#listOf(slot))))
  }

  /** The state that a successor on the same memory starts from. */
  handOver(): FinishedBaton {
    return {
      heads: this.#heads, tails: this.#tails, count: this.#count,
      results: this.#results.handOver(),
    }
  }

  /**
   * Each job keeps its expiry. If new settings shorten the time to live, a later job may be
   * forgotten late, since an earlier one is before it in the list.
   */
  takeOver(baton: FinishedBaton): void {
    this.#heads.set(baton.heads)
    this.#tails.set(baton.tails)
    this.#count = baton.count
    this.#results.takeOver(baton.results)
  }

  get count(): number {
    return this.#count
  }

  get resultBytes(): number {
    return this.#results.bytes
  }

  /** Result bytes of the job's user. */
  resultBytesOfUser(slot: JobSlot): number {
    return this.#results.bytesOfUser(slot)
  }

  /** Result bytes of about the largest user. */
  get resultBytesMost(): number {
    return this.#results.bytesMost
  }

  /** Keeps a job whose result is stored and whose webhook, if any, is finalized. */
  add(slot: JobSlot, nowUs: Micros): void {
    this.#jobs.touch(slot)
    this.#jobs.at.timeUs[slot] = nowUs + msToUs(this.#ttlMsOf(this.#listOf(slot)))
    this.adopt(slot)
    for (let left = RESULTS_GIVEN_UP_PER_STORE_MAX; left > 0; left--) {
      if (this.resultBytes <= this.#settings.resultBytesMax || !this.giveUpResult(nowUs)) return
    }
  }

  /** After a crash: keeps a job until the time in its slot, behind the others. */
  adopt(slot: JobSlot): void {
    this.#lists.pushBack(this.#listOf(slot), slot)
    this.#results.add(slot)
    this.#count++
  }

  /** Forgets a finished job. */
  remove(slot: JobSlot): void {
    this.#lists.remove(this.#listOf(slot), slot)
    this.#results.remove(slot)
    this.#count--
    if (this.#jobs.hasFlag(slot, JOB_WATCHED)) this.#settings.unwatch(slot)
    this.#records.free(slot)
    this.#jobs.release(slot)
  }

  /** Whether a finished job's time to live has passed. */
  isExpired(slot: JobSlot, nowUs: Micros): boolean {
    return (this.#jobs.at.timeUs[slot] as number) <= nowUs
  }

  /** Forgets expired jobs; at most EXPIRED_PER_TURN_MAX per call. */
  expire(nowUs: Micros): void {
    let left = EXPIRED_PER_TURN_MAX
    for (let list = 0; list < LISTS; list++) {
      for (; left > 0; left--) {
        const oldest = this.#lists.first(list)
        if (oldest === NONE || !this.isExpired(oldest as JobSlot, nowUs)) break
        this.remove(oldest as JobSlot)
      }
    }
  }

  /** When the next job expires; Infinity when there is none. */
  nextUs(): Micros {
    let next = Infinity
    for (let list = 0; list < LISTS; list++) {
      const oldest = this.#lists.first(list)
      if (oldest !== NONE) next = Math.min(next, this.#jobs.at.timeUs[oldest] as number)
    }
    return next as Micros
  }

  /** Evicts a job, chosen by KeptResults.spare(), before its expiry; false when there is none. */
  giveUpOldest(nowUs: Micros): boolean {
    const spare = this.#results.spare(nowUs)
    if (spare === NONE) return false
    const holdsKey = this.#jobs.state(spare as JobSlot) === JOB_COMPLETED
    this.remove(spare as JobSlot)
    if (holdsKey) this.#stats.add('keysGivenUp')
    return true
  }

  /** Evicts the body or the record of a result, chosen by KeptResults; false when there is none. */
  giveUpResult(nowUs: Micros): boolean {
    const lost = this.#results.giveUp(nowUs)
    if (lost === 'body') this.#stats.add('resultsGivenUp')
    return lost !== undefined
  }

  #ttlMsOf(list: number): number {
    const { completedTtlMs, failedTtlMs } = this.#settings
    return list === LIST_FAILED ? failedTtlMs : completedTtlMs
  }

  #listOf(slot: JobSlot): number {
    const state = this.#jobs.state(slot)
    if (state === JOB_FAILED) return LIST_FAILED
    return state === JOB_CANCELLED ? LIST_CANCELLED : LIST_COMPLETED
  }
}
