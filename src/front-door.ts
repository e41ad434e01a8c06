// The front door: everything on the main thread between a client's request and a shard's rings.
// It holds no job: it checks, hands over, and answers when the shard has answered.

import type { Clock } from '../shards/clock.ts'
import {
  CODE_NOT_CANCELLABLE, CODE_NOT_FOUND, CODE_TOO_MANY_WATCHED, INGRESS_RELEASE_UPSTREAM,
  type JobResult, type JobStatus, type JobView, REQUEST_WORDS,
} from '../shards/contract.ts'
import type { SharedViews } from '../shards/layout.ts'
import {
  RECEIVING_BYTES_MAX, STREAM_KEEP_ALIVE_MS, STREAMS_MAX, WARNING_PAUSE_MS, WATCHED_JOBS_MAX,
} from '../shards/limits.ts'
import { type Micros, msToUs, US_PER_SECOND, type UpstreamSlot } from '../shards/units.ts'
import { Admission } from './admission.ts'
import { Audience } from './audience.ts'
import { type ErrorCode, unavailable } from './errors.ts'
import { makeSecret } from './hash.ts'
import { describeHealth, type DoorState } from './health.ts'
import { Batch, type BatchParts } from './http/batch.ts'
import type { Exchange } from './http/exchange.ts'
import { BodyReceiver } from './http/receive.ts'
import type { Door, Submission } from './http/routes.ts'
import { type Address, HttpServer } from './http/server.ts'
import { EventStreams } from './http/sse.ts'
import type { StreamedResponse } from './http/uws.ts'
import { type FillRandom, JobIdSource } from './job-id.ts'
import { OutcomePump, type OutcomeSink } from './outcomes.ts'
import { Questions } from './questions.ts'
import { BatchBells, sendRequest, type ShardLink } from './shard-link.ts'
import { Submissions } from './submissions.ts'
import { type ResolveUpstream, Upstreams } from './upstreams.ts'
import { Sockets } from './ws/sockets.ts'

/** What the user has chosen, as far as the front door needs it. */
export interface FrontDoorSettings {
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
  readonly bodyBytesMax: number
  /** Jobs in one POST /jobs/batch. */
  readonly batchJobsMax: number
  /** Without a byte, before a socket is closed. */
  readonly socketIdleMs: number
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
    const { host, port } = this.#config
    const { receiver, sockets } = this.#core
    this.#server = await HttpServer.listen({ host, port }, this.#core, receiver, sockets)
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
  readonly receiver: BodyReceiver
  readonly sockets: Sockets
  readonly #options: FrontDoorOptions
  readonly #links: readonly ShardLink[]
  readonly #clock: Clock
  readonly #startedUs: Micros
  readonly #admission: Admission
  readonly #submissions: Submissions
  readonly #questions: Questions
  readonly #upstreams: Upstreams
  readonly #audience: Audience
  readonly #streams: EventStreams
  readonly #bells: BatchBells
  readonly #pump: OutcomePump
  readonly #batchParts: BatchParts
  /** Batches with answers that have not been sent. */
  #batchesToFlush: Batch[] = []
  /** When an upstream may be warned about again. */
  readonly #silentUntilUs: Float64Array
  #state: DoorState = 'starting'
  #keepAliveUs = Infinity

  constructor(options: FrontDoorOptions) {
    const { config, links, shared, clock } = options
    const { batchJobsMax, bodyBytesMax, settingsOf } = config
    this.#options = options
    this.#links = links
    this.#clock = clock
    this.#startedUs = clock.nowUs()
    const admission = new Admission(links.length)
    const bells = new BatchBells(links)
    const questions = new Questions(links, bells)
    const audience = new Audience((jobId) => questions.unwatch(jobId))
    const slotsMax = links[0]?.views.limits.upstreamsMax ?? 0
    const upstreams = new Upstreams({
      shared, slotsMax, shards: links.length, settingsOf,
      release: (request, slot) => this.#releaseEverywhere(request, slot),
    })
    const isOpen = (): boolean => this.isReady
    const countInvalid = (): void => admission.invalid()
    const submissions = new Submissions({
      links, clock, admission, upstreams, audience, bells, bodyBytesMax, isOpen,
      ids: new JobIdSource(options.fillRandom), secret: options.secret ?? makeSecret(),
    })
    this.#admission = admission
    this.#bells = bells
    this.#questions = questions
    this.#audience = audience
    this.#upstreams = upstreams
    this.#submissions = submissions
    this.#silentUntilUs = new Float64Array(slotsMax)
    this.#streams = new EventStreams(audience)
    this.receiver = new BodyReceiver({ bodyBytesMax, heldBytesMax: RECEIVING_BYTES_MAX }, this)
    this.sockets = new Sockets({
      submissions, questions, audience, bodyBytesMax, isOpen, countInvalid,
      version: config.version, idleMs: config.socketIdleMs,
      unavailable: (exchange, code) => this.unavailable(exchange, code),
    })
    this.#batchParts = {
      submissions, bodyBytesMax, countInvalid, receiver: this.receiver, jobsMax: batchJobsMax,
      flushSoon: (batch) => { this.#batchesToFlush.push(batch) },
    }
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
    for (const link of this.#links) this.#giveUp(link.shard, 'draining')
    this.turnEnded()
    this.#streams.closeAll()
    this.sockets.closeAll()
  }

  // --- what the routes ask ---

  get isReady(): boolean {
    return this.#state === 'ready'
  }

  refusal(): ErrorCode | undefined {
    return this.#submissions.refusal(SINGLE)
  }

  countInvalid(): void {
    this.#admission.invalid()
  }

  countUnavailable(): void {
    this.#admission.unavailable()
  }

  submit(exchange: Exchange, body: Buffer, submission: Submission): void {
    this.#submissions.submit(exchange, 0, body, submission)
  }

  submitBatch(exchange: Exchange, response: StreamedResponse, isolate: boolean): void {
    Batch.begin(this.#batchParts, exchange, response, isolate)
  }

  show(exchange: Exchange, jobId: string): void {
    this.#questions.ask('get', jobId, {
      answered: (_code, view) => this.#show(exchange, jobId, view),
      unavailable: (code) => this.unavailable(exchange, code),
    })
  }

