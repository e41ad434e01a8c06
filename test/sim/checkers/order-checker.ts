// FIFO: the first attempts of one account at one upstream are sent in the order in which its jobs
// were accepted, in a lane of its own or in a shared one. A job whose request was returned is sent
// before any that was not sent yet.

import type { Attempt, Observer, Question, SimJob } from '../observations.ts'
import { promise } from '../violation.ts'

const CHECKER = 'order'

/** Remembers the latest first attempt of every account at every upstream. */
export class OrderChecker implements Observer {
  readonly #latest = new Map<string, SimJob>()
  /** Jobs that are back in their lane, and whether they must be the next to be sent. */
  readonly #returned = new Map<SimJob, boolean>()
  /** Jobs with a pending cancellation, which may be answered at any later time. */
  readonly #cancelling = new Set<SimJob>()
  /** Places, by shard, that were unreachable: an attempt there may fail at any later time. */
  readonly #unreached = new Set<string>()

  sent(attempt: Attempt): void {
    if (attempt.isWebhook) return
    const { job, place } = attempt
    if (this.#returned.delete(job) || attempt.number > 1) return
    this.#checkReturned(job)
    this.#check(`account ${job.account.number} at ${place}`, job)
  }

  returned({ isWebhook, job, number }: Attempt): void {
    if (isWebhook || number > 1) return
    const isReached = !this.#unreached.has(`${job.shard} ${job.upstream}`)
    const isWanted = job.executeBeforeMs === 0 && !this.#cancelling.has(job)
    this.#returned.set(job, isWanted && isReached)
  }

  asked(job: SimJob, question: Question): void {
    if (question !== 'cancel') return
    this.#cancelling.add(job)
    if (this.#returned.has(job)) this.#returned.set(job, false)
  }

  /** One attempt may have failed, and its job comes back later. */
  unreachable(shard: number, place: number): void {
    this.#unreached.add(`${shard} ${place}`)
    for (const job of this.#returned.keys()) {
      if (job.shard === shard && job.upstream === place) this.#returned.set(job, false)
    }
  }

  died(shard: number): void {
    for (const job of this.#returned.keys()) {
      if (job.shard === shard) this.#returned.set(job, false)
    }
  }

  #checkReturned(by: SimJob): void {
    for (const [job, isFirst] of this.#returned) {
      const isAhead = isFirst && job.account === by.account && job.upstream === by.upstream
      promise(!isAhead, CHECKER, () =>
        `job ${by.number} left before job ${job.number}, whose request was returned`)
    }
  }

  /** A shard takes its submissions in order, so their numbers are the order of acceptance. */
  #check(line: string, job: SimJob): void {
    const latest = this.#latest.get(line)
    promise(latest === undefined || latest.number < job.number, CHECKER, () =>
      `${line}: job ${job.number} left after job ${latest?.number}`)
    this.#latest.set(line, job)
  }
}
