// Whose results are kept, so that nobody's take the place of everybody else's.
// Thread: shard. Memory: lists through the slots' result links, some for each user.
// Never: forgets a job itself (finished.ts does), or looks for one: who holds most gives way.
// Users are told apart by some bits of their hash: two of the same bits are one holder. The hash is
// keyed, so nobody can choose whom to be one with.

import { Heaviest, type HeaviestBaton } from './heaviest.ts'
import { JobLists } from './job-list.ts'
import type { JobRecords } from './job-records.ts'
import { JOB_COMPLETED, type JobSlots } from './job-slots.ts'
import { BODY_GIVEN_UP_BYTES_MIN, RESULT_USERS_COUNT } from './limits.ts'
import { type JobSlot, NONE } from './units.ts'

// A user's lists: what is left of a job's record, none, one without a body or a whole one…
const BARE = 0
const OUTCOME = 1
const WHOLE = 2
const FORMS = 3
// … and the same again for completed jobs, which hold their keys.
const UNKEYED = 0
const KEYED = FORMS
const LISTS = 2 * FORMS

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
   * Who has most loses the oldest body, or if there is none the oldest record.
   * @returns what was lost; undefined when nobody has any.
   */
  giveUp(): 'body' | 'record' | undefined {
    const user = this.#bytes.first
    if (user === NONE) return undefined
    const whole = this.#older(this.#first(user, UNKEYED + WHOLE), this.#first(user, KEYED + WHOLE))
    const slot = whole !== NONE ? whole
      : this.#older(this.#first(user, UNKEYED + OUTCOME), this.#first(user, KEYED + OUTCOME))
    this.remove(slot as JobSlot)
    const isKept = whole !== NONE && this.#records.dropBody(slot as JobSlot)
    // Status and key stay in the slot.
    if (!isKept) this.#records.free(slot as JobSlot)
    this.add(slot as JobSlot)
    return whole === NONE ? 'record' : 'body'
  }

  /** The job that can best be spared: of who has most, without a key if there is one; or NONE. */
  get spare(): JobSlot | typeof NONE {
    const user = this.#counts.first
    if (user === NONE) return NONE
    const unkeyed = this.#oldest(user, UNKEYED)
    return unkeyed === NONE ? this.#oldest(user, KEYED) : unkeyed
  }

  /** Of one user's jobs with keys, or without. */
  #oldest(user: number, key: number): JobSlot | typeof NONE {
    const bare = this.#first(user, key + BARE)
    const outcome = this.#first(user, key + OUTCOME)
    return this.#older(this.#older(bare, outcome), this.#first(user, key + WHOLE))
  }

  #first(user: number, list: number): JobSlot | typeof NONE {
    return this.#lists.first(user * LISTS + list)
  }

  #older(one: JobSlot | typeof NONE, other: JobSlot | typeof NONE): JobSlot | typeof NONE {
    if (one === NONE || other === NONE) return one === NONE ? other : one
    const isOlder = this.#finishedUs(other as JobSlot) < this.#finishedUs(one as JobSlot)
    return isOlder ? other : one
  }

  #count(slot: JobSlot, sign: 1 | -1): void {
    const user = this.#userOf(slot)
    const bytes = sign * this.#records.bytesOf(slot)
    this.#counts.add(user, sign)
    this.#bytes.add(user, bytes)
    this.#bytesSum += bytes
  }

  #userOf(slot: JobSlot): number {
    return (this.#jobs.at.route[slot] as number) & (RESULT_USERS_COUNT - 1)
  }

  #listOf(slot: JobSlot): number {
    const key = this.#jobs.state(slot) === JOB_COMPLETED ? KEYED : UNKEYED
    return this.#userOf(slot) * LISTS + key + this.#formOf(slot)
  }

  #formOf(slot: JobSlot): number {
    if (this.#records.bytesOf(slot) === 0) return BARE
    return this.#records.bodyBytesOf(slot) < BODY_GIVEN_UP_BYTES_MIN ? OUTCOME : WHOLE
  }
}
