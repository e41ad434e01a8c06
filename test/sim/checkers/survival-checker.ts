// What the killing of the whole process may cost, where a journal is kept: nothing that anyone was
// told, and no more than what the journal had not yet been given.
//
// Each shard's journal is complete up to some time when the process is killed. A job that was
// accepted is there afterwards; one whose end lies before that time is never executed again; one
// whose end lies behind it may be, unless its webhook had been sent: then it is told, and over. In
// between, callers are cut off: what they had asked is open.

import { NONE } from '../../../shards/base/units.ts'
import type { ShardViews } from '../../../shards/memory/layout.ts'
import { RETRIES_UNLIMITED, WEBHOOK_RETRIES_MAX } from '../../../shards/memory/limits.ts'
import { readStats } from '../../../shards/memory/stats.ts'
import type { FailureReason } from '../../../shards/signals/response.ts'
import { classify, mayFailureRetry } from '../../../shards/signals/verdict.ts'
import { JOB_FREE, JOB_IN_FLIGHT } from '../../../shards/store/job-slots.ts'
import type { Attempt, Ending, Observer, Question, SimJob, Verdict } from '../observations.ts'
import { promise } from '../violation.ts'
import type { VirtualTime } from '../virtual-time.ts'
import { Unreached } from './unreached.ts'

const CHECKER = 'survival'

/** All that is known about a job. */
interface Facts {
  readonly job: SimJob
  isAccepted: boolean
  /** Its caller was told that nothing of it is kept. */
  isRefused: boolean
  isCancelAsked: boolean
  isSent: boolean
  /** When the upstream's last word had come, if that was the end of it. */
  completedUs: number | undefined
  /** Which end it was, of all that there were. */
  end: number
  /** Whether the last attempt that ended leaves nothing to be tried again. */
  isOver: boolean
  /** The attempts that the last one seen made them; and what its place had been before it. */
  attempts: number
  unreachedBefore: number
  deliveries: number
}

/** The books over the lives of a process. */
export class SurvivalChecker implements Observer {
  readonly #time: VirtualTime
  readonly #shards: readonly ShardViews[]
  readonly #facts: Facts[] = []
  readonly #latest = new Map<string, number>()
  readonly #unreached = new Unreached()
  readonly #holders = new Map<string, Facts>()
  /** Shards that had to forget keys before their time, in this life or an earlier one. */
  readonly #forgetful = new Set<number>()
  /** Executed again after a kill, because nothing durable said that it was over. */
  repeated = 0
  kills = 0
  /** Ends of attempts so far, in all shards. */
  ends = 0

  constructor(time: VirtualTime, shards: readonly ShardViews[]) {
    this.#time = time
    this.#shards = shards
  }

  /** Jobs that were submitted. */
  get jobs(): number {
    return this.#facts.length
  }

  /** The process is killed, and its shard's journal has what came before so many ends. */
  killed(shard: number, durableEnds: number): void {
    this.kills++
    this.#mayForget(shard)
    const states = statesOf(this.#shards[shard] as ShardViews)
    for (const facts of this.#facts) {
      const { completedUs, job } = facts
      if (job.shard !== shard || completedUs === undefined) continue
      // What the journal had not been told has not happened, nor what found no room in the log.
      const isStored = states.get(idOf(job)) !== JOB_IN_FLIGHT
      if ((facts.end <= durableEnds && isStored) || facts.deliveries > 0) continue
      facts.completedUs = undefined
      facts.isOver = false
      this.repeated++
    }
  }

  /** Its successor has loaded the journal: who was promised something is there. */
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
      // It may pay for the last time, though it was before it came.
      unreachedBefore: Math.max(0, this.#unreached.count(job.shard, job.upstream) - 1),
    })
  }

  judged(job: SimJob, verdict: Verdict): void {
    const facts = this.#of(job)
    facts.isAccepted = verdict.kind === 'accepted'
    facts.isRefused = !facts.isAccepted
    promise(!facts.isRefused || !facts.isSent, CHECKER, () =>
      `job ${job.number} was sent, but the answer was ${verdict.kind}`)
    const name = `${job.account.route}/${job.key.text}`
    const holder = this.#holders.get(name)
    if (!facts.isAccepted) return
    this.#holders.set(name, facts)
    if (holder?.completedUs === undefined || this.#mayForget(job.shard)) return
    const ageUs = this.#time.nowUs() - holder.completedUs
    promise(ageUs >= this.keyTtlUs, CHECKER, () =>
      `job ${job.number} uses the key of job ${holder.job.number}, completed ${ageUs} us ago`)
  }

  /** How long a completed key is held. */
  keyTtlUs = 0

  unreachable(shard: number, place: number, reason: FailureReason): void {
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
    // Its first attempt may have found no connection, even if the journal had not been told of it.
    const mayHaveWaited = number > 1 || unreached > facts.unreachedBefore
    facts.attempts = number
    facts.unreachedBefore = unreached
    // What was cancelled is perhaps not, if the journal had not been told of it.
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

  /** Everything has come to rest: nobody who was accepted is left without an end. */
  drained(): void {
    for (const facts of this.#facts) {
      const { deliveries, isAccepted, isCancelAsked, isOver, job } = facts
      if (!isAccepted || isCancelAsked || job.executeBeforeMs !== 0) continue
      promise(isOver || this.#mayHaveFailedUnsent(facts), CHECKER, () =>
        `job ${job.number} was accepted and has no end`)
      const isTold = deliveries > 0 || job.receiver === NONE ||
        this.#unreached.count(job.shard, job.receiver) > WEBHOOK_RETRIES_MAX
      promise(isTold, CHECKER, () => `job ${job.number} is over and its webhook was never sent`)
    }
  }

  /** Whether what was left of its attempts may have found no connection. */
  #mayHaveFailedUnsent({ attempts, job, unreachedBefore }: Facts): boolean {
    if (job.retriesMax === RETRIES_UNLIMITED) return false
    const unreached = this.#unreached.count(job.shard, job.upstream) - unreachedBefore
    return unreached >= Math.max(1, job.retriesMax + 1 - attempts)
  }

  /** Whether the shard has had to forget keys before their time. */
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

/** The states of all jobs that a shard knows. */
function statesOf({ jobs, limits }: ShardViews): Map<string, number> {
  const states = new Map<string, number>()
  for (let slot = 0; slot < limits.jobsMax; slot++) {
    const state = (jobs.state[slot] as number) & 0xff
    if (state !== JOB_FREE) states.set(`${jobs.idHigh[slot]} ${jobs.idLow[slot]}`, state)
  }
  return states
}
