// What every scenario stands on: a server with a load generator before it, and upstreams and a
// receiver of webhooks behind it.

import path from 'node:path'
import { BenchError } from './bench-error.ts'
import { formatValue } from './figures.ts'
import type { LoadPlan, LoadProgress, LoadResult } from './load-plan.ts'
import { MemorySampler } from './memory-sampler.ts'
import type { Progress } from './progress.ts'
import type { RoleProcess } from './role-process.ts'
import type { CpuTime, UpstreamConduct, WebhookCount } from './roles/messages.ts'
import type { Place } from './roles/native-server.ts'
import { type MeasuredServer, targetServer } from './server-process.ts'
import type { BenchSettings } from './settings.ts'
import type { Stage } from './stage.ts'

/** What a scenario is given. */
export interface Bench {
  readonly settings: BenchSettings
  readonly stage: Stage
  readonly progress: Progress
  /** The part of all keys that other runs do not have; RUN_ID_LENGTH characters. */
  readonly runId: string
  /** The number of the next job, so that no two have the same key. */
  nextSequence: number
}

/** No pace that a server would follow is lower: next to nothing is sent. */
const HOLD_RPS = 0.5
/** The highest pace there is. */
export const RELEASE_RPS = 1_000_000
const SECONDS_MAX = 24 * 3600
/** Refusals after which a queue counts as full. */
const REFUSALS_MAX = 1000
/** Webhooks that do not come for so long do not come at all. */
export const QUIET_MS = 15_000
/** An upstream that is held is sent to every two seconds; this is shorter and no part of it. */
const SETTLE_MS = 500
const LOOK_EVERY_MS = 10

/** What a load may say besides the settings. */
export type LoadParts = Partial<Pick<LoadPlan,
  'requests' | 'seconds' | 'rate' | 'accounts' | 'firstAccount' | 'connections' | 'depth' |
  'refusalsMax' | 'address' | 'unrecordedSeconds' | 'batch'>> & {
  /** Indexes of upstreams; all of them unless said. */
  readonly upstreams?: readonly number[]
}

export type Load = LoadResult & CpuTime

/** How a rig is put together. */
export interface RigOptions {
  readonly upstreams: number
  /** Jobs are polled for: no webhooks. */
  readonly poll?: boolean
  readonly serverFlags?: readonly string[]
  /** The server tells of its main thread. */
  readonly watched?: boolean
}

/** A server and its surroundings. */
export class Rig {
  readonly server: MeasuredServer
  readonly generator: RoleProcess<'generator'>
  readonly upstream: RoleProcess<'upstream'>
  readonly receiver: RoleProcess<'receiver'>
  readonly upstreams: readonly string[]
  readonly receiverOrigin: string
  readonly memory: MemorySampler
  readonly #bench: Bench
  readonly #poll: boolean

  private constructor(bench: Bench, parts: Pick<Rig, 'server' | 'generator' | 'upstream' |
    'receiver' | 'upstreams' | 'receiverOrigin'>, poll: boolean) {
    this.#bench = bench
    this.server = parts.server
    this.generator = parts.generator
    this.upstream = parts.upstream
    this.receiver = parts.receiver
    this.upstreams = parts.upstreams
    this.receiverOrigin = parts.receiverOrigin
    this.#poll = poll
    this.memory = new MemorySampler(parts.server)
  }

  /** Starts everything; the upstreams are held. */
  static async open(bench: Bench, options: RigOptions): Promise<Rig> {
    const { settings, stage } = bench
    const pemFile = pemFileOf(settings)
    const place = { host: settings.ownHost, pemFile }
    const [generator, upstream, receiver] = await Promise.all(
      [stage.role('generator'), stage.role('upstream'), stage.role('receiver')])
    const { ports } = await upstream.call('listen', { ...place, count: options.upstreams })
    const { port } = await receiver.call('listen', place)
    const server = await openServer(bench, options.serverFlags ?? [], options.watched)
    const rig = new Rig(bench, {
      server, generator, upstream, receiver,
      upstreams: ports.map((each) => originOf(place, each)),
      receiverOrigin: originOf(place, port),
    }, options.poll === true)
    for (const index of ports.keys()) await rig.hold(index)
    return rig
  }

