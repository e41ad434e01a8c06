// Eviction of finished jobs' results: the largest user is evicted from, so that no user's results
// displace all others'.
// Thread: shard. Memory: lists through the slots' result links, several for each user.
// Never: forgets a job itself (finished.ts does), or searches for one.
// Users are distinguished by some bits of their hash; users with the same bits are one holder. The
// hash is keyed, so no caller can choose with whom it collides.

import { type JobSlot, type Micros, NONE } from '../base/units.ts'
import { Heaviest, type HeaviestBaton } from '../memory/heaviest.ts'
import { JobLists } from '../memory/job-list.ts'
import {
  BODY_GIVEN_UP_BYTES_MIN, FAILED_RESULT_WORTH, KEY_WORTH, RESULT_USERS_COUNT,
} from '../memory/result-limits.ts'
import type { JobRecords } from './job-records.ts'
import { JOB_COMPLETED, JOB_FAILED, type JobSlots } from './job-slots.ts'

// A user's lists, oldest first: by how they ended, jobs of which only the slot is left (BARE),
const BARE = 0
const CANCELLED = 0
const FAILED = 1
const COMPLETED = 2
const KINDS = 3
// and the same lists again for jobs with a record (RECORDED).
const RECORDED = KINDS
const LISTS = 2 * KINDS

/** Ages are divided by these before they are compared, by kind of end; completed jobs hold keys. */
const RESULT_WORTHS = [1, FAILED_RESULT_WORTH, 1] as const
const JOB_WORTHS = [1, 1, KEY_WORTH] as const

/** Ends of the lists, and each user's bytes of records and number of jobs. */
export interface KeptResultsBaton {
  readonly heads: Uint32Array
  readonly tails: Uint32Array
  readonly bytes: HeaviestBaton
  readonly counts: HeaviestBaton
  readonly bytesSum: number
}

/** The finished jobs of one shard, by user. */
export class KeptResults {
  readonly #jobs: JobSlots
  readonly #records: JobRecords
  readonly #finishedUs: (slot: JobSlot) => number
  readonly #heads = new Uint32Array(RESULT_USERS_COUNT * LISTS).fill(NONE)
  readonly #tails = new Uint32Array(RESULT_USERS_COUNT * LISTS).fill(NONE)
  readonly #lists: JobLists
  readonly #bytes = new Heaviest(RESULT_USERS_COUNT, BODY_GIVEN_UP_BYTES_MIN)
  readonly #counts = new Heaviest(RESULT_USERS_COUNT, 1)
  #bytesSum = 0

  /** @param finishedUs when a job ended; of equal worth, the earlier one is evicted first. */
  constructor(jobs: JobSlots, records: JobRecords, finishedUs: (slot: JobSlot) => number) {
    this.#jobs = jobs
    this.#records = records
    this.#finishedUs = finishedUs
    const links = { next: jobs.at.resultNext, prev: jobs.at.resultPrev }
    this.#lists = new JobLists(links, this.#heads, this.#tails)
  }

  /** The state that a successor on the same memory starts from. */
  handOver(): KeptResultsBaton {
    return {
      heads: this.#heads, tails: this.#tails, bytes: this.#bytes.handOver(),
      counts: this.#counts.handOver(), bytesSum: this.#bytesSum,
    }
  }

  takeOver(baton: KeptResultsBaton): void {
    this.#heads.set(baton.heads)
    this.#tails.set(baton.tails)
    this.#bytes.takeOver(baton.bytes)
    this.#counts.takeOver(baton.counts)
    this.#bytesSum = baton.bytesSum
  }

  /** Bytes of all records. */
  get bytes(): number {
    return this.#bytesSum
  }

  /** Bytes of the records of the job's user. */
  bytesOfUser(slot: JobSlot): number {
    return this.#bytes.weightOf(this.#userOf(slot))
  }

  /** Bytes of the records of about the largest user. */
  get bytesMost(): number {
    return this.#bytes.most
  }

  /** Adds a finished job, whose record is in its final form. */
  add(slot: JobSlot): void {
    this.#lists.pushBack(this.#listOf(slot), slot)
    this.#count(slot, 1)
  }

  /** Removes a job before it is forgotten or its record changes. */
  remove(slot: JobSlot): void {
    this.#lists.remove(this.#listOf(slot), slot)
    this.#count(slot, -1)
  }

  /**
   * Evicts from the largest user: the oldest result's body, or its record if that is all it has.
   * @returns what was evicted; undefined when there are no records.
   */
  giveUp(nowUs: Micros): 'body' | 'record' | undefined {
    const user = this.#bytes.first
    if (user === NONE) return undefined
    const slot = this.#oldest(user, RECORDED, RESULT_WORTHS, nowUs) as JobSlot
    const isWhole = this.#records.bodyBytesOf(slot) >= BODY_GIVEN_UP_BYTES_MIN
    const before = this.#records.bytesOf(slot)
    if (isWhole && this.#records.dropBody(slot)) {
      this.#addBytes(user, this.#records.bytesOf(slot) - before)
      return 'body'
    }
    this.remove(slot)
    // Status, reason and key stay in the slot.
    this.#records.free(slot)
    this.add(slot)
    return isWhole ? 'body' : 'record'
  }

  /** The job to forget first, of the user with the most jobs; or NONE. */
  spare(nowUs: Micros): JobSlot | typeof NONE {
    const user = this.#counts.first
    return user === NONE ? NONE : this.#oldest(user, BARE, JOB_WORTHS, nowUs)
  }

  /**
   * The oldest by worth among the first jobs of a user's lists; of equal ones, the one of lower
   * worth.
   */
  #oldest(
    user: number, from: typeof BARE | typeof RECORDED, worths: readonly number[], nowUs: Micros,
  ): JobSlot | typeof NONE {
    let oldest: JobSlot | typeof NONE = NONE
    let ageUs = -1
    let worth = 0
    for (let list = from; list < LISTS; list++) {
      const slot = this.#lists.first(user * LISTS + list)
      if (slot === NONE) continue
      const itsWorth = worths[list % KINDS] as number
      const itsAgeUs = Math.max(0, nowUs - this.#finishedUs(slot as JobSlot)) / itsWorth
      if (itsAgeUs < ageUs || (itsAgeUs === ageUs && itsWorth >= worth)) continue
      oldest = slot
      ageUs = itsAgeUs
      worth = itsWorth
    }
    return oldest
  }

  #count(slot: JobSlot, sign: 1 | -1): void {
    const user = this.#userOf(slot)
    this.#counts.add(user, sign)
    this.#addBytes(user, sign * this.#records.bytesOf(slot))
  }

  #addBytes(user: number, bytes: number): void {
    this.#bytes.add(user, bytes)
    this.#bytesSum += bytes
  }

  #userOf(slot: JobSlot): number {
    return (this.#jobs.at.route[slot] as number) & (RESULT_USERS_COUNT - 1)
  }

  #listOf(slot: JobSlot): number {
    const state = this.#jobs.state(slot)
    const kind = state === JOB_COMPLETED ? COMPLETED : state === JOB_FAILED ? FAILED : CANCELLED
    const form = this.#records.bytesOf(slot) === 0 ? BARE : RECORDED
    return this.#userOf(slot) * LISTS + form + kind
  }
}
