// Finished jobs: kept for their time to live so that polls and repeated keys find them.
// Thread: shard. Memory: three lists through the slots of finished jobs; frees slots and records.
// Never: touches a job that still owes its webhook.
// Bounded memory: results take at most RESULTS_PER_MILLE_MAX of the log, then the oldest lose
// their bodies, and when none has one left, their records. When slots or log run out, the oldest
// finished jobs go before their time: failed and cancelled ones first, since their keys are free
// anyway, completed ones last.

import { JobLists } from './job-list.ts'
import type { JobRecords } from './job-records.ts'
import { JOB_CANCELLED, JOB_FAILED, JOB_WATCHED, type JobSlots } from './job-slots.ts'
import { EXPIRED_PER_TURN_MAX } from './limits.ts'
import type { StatsWriter } from './stats.ts'
import { type JobSlot, type Micros, NONE, msToUs } from './units.ts'

const LIST_COMPLETED = 0
const LIST_FAILED = 1
const LIST_CANCELLED = 2
/** From the cheapest loss to the dearest. */
const GIVE_UP_ORDER = [LIST_CANCELLED, LIST_FAILED, LIST_COMPLETED] as const
const LISTS = 3

/** How long finished jobs are kept, and how many bytes their results may take. */
export interface FinishedSettings {
  readonly completedTtlMs: number
  readonly failedTtlMs: number
  readonly resultBytesMax: number
  /** Called before a watched job is forgotten, so that nobody speaks of its slot any more. */
  readonly unwatch: (slot: JobSlot) => void
}

/** Ends of the lists, how far results were given up, and the sums; links are in the slots. */
export interface FinishedBaton {
  readonly heads: Uint32Array
  readonly tails: Uint32Array
  readonly bodies: readonly number[]
  readonly kept: readonly number[]
  readonly count: number
  readonly resultBytes: number
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
  /** The oldest job of each list that may still have its body. */
  #bodies = [NONE, NONE, NONE]
  /** The oldest job of each list that may still have a record, with a body or without. */
  #kept = [NONE, NONE, NONE]
  #count = 0
  #resultBytes = 0

  constructor(
    jobs: JobSlots, records: JobRecords, stats: StatsWriter, settings: FinishedSettings,
  ) {
    this.#jobs = jobs
    this.#records = records
    this.#stats = stats
    this.#settings = settings
    this.#lists = new JobLists(jobs.at, this.#heads, this.#tails)
  }

  /** What a successor on the same memory begins with. */
  handOver(): FinishedBaton {
    return {
      heads: this.#heads, tails: this.#tails, bodies: this.#bodies, kept: this.#kept,
      count: this.#count, resultBytes: this.#resultBytes,
    }
  }

  /**
   * Each job keeps the time that it was given. Where new settings shorten it, a later job may wait
   * for an earlier one to be forgotten.
   */
  takeOver(baton: FinishedBaton): void {
    this.#heads.set(baton.heads)
    this.#tails.set(baton.tails)
    this.#bodies = [...baton.bodies]
    this.#kept = [...baton.kept]
    this.#count = baton.count
    this.#resultBytes = baton.resultBytes
  }

  get count(): number {
    return this.#count
  }

  get resultBytes(): number {
    return this.#resultBytes
  }