  /** The same surroundings with another server. */
  async withServer(serverFlags: readonly string[]): Promise<Rig> {
    return new Rig(this.#bench,
      { ...this, server: await openServer(this.#bench, serverFlags) }, this.#poll)
  }

  /** Runs one load and shows how far it is. */
  async load(title: string, parts: LoadParts): Promise<Load> {
    const plan = this.#plan(parts)
    const isCounted = parts.requests !== undefined
    const task = this.#bench.progress.begin(title, isCounted ? plan.requests : plan.seconds)
    const load = await this.#run(plan, ({ seconds, accepted }) => {
      task.update(isCounted ? accepted : seconds, formatValue(accepted / seconds, '/s'))
    })
    task.end()
    return load
  }

  /** Queues so many jobs; throws when the server does not take them all. */
  async fill(title: string, jobs: number, parts: LoadParts = {}): Promise<Load> {
    const load = await this.load(title, { ...parts, requests: jobs })
    if (load.statuses['201'] === jobs) return load
    const isFull = load.statuses['429'] !== undefined
    throw new BenchError(`of ${jobs} jobs the server took ${load.statuses['201'] ?? 0}: ` +
      describeLoad(load) + (isFull ? '. More memory helps: -- --memory <size>' : ''))
  }

  /** The upstream lets next to nothing through; in effect from its next answer on. */
  hold(upstream = 0, accountQueue?: boolean): Promise<CpuTime> {
    return this.conduct(upstream, { rps: HOLD_RPS, accountQueue })
  }

  /** The upstream takes all that it can get, so many at once. */
  release(upstream = 0): Promise<CpuTime> {
    return this.conduct(upstream,
      { rps: RELEASE_RPS, maxConcurrent: this.#bench.settings.concurrency })
  }

  conduct(upstream: number, conduct: Partial<UpstreamConduct>): Promise<CpuTime> {
    return this.upstream.call('conduct', { upstream, conduct: {
      rps: undefined, maxConcurrent: undefined, accountQueue: undefined, note: false, ...conduct,
    } })
  }

  /** Shows webhooks as they come; resolves when there are so many or they have stopped coming. */
  async webhooks(title: string, count: number): Promise<WebhookCount & CpuTime> {
    const task = this.#bench.progress.begin(title, count)
    const startMs = performance.now()
    const result = await this.waitForWebhooks(count, QUIET_MS, (so) => {
      task.update(so, formatValue(so / ((performance.now() - startMs) / 1000), '/s'))
    })
    task.end()
    return result
  }

  waitForWebhooks(count: number, quietMs: number, onProgress?: (count: number) => void):
    Promise<WebhookCount & CpuTime> {
    return this.receiver.call('wait', { count, quietMs }, (so) => onProgress?.(so.count))
  }

  /**
   * Sends so many jobs as fast as they will go, so that code is compiled and connections are there
   * when it counts. The upstream is not held afterwards.
   */
  async warmUp(jobs: number, upstream = 0): Promise<void> {
    await this.release(upstream)
    const { sends } = await this.upstream.call('count', { upstream })
    await this.fill('warming up', jobs, { upstreams: [upstream] })
    await this.waitForSends(sends + jobs, upstream)
  }

  /** Resolves when an upstream has been sent to so many times in all; throws when it is not. */
  async waitForSends(count: number, upstream = 0): Promise<void> {
    const giveUpMs = performance.now() + QUIET_MS
    for (;;) {
      const { sends } = await this.upstream.call('count', { upstream })
      if (sends >= count) return
      if (performance.now() > giveUpMs) throw new BenchError('the server does not send its jobs')
      await new Promise((resolve) => { setTimeout(resolve, LOOK_EVERY_MS) })
    }
  }

  /**
   * Holds an upstream and makes sure that the server knows: one job is sent and its answer heard.
   * Resolves when nothing is under way; the receiver counts from zero.
   */
  async settle(upstream = 0): Promise<void> {
    await this.hold(upstream)
    await this.receiver.call('reset', { expected: 1 })
    await this.#run(this.#plan({ requests: 1, upstreams: [upstream] }), () => {})
    await this.waitForWebhooks(1, QUIET_MS)
    await this.waitForWebhooks(Number.MAX_SAFE_INTEGER, SETTLE_MS)
  }

  async #run(plan: LoadPlan, onProgress: (progress: LoadProgress) => void): Promise<Load> {
    const load = await this.generator.call('run', plan, onProgress)
    this.#bench.nextSequence += load.sent
    return load
  }

  #plan(parts: LoadParts): LoadPlan {
    const { settings, runId, nextSequence } = this.#bench
    const { upstreams, ...rest } = parts
    const { host, port } = rest.address ?? this.server.address
    const accounts = parts.accounts ?? settings.accounts
    const requests = parts.requests ?? Number.MAX_SAFE_INTEGER
    return {
      profile: settings.profile, depth: settings.depth,
      firstAccount: 0, firstSequence: nextSequence,
      rate: undefined, refusalsMax: REFUSALS_MAX, seconds: SECONDS_MAX, unrecordedSeconds: 0,
      ...rest,
      connections: Math.min(parts.connections ?? settings.connections, requests),
      accounts, requests, address: { host, port },
      payload: {
        runId, host: `${host}:${port}`,
        upstreams: upstreams === undefined
          ? this.upstreams : upstreams.map((index) => this.upstreams[index] ?? ''),
        receiver: this.#poll ? undefined : this.receiverOrigin,
      },
    }
  }
}

/** The pace that holds before an upstream has answered is a hold too. */
async function openServer(
  { settings, stage, progress }: Bench, flags: readonly string[], watched = false,
): Promise<MeasuredServer> {
  if (settings.target !== undefined) return targetServer(settings.target)
  const task = progress.begin('starting a server', 0)
  const server = await stage.server(
    ['--default-rps', String(HOLD_RPS), ...trustFlags(settings), ...flags,
      ...settings.serveFlags], watched)
  task.end()
  return server
}

/** The certificate and key with which the bench's own processes speak TLS, if they do. */
export const pemFileOf = ({ tls }: BenchSettings): string | undefined =>
  tls ? path.join(import.meta.dirname, 'local.pem') : undefined

function trustFlags(settings: BenchSettings): readonly string[] {
  const pemFile = pemFileOf(settings)
  return pemFile === undefined ? [] : ['--ca-file', pemFile]
}

const originOf = ({ host, pemFile }: Place, port: number): string =>
  `${pemFile === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`

/** What was answered besides 201, in words; empty when nothing was. */
export function describeLoad(load: LoadResult): string {
  const parts = Object.entries(load.statuses).filter(([status]) => status !== '201')
    .map(([status, count]) => `${count} answered with ${status}`)
  if (load.unanswered > 0) parts.push(`${load.unanswered} without an answer`)
  parts.push(...new Set(load.failures))
  return parts.join(', ')
}

/** Notes about loads that did not go as they should. */
export function loadNotes(title: string, loads: readonly LoadResult[]): string[] {
  return [...new Set(loads.map(describeLoad).filter((text) => text !== ''))]
    .map((text) => `${title}: ${text}.`)
}
