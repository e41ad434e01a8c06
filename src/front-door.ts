// The front door: everything on the main thread between a client's request and a shard's rings.
// It holds no job: it checks, hands over, and answers when the shard has answered.

import type { Clock } from '../shards/clock.ts'
import {
  CODE_NOT_CANCELLABLE, CODE_NOT_FOUND, CODE_TOO_MANY_WATCHED, INGRESS_CANCEL, INGRESS_GET,
  INGRESS_RELEASE_UPSTREAM, INGRESS_UNWATCH, INGRESS_WATCH, type JobResult, type JobStatus,
  type JobView, REFUSED_MEMORY, REQUEST_WORDS,
} from '../shards/contract.ts'
import { KIND_RECEIVER, KIND_UPSTREAM, type SharedViews } from '../shards/layout.ts'
import {
  REQUESTS_PENDING_MAX, STREAM_KEEP_ALIVE_MS, STREAMS_MAX, WARNING_PAUSE_MS,
} from '../shards/limits.ts'
import {
  type Micros, msToUs, NONE, US_PER_SECOND, type UpstreamSlot,
} from '../shards/units.ts'
import { Admission, type LimitReason } from './admission.ts'
import { type ErrorCode, ERRORS } from './errors.ts'
import { makeSecret, shardOf } from './hash.ts'
import { describeHealth, type DoorState } from './health.ts'
import type { Exchange, Purpose } from './http/exchange.ts'
import { JobUrls } from './http/job-url.ts'
import { parseBody } from './http/parse-body.ts'
import type { Door, Submission } from './http/routes.ts'
import { type Address, HttpServer } from './http/server.ts'
import { EventStreams } from './http/sse.ts'
import { validateJob, type ValidJob } from './http/validate.ts'
import { type FillRandom, JobIdSource, type JobIdWords, parseJobId } from './job-id.ts'
import { OutcomePump, type OutcomeSink } from './outcomes.ts'
import { BatchBells, sendRequest, type ShardLink } from './shard-link.ts'
import { Submitter } from './submit.ts'
import { type ResolveUpstream, Upstreams } from './upstreams.ts'
import { Waiting } from './waiting.ts'

/** What the user has chosen, as far as the front door needs it. */
export interface FrontDoorSettings {
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
  readonly bodyBytesMax: number
  readonly version: string
  readonly settingsOf: ResolveUpstream
}

/** Where warnings about upstreams go; no line carries a header or a body of a caller. */
export interface FrontDoorLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** What a front door is made of. */
export interface FrontDoorOptions {
  readonly config: FrontDoorSettings
  /** One for each shard, in order. */
  readonly links: readonly ShardLink[]
  readonly shared: SharedViews
  /** Its own: nobody else may set its wake. */
  readonly clock: Clock
  readonly log: FrontDoorLog
  /** SECRET_BYTES of it; a fresh one when left out. */
  readonly secret?: Uint8Array
  /** Where the random part of job ids comes from; the machine's randomness when left out. */
  readonly fillRandom?: FillRandom
}

/** What a question to a shard takes in its ring. */
const REQUEST_BYTES = REQUEST_WORDS * 4
/** Seconds, for a client that meets a server which is stopping or has lost a shard. */
const RETRY_AFTER_UNAVAILABLE_S = 5
/** Seconds, where only the moment was bad. */
const RETRY_AFTER_BUSY_S = 1

/** The HTTP API in front of the shards. */
export class FrontDoor {
  readonly #core: Core
  readonly #config: FrontDoorSettings
  #server: HttpServer | undefined

  constructor(options: FrontDoorOptions) {
    this.#config = options.config
    this.#core = new Core(options)
  }

  /** Begins to listen; throws OperatingError as HttpServer.listen() does. */
  async listen(): Promise<Address> {
    const { host, port, bodyBytesMax } = this.#config
    this.#server = await HttpServer.listen({ host, port }, bodyBytesMax, this.#core)
    this.#core.start()
    return this.#server.address
  }

