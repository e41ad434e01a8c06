// One engine in virtual time, with a test as front door and a scripted transport. It takes turns
// like a shard's thread: when something has arrived, and when the previous turn asked for it.

import assert from 'node:assert/strict'
import { Prng } from '../../shards/base/prng.ts'
import { type Micros, NONE, msToUs } from '../../shards/base/units.ts'
import type { JournalSink } from '../../shards/journal/journal.ts'
import { KIND_RECEIVER, type ShardViews } from '../../shards/memory/layout.ts'
import { ownerOf, tenantOf } from '../../shards/memory/owner.ts'
import type { Limits } from '../../shards/memory/plan.ts'
import { RING_FULL, RingReader, RingWriter } from '../../shards/memory/ring.ts'
import { type StatValues, readStats } from '../../shards/memory/stats.ts'
import { Engine } from '../../shards/shard/engine.ts'
import type { FailureReason } from '../../shards/signals/response.ts'
import { encodeTemplate } from '../../shards/wire/codec.ts'
import * as contract from '../../shards/wire/contract.ts'
import { encodeJob } from './encode-job.ts'
import { type AnyOutcome, readStoredResult } from './outcome-record.ts'
import { type Answer, ScriptedTransport, type Sent } from './scripted-transport.ts'
import {
  type ShardMemory, type UpstreamStart, shardMemory, smallLimits, writeUpstream,
} from './shard-memory.ts'
import { SEED } from './swarm.ts'
import { VirtualTime } from './virtual-clock.ts'

/** The default upstream of jobs, and the receiver of webhooks. */
export const UPSTREAM = 0
export const OTHER_UPSTREAM = 1
export const RECEIVER = 2
export const OTHER_RECEIVER = 3

export const SETTINGS: contract.ShardSettings = {
  completedTtlMs: 60_000, failedTtlMs: 120_000, responseBytesMax: 4096, keyMismatch: 'reject',
  connectionsPerOriginMax: 8, webhookRetryAfterMsMax: 300_000, extraCaPem: '',
  userAgent: 'sluice-test',
}

/** Turns at one moment; more means that the shard keeps asking for turns without work. */
const TURNS_AT_ONCE_MAX = 1000

/** Options of a job; by default a GET with 4 retries, polled for, for the user USER. */
export interface JobParts {
  readonly key?: string
  readonly account?: string
  readonly upstream?: number
  readonly url?: string
  readonly body?: string
  readonly retries?: number
  /** Deliver the result to RECEIVER, or to another receiver. */
  readonly webhook?: boolean | typeof OTHER_RECEIVER
  /** The user's hash. */
  readonly user?: number
  /** 0 by default. */
  readonly tenant?: number
  /** The number of the key that it is submitted by; 0 by default. */
  readonly keyNumber?: number
  /** The most unfinished jobs of the key; 0: no limit. */
  readonly keyJobsMax?: number
  /** From now on. */
  readonly beginWithinMs?: number
  readonly wantsAccountQueue?: boolean
  readonly watch?: boolean
}

/** A submitted job: its request, and the words of its id. */
export interface Submitted {
  readonly request: number
  readonly user: number
  readonly idLow: number
  readonly idText: string
  readonly tenant: number
}

/** Identifies a job of USER, or of another user; asked for by tenant 0, or by another. */
type Asked = Pick<Submitted, 'idLow'> & Partial<Pick<Submitted, 'tenant' | 'user'>>

const USER = 0x5eed
const ID_HIGH = 7

/** Spreads numbers over 32 bits, as hashes do. */
const spread = (value: number): number => Math.imul(value + 1, 0x9e3779b1) >>> 0

function hashOf(text: string): number {
  let hash = 0
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) + 1
  return spread(hash)
}

