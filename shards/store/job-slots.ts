// The job slots: the facts of every job, one array per field, with indexes by id and key.
// Thread: shard. Memory: owns views.jobs, views.idIndex, views.keyIndex, a word of views.progress.
// Never: knows lanes, paces or the log's records; a location is a number here.
// A slot's `next` and `prev` belong to the one list that the job is in: its lane, the retry wheel,
// a list of finished jobs, or the free list.
//
//   queued ──────────► in flight ──────────► completed | failed      (then: webhook, finished)
//     │  ▲                 │ retry
//     │  └── retrying ◄────┘
//     └─────────► cancelled ◄── retrying

import { assert } from '../base/assert.ts'
import { radixSort } from '../base/radix-sort.ts'
import { type JobSlot, type Micros, NONE, type UpstreamSlot, US_PER_SECOND } from '../base/units.ts'
import { JOBS_FRESH } from '../memory/crash-notes.ts'
import { Marks } from '../memory/dirty-pages.ts'
import type { JobArrays, ShardViews } from '../memory/layout.ts'
import { tenantOf } from '../memory/owner.ts'
import { SlotIndex } from '../memory/slot-index.ts'
import { type JobStatus, STATUS_OF_STATE } from '../wire/contract.ts'
import { type Reason, numberOfReason, reasonOfNumber } from '../wire/reasons.ts'

// The states as shown to callers: STATUS_OF_STATE in contract.ts.
export const JOB_FREE = 0
export const JOB_QUEUED = 1
export const JOB_IN_FLIGHT = 2
export const JOB_RETRYING = 3
export const JOB_COMPLETED = 4
export const JOB_FAILED = 5
export const JOB_CANCELLED = 6

/** The webhook is pending: the result is to be delivered and has not been. */
export const JOB_WEBHOOK_PENDING = 1
/** A stream or a socket watches the job. */
export const JOB_WATCHED = 2
/** The slot is in the key index. */
export const JOB_HOLDS_KEY = 4
/** The journal may not have the job yet; see arrivals.ts. Meaningless in a journal's image. */
export const JOB_UNWRITTEN = 8

const ATTEMPTS_MAX = 0xffff
/** Marks a reason stored instead of max_retries, which is never that large, except -1 (0xff). */
const REASON_MARK = 0x80
const DELIVERIES_MAX = 0xff
/** Hashes that differ only in these lower bits are near each other in an index. */
const NEARNESS_BITS = 21

/** A job's identity: id and key share the first word, a hash of its user or tenant. */
export interface JobIdentity {
  readonly route: number
  readonly idHigh: number
  readonly idLow: number
  readonly keyHigh: number
  readonly keyLow: number
  /** Tenant and key; see owner.ts. */
  readonly owner: number
}

/** Heads and counts; links and indexes stay in shared memory. */
export interface JobSlotsBaton {
  readonly free: number
  readonly freeCount: number
  readonly fresh: number
  readonly keys: number
}

/** Slots, free list and indexes of one shard's jobs. */
export class JobSlots {
  readonly at: JobArrays
  readonly slotsMax: number
  readonly #ids: SlotIndex
  readonly #keys: SlotIndex
  readonly #progress: Uint32Array
  readonly #marks: Marks
  #free = NONE
  #freeCount = 0
  /** Slots from here on have never been used; their memory is untouched. */
  #fresh = 0

  constructor(views: ShardViews, marks = new Marks(views, false)) {
    this.at = views.jobs
    this.#marks = marks
    this.slotsMax = views.limits.jobsMax
    this.#progress = views.progress
    this.#ids = new SlotIndex(views.idIndex, (slot) => this.at.idLow[slot] as number)
    this.#keys = new SlotIndex(views.keyIndex, (slot) => this.at.keyLow[slot] as number)
  }

  /** The state that a successor on the same memory starts from. */
  handOver(): JobSlotsBaton {
    return {
      free: this.#free, freeCount: this.#freeCount, fresh: this.#fresh, keys: this.#keys.size,
    }
  }

  takeOver(baton: JobSlotsBaton): void {
    this.#free = baton.free
    this.#freeCount = baton.freeCount
    this.#fresh = baton.fresh
    this.#ids.takeOver(this.used)
    this.#keys.takeOver(baton.keys)
  }

  get used(): number {
    return this.#fresh - this.#freeCount
  }

  /** Slots below this have been used at some time; a sweep can stop here. */
  get highWater(): number {
    return this.#fresh
  }

  get isFull(): boolean {
    return this.#freeCount === 0 && this.#fresh === this.slotsMax
  }

  /**
   * After a crash, on the thread's memory: no slot is in a list or an index yet. To be followed by
   * adoptFree() for all free slots, the highest first, so that low ones are allocated first; and
   * by index().
   */
  recover(): void {
    this.#fresh = this.#progress[JOBS_FRESH] as number
    this.#ids.recover(this.#fresh)
    this.#keys.recover(this.#fresh)
  }