  /** No new jobs from now on: 503, and /ready says so. Everything else goes on. */
  drain(): void {
    this.#core.drain()
  }

  /** Answers whoever still waits, ends all streams, and closes every connection. */
  close(): void {
    this.#core.stop()
    this.#server?.close()
    this.#server = undefined
  }
}

/** What the routes and the shards talk to. */
class Core implements Door, OutcomeSink {
  readonly #options: FrontDoorOptions
  readonly #links: readonly ShardLink[]
  readonly #clock: Clock
  readonly #startedUs: Micros
  readonly #admission: Admission
  readonly #urls = new JobUrls()
  readonly #waiting = new Waiting<Exchange>(REQUESTS_PENDING_MAX)
  readonly #submitter: Submitter
  readonly #upstreams: Upstreams
  readonly #streams: EventStreams
  readonly #bells: BatchBells
  readonly #pump: OutcomePump
  /** When an upstream may be warned about again. */
  readonly #silentUntilUs: Float64Array
  #state: DoorState = 'starting'
  #keepAliveUs = Infinity

  constructor(options: FrontDoorOptions) {
    const { links, shared, clock } = options
    this.#options = options
    this.#links = links
    this.#clock = clock
    this.#startedUs = clock.nowUs()
    this.#admission = new Admission(links.length)
    this.#submitter = new Submitter(
      options.secret ?? makeSecret(), new JobIdSource(options.fillRandom))
    const slotsMax = links[0]?.views.limits.upstreamsMax ?? 0
    this.#silentUntilUs = new Float64Array(slotsMax)
    this.#upstreams = new Upstreams({
      shared, slotsMax, shards: links.length, settingsOf: options.config.settingsOf,
      release: (request, slot) => this.#releaseEverywhere(request, slot),
    })
    this.#streams = new EventStreams((jobId) => this.#unwatch(jobId))
    this.#bells = new BatchBells(links)
    this.#pump = new OutcomePump(links, shared.mainBell, clock, this)
  }

  start(): void {
    this.#state = 'ready'
    this.#keepAliveUs = this.#clock.nowUs() + msToUs(STREAM_KEEP_ALIVE_MS)
    this.#pump.start()
  }

  drain(): void {
    this.#state = 'draining'
  }

  stop(): void {
    this.#state = 'draining'
    this.#pump.stop()
    for (const link of this.#links) this.#giveUpWaiting(link.shard, 'draining')
    this.#streams.closeAll()
  }

  // --- what the routes ask ---

  get isReady(): boolean {
    return this.#state === 'ready'
  }

  refusal(): ErrorCode | undefined {
    if (this.#state !== 'ready') return 'draining'
    return this.#waiting.isFull ? 'overloaded' : undefined
  }

  countInvalid(): void {
    this.#admission.invalid()
  }

  countUnavailable(): void {
    this.#admission.unavailable()
  }

  submit(exchange: Exchange, body: Buffer, submission: Submission): void {
    const parsed = parseBody(body, submission.format)
    const job = parsed.ok
      ? validateJob(parsed.value, submission.idempotencyKey, this.#urls)
      : parsed
    if (!job.ok) {
      this.#admission.invalid()
      return exchange.sendRefusal(job)
    }
    const link = this.#linkOf(this.#submitter.route(job))
    exchange.shard = link.shard
    // Asked again: the state may have changed while the body arrived.
    const refusal = this.refusal() ?? (link.down ? 'shard_down' : undefined)
    if (refusal !== undefined) return this.unavailable(exchange, refusal)
    this.#place(exchange, job, link, submission.isolate)
  }

  show(exchange: Exchange, jobId: string): void {
    this.#ask(exchange, 'get', INGRESS_GET, jobId)
  }

  cancel(exchange: Exchange, jobId: string): void {
    this.#ask(exchange, 'cancel', INGRESS_CANCEL, jobId)
  }

  follow(exchange: Exchange, jobId: string): void {
    if (this.#streams.count >= STREAMS_MAX) return this.unavailable(exchange, 'overloaded')
    if (!this.#ask(exchange, 'watch', INGRESS_WATCH, jobId)) return
    this.#streams.expect(jobId)
  }

  health(): object {
    return describeHealth({
      state: this.#state, version: this.#options.config.version,
      uptimeSeconds: Math.floor((this.#clock.nowUs() - this.#startedUs) / US_PER_SECOND),
      links: this.#links, counts: this.#admission.counts, upstreams: this.#upstreams.size,
      pending: this.#waiting.size, streams: this.#streams.count,
    })
  }

  unavailable(exchange: Exchange, code: ErrorCode): void {
    this.#admission.unavailable()
    const retryAfterSeconds =
      code === 'overloaded' ? RETRY_AFTER_BUSY_S : RETRY_AFTER_UNAVAILABLE_S
    exchange.sendError(code, ERRORS[code].meaning, undefined, { retryAfterSeconds })
  }

  // --- what the shards say ---

  accepted(request: number): void {
    const exchange = this.#waiting.take(request)
    if (exchange === undefined) return
    this.#admission.accepted(exchange.shard)
    exchange.sendAccepted()
  }

  duplicate(request: number, jobId: string, status: JobStatus, result: JobResult | null): void {
    const exchange = this.#waiting.take(request)
    if (exchange === undefined) return
    this.#admission.duplicate()
    const answer = { job_id: jobId, status, duplicate: true }
    exchange.send(200, result === null ? answer : { ...answer, result })
  }

  refused(request: number, reason: number, limit: number, current: number): void {
    const exchange = this.#waiting.take(request)
    if (exchange === undefined) return
    this.#refuse(exchange, reason === REFUSED_MEMORY ? 'memory' : 'jobs', limit, current)
  }

  job(request: number, code: number, view: JobView | null): void {
    const exchange = this.#waiting.take(request)
    if (exchange === undefined) return
    const { jobId, purpose } = exchange
    if (code === CODE_NOT_FOUND || code === CODE_TOO_MANY_WATCHED || view === null) {
      if (purpose === 'watch') this.#streams.giveUp(jobId, false)
      if (code === CODE_TOO_MANY_WATCHED) return this.unavailable(exchange, 'overloaded')
      return exchange.sendError('job_not_found', 'there is no such job')
    }
    if (code === CODE_NOT_CANCELLABLE) {
      return exchange.sendError('not_cancellable', `the job is ${view.status}`,
        { job_id: jobId, status: view.status })
    }
    if (purpose === 'watch') return this.#streams.join(exchange, view, this.#wallMs())
    exchange.send(200, { job_id: jobId, ...view })
  }

  event(jobId: string, event: number, data: object): void {
    this.#streams.event(jobId, event, data)
  }

  released(request: number, done: boolean): void {
    this.#upstreams.released(request, done)
  }

  warning(upstream: number, value: unknown): void {
    const nowUs = this.#clock.nowUs()
    if (nowUs < (this.#silentUntilUs[upstream] ?? Infinity)) return
    this.#silentUntilUs[upstream] = nowUs + msToUs(WARNING_PAUSE_MS)
    this.#options.log.warn({ upstream: this.#upstreams.originOf(upstream), ignored: value },
      'an upstream sent a pace header that makes no sense')
  }

  tick(nowUs: Micros): void {
    this.#streams.retryUnwatch()
    if (nowUs >= this.#keepAliveUs) {
      this.#keepAliveUs = nowUs + msToUs(STREAM_KEEP_ALIVE_MS)
      this.#streams.keepAlive()
    }
    for (const link of this.#links) {
      if (link.down && this.#waiting.size > 0) this.#giveUpWaiting(link.shard, 'shard_down')
    }
  }

  // --- inside ---

  #linkOf(route: number): ShardLink {
    return this.#links[shardOf(route, this.#links.length)] as ShardLink
  }

  #wallMs(): number {
    return this.#clock.wallMs(this.#clock.nowUs())
  }

  /** Finds the job's upstreams their slots and puts it into the ring; or answers 429. */
  #place(exchange: Exchange, job: ValidJob, link: ShardLink, isolate: boolean): void {
    const nowUs = this.#clock.nowUs()
    const upstream = this.#upstreams.claim(job.url.origin, KIND_UPSTREAM, nowUs)
    const receiver = job.webhook === null
      ? NONE as UpstreamSlot
      : this.#upstreams.claim(job.webhook.origin, KIND_RECEIVER, nowUs)
    if (upstream === NONE || (job.webhook !== null && receiver === NONE)) {
      return this.#refuse(
        exchange, 'upstreams', link.views.limits.upstreamsMax, this.#upstreams.size)
    }
    const request = this.#waiting.add(exchange)
    const createdAtMs = this.#clock.wallMs(nowUs)
    const jobId = this.#submitter.send(
      job, { link, request, upstream, receiver, isolate, createdAtMs })
    if (jobId === undefined) {
      this.#waiting.take(request)
      return this.#refuse(
        exchange, 'ingress', link.views.limits.ringBytes, link.ingress.fillBytes())
    }
    exchange.jobId = jobId
    this.#bells.ringSoon(link.shard)
  }

  #refuse(exchange: Exchange, reason: LimitReason, limit: number, current: number): void {
    const retryAfterSeconds = this.#admission.refused(exchange.shard, reason)
    exchange.sendError('limit_reached', `the limit of ${reason} is reached`,
      { limit_reason: reason, limit, current }, { retryAfterSeconds })
  }

  /** Sends a question about a job to its shard; false when it has been answered here. */
  #ask(exchange: Exchange, purpose: Purpose, kind: number, text: string): boolean {
    const id = parseJobId(text)
    if (id === undefined) {
      exchange.sendError('job_not_found', 'there is no such job')
      return false
    }
    const link = this.#linkOf(id.route)
    exchange.purpose = purpose
    exchange.shard = link.shard
    exchange.jobId = text
    if (link.down) {
      this.unavailable(exchange, 'shard_down')
      return false
    }
    const request = this.#waiting.add(exchange)
    if (request === NONE) {
      this.unavailable(exchange, 'overloaded')
      return false
    }
    if (this.#send(link, kind, request, id)) return true
    this.#waiting.take(request)
    this.unavailable(exchange, 'overloaded')
    return false
  }

  #send(link: ShardLink, kind: number, request: number, id: JobIdWords): boolean {
    if (!sendRequest(link, kind, request, id.route, id.idHigh, id.idLow)) return false
    this.#bells.ringSoon(link.shard)
    return true
  }

  #unwatch(jobId: string): boolean {
    const id = parseJobId(jobId)
    return id === undefined || this.#send(this.#linkOf(id.route), INGRESS_UNWATCH, NONE, id)
  }

  /** All shards or none: a slot that only some were asked about would never come back. */
  #releaseEverywhere(request: number, slot: UpstreamSlot): boolean {
    const id: JobIdWords = { route: slot, idHigh: 0, idLow: 0 }
    for (const link of this.#links) {
      if (link.down || !link.ingress.fits(REQUEST_BYTES)) return false
    }
    for (const link of this.#links) this.#send(link, INGRESS_RELEASE_UPSTREAM, request, id)
    return true
  }

  /** Answers all who wait for a shard that will not answer any more. */
  #giveUpWaiting(shard: number, code: ErrorCode): void {
    for (const exchange of this.#waiting.takeWhere((waiting) => waiting.shard === shard)) {
      if (exchange.purpose === 'watch') this.#streams.giveUp(exchange.jobId, false)
      this.unavailable(exchange, code)
    }
  }
}