/** Options of a bench. */
export interface BenchOptions extends UpstreamStart {
  readonly limits?: Partial<Limits>
  readonly receiver?: UpstreamStart
  /** In place of those of SETTINGS. */
  readonly settings?: Partial<contract.ShardSettings>
  /** The journal of all threads; by default none. */
  readonly journal?: JournalSink
  /** Shared with another bench, like two shards of one process. */
  readonly with?: EngineContext
}

/** What the shards of a process have in common. */
interface EngineContext {
  readonly memory: ShardMemory
  readonly time: VirtualTime
  readonly shard: number
}

/** A shard, its surroundings, and its answers so far. */
export class EngineBench {
  readonly time: VirtualTime
  readonly memory: ShardMemory
  readonly views: ShardViews
  /** Of the present thread. */
  transport: ScriptedTransport
  engine: Engine
  /** All records of the answer ring, in order. */
  readonly answers: AnyOutcome[] = []
  readonly broken: unknown[] = []
  /** Does not read, so that the answer ring fills up. */
  isDeaf = false
  readonly #clock: ReturnType<VirtualTime['clock']>
  readonly #ingress: RingWriter
  readonly #reader: RingReader
  readonly #shard: number
  readonly #settings: contract.ShardSettings
  readonly #journal: JournalSink | null
  #requests = 0
  #jobs = 0

  constructor(options: BenchOptions = {}) {
    this.time = options.with?.time ?? new VirtualTime()
    this.memory = options.with?.memory ?? shardMemory(smallLimits(options.limits))
    const shard = options.with?.shard ?? 0
    this.#shard = shard
    this.#settings = { ...SETTINGS, ...options.settings }
    this.#journal = options.journal ?? null
    this.views = this.memory.shards[shard] as ShardViews
    if (shard === 0) {
      writeUpstream(this.memory.shared, UPSTREAM, options)
      writeUpstream(this.memory.shared, OTHER_UPSTREAM)
      writeUpstream(this.memory.shared, RECEIVER, {
        kind: KIND_RECEIVER, pacePerSecond: 100_000, timeoutMs: 5000, ...options.receiver,
      })
      writeUpstream(this.memory.shared, OTHER_RECEIVER, {
        kind: KIND_RECEIVER, pacePerSecond: 100_000, timeoutMs: 5000,
      })
    }
    this.#clock = this.time.clock()
    this.#ingress = new RingWriter(this.views.ingress)
    this.#reader = new RingReader(this.views.answers)
    this.transport = new ScriptedTransport(() => this.time.nowUs())
    this.engine = this.#start(false)
  }

  /**
   * Ends the thread at any point, and lets a successor take over its memory.
   * @param prepare is called with the successor's transport before it is used.
   * @returns what the successor has recovered.
   */
  replace(prepare: (transport: ScriptedTransport) => void = () => {}): contract.Recovered {
    this.transport = new ScriptedTransport(() => this.time.nowUs())
    prepare(this.transport)
    this.engine = this.#start(true)
    assert.ok(this.engine.recovered !== null)
    this.turn()
    this.engine.verify()
    return this.engine.recovered
  }