  /** Indexes all jobs in memory by id, and by key where they hold theirs. */
  index(): void {
    this.#indexAll(this.#ids, this.at.idLow, () => true)
    this.#indexAll(this.#keys, this.at.keyLow, (slot) => this.hasFlag(slot, JOB_HOLDS_KEY))
  }

  adoptFree(slot: JobSlot): void {
    this.#pushFree(slot)
  }

  /**
   * Allocates a slot for a new job and indexes it by id and key; asserts that one is free. It is
   * not a job until beginState(): if the thread crashes before, no trace of it is left.
   */
  take(identity: JobIdentity): JobSlot {
    assert(!this.isFull, 'no job slot is free')
    let slot = this.#free
    if (slot === NONE) {
      slot = this.#fresh++
      this.#progress[JOBS_FRESH] = this.#fresh
    } else {
      this.#free = this.at.next[slot] as number
      this.#freeCount--
    }
    const { at } = this
    at.route[slot] = identity.route
    at.idHigh[slot] = identity.idHigh
    at.idLow[slot] = identity.idLow
    at.keyHigh[slot] = identity.keyHigh
    at.keyLow[slot] = identity.keyLow
    at.owner[slot] = identity.owner
    at.resultWord[slot] = this.#marks.isOn ? (JOB_HOLDS_KEY | JOB_UNWRITTEN) << 16
      : JOB_HOLDS_KEY << 16
    at.timeUs[slot] = Infinity
    at.location[slot] = NONE
    this.#ids.insert(identity.idLow, slot)
    this.#keys.insert(identity.keyLow, slot)
    return slot as JobSlot
  }

  /** Forgets a job; its slot may be reused at once. */
  release(slot: JobSlot): void {
    assert(this.at.state[slot] !== JOB_FREE, 'a job slot was released twice')
    this.abandon(slot)
  }

  /** Frees a slot, which need not have become a job. */
  abandon(slot: JobSlot): void {
    const { at } = this
    this.touch(slot)
    this.freeKey(slot)
    assert(this.#ids.remove(at.idLow[slot] as number, slot), 'a job was not indexed by its id')
    at.state[slot] = JOB_FREE
    at.location[slot] = NONE
    this.#pushFree(slot)
  }

  setAccepted(slot: JobSlot, nowUs: Micros): void {
    this.at.acceptedS[slot] = Math.ceil(nowUs / US_PER_SECOND)
  }

  /**
   * The job's age at that time, in whole seconds, up to one too few. Not affected when the wall
   * clock is set.
   */
  ageMs(slot: JobSlot, atUs: Micros): number {
    return ((Math.floor(atUs / US_PER_SECOND) - (this.at.acceptedS[slot] as number)) | 0) * 1000
  }

  /** Frees the key for another job, for instance after a failure. */
  freeKey(slot: JobSlot): void {
    if (!this.hasFlag(slot, JOB_HOLDS_KEY)) return
    this.setFlag(slot, JOB_HOLDS_KEY, false)
    assert(this.#keys.remove(this.at.keyLow[slot] as number, slot), 'a key was not indexed')
  }

  /** The job with this id, or NONE. */
  findById(route: number, idHigh: number, idLow: number): JobSlot | typeof NONE {
    const { at } = this
    return this.#ids.find(idLow, (slot) =>
      at.idHigh[slot] === idHigh && at.idLow[slot] === idLow && at.route[slot] === route) as JobSlot
  }

  /** The tenant's job that holds this key, or NONE. */
  findByKey(
    tenant: number, route: number, keyHigh: number, keyLow: number,
  ): JobSlot | typeof NONE {
    const { at } = this
    return this.#keys.find(keyLow, (slot) => at.keyHigh[slot] === keyHigh &&
      at.keyLow[slot] === keyLow && at.route[slot] === route &&
      tenantOf(at.owner[slot] as number) === tenant) as JobSlot
  }

  /** Whose job it is; for every other tenant it is not there. */
  tenant(slot: JobSlot): number {
    return tenantOf(this.at.owner[slot] as number)
  }

  state(slot: JobSlot): number {
    return (this.at.state[slot] as number) & 0xff
  }

  status(slot: JobSlot): JobStatus {
    return STATUS_OF_STATE[this.state(slot)] as JobStatus
  }

  attempts(slot: JobSlot): number {
    return ((this.at.state[slot] as number) >>> 8) & ATTEMPTS_MAX
  }

  deliveries(slot: JobSlot): number {
    return (this.at.state[slot] as number) >>> 24
  }

  /** To be called before a fact of the slot is changed by code outside of this class. */
  touch(slot: number): void {
    this.#marks.job(slot)
  }

