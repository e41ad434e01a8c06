// One server under test with everything around it: its process, its data directory, the callers
// before it and the far side behind it. The server may be killed and started again; the rest of
// the rig stays.

import { randomInt } from 'node:crypto'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { monotonicUs } from '../../shards/base/clock.ts'
import { Prng } from '../../shards/base/prng.ts'
import { SluiceProcess } from '../support/server.ts'
import { Callers, type LoadPlan, keepsKey } from './callers.ts'
import { FarSide } from './far-side.ts'
import { type Addresses, TARGETS, isFinal, primerJob } from './jobs.ts'
import { Ledger, name } from './ledger.ts'
import { Pulse } from './pulse.ts'
import { WINDOW_US } from './window.ts'

/** The server's --journal. */
export type JournalMode = 'off' | 'interval' | 'always'

/** How a rig is put together. */
export interface RigPlan {
  readonly seed: number
  /** The server's; a free one unless given. */
  readonly port: number | undefined
  readonly shards: number
  readonly memory: string
  readonly journal: JournalMode
  readonly load: Omit<LoadPlan, 'seed'>
  /** Loaded before anything else, in every thread of the server. */
  readonly preload?: string
  readonly env?: Readonly<Record<string, string>>
}

/** What is read of GET /health. */
export interface Health {
  readonly status: string
  readonly shards: readonly {
    readonly up: boolean
    readonly queued: number
    readonly retrying: number
    readonly in_flight: number
    readonly webhooks_waiting: number
    readonly restarts: number
  }[]
  readonly reloads?: number
}

const START_MS_MAX = 60_000
const DRAIN_MS_MAX = 180_000
/** Retries and webhooks of a run wait for a few seconds at most. */
const STANDSTILL_MS_MAX = 20_000
const PRIME_MS_MAX = 20_000
const HEALTH_MS_MAX = 5000
const LOOK_EVERY_MS = 50
/** A connection that nobody had taken yet when the process was killed comes within this. */
const AFTERMATH_MS = 30
const LAG_RESOLUTION_MS = 10
/** Below the ports that systems give to outgoing connections, which could take the server's. */
const PORT_FROM = 20_000
const PORTS = 10_000
const PORT_TRIES = 50
const STDERR_SHOWN_CHARS = 2000

/** A server under load. */
export class Rig {
  readonly ledger: Ledger
  readonly far: FarSide
  readonly callers: Callers
  readonly origin: string
  readonly prng: Prng
  /** Of the server, for whatever a scenario puts there; gone with the rig. */
  readonly folder: string
  readonly #plan: RigPlan
  readonly #port: number
  readonly #lag: IntervalHistogram
  readonly #pulse: Pulse
  /** Every process so far. */
  readonly #servers: SluiceProcess[] = []