  #start(recover: boolean): Engine {
    const { shared, shards } = this.memory
    return new Engine({
      shard: this.#shard, shared, shards, settings: this.#settings, clock: this.#clock,
      prng: new Prng(SEED), transport: this.transport, recover,
      journal: this.#journal,
      wantTurn: () => this.#clock.wakeAt(this.time.nowUs(), () => this.turn()),
      broken: (error) => { this.broken.push(error) },
    })
  }

  get nowUs(): Micros {
    return this.time.nowUs()
  }

  get nowMs(): number {
    return this.#clock.wallMs(this.nowUs)
  }

  get stats(): StatValues {
    return readStats(this.views.stats)
  }

  get sent(): readonly Sent[] {
    return this.transport.sent
  }

  /** Requests to a receiver of webhooks. */
  get deliveries(): readonly Sent[] {
    return this.sent.filter(({ request }) => /^http:\/\/hook\d?\.test$/.test(request.origin))
  }

  /** The latest request that has not ended. */
  get inFlight(): Sent {
    const sent = this.sent.findLast((other) => !other.isOver)
    assert.ok(sent !== undefined, 'nothing is in flight')
    return sent
  }

  // --- as the front door ---

  /** Puts a job into the ring and lets the shard take a turn. */
  submit(parts: JobParts = {}): Submitted {
    const submitted = this.put(parts)
    this.turn()
    return submitted
  }

  /** Only puts a job into the ring. */
  put(parts: JobParts = {}): Submitted {
    const request = this.#requests++
    const idLow = spread(this.#jobs++)
    const key = hashOf(parts.key ?? `key ${request}`)
    const upstream = parts.upstream ?? UPSTREAM
    const { user = USER, webhook = false } = parts
    const receiver = webhook === true ? RECEIVER : webhook === false ? NONE : webhook
    const template = encodeTemplate({
      userId: 'user', url: parts.url ?? `http://api${upstream}.test/path?q=1`,
      method: parts.body === undefined ? 'GET' : 'POST', headers: ['X-Mine', 'yes'],
      webhookUrl: receiver === NONE ? null
        : `http://hook${receiver === RECEIVER ? '' : receiver}.test/hook`,
      receiver,
    })
    const job = encodeJob({
      createdAtMs: this.nowMs,
      executeBeforeMs: parts.beginWithinMs === undefined ? 0 : this.nowMs + parts.beginWithinMs,
      body: parts.body === undefined ? null : Buffer.from(parts.body),
    })
    const owner = ownerOf(parts.tenant ?? 0, parts.keyNumber ?? 0)
    const account = hashOf(`${parts.account ?? 'account'} ${upstream}`)
    const templateHash = hashOf(Buffer.from(template).toString('latin1'))
    const words = [request, user, ID_HIGH, idLow, spread(key), key, spread(account), account,
      upstream, receiver, flagsOf(parts), template.length, templateHash, owner,
      parts.keyJobsMax ?? 0, 0]
    this.#write(contract.INGRESS_ENQUEUE, words, [template, job])
    return { request, user, idLow, idText: idText(user, idLow), tenant: tenantOf(owner) }
  }

  /** GET, CANCEL, WATCH or UNWATCH of a job. @returns the index of the answer in `answers`. */
  ask(kind: number, { idLow, tenant = 0, user = USER }: Asked): number {
    const request = this.#requests++
    this.#write(kind, [request, user, ID_HIGH, idLow, tenant], [])
    this.turn()
    return request
  }

  /**
   * Asks the same question about many jobs at once. @returns the number of answers in each turn of
   * the engine, until there is nothing to read.
   */
  askAll(kind: number, jobs: readonly Asked[]): number[] {
    for (const { idLow, tenant = 0, user = USER } of jobs) {
      this.#write(kind, [this.#requests++, user, ID_HIGH, idLow, tenant], [])
    }
    const answers: number[] = []
    while (this.engine.hasWork()) {
      const before = this.answers.length
      this.engine.turn()
      this.#read()
      answers.push(this.answers.length - before)
    }
    return answers
  }

  get(job: Asked): contract.JobSnapshot {
    const answer = this.answer(this.ask(contract.INGRESS_GET, job))
    assert.ok(answer.kind === 'job' && answer.view !== null, 'the job is not known')
    return answer.view
  }

  /** @returns CODE_… of the answer. */
  cancel(job: Asked): number {
    const answer = this.answer(this.ask(contract.INGRESS_CANCEL, job))
    assert.ok(answer.kind === 'job', 'not an answer to a cancellation')
    return answer.code
  }

  /** Asks for the release of an upstream's record; returns whether it is released. */
  release(upstream: number): boolean {
    const request = this.#requests++
    this.#write(contract.INGRESS_RELEASE_UPSTREAM, [request, upstream, 0, 0, 0], [])
    this.turn()
    const answer = this.answer(request)
    assert.ok(answer.kind === 'released', 'not an answer to a release')
    return answer.done
  }

  /** The one answer to a request. */
  answer(request: number): AnyOutcome {
    const answers = this.answers.filter(
      (outcome) => 'request' in outcome && outcome.request === request)
    assert.equal(answers.length, 1, `${answers.length} answers to request ${request}`)
    return answers[0] as AnyOutcome
  }

  /** Names and data of the events about a job, so far. */
  events(job: Submitted): [name: string, data: unknown][] {
    return this.answers.flatMap((outcome) =>
      outcome.kind === 'event' && outcome.id === job.idText ? [[outcome.event, outcome.data]] : [])
  }

  // --- as the upstream ---

  respond(sent: Sent, answer: Answer = {}): void {
    this.transport.respond(sent, answer)
    this.turn()
  }

  fail(sent: Sent, reason: FailureReason): void {
    this.transport.fail(sent, reason)
    this.turn()
  }

  // --- time ---

  /** Takes turns until the shard needs none at this time, and reads its answers. */
  turn(): void {
    let nextUs = this.engine.turn()
    for (let turns = 1; nextUs <= this.nowUs; turns++) {
      assert.ok(turns < TURNS_AT_ONCE_MAX, 'the shard wants turns for nothing')
      this.#read()
      nextUs = this.engine.turn()
    }
    this.#read()
    this.#clock.wakeAt(nextUs, () => this.turn())
    assert.deepEqual(this.broken, [], 'an assertion of the shard')
  }

  /** Advances time, with all turns that the shard needs on the way. */
  advance(ms: number): void {
    this.time.advanceTo((this.nowUs + msToUs(ms)) as Micros)
  }

  #read(): void {
    if (this.isDeaf) return
    this.#reader.read((kind, offset, length) => {
      this.answers.push(readStoredResult(this.#reader, kind, offset, length))
      return true
    }, Infinity)
  }

  #write(kind: number, words: readonly number[], encoded: readonly Uint8Array[]): void {
    const encodedBytes = encoded.reduce((bytes, part) => bytes + part.length, 0)
    const offset = this.#ingress.claim(kind, words.length * 4 + encodedBytes)
    assert.ok(offset !== RING_FULL, 'the ingress ring is full')
    for (const [at, word] of words.entries()) this.#ingress.u32[offset / 4 + at] = word
    let end = offset + words.length * 4
    for (const part of encoded) {
      this.#ingress.bytes.set(part, end)
      end += part.length
    }
    this.#ingress.commit()
  }
}

