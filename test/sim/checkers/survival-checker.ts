// What killing the whole process may cost when a journal is kept: nothing that a client was told,
// and no more than what the journal had not received yet.
//
// When the process is killed, each shard's journal is complete up to some time. A job that was
// accepted is there afterwards; a job that ended before that time is never executed again; one that
// ended after it may be, unless its webhook had been sent: then it was reported, and is finished.
// Callers are disconnected in between: their pending requests are open.

import { NONE } from '../../../shards/base/units.ts'
import type { ShardViews } from '../../../shards/memory/layout.ts'
import { RETRIES_UNLIMITED, WEBHOOK_RETRIES_MAX } from '../../../shards/memory/limits.ts'
import { readStats } from '../../../shards/memory/stats.ts'
import type { FailureReason } from '../../../shards/signals/response.ts'
import { classify, mayFailureRetry } from '../../../shards/signals/verdict.ts'
import { JOB_FREE, JOB_IN_FLIGHT } from '../../../shards/store/job-slots.ts'
import {
  type Attempt, type Ending, keyName, type Observer, type Question, type SimJob, type Verdict,
} from '../observations.ts'
import { promise } from '../violation.ts'
import type { VirtualTime } from '../virtual-time.ts'
import { Unreached } from './unreached.ts'

const CHECKER = 'survival'

/** All that is known of a job. */
interface Facts {
  readonly job: SimJob
  isAccepted: boolean
  /** Its caller was told that nothing of it is kept. */
  isRefused: boolean
  isCancelAsked: boolean
  isSent: boolean
  /** When the upstream's last response arrived, if that ended the job. */
  completedUs: number | undefined
  /** The number of that end among all ends. */
  end: number
  /** Whether the last ended attempt leaves nothing to be retried. */
  isOver: boolean
  /** The number of attempts at the last seen one; and the state of its place before it. */
  attempts: number
  unreachedBefore: number
  deliveries: number
}

/** The ledger over all lives of a process. */
export class SurvivalChecker implements Observer {
  readonly #time: VirtualTime
  readonly #shards: readonly ShardViews[]
  readonly #facts: Facts[] = []
  readonly #latest = new Map<string, number>()
  readonly #unreached = new Unreached()
  /** Places, by shard, whose addresses were refused: this ends a job whatever its retries. */
  readonly #refused = new Set<string>()
  readonly #holders = new Map<string, Facts>()
  /** Shards that dropped keys before their TTL, in this life or an earlier one. */
  readonly #forgetful = new Set<number>()
  /** Number of jobs executed again after a kill, since nothing durable said that they had ended. */
  repeated = 0
  kills = 0
  /** Ends of attempts so far, in all shards. */
  ends = 0

  constructor(time: VirtualTime, shards: readonly ShardViews[]) {
    this.#time = time
    this.#shards = shards
  }

  /** Submitted jobs. */
  get jobs(): number {
    return this.#facts.length
  }