  private constructor(
    plan: RigPlan, parts: Pick<Rig, 'ledger' | 'far' | 'folder'> & { port: number },
  ) {
    this.#plan = plan
    this.ledger = parts.ledger
    this.far = parts.far
    this.folder = parts.folder
    this.prng = new Prng(plan.seed)
    this.#port = parts.port
    this.origin = `http://127.0.0.1:${parts.port}`
    const addresses: Addresses = {
      runId: `torture-${plan.seed}`, origins: parts.far.origins, receiver: parts.far.receiver,
    }
    this.callers =
      new Callers(parts.ledger, { ...plan.load, seed: plan.seed }, addresses, this.origin)
    this.#pulse = new Pulse(this.origin, plan.shards)
    this.#lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS })
    this.#lag.enable()
    process.on('exit', this.#removeFolder)
  }

  /** Everything but the server, which start() starts. @param folder for what `plan` needs there. */
  static async open(plan: RigPlan, folder = makeFolder()): Promise<Rig> {
    const ledger = new Ledger()
    const far = await FarSide.open(ledger)
    const port = plan.port ?? await freePort()
    return new Rig(plan, { ledger, far, folder, port })
  }

  get server(): SluiceProcess {
    const last = this.#servers.at(-1)
    if (last === undefined) throw new Error('no server has been started')
    return last
  }

  /** How late this very process was at most, in microseconds: what it notes is late by so much. */
  get lagUs(): number {
    return Math.max(0, this.#lag.max / 1000 - LAG_RESOLUTION_MS * 1000)
  }

  /** Starts a process on the port and the data, and does not wait for it. */
  spawn(flags: readonly string[] = []): SluiceProcess {
    const { env, journal, memory, preload, shards } = this.#plan
    const server = new SluiceProcess([
      'serve', '--port', String(this.#port), '--shards', String(shards), '--memory', memory,
      // Where a pace has been forgotten, this is what shows it.
      '--default-rps', '1000', '--log-level', 'warn',
      '--data', path.join(this.folder, 'data'), '--journal', journal, ...flags,
    ], { ...(env === undefined ? {} : { env }), ...(preload === undefined ? {} : { preload }) })
    this.#servers.push(server)
    return server
  }

  /** Starts one and waits until it listens. @returns after how many ms. */
  async start(flags: readonly string[] = []): Promise<number> {
    const startMs = performance.now()
    await this.listens(this.spawn(flags))
    return performance.now() - startMs
  }

  /** Resolves when a process listens; rejects with what it said when it does not. */
  async listens(server: SluiceProcess): Promise<void> {
    const listening = await within(START_MS_MAX, server.waitFor('stdout', /^listening on /m))
    if (listening !== undefined) return
    throw new Error(`the server does not listen:\n${server.stdout}` +
      server.stderr.slice(-STDERR_SHOWN_CHARS))
  }

  /** kill -9, and whatever comes of it until a successor may be started. */
  async kill(): Promise<void> {
    await this.outage(async () => {
      await this.server.kill()
      await this.far.allClosed()
      await sleep(AFTERMATH_MS)
    })
  }

  /** Notes that what `happen` does may cut off what is in flight. */
  async outage<T>(happen: () => Promise<T>): Promise<T> {
    const fromUs = monotonicUs()
    const settledUs = Math.min(fromUs, this.#pulse.beatUs) - WINDOW_US
    try {
      return await happen()
    } finally {
      this.ledger.noteOutage({ settledUs, fromUs, untilUs: monotonicUs() })
    }
  }

  /** Lets each upstream say its pace before the load begins. */
  async prime(): Promise<void> {
    const { ledger } = this
    for (const target of TARGETS) await this.callers.submit(primerJob(ledger.nextNumber, target))
    const primed = await until(PRIME_MS_MAX, () =>
      ledger.jobs.every(({ executions }) => Number(executions[0]?.endUs) > 0))
    if (!primed) throw new Error('an upstream was not sent to at all')
    await sleep(LOOK_EVERY_MS)
  }

  /** GET /health; undefined where there is no answer. */
  async health(): Promise<Health | undefined> {
    try {
      const response = await fetch(`${this.origin}/health`,
        { signal: AbortSignal.timeout(HEALTH_MS_MAX) })
      return await response.json() as Health
    } catch {
      return undefined
    }
  }

  /** Jobs and webhooks that are still to be sent; undefined where there is no answer. */
  async left(): Promise<number | undefined> {
    const health = await this.health()
    return health?.shards.reduce((sum, shard) =>
      sum + shard.queued + shard.retrying + shard.in_flight + shard.webhooks_waiting, 0)
  }

  /** How the run stands, in a few words. */
  async state(): Promise<string> {
    const { accepted, breachCount } = this.ledger
    return `accepted ${accepted}, still to be sent ${await this.left() ?? 'unknown'}` +
      (breachCount === 0 ? '' : `; ${breachCount} promises broken so far`)
  }

  /** Ends the load and lets the server send everything that it has. */
  async runEmpty(): Promise<void> {
    await this.callers.stop()
    this.far.release()
    let left: number | undefined
    let movedMs = performance.now()
    const isOver = (): boolean =>
      left === 0 || performance.now() - movedMs > STANDSTILL_MS_MAX
    await until(DRAIN_MS_MAX, async () => {
      const before = left
      left = await this.left()
      if (left !== before) movedMs = performance.now()
      return isOver()
    })
    if (left !== 0) {
      this.ledger.breach('accepted means sent',
        `${left ?? 'an unknown number of'} jobs and webhooks are not sent in the end`)
    }
  }

  /**
   * Asks the server for jobs that it has accepted before: their keys must be held, and those that
   * were finished well before an outage must still be so.
   */
  async probe(count: number): Promise<void> {
    const { jobs, outages } = this.ledger
    const settledUs = outages.at(-1)?.settledUs ?? 0
    for (let probe = 0; probe < count; probe++) {
      // Half of them among the last, which are the least settled.
      const from = this.prng.chance(0.5) ? Math.max(0, jobs.length - 10 * count) : 0
      const job = jobs[this.prng.between(from, jobs.length - 1)]
      if (job === undefined || !keepsKey(job)) continue
      const answer = await this.callers.postAgain(job)
      if (answer === undefined || (answer.status !== 200 && answer.status !== 201)) continue
      this.ledger.noteAccepted(job, String(answer.body.job_id), answer.status === 200)
      const isFinished = job.executions.some((execution) =>
        isFinal(job, execution) && execution.endUs < settledUs)
      if (isFinished && answer.body.status !== 'completed') {
        this.ledger.breach('what is finished stays so',
          `${name(job)} was answered by its upstream, and is ${answer.body.status} again`)
      }
    }
  }

  /** Stops everything; the folder goes too unless it is to be kept, with what was logged. */
  async close(keepFolder: boolean): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.kill()))
    await Promise.all([this.callers.close(), this.#pulse.stop()])
    this.far.close()
    this.#lag.disable()
    process.off('exit', this.#removeFolder)
    if (!keepFolder) return this.#removeFolder()
    const file = path.join(this.folder, 'stderr.log')
    for (const { pid, stderr } of this.#servers) appendFileSync(file, `process ${pid}\n${stderr}`)
    console.log(`kept: ${this.folder}`)
  }

  /** Also when the run is interrupted. */
  readonly #removeFolder = (): void => rmSync(this.folder, { recursive: true, force: true })
}

/** A folder for a rig. */
export const makeFolder = (): string => mkdtempSync(path.join(os.tmpdir(), 'sluice-torture-'))

/** Looks again and again until something is so; false when it is not within the time. */
export async function until(
  msMax: number, look: () => boolean | Promise<boolean>, everyMs = LOOK_EVERY_MS,
): Promise<boolean> {
  const giveUpMs = performance.now() + msMax
  while (performance.now() < giveUpMs) {
    if (await look()) return true
    await sleep(everyMs)
  }
  return false
}

/** The value of a promise, or undefined when it takes too long. */
export async function within<T>(msMax: number, promise: Promise<T>): Promise<T | undefined> {
  const late = new AbortController()
  const result = await Promise.race([
    promise, sleep(msMax, undefined, { signal: late.signal }).catch(() => undefined)])
  late.abort()
  return result
}

const portsGiven = new Set<number>()

/**
 * A port of 127.0.0.1 on which nothing listens, and which no other rig has got. Not from the seed:
 * two runs with one seed must not meet at a port while one of their servers is down.
 */
async function freePort(): Promise<number> {
  for (let tried = 0; tried < PORT_TRIES; tried++) {
    const port = randomInt(PORT_FROM, PORT_FROM + PORTS)
    if (portsGiven.has(port)) continue
    portsGiven.add(port)
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    if (await promise) return port
  }
  throw new Error('no free port')
}
