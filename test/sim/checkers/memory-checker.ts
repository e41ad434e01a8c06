// Memory stays within its sum, and requests are refused only when it is full. Usage is read from
// the statistics that every shard publishes; what must be in use follows from the ledger.

import type { ShardViews } from '../../../shards/memory/layout.ts'
import { LOG_RECORD_HEADER_BYTES } from '../../../shards/memory/limits.ts'
import { STATS } from '../../../shards/memory/stats.ts'
import { USER_BITS } from '../../../shards/store/log-shares.ts'
import { REFUSED_JOBS, REFUSED_MEMORY_SHARE } from '../../../shards/wire/contract.ts'
import type { Observer, SimJob, Verdict } from '../observations.ts'
import { promise } from '../violation.ts'
import type { Ledger } from './ledger.ts'

const CHECKER = 'memory'
/** Upper limit of a template and the overhead of a job's record in these runs. */
const RECORD_OVERHEAD_BYTES = 1024

const LIVE_BYTES = STATS.indexOf('logLiveBytes')
const CAPACITY_BYTES = STATS.indexOf('logCapacityBytes')
const SLOTS_USED = STATS.indexOf('jobSlotsUsed')
const LANES_USED = STATS.indexOf('lanesUsed')

/** Checks every shard after each of its turns. */
export class MemoryChecker implements Observer {
  readonly #ledger: Ledger
  readonly #shards: readonly ShardViews[]
  readonly #wasFull: boolean[]

  constructor(ledger: Ledger, shards: readonly ShardViews[]) {
    this.#ledger = ledger
    this.#shards = shards
    this.#wasFull = shards.map(() => false)
  }

  /** Whether the shard has ever been so full that it may have dropped something. */
  wasFull(shard: number): boolean {
    return this.#wasFull[shard] as boolean
  }

  turned(shard: number): void {
    const { stats, limits } = this.#shards[shard] as ShardViews
    const liveBytes = stats[LIVE_BYTES] as number
    const capacityBytes = stats[CAPACITY_BYTES] as number
    const slotsUsed = stats[SLOTS_USED] as number
    promise(liveBytes <= limits.segmentsMax * limits.segmentBytes, CHECKER, () =>
      `${liveBytes} bytes live in shard ${shard}`)
    promise(slotsUsed <= limits.jobsMax, CHECKER, () => `${slotsUsed} slots in shard ${shard}`)
    promise((stats[LANES_USED] as number) <= limits.lanesMax, CHECKER, () =>
      `${stats[LANES_USED]} lanes in shard ${shard}`)
    // A record may be charged at twice its size, for the hole that it may leave.
    const nearlyFull = 2 * (liveBytes + limits.recordBytesMax) >= capacityBytes
    if (nearlyFull || slotsUsed >= limits.jobsMax) this.#wasFull[shard] = true
  }

  /** The thread may have dropped something in the turn in which it crashed, before counting it. */
  died(shard: number): void {
    const { jobs, limits, segmentLiveBytes, stats } = this.#shards[shard] as ShardViews
    let slotsUsed = 0
    for (let slot = 0; slot < limits.jobsMax; slot++) if (jobs.state[slot] !== 0) slotsUsed++
    const liveBytes = segmentLiveBytes.reduce((sum, bytes) => sum + bytes, 0)
    const capacityBytes = stats[CAPACITY_BYTES] as number
    const nearlyFull = 2 * (liveBytes + 2 * limits.recordBytesMax) >= capacityBytes
    if (nearlyFull || slotsUsed >= limits.jobsMax - 1) this.#wasFull[shard] = true
  }

  judged(job: SimJob, verdict: Verdict): void {
    if (verdict.kind === 'accepted') this.#sawAccepted(job)
    if (verdict.kind !== 'refused') return
    const { reason, limit, current } = verdict
    if (reason === REFUSED_MEMORY_SHARE) return this.#sawShare(job, limit, current)
    this.#wasFull[job.shard] = true
    const { limits } = this.#shards[job.shard] as ShardViews
    const bytes = (job.body?.length ?? 0) + RECORD_OVERHEAD_BYTES + LOG_RECORD_HEADER_BYTES
    if (reason !== REFUSED_JOBS) {
      // A large record is charged twice, for the hole that it may leave.
      promise(current + 2 * bytes >= limit, CHECKER, () =>
        `job ${job.number} was refused at ${current} of ${limit} bytes`)
      return
    }
    promise(current === limits.jobsMax && limit === limits.jobsMax, CHECKER, () =>
      `job ${job.number} was refused at ${current} of ${limit} jobs`)
    const busy = this.#unfinishedSince(job)
    promise(busy >= limits.jobsMax, CHECKER, () =>
      `job ${job.number} was refused, but only ${busy} of ${limit} jobs were not done with`)
  }

  /** Nothing is dropped for a user at its share; a user with nothing may always have more. */
  #sawShare(job: SimJob, limit: number, current: number): void {
    promise(current > 0 && current >= limit, CHECKER, () =>
      `job ${job.number} was refused at ${current} of a share of ${limit} bytes`)
    const busy = this.#unfinishedSince(job, (other) => areCountedAlike(other, job))
    promise(busy > 0, CHECKER, () => `job ${job.number} was refused, but its user has no other`)
  }

  #sawAccepted(job: SimJob): void {
    // Room may have been made within the turn, before it could be observed.
    const { stats, limits } = this.#shards[job.shard] as ShardViews
    if ((stats[SLOTS_USED] as number) >= limits.jobsMax) this.#wasFull[job.shard] = true
  }

  /** Jobs of the shard that were unfinished at some time since `since`. */
  #unfinishedSince(since: SimJob, isMeant = (_job: SimJob): boolean => true): number {
    let count = 0
    for (const facts of this.#ledger.all) {
      if (facts.job.shard !== since.shard || facts.verdict !== 'accepted') continue
      if (!isMeant(facts.job)) continue
      if (this.#ledger.wasBusySince(facts, since.submittedUs)) count++
    }
    return count
  }
}

/** Whether the jobs' users share a counter in held-counts.ts. */
function areCountedAlike(one: SimJob, other: SimJob): boolean {
  const difference = one.account.route ^ other.account.route
  const places = 2 ** USER_BITS - 1
  return (difference & places) === 0 || ((difference >>> USER_BITS) & places) === 0
}
