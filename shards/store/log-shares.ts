// Admission of a user's unfinished jobs: a shard's log and slots are one pool with shares.
// Thread: shard. Memory: its own counts, derived from the slots and their records.
// Never: frees space or stores anything. Imports no Node module.
// A job is charged its record's size, or the log's size per slot if that is more, so a user that
// has used up the slots has used up the pool, too. Free space excludes shared templates and gaps
// between records, which count for no user, so no user exceeds its share by records that leave
// gaps. A job with a pending webhook is charged for its slot, which it keeps, but not for its body,
// which can be evicted. A finalized job is not charged: all of it can be evicted.

import type { Bytes, JobSlot, Micros } from '../base/units.ts'
import { HeldCounts } from '../memory/held-counts.ts'
import { LOG_ALIGN_BYTES, LOG_USERS_COUNTED } from '../memory/limits.ts'
import { SHARD_POOLS } from '../memory/pools.ts'
import { makeShareCounts, Share, type ShareCounts } from '../memory/share.ts'
import type { PoolWarning } from '../wire/contract.ts'
import type { JobLog } from './job-log.ts'
import type { JobRecords } from './job-records.ts'
import type { JobSlots } from './job-slots.ts'
import { recordBytes } from './log-record.ts'
import type { Templates } from './templates.ts'

/** A user's second count is indexed by its hash shifted by this; the first uses the lower bits. */
export const USER_BITS = 11

/** All counts, as handed over to a successor. */
export interface LogSharesBaton {
  readonly pool: ShareCounts
  readonly users: Uint32Array
}

/** Counts how much of a shard's log and slots each user holds. */
export class LogShares {
  readonly #log: JobLog
  readonly #jobs: JobSlots
  readonly #records: JobRecords
  readonly #templates: Templates
  readonly #pool = makeShareCounts()
  /** In units of LOG_ALIGN_BYTES, so that the largest log fits in 32 bits. */
  readonly #share: Share
  /** The charge of a job whose record is smaller. */
  readonly #unitsMin: number
  readonly #userCounts = HeldCounts.make(LOG_USERS_COUNTED)
  readonly #users = new HeldCounts(this.#userCounts)
  #warning: PoolWarning | undefined

  constructor(log: JobLog, jobs: JobSlots, records: JobRecords, templates: Templates) {
    this.#log = log
    this.#jobs = jobs
    this.#records = records
    this.#templates = templates
    const { alpha, name } = SHARD_POOLS.logSpace
    const bound = Math.floor(log.usableBytes / LOG_ALIGN_BYTES)
    this.#unitsMin = Math.floor(bound / jobs.slotsMax)
    this.#share = new Share({ name, bound, alpha }, ({ used }, refusal) => {
      this.#warning = {
        pool: name, refusal, bound: bound * LOG_ALIGN_BYTES, used: used * LOG_ALIGN_BYTES,
      }
    }, this.#pool)
  }

  /** Resets the counts, before a crashed thread's jobs are added. */
  recover(): void {
    this.#pool.used = 0
    this.#users.clear()
  }

  /** The state that a successor starts from. */
  handOver(): LogSharesBaton {
    return { pool: this.#pool, users: this.#userCounts }
  }

  takeOver({ pool, users }: LogSharesBaton): void {
    Object.assign(this.#pool, pool)
    this.#userCounts.set(users)
  }

  /** The latest warning since the last call. */
  takeWarning(): PoolWarning | undefined {
    const warning = this.#warning
    this.#warning = undefined
    return warning
  }

  /**
   * Whether the user has used up its share. Never for a user without jobs: a first job depends only
   * on the free space of the log and the slots.
   */
  hasShare(user: number): boolean {
    const held = this.#heldBy(user)
    return held > 0 && held >= this.#threshold()
  }

  /** Counts a job that was refused because its user has used up its share. */
  refuse(nowUs: Micros): void {
    this.#share.refuse('share', nowUs)
  }

  /** The user's current limit, and what it holds. */
  facts(user: number): { readonly limit: Bytes; readonly current: Bytes } {
    const limit = Math.max(0, Math.floor(this.#threshold()))
    return {
      limit: (limit * LOG_ALIGN_BYTES) as Bytes,
      current: (this.#heldBy(user) * LOG_ALIGN_BYTES) as Bytes,
    }
  }

  /** An unfinished job's charge: to be called while its record exists. */
  unitsOf(slot: JobSlot): number {
    const bytes = recordBytes(this.#records.bytesOf(slot))
    return Math.max(this.#unitsMin, bytes / LOG_ALIGN_BYTES)
  }

  /** The charge of a finished job with a pending webhook. */
  get unitsPending(): number {
    return this.#unitsMin
  }

  /** Charges a job. @param units from unitsOf() or unitsPending. */
  add(slot: JobSlot, units: number): void {
    const user = this.#jobs.at.route[slot] as number
    this.#share.adopt(units)
    this.#users.add(user >>> USER_BITS, user, units)
  }

  /** Refunds a job that is finished or gone. @param units those of add(). */
  drop(slot: JobSlot, units: number): void {
    const user = this.#jobs.at.route[slot] as number
    this.#share.give(units)
    this.#users.drop(user >>> USER_BITS, user, units)
  }

  #heldBy(user: number): number {
    return this.#users.of(user >>> USER_BITS, user)
  }

  /** In units; lower than the share's threshold, because of templates and gaps between records. */
  #threshold(): number {
    const { heldBytes, liveBytes } = this.#log
    const spread = liveBytes === 0 ? 1 : Math.max(1, heldBytes / liveBytes)
    const { alpha, bound, used } = this.#share
    return alpha * (bound - (used + this.#templates.bytes / LOG_ALIGN_BYTES) * spread)
  }
}
