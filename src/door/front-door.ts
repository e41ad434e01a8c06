// The front door: the listening socket, the reader of the answer rings, and the tables, for the
// life of the process. Requests are handled by its door logic, which a reload replaces.

import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import type { SharedViews } from '../../shards/memory/layout.ts'
import type {
  JobResult, JobSnapshot, JobStatus, KnownUpstreams,
} from '../../shards/wire/contract.ts'
import { ClientBytes } from '../base/client-bytes.ts'
import { makeSecret } from '../base/hash.ts'
import type { FillRandom } from '../base/job-id.ts'
import { LET_IN_PENDING_MAX, STREAM_KEEP_ALIVE_MS } from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import type { FrontDoorSettings } from '../config/door-settings.ts'
import type { Listener } from '../config/listeners.ts'
import { AnswerPump, type AnswerSink } from '../engine/answer-pump.ts'
import { absenceOf, type ShardLink } from '../engine/shard-link.ts'
import { type Answering, type Handlers, HttpServer, type ServerBounds } from '../http/server.ts'
import { PeerClient } from '../peer/peer-client.ts'
import { Again } from '../peer/peer-request.ts'
import { RequestProxy } from '../peer/request-proxy.ts'
import { Upstreams } from '../submit/upstream-slots.ts'
import { DoorLogic, type DoorLogicParts, type Logic } from './door-logic.ts'
import { type Credentials, type DoorTables, makeDoorTables } from './door-tables.ts'

/** What a front door needs. */
export interface FrontDoorOptions {
  readonly config: FrontDoorSettings
  /** One for each shard, in order. */
  readonly links: readonly ShardLink[]
  readonly shared: SharedViews
  /** Its own, since a clock has one wake-up. */
  readonly clock: Clock
  readonly log: Log
  /** By default, there are no keys, and no tokens are accepted. */
  readonly credentials?: Credentials
  /** SECRET_BYTES bytes; by default a new secret. */
  readonly secret?: Uint8Array
  /** The source of the random part of job ids; by default, the system's randomness. */
  readonly fillRandom?: FillRandom
}

const NO_CREDENTIALS: Credentials = {
  keys: { size: 0, find: () => undefined, ofId: () => undefined },
  tokens: { isOn: false, verify: () => undefined, check: async () => undefined },
}

/** The HTTP API in front of the shards. */
export class FrontDoor implements Answering {
  readonly tables: DoorTables
  readonly #options: FrontDoorOptions
  readonly #post: Post
  readonly #pump: AnswerPump
  #server: HttpServer | undefined
  #giveBack: () => void = () => {}

  constructor(options: FrontDoorOptions) {
    const { clock, config, links, shared } = options
    this.#options = options
    this.tables = makeDoorTables(links, options.secret ?? makeSecret(), clock.nowUs(),
      new ClientBytes(config.clientBytesMax, clock, options.log),
      options.credentials ?? NO_CREDENTIALS)
    this.#post = new Post(new DoorLogic(this.partsFor(config)))
    this.#post.logic.takeOver()
    this.#pump = new AnswerPump(links, shared.mainBell, clock, this.#post)
  }

  /** Restores the upstreams of a journal; must be called before anything else. */
  adopt(known: KnownUpstreams): void {
    const { clock, config, links, shared } = this.#options
    const table = this.tables.upstreams
    new Upstreams({
      shared, slotsMax: table.entries.length, shards: links.length, settingsOf: config.settingsOf,
      release: () => false, isUnused: () => false,
    }, table).adopt(known, clock.nowUs())
  }

  /**
   * Starts to listen; throws OperatingError like HttpServer.listen().
   * @param isReady whether the shards are running; if not, jobs wait in the rings until ready().
   * @param listening a server that listens already and uses this door's `handlers`.
   */
  async listen(isReady = true, listening?: HttpServer): Promise<readonly Listener[]> {
    const { clock, config } = this.#options
    this.#server = listening ??
      await HttpServer.listen(config.listeners, this.#post, boundsOf(config))
    this.tables.connections = this.#server.table
    if (isReady) this.ready()
    this.tables.keepAliveUs = clock.nowUs() + msToUs(STREAM_KEEP_ALIVE_MS)
    this.#pump.start()
    return this.#server.listeners
  }

  /** The shards are running. Does not end a drain that was requested before. */
  ready(): void {
    if (this.tables.phase === 'starting') this.tables.phase = 'ready'
  }

  /** The parts for a door logic of this door. */
  partsFor(config: FrontDoorSettings): DoorLogicParts {
    const { clock, fillRandom, links, log, shared } = this.#options
    return {
      config, place: { tables: this.tables, links, shared }, clock, log,
      onLull: () => this.#pump.nap(),
      ...(fillRandom !== undefined && { fillRandom }),
    }
  }

  /** Replaces the door logic by another one, made with partsFor(). */
  replaceLogic(logic: Logic): void {
    this.#post.logic = logic
    logic.takeOver()
  }

  get handlers(): Handlers {
    return this.#post.handlers
  }

  /** Where it listens; empty before listen(). */
  get listeners(): readonly Listener[] {
    return this.#server?.listeners ?? []
  }

  /** HTTP connections, without WebSockets. */
  get connections(): number {
    return this.#server?.connections ?? 0
  }

  /** Whether every job and question that was sent to a shard has its answer. */
  get isAnswered(): boolean {
    const { jobs, questions } = this.tables
    return [jobs.waiting, questions.waiting].every(
      ({ entries, freeCount }) => freeCount === entries.length)
  }

  /** Whether there is room for one more request that was held: in the rings, and for its answer. */
  get hasRoom(): boolean {
    const { entries, freeCount } = this.tables.jobs.waiting
    return entries.length - freeCount < LET_IN_PENDING_MAX && this.#options.links.every(
      (link) => absenceOf(link) !== undefined ||
        2 * link.ingress.fillBytes() < link.views.limits.ringBytes)
  }

