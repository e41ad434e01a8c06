// A user's key is never executed a second time while its job waits, runs, or is remembered as
// completed; the key of a failed or cancelled job is free again immediately.

import type { ShardViews } from '../../../shards/memory/layout.ts'
import { readStats } from '../../../shards/memory/stats.ts'
import { keyName, type Observer, type SimJob, type Verdict } from '../observations.ts'
import type { Scenario } from '../scenario.ts'
import { promise } from '../violation.ts'
import type { VirtualTime } from '../virtual-time.ts'
import type { Facts, Ledger } from './ledger.ts'
import type { MemoryChecker } from './memory-checker.ts'
import { checkResult } from './results.ts'

const CHECKER = 'keys'

/** Tracks the holder of each key. A shard's answers arrive in the order of its decisions. */
export class KeyChecker implements Observer {
  readonly #ledger: Ledger
  readonly #memory: MemoryChecker
  readonly #time: VirtualTime
  readonly #scenario: Scenario
  readonly #shards: readonly ShardViews[]
  readonly #holders = new Map<string, Facts>()
  /** Completed keys reused before their TTL, per shard: each must have been counted as dropped. */
  readonly #usedEarly: number[]

  constructor(
    ledger: Ledger, memory: MemoryChecker, time: VirtualTime, scenario: Scenario,
    shards: readonly ShardViews[],
  ) {
    this.#ledger = ledger
    this.#memory = memory
    this.#time = time
    this.#scenario = scenario
    this.#shards = shards
    this.#usedEarly = shards.map(() => 0)
  }

  judged(job: SimJob, verdict: Verdict): void {
    const name = keyName(job)
    const holder = this.#holders.get(name)
    if (verdict.kind === 'accepted') {
      if (holder !== undefined) this.#checkFree(holder, job)
      this.#holders.set(name, this.#ledger.of(job))
    } else if (verdict.kind === 'duplicate') {
      this.#checkHeld(holder, job, verdict)
    } else if (verdict.kind === 'reused') {
      this.#checkReused(holder, job, verdict.id)
    }
  }

  #checkFree(holder: Facts, by: SimJob): void {
    const label = `job ${by.number} was accepted with the key of job ${holder.job.number}`
    const { outcome } = holder
    if (outcome === undefined) {
      const mayBeOver = this.#ledger.mayBeOverdue(holder) || this.#ledger.deaths(by.shard) > 1 ||
        this.#ledger.failedUnsentUs(holder) !== undefined
      promise(mayBeOver, CHECKER, () => `${label}, which is not over`)
      return
    }
    if (outcome.status !== 'completed') return
    const doneUs = this.#ledger.maybeDoneUs(holder)
    promise(doneUs !== undefined, CHECKER, () => `${label}, which still owes its webhook`)
    const endsUs = doneUs + this.#scenario.settings.completedTtlMs * 1000
    if (this.#time.nowUs() >= endsUs) return
    const early = (this.#usedEarly[by.shard] as number) + 1
    this.#usedEarly[by.shard] = early
    const { keysGivenUp } = readStats((this.#shards[by.shard] as ShardViews).stats)
    promise(early <= keysGivenUp + this.#ledger.deaths(by.shard), CHECKER, () =>
      `${label}, which completed and is kept for ${endsUs - this.#time.nowUs()} us more`)
  }

  /** Whether two jobs are the same request: with the same key, only the body may differ here. */
  #isSame(holder: Facts, job: SimJob): boolean {
    const none = Buffer.of()
    return Buffer.compare(holder.job.body ?? none, job.body ?? none) === 0 &&
      holder.job.account.number === job.account.number && holder.job.upstream === job.upstream
  }

  #checkReused(holder: Facts | undefined, job: SimJob, id: string): void {
    const label = `job ${job.number} reuses the key of ${id}`
    promise(holder?.job.id === id, CHECKER, () => `${label}, which does not hold it`)
    promise(this.#scenario.settings.keyMismatch === 'reject', CHECKER, () =>
      `${label}, which may be done`)
    promise(!this.#isSame(holder, job), CHECKER, () => `${label}, and asks for the same`)
  }

  #checkHeld(
    holder: Facts | undefined, job: SimJob, verdict: Verdict & { kind: 'duplicate' },
  ): void {
    const label = `job ${job.number} is a duplicate of ${verdict.id}`
    promise(holder !== undefined, CHECKER, () => `${label}, but its key is new`)
    promise(holder.job.id === verdict.id, CHECKER, () => `${label}, not of ${holder.job.id}`)
    const mayDiffer = this.#scenario.settings.keyMismatch === 'duplicate'
    promise(mayDiffer || this.#isSame(holder, job), CHECKER, () => `${label}, but asks for other`)
    const { status, result } = verdict
    promise(status !== 'failed' && status !== 'cancelled', CHECKER, () => `${label}: ${status}`)
    const { outcome } = holder
    if (outcome !== undefined && outcome.status !== 'completed') {
      const late = outcome.atUs >= job.submittedUs || holder.isDoubted ||
        this.#memory.wasFull(job.shard)
      promise(late, CHECKER, () => `${label}, which is ${outcome.status}: its key is free`)
    }
    if (status === 'completed') {
      promise(result !== null, CHECKER, () => `${label}, which has no result`)
      checkResult(result, holder, 'duplicate')
    } else {
      promise(result === null, CHECKER, () => `${label}, which is ${status} with a result`)
    }
  }
}
