// The baseline of `drain`: undici alone, which sends each job's request to the upstream and then
// its webhook to the receiver, with the same concurrency for each as Sluice.

import { readFileSync } from 'node:fs'
import { type Dispatcher, Pool } from 'undici'
import { TYPICAL_BODY_BYTES, apiKeyOf } from '../payloads.ts'
import type { BareSendPlan, BareSenderCommands } from './messages.ts'
import { cpuTime, serveRole } from './role-loop.ts'

const UPSTREAM_BODY = Buffer.alloc(TYPICAL_BODY_BYTES, 'x')
const UPSTREAM_HEADERS = ['Authorization', apiKeyOf(0)]
const WEBHOOK_BODY = Buffer.from(`{"job_id":"${'0'.repeat(24)}","status":"completed",` +
  '"response_status":200,"body":"ok"}')
const WEBHOOK_HEADERS = ['Content-Type', 'application/json']
const PROGRESS_EVERY_MS = 200

/** Sends the jobs of one plan. */
class BareSender {
  readonly #plan: BareSendPlan
  readonly #upstream: Pool
  readonly #receiver: Pool
  readonly #finished = Promise.withResolvers<void>()
  /** Jobs whose webhook waits for a free place. */
  #webhooksWaiting = 0
  #webhooksUnderWay = 0
  #requestsUnderWay = 0
  #begun = 0
  #ended = 0
  #failures = 0
  #isOver = false

  constructor(plan: BareSendPlan) {
    this.#plan = plan
    const { pemFile } = plan
    const options = {
      connections: plan.concurrency, pipelining: 1, headersTimeout: 0, bodyTimeout: 0,
      ...(pemFile === undefined ? {} : { connect: { ca: readFileSync(pemFile, 'utf8') } }),
    }
    this.#upstream = new Pool(plan.upstream, options)
    this.#receiver = new Pool(plan.receiver, options)
  }

  async send(onProgress: (jobs: number) => void): Promise<{
    readonly jobs: number; readonly seconds: number; readonly failures: number
  }> {
    const startMs = performance.now()
    const progress = setInterval(() => onProgress(this.#ended), PROGRESS_EVERY_MS)
    const deadline = setTimeout(() => { this.#isOver = true }, this.#plan.secondsMax * 1000)
    this.#step()
    await this.#finished.promise
    clearInterval(progress)
    clearTimeout(deadline)
    const seconds = (performance.now() - startMs) / 1000
    await Promise.all([this.#upstream.destroy(), this.#receiver.destroy()])
    return { jobs: this.#ended - this.#failures, seconds, failures: this.#failures }
  }

  #step(): void {
    const { concurrency, jobs } = this.#plan
    while (this.#webhooksWaiting > 0 && this.#webhooksUnderWay < concurrency) {
      this.#webhooksWaiting -= 1
      this.#webhooksUnderWay += 1
      this.#dispatch(this.#receiver, '/hook', WEBHOOK_HEADERS, WEBHOOK_BODY, () => {
        this.#webhooksUnderWay -= 1
        this.#ended += 1
      })
    }
    // Waiting webhooks count, so a receiver slower than the upstream limits the requests.
    while (this.#begun < jobs && !this.#isOver && this.#requestsUnderWay < concurrency &&
      this.#webhooksWaiting < concurrency) {
      this.#begun += 1
      this.#requestsUnderWay += 1
      this.#dispatch(this.#upstream, '/chat/completions', UPSTREAM_HEADERS, UPSTREAM_BODY, () => {
        this.#requestsUnderWay -= 1
        this.#webhooksWaiting += 1
      })
    }
    const isAllBegun = this.#begun === jobs || this.#isOver
    if (isAllBegun && this.#ended === this.#begun) this.#finished.resolve()
  }

  #dispatch(
    pool: Pool, path: string, headers: string[], body: Buffer, then: () => void,
  ): void {
    let isSettled = false
    const settle = (isFailure: boolean): void => {
      if (isSettled) return
      isSettled = true
      if (isFailure) this.#failures += 1
      then()
      this.#step()
    }
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart: () => {},
      onResponseStart: (_controller, status) => { if (status !== 200) this.#failures += 1 },
      onResponseData: () => {},
      onResponseEnd: () => settle(false),
      onResponseError: () => settle(true),
    }
    pool.dispatch({ path, method: 'POST', headers, body }, handler)
  }
}

serveRole<BareSenderCommands>({
  send: async (plan, progress) => {
    const before = cpuTime().cpuUs
    const sent = await new BareSender(plan).send((jobs) => progress({ jobs }))
    return { ...sent, cpuUs: cpuTime().cpuUs - before }
  },
})