  /**
   * The peer listens at the same addresses: stops accepting connections, and proxies the requests
   * of open ones to it. Resolves when that has begun.
   * @param clock for this only, since a clock has one wake-up.
   * @param proof what the peer knows this process by; see peer-proof.ts.
   */
  async proxyToPeer(clock: Clock, proof: string): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    await new Promise<void>((resolve) => { server.stopListening(resolve) })
    const again = new Again(clock)
    const post = this.#post
    const { bodyBytesMax } = this.#options.config
    const { listeners } = server
    const other = new PeerClient(listeners, again, proof)
    const proxy = new RequestProxy({
      listeners, before: post.inside, bodyBytesMax, again,
      pool: this.tables.clientBytes, paused: this.tables.paused })
    post.proxy = proxy
    this.tables.peer = other
    this.tables.sockets.isLeaving = true
    this.#giveBack = () => {
      other.giveBack()
      proxy.giveBack()
    }
  }

  /** Undoes proxyToPeer(): the peer is gone. False when a port cannot be bound at present. */
  takeBack(): boolean {
    if (this.#server?.listenAgain() === false) return false
    this.tables.peer = null
    this.tables.sockets.isLeaving = false
    this.#post.proxy = undefined
    this.#giveBack()
    this.#giveBack = () => {}
    return true
  }

  /** Keys were revoked or have expired. */
  keysGone(): void {
    this.#post.logic.keysGone()
  }

  /** Closes every socket and asks its client to reconnect. */
  restartSockets(): void {
    this.#post.logic.restartSockets()
  }

  /** Ends streams and sockets, once the shards have ended. Proxied requests continue. */
  retire(): void {
    this.#post.logic.stop()
  }

  /** Refuses new jobs with 503, and reports that at /ready. Everything else continues. */
  drain(): void {
    this.tables.phase = 'draining'
  }

  /** Accepts new jobs again. */
  reopen(): void {
    this.tables.phase = 'ready'
  }

  /** Answers all pending requests, ends all streams, and closes every connection. */
  close(): void {
    this.drain()
    this.#pump.stop()
    this.#pump.readRest()
    this.#post.logic.stop()
    this.#post.proxy?.close()
    this.#server?.close()
    this.#server = undefined
  }
}

/** Limits that the server gets once. */
export const boundsOf = (config: FrontDoorSettings): ServerBounds => ({
  bodyBytesMax: config.bodyBytesMax, idleMs: config.socketIdleMs,
  clientBytesMax: config.clientBytesMax, connectionsMax: config.clientConnectionsMax,
})

/** Dispatches requests and answers to the present door logic. */
class Post implements Answering, AnswerSink {
  logic: Logic
  /** During a take-over: requests go to the peer. */
  proxy: RequestProxy | undefined
  /** The present door logic, for requests that must not be proxied. */
  readonly inside: Answering

  constructor(logic: Logic) {
    this.logic = logic
    const handlers = (): Handlers => this.logic.handlers
    this.inside = { get handlers() { return handlers() } }
  }

  get handlers(): Handlers {
    return (this.proxy ?? this.logic).handlers
  }

  accepted(request: number): void {
    this.logic.accepted(request)
  }

  duplicate(request: number, jobId: string, status: JobStatus, result: JobResult | null): void {
    this.logic.duplicate(request, jobId, status, result)
  }

  reused(request: number, jobId: string): void {
    this.logic.reused(request, jobId)
  }

  refused(request: number, reason: number, limit: number, current: number): void {
    this.logic.refused(request, reason, limit, current)
  }

  job(request: number, code: number, snapshot: JobSnapshot | null): void {
    this.logic.job(request, code, snapshot)
  }

  event(jobId: string, event: number, data: object): void {
    this.logic.event(jobId, event, data)
  }

  dropped(request: number): void {
    this.logic.dropped(request)
  }

  givenBack(shard: number, position: number): void {
    this.logic.givenBack(shard, position)
  }

  released(request: number, done: boolean): void {
    this.logic.released(request, done)
  }

  warning(upstream: number, value: unknown): void {
    this.logic.warning(upstream, value)
  }

  turnEnded(): void {
    this.logic.turnEnded()
  }

  tick(nowUs: Micros): void {
    this.logic.tick(nowUs)
  }
}
