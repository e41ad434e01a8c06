// Whose results are kept, so that nobody's take the place of everybody else's.
// Thread: shard. Memory: lists through the slots' result links, some for each user.
// Never: forgets a job itself (finished.ts does), or looks for one: who holds most gives way.
// Users are told apart by some bits of their hash: two of the same bits are one holder. The hash is
// keyed, so nobody can choose whom to be one with.

import { type JobSlot, type Micros, NONE } from '../base/units.ts'
import { Heaviest, type HeaviestBaton } from '../memory/heaviest.ts'
import { JobLists } from '../memory/job-list.ts'
import {
  BODY_GIVEN_UP_BYTES_MIN, FAILED_RESULT_WORTH, KEY_WORTH, RESULT_USERS_COUNT,
} from '../memory/result-limits.ts'
import type { JobRecords } from './job-records.ts'
import { JOB_COMPLETED, JOB_FAILED, type JobSlots } from './job-slots.ts'

// A user's lists, oldest first: jobs whose slot is all that is left of them, by how they ended…
const BARE = 0
const CANCELLED = 0
const FAILED = 1
const COMPLETED = 2
const KINDS = 3
// … and the same again for those with a record.
const RECORDED = KINDS
const LISTS = 2 * KINDS

/** What is compared are ages by worth: of results, and of jobs. Of these, some hold their keys. */
const RESULT_WORTHS = [1, FAILED_RESULT_WORTH, 1] as const
const JOB_WORTHS = [1, 1, KEY_WORTH] as const

/** Ends of the lists, and what each user has: bytes of records, and jobs. */
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

  /** @param finishedUs when a job ended; what ended earlier gives way earlier. */
  constructor(jobs: JobSlots, records: JobRecords, finishedUs: (slot: JobSlot) => number) {
    this.#jobs = jobs
    this.#records = records
    this.#finishedUs = finishedUs
    const links = { next: jobs.at.resultNext, prev: jobs.at.resultPrev }
    this.#lists = new JobLists(links, this.#heads, this.#tails)
  }

  /** What a successor on the same memory begins with. */
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

  /** And of about the most that any user has. */
  get bytesMost(): number {
    return this.#bytes.most
  }

  /** A job is finished, and its record is as it will be kept. */
  add(slot: JobSlot): void {
    this.#lists.pushBack(this.#listOf(slot), slot)
    this.#count(slot, 1)
  }

  /** It is to be forgotten, or its record to change. */
  remove(slot: JobSlot): void {
    this.#lists.remove(this.#listOf(slot), slot)
    this.#count(slot, -1)
  }

  /**
   * Who has most loses the body of the oldest result, or its record if there is no more to it.
   * @returns what was lost; undefined when nobody has any.
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

  /** The job that can best be spared, of who has most; or NONE. */
  spare(nowUs: Micros): JobSlot | typeof NONE {
    const user = this.#counts.first
    return user === NONE ? NONE : this.#oldest(user, BARE, JOB_WORTHS, nowUs)
  }

  /**
   * Of the first jobs of a user's lists, the oldest by worth: of the same age, the one that is
   * worth less.
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
