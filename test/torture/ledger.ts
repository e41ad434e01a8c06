// What is known of a run from outside: every job with its answers and executions, every webhook,
// when the server was gone, and what surprised whoever saw it.

import { monotonicUs } from '../../shards/base/clock.ts'
import type { Micros } from '../../shards/base/units.ts'
import { type Execution, type Job, bodyOf } from './jobs.ts'

/** A time in which a process or a thread ended and another took over. */
export interface Outage {
  /** What was answered earlier than this has been read and written down: see window.ts. */
  readonly settledUs: number
  /** Just before the end was brought about. */
  readonly fromUs: Micros
  /** Just before a successor could send, or when one was seen to have taken over. */
  readonly untilUs: Micros
}

/** A promise that was not kept. */
export interface Breach {
  readonly promise: string
  readonly text: string
}

/** What the receiver was told about a job. */
export interface Told {
  deliveries: number
  readonly firstUs: Micros
  /** The status in each of them. */
  readonly statuses: Set<string>
}

/** Answers that callers got besides those that accept a job. */
export interface Troubles {
  /** Nobody listened. */
  refused: number
  /** The connection ended under a request. */
  cut: number
  /** 503: shard down, draining. */
  unavailable: number
  /** 429. */
  full: number
}

const BREACHES_KEPT_MAX = 1000

/** The notes of one run. */
export class Ledger {
  readonly jobs: Job[] = []
  /** By the job's id. */
  readonly told = new Map<string, Told>()
  outages: readonly Outage[] = []
  readonly breaches: Breach[] = []
  readonly troubles: Troubles = { refused: 0, cut: 0, unavailable: 0, full: 0 }
  /** Breaches, those included that were not kept. */
  breachCount = 0
  accepted = 0
  duplicates = 0

  /** The number of the next job; the job is to be added at once. */
  get nextNumber(): number {
    return this.jobs.length
  }

  breach(promise: string, text: string): void {
    this.breachCount += 1
    if (this.breaches.length < BREACHES_KEPT_MAX) this.breaches.push({ promise, text })
  }

  noteOutage(outage: Outage): void {
    this.outages = [...this.outages, outage]
  }

  /** What came before an end, and was noted so much later, came before it all the same. */
  allowForLag(lagUs: number): void {
    this.outages = this.outages.map(({ fromUs, settledUs, untilUs }) =>
      ({ fromUs, settledUs: settledUs - lagUs, untilUs: untilUs + lagUs as Micros }))
  }

  /** POST was answered 201, or 200 with the id of the job that holds the key. */
  noteAccepted(job: Job, jobId: string, isDuplicate: boolean): void {
    if (isDuplicate) this.duplicates += 1
    if (job.jobId === undefined) {
      job.jobId = jobId
      job.acceptedUs = monotonicUs()
      this.accepted += 1
    } else if (job.jobId !== jobId || !isDuplicate) {
      this.breach('one key, one job', `${name(job)} is known, and its key was answered ` +
        `${isDuplicate ? '200' : '201'} with ${jobId}`)
    }
  }

  /** A request came to an upstream; undefined if it is of no job of this run. */
  noteExecution(body: string, jobId: string, attempt: number, atUs: Micros):
    { job: Job, execution: Execution } | undefined {
    const job = this.jobs[Number.parseInt(body, 10)]
    if (job === undefined) {
      this.breach('as it was sent', `a request of ${jobId} came with '${body.slice(0, 40)}'`)
      return undefined
    }
    if (body !== bodyOf(job)) {
      this.breach('as it was sent', `${name(job)} (${jobId}) came with ${body.length} bytes ` +
        'that are not its own')
    }
    const failed = job.executions.filter(({ status, endUs }) =>
      status !== 200 && !Number.isNaN(endUs)).length
    const status = failed < job.failures ? 503 : 200
    const execution: Execution = { jobId, attempt, beginUs: atUs, endUs: NaN, status }
    job.executions.push(execution)
    return { job, execution }
  }

  /** A webhook came. @returns how often its job has been told, this time included. */
  noteTold(jobId: string, status: string, atUs = monotonicUs()): number {
    const told = this.told.get(jobId) ??
      { deliveries: 0, firstUs: atUs, statuses: new Set() }
    told.deliveries += 1
    told.statuses.add(status)
    this.told.set(jobId, told)
    return told.deliveries
  }
}

/** A job in words. */
export const name = (job: Job): string =>
  `job ${job.number} (${job.jobId ?? 'no id'}, account ${job.account} at ${job.target})`