  /** Sets state and attempts in one store; attempts saturate at 65,535. */
  setState(slot: JobSlot, state: number, attempts = this.attempts(slot)): void {
    this.touch(slot)
    const word = this.at.state[slot] as number
    const kept = word & 0xff000000
    this.at.state[slot] = (kept | (Math.min(attempts, ATTEMPTS_MAX) << 8) | state) >>> 0
  }

  /** Makes the slot a new job: this state, no attempts, no deliveries. */
  beginState(slot: JobSlot, state: number): void {
    this.touch(slot)
    this.at.state[slot] = state
  }

  setDeliveries(slot: JobSlot, deliveries: number): void {
    this.touch(slot)
    const word = (this.at.state[slot] as number) & 0xffffff
    this.at.state[slot] = (word | (Math.min(deliveries, DELIVERIES_MAX) << 24)) >>> 0
  }

  responseStatus(slot: JobSlot): number {
    return (this.at.resultWord[slot] as number) & 0xffff
  }

  setResponseStatus(slot: JobSlot, status: number): void {
    this.touch(slot)
    this.at.resultWord[slot] = (((this.at.resultWord[slot] as number) & 0xffff0000) | status) >>> 0
  }

  hasFlag(slot: JobSlot, flag: number): boolean {
    return ((this.at.resultWord[slot] as number) & (flag << 16)) !== 0
  }

  setFlag(slot: JobSlot, flag: number, on: boolean): void {
    this.touch(slot)
    const word = this.at.resultWord[slot] as number
    this.at.resultWord[slot] = (on ? word | (flag << 16) : word & ~(flag << 16)) >>> 0
  }

  /** The last response status of a finalized webhook's receiver; 0 for no response. */
  webhookStatus(slot: JobSlot): number {
    return this.at.order[slot] as number
  }

  /**
   * Finalizes the webhook. Its status is stored in `order`, which the job no longer needs; if the
   * thread crashes in between, the webhook is still pending and is resent, ahead of its place.
   */
  setWebhookDone(slot: JobSlot, status: number): void {
    this.touch(slot)
    this.at.order[slot] = status
    this.setFlag(slot, JOB_WEBHOOK_PENDING, false)
  }

  /** The journal has the job. No dirty mark: the flag itself need not be journalled. */
  noteWritten(slot: JobSlot): void {
    this.at.resultWord[slot] = ((this.at.resultWord[slot] as number) & ~(JOB_UNWRITTEN << 16)) >>> 0
  }

  /** An unfinished job's webhook receiver, or NONE; stored in place of the response status. */
  receiver(slot: JobSlot): UpstreamSlot | typeof NONE {
    return ((this.responseStatus(slot) - 1) >>> 0) as UpstreamSlot
  }

  setReceiver(slot: JobSlot, receiver: UpstreamSlot | typeof NONE): void {
    this.setResponseStatus(slot, (receiver + 1) >>> 0)
  }

  /** Sets why the job has failed; stored in place of max_retries, which is no longer needed. */
  setReason(slot: JobSlot, reason: Reason): void {
    this.setRetriesMax(slot, REASON_MARK | numberOfReason(reason))
  }

  /** Null for none, and for jobs that ended in a version that did not store reasons here. */
  reason(slot: JobSlot): Reason | null {
    const byte = (this.at.resultWord[slot] as number) >>> 24
    return byte < REASON_MARK ? null : reasonOfNumber(byte - REASON_MARK)
  }

  /** -1 to 100. */
  retriesMax(slot: JobSlot): number {
    return (this.at.resultWord[slot] as number) << 0 >> 24
  }

  setRetriesMax(slot: JobSlot, retries: number): void {
    this.touch(slot)
    const word = (this.at.resultWord[slot] as number) & 0xffffff
    this.at.resultWord[slot] = (word | (retries << 24)) >>> 0
  }

  /** Inserts in about the order of the index's entries: in random order each is a cache miss. */
  #indexAll(index: SlotIndex, hashes: Uint32Array, isIn: (slot: JobSlot) => boolean): void {
    const slots = new Uint32Array(this.used)
    const keys = new Uint32Array(this.used)
    let count = 0
    for (let slot = 0; slot < this.#fresh; slot++) {
      if (this.at.state[slot] === JOB_FREE || !isIn(slot as JobSlot)) continue
      slots[count] = slot
      keys[count++] = hashes[slot] as number
    }
    const near = radixSort({ items: slots, keys }, count, NEARNESS_BITS)
    for (let at = 0; at < count; at++) {
      index.insert(near.keys[at] as number, near.items[at] as number)
    }
  }

  #pushFree(slot: JobSlot): void {
    this.at.next[slot] = this.#free
    this.#free = slot
    this.#freeCount++
  }
}
