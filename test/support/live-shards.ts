// Real shard threads under a real supervisor, with a test as the main thread: it puts jobs into
// their rings and keeps their answers. Without an HTTP server.

import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { TestContext } from 'node:test'
import { SystemClock } from '../../shards/base/clock.ts'
import { MIB, NONE } from '../../shards/base/units.ts'
import { Sleeper } from '../../shards/memory/doorbell.ts'
import { KIND_RECEIVER } from '../../shards/memory/layout.ts'
import { planMemory } from '../../shards/memory/plan.ts'
import { RING_FULL } from '../../shards/memory/ring.ts'
import { type StatValues, readStats } from '../../shards/memory/stats.ts'
import { encodeTemplate } from '../../shards/wire/codec.ts'
import * as contract from '../../shards/wire/contract.ts'
import type { ShardLoss } from '../../src/base/process-end.ts'
import { type EngineMemory, allocateMemory } from '../../src/engine/memory.ts'
import { type ShardLink, openShardLink } from '../../src/engine/shard-link.ts'
import { Supervisor, type SupervisorOptions } from '../../src/engine/supervisor.ts'
import { encodeJob } from './encode-job.ts'
import { type AnyOutcome, readStoredResult } from './outcome-record.ts'
import { type UpstreamStart, nameUpstream, writeUpstream } from './shard-memory.ts'

const SETTINGS: contract.ShardSettings = {
  completedTtlMs: 600_000, failedTtlMs: 600_000, responseBytesMax: MIB, keyMismatch: 'reject',
  connectionsPerOriginMax: 64, webhookRetryAfterMsMax: 300_000, extraCaPem: '',
  userAgent: 'sluice-test',
}

/** A job of a test. */
export interface LiveJob {
  readonly shard: number
  readonly account: number
  /** Slot of its upstream. */
  readonly upstream: number
  readonly url: string
  readonly webhookUrl?: string
  readonly body?: Uint8Array
  readonly retries?: number
}

/** Options of a bench. */
export interface LiveOptions extends Pick<Partial<SupervisorOptions>, 'workerFile'> {
  readonly shards: number
  readonly memoryMib?: number
  /** The upstreams that jobs may name; the slot after them is the receivers'. */
  readonly upstreams: readonly UpstreamStart[]
}

/** Spreads numbers over 32 bits, as hashes do. */
const spread = (value: number): number => Math.imul(value + 1, 0x9e3779b1) >>> 0

/** FNV-1a; sufficient, since no text is chosen to collide. */
function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

/** Running shards. */
export class LiveShards {
  readonly memory: EngineMemory
  readonly links: readonly ShardLink[]
  readonly supervisor: Supervisor
  readonly losses: ShardLoss[] = []
  /** The log lines, with their fields. */
  readonly logged: { readonly message: string; readonly fields: object }[] = []
  /** Requests that were accepted. */
  readonly accepted = new Set<number>()
  readonly others: AnyOutcome[] = []
  readonly #receiver: number
  readonly #heard = new EventEmitter().setMaxListeners(0)
  readonly #sleeper: Sleeper
  #requests = 0
  #isOver = false

  private constructor(options: LiveOptions) {
    const plan = planMemory({
      memoryBytes: (options.memoryMib ?? 128) * MIB, shards: options.shards,
      bodyBytesMax: MIB, responseBytesMax: MIB,
    })
    assert.ok(plan.ok)
    const allocated = allocateMemory(plan.limits)
    assert.ok(allocated.ok)
    this.memory = allocated.memory
    this.#receiver = options.upstreams.length
    for (const [slot, start] of options.upstreams.entries()) {
      writeUpstream(this.memory.shared, slot, start)
    }
    writeUpstream(this.memory.shared, this.#receiver,
      { kind: KIND_RECEIVER, pacePerSecond: 100_000, concurrentMax: 128 })
    this.links = this.memory.shards.map((views, shard) => openShardLink(shard, views))
    const log = (fields: object, message: string): void => { this.logged.push({ message, fields }) }
    const { workerFile } = options
    this.supervisor = new Supervisor({
      memory: this.memory, settings: SETTINGS, doors: this.links, seed: 1,
      clock: new SystemClock(), log: { info: log, warn: log, error: log },
      onLost: (loss) => { this.losses.push(loss) },
      ...(workerFile !== undefined && { workerFile }),
    })
    this.#sleeper = new Sleeper(this.memory.shared.mainBell)
    this.#read()
  }

