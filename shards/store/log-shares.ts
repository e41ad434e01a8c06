// Whether a user may have another job that is not done with: a shard's log and slots are one pool.
// Thread: shard. Memory: its own counts, derived from the slots and their records.
// Never: makes room or stores anything. Imports no Node module.
// A job takes its record, or what of the log there is for each slot if that is more: so whoever has
// used up the slots has used up the pool as well. What is free is what is free in fact: shared
// templates and holes between records are nobody's, but they are used. So nobody gets beyond a
// share by records that leave holes. A job that owes its webhook takes its slot, which it keeps,
// but not its body, which gives way. One that is done with does not count: it gives way whole.

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

/** What of a user's hash is the second word by which it is counted: the first are lower bits. */
export const USER_BITS = 11

/** All counts. */
export interface LogSharesBaton {
  readonly pool: ShareCounts
  readonly users: Uint32Array
}

/** What of a shard's log and slots is whose. */
export class LogShares {
  readonly #log: JobLog
  readonly #jobs: JobSlots
  readonly #records: JobRecords
  readonly #templates: Templates
  readonly #pool = makeShareCounts()
  /** In units of LOG_ALIGN_BYTES: 32 bits hold the largest log so. */
  readonly #share: Share
  /** Of a job whose record takes less. */
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

  /** Before the jobs that a dead thread has left are added. */
  recover(): void {
    this.#pool.used = 0
    this.#users.clear()
  }

  /** What a successor begins with. */
  handOver(): LogSharesBaton {
    return { pool: this.#pool, users: this.#userCounts }
  }

  takeOver({ pool, users }: LogSharesBaton): void {
    Object.assign(this.#pool, pool)
    this.#userCounts.set(users)
  }

  /** What is to be warned of since the last call. */
  takeWarning(): PoolWarning | undefined {
    const warning = this.#warning
    this.#warning = undefined
    return warning
  }

  /**
   * Whether the user has its share. Who has nothing has not: for a first job, what the log and the
   * slots have left decides.
   */
  hasShare(user: number): boolean {
    const held = this.#heldBy(user)
    return held > 0 && held >= this.#threshold()
  }

  /** Counts a job that was refused because its user has its share. */
  refuse(nowUs: Micros): void {
    this.#share.refuse('share', nowUs)
  }

  /** What the user may have at present, and what it has. */
  facts(user: number): { readonly limit: Bytes; readonly current: Bytes } {
    const limit = Math.max(0, Math.floor(this.#threshold()))
    return {
      limit: (limit * LOG_ALIGN_BYTES) as Bytes,
      current: (this.#heldBy(user) * LOG_ALIGN_BYTES) as Bytes,
    }
  }

  /** What a job takes of the pool while it is unfinished: to be asked while its record is there. */
  unitsOf(slot: JobSlot): number {
    const bytes = recordBytes(this.#records.bytesOf(slot))
    return Math.max(this.#unitsMin, bytes / LOG_ALIGN_BYTES)
  }

  /** And while it is finished, and owes its webhook. */
  get unitsPending(): number {
    return this.#unitsMin
  }

  /** The job is there. @param units as unitsOf() or unitsPending says. */
  add(slot: JobSlot, units: number): void {
    const user = this.#jobs.at.route[slot] as number
    this.#share.adopt(units)
    this.#users.add(user >>> USER_BITS, user, units)
  }

  /** It is finished or gone. @param units as it was added with. */
  drop(slot: JobSlot, units: number): void {
    const user = this.#jobs.at.route[slot] as number
    this.#share.give(units)
    this.#users.drop(user >>> USER_BITS, user, units)
  }

  #heldBy(user: number): number {
    return this.#users.of(user >>> USER_BITS, user)
  }

  /** In units; below the share's own by what templates take, and holes between records. */
  #threshold(): number {
    const { heldBytes, liveBytes } = this.#log
    const spread = liveBytes === 0 ? 1 : Math.max(1, heldBytes / liveBytes)
    const { alpha, bound, used } = this.#share
    return alpha * (bound - (used + this.#templates.bytes / LOG_ALIGN_BYTES) * spread)
  }
}