  cancel(exchange: Exchange, jobId: string): void {
    this.#questions.ask('cancel', jobId, {
      answered: (code, view) => {
        if (code !== CODE_NOT_CANCELLABLE || view === null) {
          return this.#show(exchange, jobId, view)
        }
        exchange.sendError('not_cancellable', `the job is ${view.status}`,
          { job_id: jobId, status: view.status })
      },
      unavailable: (code) => this.unavailable(exchange, code),
    })
  }

  follow(exchange: Exchange, jobId: string): void {
    if (this.#streams.count >= STREAMS_MAX || this.#audience.jobs >= WATCHED_JOBS_MAX) {
      return this.unavailable(exchange, 'overloaded')
    }
    this.#streams.expect(jobId)
    this.#questions.ask('watch', jobId, {
      answered: (code, view) => {
        if (code !== CODE_NOT_FOUND && code !== CODE_TOO_MANY_WATCHED && view !== null) {
          return this.#streams.join(exchange, jobId, view, this.#wallMs())
        }
        this.#streams.giveUp(jobId)
        if (code === CODE_TOO_MANY_WATCHED) this.unavailable(exchange, 'overloaded')
        else this.#show(exchange, jobId, null)
      },
      unavailable: (code) => {
        this.#streams.giveUp(jobId)
        this.unavailable(exchange, code)
      },
    })
  }

  health(): object {
    return describeHealth({
      state: this.#state, version: this.#options.config.version,
      uptimeSeconds: Math.floor((this.#clock.nowUs() - this.#startedUs) / US_PER_SECOND),
      links: this.#links, counts: this.#admission.counts, upstreams: this.#upstreams.size,
      pending: this.#submissions.pending + this.#questions.size, streams: this.#streams.count,
      sockets: this.sockets.count, socketsUnreadBytes: this.sockets.unreadBytes,
      watched: this.#audience.jobs,
    })
  }

  unavailable(exchange: Exchange, code: ErrorCode): void {
    if (code !== 'request_crashed') this.#admission.unavailable()
    exchange.denied(0, unavailable(code))
  }

  // --- what the shards say ---

  accepted(request: number): void {
    this.#submissions.accepted(request)
  }

  duplicate(request: number, jobId: string, status: JobStatus, result: JobResult | null): void {
    this.#submissions.duplicate(request, jobId, status, result)
  }

  refused(request: number, reason: number, limit: number, current: number): void {
    this.#submissions.refused(request, reason, limit, current)
  }

  job(request: number, code: number, view: JobView | null): void {
    this.#questions.answered(request, code, view)
  }

  dropped(request: number): void {
    // A number is in one of the two tables at most.
    this.#submissions.dropped(request)
    this.#questions.dropped(request)
  }

  event(jobId: string, event: number, data: object): void {
    this.#audience.event(jobId, event, data)
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

  turnEnded(): void {
    this.sockets.flush()
    if (this.#batchesToFlush.length === 0) return
    const batches = this.#batchesToFlush
    this.#batchesToFlush = []
    for (const batch of batches) batch.flush()
  }

  tick(nowUs: Micros): void {
    this.#audience.retryUnwatch()
    if (nowUs >= this.#keepAliveUs) {
      this.#keepAliveUs = nowUs + msToUs(STREAM_KEEP_ALIVE_MS)
      this.#streams.keepAlive()
    }
    for (const link of this.#links) if (link.down) this.#giveUp(link.shard, 'shard_down')
    this.turnEnded()
  }

  // --- inside ---

  #wallMs(): number {
    return this.#clock.wallMs(this.#clock.nowUs())
  }

  #show(exchange: Exchange, jobId: string, view: JobView | null): void {
    if (view === null) exchange.sendError('job_not_found', 'there is no such job')
    else exchange.send(200, { job_id: jobId, ...view })
  }

  /** All shards or none: a slot that only some were asked about would never come back. */
  #releaseEverywhere(request: number, slot: UpstreamSlot): boolean {
    for (const link of this.#links) {
      if (link.down || !link.ingress.fits(REQUEST_BYTES)) return false
    }
    for (const link of this.#links) {
      sendRequest(link, INGRESS_RELEASE_UPSTREAM, request, slot, 0, 0)
      this.#bells.ringSoon(link.shard)
    }
    return true
  }

  /** Answers all who wait for a shard that will not answer any more. */
  #giveUp(shard: number, code: ErrorCode): void {
    this.#submissions.giveUp(shard, code)
    this.#questions.giveUp(shard, code)
  }
}

/** Who submits one job at a time. */
const SINGLE = { isBulk: false } as const
