// The base of every scenario: a server with a load generator in front of it, and upstreams and a
// webhook receiver behind it.

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

/** The parameters of a scenario. */
export interface Bench {
  readonly settings: BenchSettings
  readonly stage: Stage
  readonly progress: Progress
  /** Distinguishes the keys of this run from those of others; RUN_ID_LENGTH characters. */
  readonly runId: string
  /** The number of the next job, so that no two have the same key. */
  nextSequence: number
}

/** The lowest pace that a server accepts: almost nothing is sent. */
const HOLD_RPS = 0.5
/** The highest pace that a server accepts. */
export const RELEASE_RPS = 1_000_000
const SECONDS_MAX = 24 * 3600
/** Refusals after which a queue is considered full. */
const REFUSALS_MAX = 1000
/** After this time without a webhook, no more are expected. */
export const QUIET_MS = 15_000
/** Shorter than the interval of sends to a held upstream, which is 2 s. */
const SETTLE_MS = 500
const LOOK_EVERY_MS = 10

/** Parameters of a load besides the settings. */
export type LoadParts = Partial<Pick<LoadPlan,
  'requests' | 'seconds' | 'rate' | 'accounts' | 'firstAccount' | 'connections' | 'depth' |
  'refusalsMax' | 'address' | 'unrecordedSeconds' | 'batch'>> & {
  /** Indexes of upstreams; by default all. */
  readonly upstreams?: readonly number[]
}

export type Load = LoadResult & CpuTime

/** Options of a rig. */
export interface RigOptions {
  readonly upstreams: number
  /** Jobs are polled: no webhooks. */
  readonly poll?: boolean
  readonly serverFlags?: readonly string[]
  /** The server reports on its main thread. */
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

  /** Starts everything; the upstreams are on hold. */
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

  /** Runs one load and shows its progress. */
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

  /** Queues so many jobs; throws when the server does not accept them all. */
  async fill(title: string, jobs: number, parts: LoadParts = {}): Promise<Load> {
    const load = await this.load(title, { ...parts, requests: jobs })
    if (load.statuses['201'] === jobs) return load
    const isFull = load.statuses['429'] !== undefined
    throw new BenchError(`of ${jobs} jobs the server took ${load.statuses['201'] ?? 0}: ` +
      describeLoad(load) + (isFull ? '. More memory helps: -- --memory <size>' : ''))
  }

  /** Lets an upstream ask for the lowest pace; in effect from its next answer on. */
  hold(upstream = 0, accountQueue?: boolean): Promise<CpuTime> {
    return this.conduct(upstream, { rps: HOLD_RPS, accountQueue })
  }

  /** Lets an upstream ask for the highest pace, with the configured concurrency. */
  release(upstream = 0): Promise<CpuTime> {
    return this.conduct(upstream,
      { rps: RELEASE_RPS, maxConcurrent: this.#bench.settings.concurrency })
  }

  conduct(upstream: number, conduct: Partial<UpstreamConduct>): Promise<CpuTime> {
    return this.upstream.call('conduct', { upstream, conduct: {
      rps: undefined, maxConcurrent: undefined, accountQueue: undefined, note: false, ...conduct,
    } })
  }

  /** Shows webhooks as they arrive; resolves when there are so many, or when no more arrive. */
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
   * Sends so many jobs as fast as possible, so that code is compiled and connections are open
   * before the measurement. The upstream is not on hold afterwards.
   */
  async warmUp(jobs: number, upstream = 0): Promise<void> {
    await this.release(upstream)
    const { sends } = await this.upstream.call('count', { upstream })
    await this.fill('warming up', jobs, { upstreams: [upstream] })
    await this.waitForSends(sends + jobs, upstream)
  }

  /** Resolves when an upstream has received so many requests in total; throws when it does not. */
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
   * Holds an upstream and ensures that the server knows: one job is sent and its answer received.
   * Resolves when nothing is in flight; the receiver's count restarts at zero.
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

/** The pace before an upstream's first answer is a hold, too. */
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

/** The certificate and key of the bench's own processes, with TLS. */
export const pemFileOf = ({ tls }: BenchSettings): string | undefined =>
  tls ? path.join(import.meta.dirname, 'local.pem') : undefined

function trustFlags(settings: BenchSettings): readonly string[] {
  const pemFile = pemFileOf(settings)
  return pemFile === undefined ? [] : ['--ca-file', pemFile]
}

const originOf = ({ host, pemFile }: Place, port: number): string =>
  `${pemFile === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`

/** Describes answers other than 201; empty when there were none. */
export function describeLoad(load: LoadResult): string {
  const parts = Object.entries(load.statuses).filter(([status]) => status !== '201')
    .map(([status, count]) => `${count} answered with ${status}`)
  if (load.unanswered > 0) parts.push(`${load.unanswered} without an answer`)
  parts.push(...new Set(load.failures))
  return parts.join(', ')
}

/** Notes about loads with failures. */
export function loadNotes(title: string, loads: readonly LoadResult[]): string[] {
  return [...new Set(loads.map(describeLoad).filter((text) => text !== ''))]
    .map((text) => `${title}: ${text}.`)
}
