// The load: several connections, each sending its accounts' jobs one after the other, and the same
// job again, under the same key, for as long as it has no answer. That is what a careful caller
// does while a server is killed and started again.

import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { monotonicUs } from '../../shards/base/clock.ts'
import { Prng } from '../../shards/base/prng.ts'
import { type Addresses, type Job, drawJob, isDoomed, postOf } from './jobs.ts'
import { type Ledger, name } from './ledger.ts'

/** How the load is. */
export interface LoadPlan {
  readonly seed: number
  readonly connections: number
  /** Each connection has its own. */
  readonly accountsPerConnection: number
  /** Mean pause of a connection between two jobs. */
  readonly pauseMs: number
  /** After which no more are sent. */
  readonly jobsMax: number
}

/** What POST and GET answer, as far as it is read here. */
export interface JobAnswer {
  readonly status: number
  readonly body: {
    readonly job_id?: string
    readonly status?: string
    readonly duplicate?: boolean
    readonly code?: string
    readonly result?: { readonly status?: string, readonly reason?: string }
  }
}

const AGAIN_AFTER_MS = 20
const ANSWER_MS_MAX = 20_000
/** A job that has no answer for so long has none at all. */
const JOB_MS_MAX = 90_000
const CONNECTION_CODES = /ECONNREFUSED|ECONNRESET|EPIPE|UND_ERR_SOCKET|UND_ERR_INFO/

/** All callers of a run. */
export class Callers {
  readonly #ledger: Ledger
  readonly #plan: LoadPlan
  readonly #addresses: Addresses
  readonly #origin: string
  readonly #prober: Client
  #running: Promise<unknown> = Promise.resolve()
  #stopped = false
  #givenUp = false

  constructor(ledger: Ledger, plan: LoadPlan, addresses: Addresses, origin: string) {
    this.#ledger = ledger
    this.#plan = plan
    this.#addresses = addresses
    this.#origin = origin
    this.#prober = clientOf(origin)
  }

  /** Sends jobs from now on. */
  start(): void {
    const { connections } = this.#plan
    this.#running = Promise.all(Array.from({ length: connections }, (_, at) => this.#call(at)))
  }

  /** Resolves when every job that was sent has its answer. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  /** Ends everything, answered or not. */
  async close(): Promise<void> {
    this.#stopped = true
    this.#givenUp = true
    await this.#prober.destroy()
    await this.#running
  }

  /** Sends a job until it is accepted. */
  submit(job: Job): Promise<void> {
    this.#ledger.jobs.push(job)
    return this.#submit(this.#prober, job)
  }

  /** POSTs a job once more; undefined if there is no answer. */
  postAgain(job: Job): Promise<JobAnswer | undefined> {
    return this.#request(this.#prober, 'POST', '/jobs', postOf(job, this.#addresses))
  }

  /** GET /jobs/:id; undefined if there is no answer. */
  show(jobId: string): Promise<JobAnswer | undefined> {
    return this.#request(this.#prober, 'GET', `/jobs/${jobId}`)
  }

  async #call(at: number): Promise<void> {
    const { accountsPerConnection, jobsMax, pauseMs, seed } = this.#plan
    const prng = new Prng(seed + 7919 * (at + 1))
    const accounts = Array.from({ length: accountsPerConnection },
      (_, index) => at * accountsPerConnection + index)
    const client = clientOf(this.#origin)
    while (!this.#stopped && this.#ledger.nextNumber < jobsMax) {
      const job = drawJob(prng, this.#ledger.nextNumber, accounts)
      this.#ledger.jobs.push(job)
      await this.#submit(client, job)
      if (job.isCancelled && !this.#stopped) await this.#cancel(client, job)
      if (pauseMs > 0) await sleep(prng.below(2 * pauseMs + 1))
    }
    await client.destroy()
  }

  async #submit(client: Client, job: Job): Promise<void> {
    const body = postOf(job, this.#addresses)
    const giveUpMs = performance.now() + JOB_MS_MAX
    while (performance.now() < giveUpMs) {
      const answer = await this.#request(client, 'POST', '/jobs', body)
      if (answer !== undefined && this.#hasAnswered(job, answer)) return
      if (this.#givenUp) return
      await sleep(AGAIN_AFTER_MS)
    }
    this.#ledger.breach('every request is answered', `${name(job)} had no answer for ` +
      `${JOB_MS_MAX / 1000} s`)
  }

  /** Notes an answer to POST. @returns whether there is no need to ask again. */
  #hasAnswered(job: Job, { status, body }: JobAnswer): boolean {
    switch (status) {
      case 201:
      case 200:
        this.#ledger.noteAccepted(job, String(body.job_id), status === 200)
        return true
      case 429:
        this.#ledger.troubles.full += 1
        return false
      case 503:
        this.#ledger.troubles.unavailable += 1
        return false
      default:
        // 500 request_crashed is possible where threads die, and says what to do: try again.
        if (body.code === 'request_crashed') return false
        this.#ledger.breach('every request is answered',
          `${name(job)} was answered ${status} ${JSON.stringify(body)}`)
        return true
    }
  }

  async #cancel(client: Client, job: Job): Promise<void> {
    job.cancelTried = true
    const answer = await this.#request(client, 'DELETE', `/jobs/${job.jobId}`)
    if (answer?.status === 200) job.cancelledUs = monotonicUs()
  }

  async #request(client: Client, method: 'POST' | 'GET' | 'DELETE', path: string, body?: string):
    Promise<JobAnswer | undefined> {
    try {
      const response = await client.request({
        method, path,
        ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
      })
      const text = await response.body.text()
      return { status: response.statusCode, body: JSON.parse(text) as JobAnswer['body'] }
    } catch (error) {
      if (!this.#givenUp) this.#noteTrouble(error)
      return undefined
    }
  }

  #noteTrouble(error: unknown): void {
    const { code, message } = error as { code?: string, message?: string }
    const text = `${code ?? ''} ${message ?? String(error)}`
    if (/ECONNREFUSED/.test(text)) this.#ledger.troubles.refused += 1
    else if (CONNECTION_CODES.test(text)) this.#ledger.troubles.cut += 1
    else this.#ledger.breach('every request is answered', text)
  }
}

/** Jobs whose key stays with them, so that it may be sent again. */
export const keepsKey = (job: Job): boolean =>
  job.jobId !== undefined && !isDoomed(job) && !job.cancelTried

const clientOf = (origin: string): Client => new Client(origin, {
  pipelining: 1, headersTimeout: ANSWER_MS_MAX, bodyTimeout: ANSWER_MS_MAX,
  keepAliveTimeout: 60_000, keepAliveMaxTimeout: 60_000,
})