  /** The process is killed; its shard's journal contains the first `durableEnds` ends. */
  killed(shard: number, durableEnds: number): void {
    this.kills++
    this.#mayForget(shard)
    const states = statesOf(this.#shards[shard] as ShardViews)
    for (const facts of this.#facts) {
      const { completedUs, job } = facts
      if (job.shard !== shard || completedUs === undefined) continue
      // What the journal did not receive is undone, and so is a result that did not fit in the log.
      const isStored = states.get(idOf(job)) !== JOB_IN_FLIGHT
      if ((facts.end <= durableEnds && isStored) || facts.deliveries > 0) continue
      facts.completedUs = undefined
      facts.isOver = false
      this.repeated++
    }
  }

  /** Its successor has loaded the journal: everything that was promised is there. */
  lives(shard: number, views: ShardViews): void {
    const known = statesOf(views)
    for (const facts of this.#facts) {
      const { isAccepted, isCancelAsked, isSent, job } = facts
      if (job.shard !== shard || !isAccepted || isSent || isCancelAsked) continue
      if (job.executeBeforeMs !== 0 || this.#mayHaveFailedUnsent(facts)) continue
      promise(known.has(idOf(job)), CHECKER, () =>
        `job ${job.number} was accepted and is gone`)
    }
  }

  submitted(job: SimJob): void {
    this.#facts.push({
      job, isAccepted: false, isRefused: false, isCancelAsked: false, isSent: false,
      completedUs: undefined, end: 0, isOver: false, attempts: 0, deliveries: 0,
      // The last failure may cost it an attempt, though it happened before the job arrived.
      unreachedBefore: Math.max(0, this.#unreached.count(job.shard, job.upstream) - 1),
    })
  }

  judged(job: SimJob, verdict: Verdict): void {
    const facts = this.#of(job)
    facts.isAccepted = verdict.kind === 'accepted'
    facts.isRefused = !facts.isAccepted
    promise(!facts.isRefused || !facts.isSent, CHECKER, () =>
      `job ${job.number} was sent, but the answer was ${verdict.kind}`)
    const name = keyName(job)
    const holder = this.#holders.get(name)
    if (!facts.isAccepted) return
    this.#holders.set(name, facts)
    if (holder?.completedUs === undefined || this.#mayForget(job.shard)) return
    const ageUs = this.#time.nowUs() - holder.completedUs
    promise(ageUs >= this.keyTtlUs, CHECKER, () =>
      `job ${job.number} uses the key of job ${holder.job.number}, completed ${ageUs} us ago`)
  }

  /** The TTL of a completed key. */
  keyTtlUs = 0

  unreachable(shard: number, place: number, reason: FailureReason): void {
    if (reason === 'address_refused') this.#refused.add(`${shard} ${place}`)
    this.#unreached.tell(shard, place, reason, this.#time.nowUs())
  }

  returned(attempt: Attempt): void {
    const facts = this.#of(attempt.job)
    if (attempt.isWebhook) facts.deliveries--
    else facts.attempts--
  }

  asked(job: SimJob, question: Question): void {
    if (question === 'cancel') this.#of(job).isCancelAsked = true
  }

  sent(attempt: Attempt): void {
    const { job, number } = attempt
    const facts = this.#of(job)
    if (attempt.isWebhook) {
      facts.deliveries++
      return
    }
    promise(!facts.isRefused, CHECKER, () => `job ${job.number} is sent, though it was refused`)
    promise(facts.completedUs === undefined, CHECKER, () =>
      `job ${job.number} is sent again, though the journal had its end at ${facts.completedUs}` +
      (facts.deliveries > 0 ? ', or its receiver was told of what it had not' : ''))
    facts.isOver = false
    const unreached = this.#unreached.count(job.shard, job.upstream)
    // Its first attempt may have found no connection, even if the journal did not receive that.
    const mayHaveWaited = number > 1 || unreached > facts.unreachedBefore
    facts.attempts = number
    facts.unreachedBefore = unreached
    // A cancelled job may not be cancelled, if the journal did not receive that.
    if (facts.isSent || facts.isCancelAsked) return
    facts.isSent = true
    if (mayHaveWaited) return
    const line = `${job.account.number} at ${attempt.place}`
    const latest = this.#latest.get(line) ?? -1
    promise(latest < job.number, CHECKER, () =>
      `account ${line}: job ${job.number} left after job ${latest}`)
    this.#latest.set(line, job.number)
  }

  ended(attempt: Attempt, ending: Ending): void {
    this.ends++
    if (attempt.isWebhook) return
    const { answer, job, number } = attempt
    const facts = this.#of(job)
    const isWhole = ending === 'response'
    if (isWhole && classify(answer.status) === 'completed') {
      facts.completedUs = this.#time.nowUs()
      facts.end = this.ends
      facts.isOver = true
      return
    }
    const mayRetry = (isWhole || mayFailureRetry(ending)) &&
      (job.retriesMax === RETRIES_UNLIMITED || number <= job.retriesMax)
    facts.isOver = !mayRetry
  }

  /** Everything is at rest: every accepted job has ended. */
  drained(): void {
    for (const facts of this.#facts) {
      const { deliveries, isAccepted, isCancelAsked, isOver, job } = facts
      if (!isAccepted || isCancelAsked || job.executeBeforeMs !== 0) continue
      promise(isOver || this.#mayHaveFailedUnsent(facts), CHECKER, () =>
        `job ${job.number} was accepted and has no end`)
      const isTold = deliveries > 0 || job.receiver === NONE ||
        this.#unreached.count(job.shard, job.receiver) > WEBHOOK_RETRIES_MAX ||
        this.#refused.has(`${job.shard} ${job.receiver}`)
      promise(isTold, CHECKER, () => `job ${job.number} is over and its webhook was never sent`)
    }
  }

  /** Whether its remaining attempts may have failed without a connection. */
  #mayHaveFailedUnsent({ attempts, job, unreachedBefore }: Facts): boolean {
    if (this.#refused.has(`${job.shard} ${job.upstream}`)) return true
    if (job.retriesMax === RETRIES_UNLIMITED) return false
    const unreached = this.#unreached.count(job.shard, job.upstream) - unreachedBefore
    return unreached >= Math.max(1, job.retriesMax + 1 - attempts)
  }

  /** Whether the shard had to drop keys before their TTL. */
  #mayForget(shard: number): boolean {
    const { keysGivenUp } = readStats((this.#shards[shard] as ShardViews).stats)
    if (keysGivenUp > 0) this.#forgetful.add(shard)
    return this.#forgetful.has(shard)
  }

  #of(job: SimJob): Facts {
    return this.#facts[job.number] as Facts
  }
}

const idOf = ({ idWords }: SimJob): string => `${idWords[1]} ${idWords[2]}`

/** The states of all jobs in a shard. */
function statesOf({ jobs, limits }: ShardViews): Map<string, number> {
  const states = new Map<string, number>()
  for (let slot = 0; slot < limits.jobsMax; slot++) {
    const state = (jobs.state[slot] as number) & 0xff
    if (state !== JOB_FREE) states.set(`${jobs.idHigh[slot]} ${jobs.idLow[slot]}`, state)
  }
  return states
}