/** Two shards of one process, on the same time. */
export function twoShards(
  options: UpstreamStart = {}, limits: Partial<Limits> = {},
): [EngineBench, EngineBench] {
  const memory = shardMemory(smallLimits({ jobsMax: 256, segmentsMax: 32, ...limits, shards: 2 }))
  const time = new VirtualTime()
  return [
    new EngineBench({ ...options, with: { memory, time, shard: 0 } }),
    new EngineBench({ ...options, with: { memory, time, shard: 1 } }),
  ]
}

/** Requests per second as a response header. */
export const rps = (pacePerSecond: number): { 'x-aqueduct-rps': string } =>
  ({ 'x-aqueduct-rps': String(pacePerSecond) })

const idText = (user: number, idLow: number): string =>
  [user, ID_HIGH, idLow].map((word) => word.toString(16).padStart(8, '0')).join('')

function flagsOf({ retries = 4, beginWithinMs, wantsAccountQueue, watch }: JobParts): number {
  return ((beginWithinMs === undefined ? 0 : contract.FLAG_BEGIN_BY) |
    (wantsAccountQueue === true ? contract.FLAG_ACCOUNT_QUEUE : 0) |
    (watch === true ? contract.FLAG_WATCH : 0) |
    (retries << contract.FLAG_RETRIES_SHIFT)) >>> 0
}
