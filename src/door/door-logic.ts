// The door logic: everything on the main thread between a client's request and a shard's rings. It
// holds no jobs: it validates, passes on, and answers when the shard has answered. A reload
// replaces it by one of newer code, on the same tables (door-tables.ts).

import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, msToUs, US_PER_SECOND, type UpstreamSlot } from '../../shards/base/units.ts'
import { WARNING_PAUSE_MS } from '../../shards/memory/limits.ts'
import {
  CODE_NOT_CANCELLABLE, CODE_NOT_FOUND, CODE_TOO_MANY_WATCHED, INGRESS_RELEASE_UPSTREAM,
  type JobResult, type JobStatus, type JobSnapshot, type PoolWarning, type RefusalWarning,
  REQUEST_WORDS,
} from '../../shards/wire/contract.ts'
import { KeyUsage } from '../access/key-usage.ts'
import { mayDo, type Principal } from '../access/principal.ts'
import type { PoolContext } from '../base/account-share.ts'
import { VALIDITY_CHECK_MS } from '../base/client-limits.ts'
import type { Readiness } from '../base/door-state.ts'
import { type Denial, type ErrorCode, unavailable } from '../base/errors.ts'
import { type FillRandom, JobIdSource } from '../base/job-id.ts'
import { STREAM_KEEP_ALIVE_MS } from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import type { FrontDoorSettings } from '../config/door-settings.ts'
import { byKind } from '../config/listeners.ts'
import type { AnswerSink } from '../engine/answer-pump.ts'
import { Questions } from '../engine/questions.ts'
import {
  absenceOf, BatchBells, noteStall, sendRequest, type ShardLink,
} from '../engine/shard-link.ts'
import { Batch, type BatchParts } from '../http/batch.ts'
import { ClientAddresses } from '../http/client-address.ts'
import type { Exchange, ExchangeOptions } from '../http/exchange.ts'
import { BodyReceiver } from '../http/receive.ts'
import { type Door, routeHandlers } from '../http/routes.ts'
import type { Handlers } from '../http/server.ts'
import { EventStreams, type Joining } from '../http/sse.ts'
import type { StreamedResponse } from '../http/uws.ts'
import { Admission } from '../submit/admission.ts'
import { CallerLimits } from '../submit/caller-limits.ts'
import type { Submission } from '../submit/submission.ts'
import { Submissions } from '../submit/submissions.ts'
import { Upstreams } from '../submit/upstream-slots.ts'
import { Watches } from '../submit/watches.ts'
import { Sockets } from '../ws/sockets.ts'
import { DoorAccess } from './door-access.ts'
import { type DoorPlace, poolsOf } from './door-tables.ts'
import { atBound, describeHealth, healthStatus } from './health.ts'

/** What a door logic needs. */
export interface DoorLogicParts {
  readonly config: FrontDoorSettings
  readonly place: DoorPlace
  /** Only read. */
  readonly clock: Clock
  readonly log: Log
  /** Called after shards were rung because no more requests arrived. */
  readonly onLull: () => void
  /** The source of the random part of job ids; by default, the system's randomness. */
  readonly fillRandom?: FillRandom
}

/** The interface of a door logic to the front door. */
export interface Logic extends AnswerSink {
  readonly handlers: Handlers
  /** Takes over the sockets of its predecessor. */
  takeOver(): void
  /** Closes every socket and asks its client to reconnect. */
  restartSockets(): void
  /** Keys were revoked or have expired: ends their streams and sockets. */
  keysGone(): void
  /** Answers all pending requests, and ends all streams and sockets. */
  stop(): void
}

const REFUSAL_WARNING = 'no request may go to the addresses of this upstream'
const POOL_WARNING = 'a pool refuses requests for more of it'

/** The size of a question in a shard's ring. */
const REQUEST_BYTES = REQUEST_WORDS * 4

/** Connects the routes and the shards. */
export class DoorLogic implements Logic, Door {
  readonly handlers: Handlers
  readonly access: DoorAccess
  readonly #parts: DoorLogicParts
  readonly #place: DoorPlace
  readonly #admission: Admission
  readonly #submissions: Submissions
  readonly #questions: Questions
  readonly #upstreams: Upstreams
  readonly #watches: Watches
  readonly #streams: EventStreams
  readonly #sockets: Sockets
  readonly #bells: BatchBells
  readonly #batchParts: BatchParts
  readonly #usual: ExchangeOptions
  readonly #crowded: ExchangeOptions

