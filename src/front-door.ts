// The front door: the listening socket, the reading end of the outcome rings, and the tables, for
// as long as the process lives. Who judges and answers is its doorkeeper, and that can change.

import type { Clock } from '../shards/clock.ts'
import type { JobResult, JobStatus, JobView } from '../shards/contract.ts'
import type { SharedViews } from '../shards/layout.ts'
import { STREAM_KEEP_ALIVE_MS } from '../shards/limits.ts'
import { type Micros, msToUs } from '../shards/units.ts'
import { type DoorTables, makeDoorTables } from './door-tables.ts'
import { Doorkeeper, type DoorkeeperParts, type Keeper } from './doorkeeper.ts'
import { makeSecret } from './hash.ts'
import { type Address, type Answering, HttpServer, type RequestHandlers } from './http/server.ts'
import type { FillRandom } from './job-id.ts'
import { OutcomePump, type OutcomeSink } from './outcomes.ts'
import type { ShardLink } from './shard-link.ts'
import type { KnownUpstreams } from './journal/known-upstreams.ts'
import { type ResolveUpstream, Upstreams } from './upstreams.ts'

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

/** The HTTP API in front of the shards. */
export class FrontDoor {
  readonly tables: DoorTables
  readonly #options: FrontDoorOptions
  readonly #post: Post
  readonly #pump: OutcomePump
  #server: HttpServer | undefined

  constructor(options: FrontDoorOptions) {
    const { clock, config, links, shared } = options
    this.#options = options
    this.tables = makeDoorTables(links, options.secret ?? makeSecret(), clock.nowUs())
    this.#post = new Post(new Doorkeeper(this.partsFor(config)))
    this.#post.keeper.takeOver()
    this.#pump = new OutcomePump(links, shared.mainBell, clock, this.#post)
  }

  /** Before anything else: the upstreams that a journal knows. */
  adopt(known: KnownUpstreams): void {
    const { clock, config, links, shared } = this.#options
    const table = this.tables.upstreams
    new Upstreams({
      shared, slotsMax: table.entries.length, shards: links.length, settingsOf: config.settingsOf,
      release: () => false,
    }, table).adopt(known, clock.nowUs())
  }

  /**
   * Begins to listen; throws OperatingError as HttpServer.listen() does.
   * @param isReady whether the shards are there; else jobs wait in the rings, until ready().
   */
  async listen(isReady = true): Promise<Address> {
    const { clock, config: { bodyBytesMax, host, port, socketIdleMs } } = this.#options
    this.#server = await HttpServer.listen(
      { host, port }, this.#post, { bodyBytesMax, idleMs: socketIdleMs })
    if (isReady) this.ready()
    this.tables.keepAliveUs = clock.nowUs() + msToUs(STREAM_KEEP_ALIVE_MS)
    this.#pump.start()
    return this.#server.address
  }

  /** The shards are there. Whoever has asked for a drain before does not mean that it is over. */
  ready(): void {
    if (this.tables.phase === 'starting') this.tables.phase = 'ready'
  }

  /** What a doorkeeper for this door needs. */
  partsFor(config: FrontDoorSettings): DoorkeeperParts {
    const { clock, fillRandom, links, log, shared } = this.#options
    return {
      config, place: { tables: this.tables, links, shared }, clock, log,
      ...(fillRandom !== undefined && { fillRandom }),
    }
  }

  /** From now on another doorkeeper answers, made with partsFor(). */
  relieve(keeper: Keeper): void {
    this.#post.keeper = keeper
    keeper.takeOver()
  }

  /** No new jobs from now on: 503, and /ready says so. Everything else goes on. */
  drain(): void {
    this.tables.phase = 'draining'
  }

  /** New jobs are taken again. */
  reopen(): void {
    this.tables.phase = 'ready'
  }

  /** Answers whoever still waits, ends all streams, and closes every connection. */
  close(): void {
    this.drain()
    this.#pump.stop()
    this.#post.keeper.stop()
    this.#server?.close()
    this.#server = undefined
  }
}

/** Where the doorkeeper of the moment stands: what comes goes to that one. */
class Post implements Answering, OutcomeSink {
  keeper: Keeper

  constructor(keeper: Keeper) {
    this.keeper = keeper
  }

  get handlers(): RequestHandlers {
    return this.keeper.handlers
  }

  accepted(request: number): void {
    this.keeper.accepted(request)
  }

  duplicate(request: number, jobId: string, status: JobStatus, result: JobResult | null): void {
    this.keeper.duplicate(request, jobId, status, result)
  }

  refused(request: number, reason: number, limit: number, current: number): void {
    this.keeper.refused(request, reason, limit, current)
  }

  job(request: number, code: number, view: JobView | null): void {
    this.keeper.job(request, code, view)
  }

  event(jobId: string, event: number, data: object): void {
    this.keeper.event(jobId, event, data)
  }

  dropped(request: number): void {
    this.keeper.dropped(request)
  }

  released(request: number, done: boolean): void {
    this.keeper.released(request, done)
  }

  warning(upstream: number, value: unknown): void {
    this.keeper.warning(upstream, value)
  }

  turnEnded(): void {
    this.keeper.turnEnded()
  }

  tick(nowUs: Micros): void {
    this.keeper.tick(nowUs)
  }
}