  /** Keeps a job whose outcome is stored and, if it had one, whose webhook is done with. */
  add(slot: JobSlot, nowUs: Micros): void {
    const list = this.#listOf(slot)
    const { completedTtlMs, failedTtlMs } = this.#settings
    const ttlMs = list === LIST_FAILED ? failedTtlMs : completedTtlMs
    this.#jobs.touch(slot)
    this.#jobs.at.timeUs[slot] = nowUs + msToUs(ttlMs)
    this.#append(slot)
    this.#resultBytes += this.#records.bytesOf(slot)
    while (this.#resultBytes > this.#settings.resultBytesMax) {
      if (this.#giveUpBody()) this.#stats.add('resultsGivenUp')
      else if (!this.#giveUpRecord()) break
    }
  }

  /** After another thread's death: keeps a job until the time in its slot, behind the others. */
  adopt(slot: JobSlot): void {
    this.#append(slot)
    this.#resultBytes += this.#records.bytesOf(slot)
  }

  /** Forgets a finished job at once, as when its key is used anew after its time. */
  remove(slot: JobSlot): void {
    const list = this.#listOf(slot)
    if (this.#bodies[list] === slot) this.#bodies[list] = this.#lists.following(slot)
    if (this.#kept[list] === slot) this.#kept[list] = this.#lists.following(slot)
    this.#lists.remove(list, slot)
    this.#count--
    this.#resultBytes -= this.#records.bytesOf(slot)
    if (this.#jobs.hasFlag(slot, JOB_WATCHED)) this.#settings.unwatch(slot)
    this.#records.free(slot)
    this.#jobs.release(slot)
  }

  /** Whether a finished job's time to live has passed. */
  isExpired(slot: JobSlot, nowUs: Micros): boolean {
    return (this.#jobs.at.timeUs[slot] as number) <= nowUs
  }

  /** Forgets what has had its time; at most EXPIRED_PER_TURN_MAX jobs a call. */
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

  /** When the next job's time has passed; Infinity when there is none. */
  nextUs(): Micros {
    let next = Infinity
    for (let list = 0; list < LISTS; list++) {
      const oldest = this.#lists.first(list)
      if (oldest !== NONE) next = Math.min(next, this.#jobs.at.timeUs[oldest] as number)
    }
    return next as Micros
  }

  /** Forgets the job that can best be spared, before its time; false when there is none. */
  giveUpOldest(): boolean {
    for (const list of GIVE_UP_ORDER) {
      const oldest = this.#lists.first(list)
      if (oldest === NONE) continue
      this.remove(oldest as JobSlot)
      if (list === LIST_COMPLETED) this.#stats.add('keysGivenUp')
      return true
    }
    return false
  }

  #append(slot: JobSlot): void {
    const list = this.#listOf(slot)
    this.#lists.pushBack(list, slot)
    if (this.#bodies[list] === NONE) this.#bodies[list] = slot
    if (this.#kept[list] === NONE) this.#kept[list] = slot
    this.#count++
  }

  #listOf(slot: JobSlot): number {
    const state = this.#jobs.state(slot)
    if (state === JOB_FAILED) return LIST_FAILED
    return state === JOB_CANCELLED ? LIST_CANCELLED : LIST_COMPLETED
  }

  /** Leaves the oldest result that has a body without it; false when none has one. */
  #giveUpBody(): boolean {
    const slot = this.#takeNext(this.#bodies)
    if (slot === NONE) return false
    const before = this.#records.bytesOf(slot)
    const result = this.#records.readResult(slot)
    const kept = result.body === null ||
      this.#records.storeResult(
        slot, this.#records.readTemplate(slot), { ...result, body: null, truncated: true })
    // What has no body to lose loses the whole record; status and key stay in the slot.
    if (!kept || result.body === null) this.#records.free(slot)
    this.#resultBytes += this.#records.bytesOf(slot) - before
    return true
  }

  /** Takes the oldest record that is left, its body gone before; false when there is none. */
  #giveUpRecord(): boolean {
    const slot = this.#takeNext(this.#kept)
    if (slot === NONE) return false
    this.#resultBytes -= this.#records.bytesOf(slot)
    this.#records.free(slot)
    return true
  }

  /** The first job with a record, from where `oldest` points on, which then points behind it. */
  #takeNext(oldest: number[]): JobSlot {
    for (const list of GIVE_UP_ORDER) {
      while (oldest[list] !== NONE) {
        const slot = oldest[list] as JobSlot
        oldest[list] = this.#lists.following(slot)
        if (this.#records.bytesOf(slot) > 0) return slot
      }
    }
    return NONE as JobSlot
  }
}