  /** Does not change the tables until one of its methods is called. */
  constructor(parts: DoorLogicParts) {
    const { clock, config, place } = parts
    const { links, shared, tables } = place
    const { batchJobsMax, bodyBytesMax, isListed, mayAskAccountQueue, settingsOf } = config
    this.#parts = parts
    this.#place = place
    const context: PoolContext = { clock, warn: ({ bound, counts, name }, refusal) =>
      parts.log.warn({ pool: name, bound, ...counts, refusal },
        'a pool refuses requests for more of it') }
    const admission = new Admission(tables.admission)
    const addresses = new ClientAddresses(config.trustedProxies)
    const keyUsage = new KeyUsage(tables.keyUsage)
    const bells = new BatchBells(links, parts.onLull)
    const questions = new Questions(links, bells, tables.questions, context)
    const watches =
      new Watches(tables.watches, context, (jobId) => questions.unwatch(jobId))
    const upstreams = new Upstreams({
      shared, slotsMax: tables.upstreams.entries.length, shards: links.length, settingsOf,
      release: (request, slot) => this.#releaseEverywhere(request, slot),
      isUnused: (slot) => links.every(({ views: { upstreams: { references, lastSendUs } } }) =>
        references[slot] === 0 && lastSendUs[slot] === 0),
      warn: context.warn,
    }, tables.upstreams)
    // While the shards are being loaded, jobs are accepted into the rings and wait there.
    const isOpen = (): boolean => place.tables.phase !== 'draining'
    const countInvalid = (): void => admission.invalid()
    const submissions = new Submissions({
      links, clock, admission, upstreams, watches, bells, bodyBytesMax, mayAskAccountQueue,
      isListed, isOpen, pending: tables.jobs, ids: new JobIdSource(parts.fillRandom),
      secret: tables.secret, peer: () => tables.peer, context,
      callers: new CallerLimits({ admission, keyUsage }),
    })
    this.access = new DoorAccess({
      config, tables, admission, clock, log: parts.log, addresses, handlers: () => this.handlers,
    })
    const pool = tables.clientBytes
    const receiver = new BodyReceiver(bodyBytesMax, this, pool)
    const sockets = new Sockets({
      submissions, questions, watches, pool, bodyBytesMax, isOpen, countInvalid, context, keyUsage,
      countKeyRefused: () => admission.keyRefused('key_sockets'),
      addresses, secret: tables.secret, version: config.version, idleMs: config.socketIdleMs,
      unavailable: (exchange, code) => this.unavailable(exchange, code),
    }, tables.sockets)
    this.#usual = { isHead: false, isLast: false, pool }
    this.#crowded = { ...this.#usual, isLast: true }
    this.#admission = admission
    this.#bells = bells
    this.#questions = questions
    this.#watches = watches
    this.#upstreams = upstreams
    this.#submissions = submissions
    this.#streams = new EventStreams(watches, tables.streams, pool, keyUsage, context)
    this.#sockets = sockets
    this.#batchParts = {
      submissions, questions, pool, bodyBytesMax, countInvalid, jobsMax: batchJobsMax,
      paused: tables.paused,
      flushSoon: (batch) => { tables.batchesToFlush.push(batch) },
    }
    this.handlers = byKind((kind) => ({
      ...routeHandlers(this, receiver, kind),
      upgrade: (response, request, upgrade, tier) =>
        this.access.upgrade(kind, response, request, upgrade, (principal) =>
          sockets.upgrade(response, request, upgrade, tier, principal)),
    }))
  }

  takeOver(): void {
    this.access.announce()
    this.#sockets.takeOver()
  }

  restartSockets(): void {
    this.#sockets.restartAll()
  }

  keysGone(): void {
    this.#closeInvalid()
    this.access.announceGone()
  }

  stop(): void {
    for (const link of this.#place.links) {
      this.#giveUp(link, 'draining')
      this.#submissions.abandon(link.shard)
      this.#questions.abandon(link.shard)
    }
    this.turnEnded()
    this.#streams.closeAll()
    this.#sockets.closeAll()
  }

  // --- for the routes ---

  get exchangeOptions(): ExchangeOptions {
    const { keptMax, open } = this.#place.tables.connections
    return open > keptMax ? this.#crowded : this.#usual
  }

  get readiness(): Readiness {
    const { links, tables: { phase } } = this.#place
    if (phase !== 'ready') return phase
    return links.some((link) => absenceOf(link) !== undefined) ? 'degraded' : phase
  }

  get atBound(): readonly string[] {
    const { clientBytes, connections } = this.#place.tables
    return atBound(clientBytes, connections)
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

  submit(exchange: Exchange, body: Uint8Array, submission: Submission): void {
    this.#submissions.submit(exchange, 0, body, submission)
  }

  submitBatch(exchange: Exchange, response: StreamedResponse, wantsAccountQueue: boolean): void {
    Batch.begin(this.#batchParts, exchange, response, wantsAccountQueue)
  }

  show(exchange: Exchange, jobId: string): void {
    this.#questions.ask('get', jobId, exchange.principal.tenant, {
      isBulk: false,
      answered: (_code, snapshot) => this.#show(exchange, jobId, snapshot),
      unavailable: (code) => this.unavailable(exchange, code),
    })
  }

  cancel(exchange: Exchange, jobId: string): void {
    this.#questions.ask('cancel', jobId, exchange.principal.tenant, {
      isBulk: false,
      answered: (code, snapshot) => {
        if (code !== CODE_NOT_CANCELLABLE || snapshot === null) {
          return this.#show(exchange, jobId, snapshot)
        }
        exchange.sendError('not_cancellable', `the job is ${snapshot.status}`,
          { job_id: jobId, status: snapshot.status })
      },
      unavailable: (code) => this.unavailable(exchange, code),
    })
  }

  stream(joining: Joining): void {
    const { exchange, jobId } = joining
    const { principal } = exchange
    const refusal = this.#streams.refusal(jobId, principal)
    if (refusal?.code === 'limit_reached') {
      this.#admission.keyRefused('key_streams')
      return exchange.denied(0, refusal)
    }
    if (refusal !== undefined) return this.#refuse(exchange, refusal)
    this.#streams.expect(jobId, principal)
    this.#questions.ask('watch', jobId, principal.tenant, {
      isBulk: false,
      answered: (code, snapshot) => {
        if (code !== CODE_NOT_FOUND && code !== CODE_TOO_MANY_WATCHED && snapshot !== null) {
          return this.#streams.join(joining, snapshot, this.#wallMs())
        }
        this.#streams.giveUp(jobId, principal)
        if (code === CODE_TOO_MANY_WATCHED) this.unavailable(exchange, 'overloaded')
        else this.#show(exchange, jobId, null)
      },
      unavailable: (code) => {
        this.#streams.giveUp(jobId, principal)
        this.unavailable(exchange, code)
      },
    })
  }

  health(principal: Principal): object {
    const { links, tables } = this.#place
    if (!mayDo(principal, 'operate')) return { status: healthStatus(tables.phase, links) }
    const nowUs = this.#parts.clock.nowUs()
    const upUs = nowUs - tables.startedUs
    return describeHealth({
      state: tables.phase, nowUs, journals: tables.journals, log: tables.logStatus,
      version: this.#parts.config.version,
      uptimeSeconds: Math.floor(upUs / US_PER_SECOND), reloads: tables.reloads,
      lastReload: tables.lastReload, takenOver: tables.takenOver, links,
      counts: this.#admission.counts,
      upstreams: this.#upstreams.size, pending: this.#submissions.pending + this.#questions.size,
      streams: this.#streams.count, sockets: this.#sockets.count,
      socketsUnreadBytes: this.#sockets.unreadBytes, watched: this.#watches.jobs,
      clientBytes: tables.clientBytes, connections: tables.connections,
      pools: poolsOf(tables),
    })
  }

  unavailable(exchange: Exchange, code: ErrorCode): void {
    this.#refuse(exchange, unavailable(code))
  }

  // --- answers of the shards ---

  accepted(request: number): void {
    this.#submissions.accepted(request)
  }

  duplicate(request: number, jobId: string, status: JobStatus, result: JobResult | null): void {
    this.#submissions.duplicate(request, jobId, status, result)
  }

  reused(request: number, jobId: string): void {
    this.#submissions.reused(request, jobId)
  }

  refused(request: number, reason: number, limit: number, current: number): void {
    this.#submissions.refused(request, reason, limit, current)
  }

  job(request: number, code: number, snapshot: JobSnapshot | null): void {
    this.#questions.answered(request, code, snapshot)
  }

  dropped(request: number): void {
    // A request number is in at most one of the two tables.
    this.#submissions.dropped(request)
    this.#questions.dropped(request)
  }

  event(jobId: string, event: number, data: object): void {
    this.#watches.event(jobId, event, data)
  }

  givenBack(shard: number, position: number): void {
    const link = this.#place.links[shard] as ShardLink
    noteStall(link, this.#parts.clock.nowUs())
    this.#submissions.givenBack(shard, position, absenceOf(link) ?? 'journal_stalled')
    this.#questions.givenBack(shard, position)
  }

  released(request: number, done: boolean): void {
    this.#upstreams.released(request, done)
  }

  warning(upstream: number, value: unknown): void {
    if (isPoolWarning(value)) {
      this.#parts.log.warn({ upstream: this.#upstreams.originOf(upstream), ...value }, POOL_WARNING)
      return
    }
    const { silentUntilUs } = this.#place.tables
    const nowUs = this.#parts.clock.nowUs()
    if (nowUs < (silentUntilUs[upstream] ?? Infinity)) return
    silentUntilUs[upstream] = nowUs + msToUs(WARNING_PAUSE_MS)
    const origin = this.#upstreams.originOf(upstream)
    if (isRefusal(value)) {
      this.#parts.log.warn({ upstream: origin, rule: value.rule }, REFUSAL_WARNING)
    } else {
      this.#parts.log.warn({ upstream: origin, ignored: value },
        'an upstream sent a pace header that makes no sense')
    }
  }

  turnEnded(): void {
    const { tables } = this.#place
    this.#sockets.flush()
    if (tables.batchesToFlush.length === 0) return
    const batches = tables.batchesToFlush
    tables.batchesToFlush = []
    for (const batch of batches) batch.flush()
  }

  tick(nowUs: Micros): void {
    const { links, tables } = this.#place
    this.#questions.tick()
    this.#watches.retryUnwatch()
    this.#upstreams.tick(nowUs)
    if (nowUs >= tables.validityUs) {
      tables.validityUs = nowUs + msToUs(VALIDITY_CHECK_MS)
      this.#closeInvalid()
      tables.paused.check(nowUs)
    }
    if (nowUs >= tables.keepAliveUs) {
      tables.keepAliveUs = nowUs + msToUs(STREAM_KEEP_ALIVE_MS)
      this.#streams.keepAlive()
    }
    for (const link of links) {
      noteStall(link, nowUs)
      const absence = absenceOf(link)
      if (absence !== undefined) this.#giveUp(link, absence)
    }
    this.turnEnded()
  }

  // --- inside ---

  #refuse(exchange: Exchange, denial: Denial): void {
    if (denial.code !== 'request_crashed') this.#admission.unavailable()
    exchange.denied(0, denial)
  }

  /** Ends the streams and sockets of keys and tokens that are no longer valid. */
  #closeInvalid(): void {
    const nowMs = this.#wallMs()
    this.#streams.closeInvalid(nowMs)
    this.#sockets.closeInvalid(nowMs)
  }

  #wallMs(): number {
    const { clock } = this.#parts
    return clock.wallMs(clock.nowUs())
  }

  #show(exchange: Exchange, jobId: string, snapshot: JobSnapshot | null): void {
    if (snapshot === null) exchange.sendError('job_not_found', 'there is no such job')
    else exchange.send(200, { job_id: jobId, ...snapshot })
  }

  /** All shards or none: a slot that only some were asked to release would never be freed. */
  #releaseEverywhere(request: number, slot: UpstreamSlot): boolean {
    const { links } = this.#place
    for (const link of links) {
      if (link.down || !link.ingress.fits(REQUEST_BYTES)) return false
    }
    for (const link of links) {
      sendRequest(link, INGRESS_RELEASE_UPSTREAM, request, slot, 0, 0, 0)
      this.#bells.ringSoon(link.shard)
    }
    return true
  }

  /** Answers the requests that a shard has not taken, and will not take now. */
  #giveUp(link: ShardLink, code: ErrorCode): void {
    this.#submissions.giveUp(link, code)
    this.#questions.giveUp(link, code)
  }
}

const isPoolWarning = (value: unknown): value is PoolWarning =>
  typeof value === 'object' && value !== null && 'pool' in value

const isRefusal = (value: unknown): value is RefusalWarning =>
  typeof value === 'object' && value !== null && 'rule' in value

/** Submits one job at a time. */
const SINGLE = { isBulk: false } as const