  /** Starts shards, which are stopped after the test. */
  static async start(t: TestContext, options: LiveOptions): Promise<LiveShards> {
    const live = new LiveShards(options)
    t.after(async () => {
      await live.supervisor.stop(0)
      live.#isOver = true
      live.#sleeper.awake()
    })
    assert.equal(await live.supervisor.start(), undefined)
    return live
  }

  /** Sums over all shards. */
  get stats(): StatValues {
    const all = this.memory.shards.map((views) => readStats(views.stats))
    const [first] = all
    assert.ok(first !== undefined)
    for (const other of all.slice(1)) {
      for (const name of Object.keys(first) as (keyof StatValues)[]) first[name] += other[name]
    }
    return first
  }

  #name(slot: number, url: string): void {
    nameUpstream(this.memory.shared, slot, new URL(url).origin)
  }

  /** Puts a job into its shard's ring. @returns the request's number. */
  submit(job: LiveJob): number {
    const request = this.#requests++
    const receiver = job.webhookUrl === undefined ? NONE : this.#receiver
    const template = encodeTemplate({
      userId: `user ${job.account}`, url: job.url, method: 'POST', headers: [],
      webhookUrl: job.webhookUrl ?? null, receiver,
    })
    const encoded = encodeJob({
      createdAtMs: Date.now(), executeBeforeMs: 0, body: job.body ?? null,
    })
    this.#name(job.upstream, job.url)
    if (job.webhookUrl !== undefined) this.#name(receiver, job.webhookUrl)
    const { bell, ingress } = this.links[job.shard] as ShardLink
    const offset = ingress.claim(contract.INGRESS_ENQUEUE,
      contract.ENQUEUE_HEADER_BYTES + template.length + encoded.length)
    assert.ok(offset !== RING_FULL, 'the ingress ring is full')
    const id = spread(request)
    const lane = spread(job.account * 64 + job.upstream)
    const flags = ((job.retries ?? 0) << contract.FLAG_RETRIES_SHIFT) >>> 0
    for (const [at, word] of [request, 1, 2, id, spread(id), id, lane, lane, job.upstream, receiver,
      flags, template.length, hashOf(template), 0, 0].entries()) {
      ingress.u32[offset / 4 + at] = word
    }
    ingress.bytes.set(template, offset + contract.ENQUEUE_HEADER_BYTES)
    ingress.bytes.set(encoded, offset + contract.ENQUEUE_HEADER_BYTES + template.length)
    ingress.commit()
    bell.ring()
    return request
  }

  /** Resolves when so many jobs have been accepted. */
  async waitForAccepted(count: number): Promise<void> {
    while (this.accepted.size < count) await once(this.#heard, 'answer')
  }

  /** The pause of each shard at each handover. */
  get downMs(): number[] {
    return this.logged.filter(({ message }) => message === 'a shard runs new code')
      .map(({ fields }) => (fields as { down_ms: number }).down_ms)
  }

  #read(): void {
    if (this.#isOver) return
    for (const { answers } of this.links) {
      answers.read((kind, offset, length) => {
        const outcome = readStoredResult(answers, kind, offset, length)
        if (outcome.kind === 'accepted') this.accepted.add(outcome.request)
        else this.others.push(outcome)
        return true
      }, Infinity)
    }
    this.#heard.emit('answer')
    const again = (): void => this.#read()
    const hasWork = (): boolean => this.links.some(({ answers }) => !answers.isEmpty())
    if (!this.#sleeper.sleep(hasWork, again)) setImmediate(again)
  }
}
