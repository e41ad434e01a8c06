// One shard's engine with very many account queues, in real time, with a transport that sends
// nothing and answers at once. Each answer is a 429 with a Retry-After of one round, so every lane
// has a send due once a round, at a known time, and never becomes empty.
//
// The jobs are submitted over two rounds, at half the rate at which lanes will be due, while
// nothing else is: if the engine were still behind with them when the measurement begins, lanes
// would be due in bursts ever after. Those of the first round get a Retry-After of two rounds,
// those of the second of one, so that both halves are spread evenly over the first measured round.

import { assert } from '../../shards/base/assert.ts'
import { type Clock, monotonicUs } from '../../shards/base/clock.ts'
import { Prng } from '../../shards/base/prng.ts'
import { KIB, MIB, type Micros, type Millis, NONE, US_PER_SECOND } from '../../shards/base/units.ts'
import { intervalNs } from '../../shards/memory/interval.ts'
import {
  UPSTREAM_ACCOUNT_QUEUES, UPSTREAM_CONCURRENT_MAX, UPSTREAM_INTERVAL_NS, UPSTREAM_TIMEOUT_MS,
  allocateShard, allocateShared, attachShard, attachShared,
} from '../../shards/memory/layout.ts'
import type { Limits } from '../../shards/memory/plan.ts'
import { RING_FULL, RingReader, RingWriter } from '../../shards/memory/ring.ts'
import { Engine } from '../../shards/shard/engine.ts'
import {
  LINE_FREE, type Line, type OutgoingRequest, type Transport, type TransportEvents,
} from '../../shards/transport/transport.ts'
import { encodeTemplate, jobBytes, writeJobHead } from '../../shards/wire/codec.ts'
import * as contract from '../../shards/wire/contract.ts'
import { type EncodedLatency, LatencyRecorder } from './latency.ts'

/** The duration of a storm. Measuring starts after the jobs are submitted, in FILL_ROUNDS. */
export interface StormPlan {
  readonly accounts: number
  /** Whole seconds. */
  readonly roundSeconds: number
  readonly rounds: number
}

const ROUND_SECONDS_MAX = 10
/** After more, an attempt's back-off could exceed a round, which would not be measured then. */
const ROUNDS_MAX = 3

/** Rounds before the measured ones. */
export const FILL_ROUNDS = 2

/** Rounds that take about so many seconds, without FILL_ROUNDS. */
export function stormPlan(accounts: number, seconds: number): StormPlan {
  const roundSeconds = Math.max(1, Math.min(ROUND_SECONDS_MAX, Math.floor(seconds)))
  const rounds = roundSeconds < ROUND_SECONDS_MAX ? 1
    : Math.min(ROUNDS_MAX, Math.floor(seconds / roundSeconds))
  return { accounts, roundSeconds, rounds }
}

/** One that is retried, and one that waits behind it. */
const JOBS_PER_ACCOUNT = 2
const SLEEP_MS_MAX = 1
const TURNS_PER_LOOK = 64
const UPSTREAM = 0
/** Per account: slow enough that a late send is never followed by another at once. */
const PACE_PER_SECOND = 10
const BODY_BYTES = 4

/** The result of a storm. */
export interface StormResult {
  /** Lanes with a send due in each second. */
  readonly duePerSecond: number
  /** Sends in the measured rounds, and their cost. */
  readonly sends: number
  readonly seconds: number
  /** Share of one core, over the same time. */
  readonly coreShare: number
  readonly lanesActive: number
  /** How long after its due time a send was made. */
  readonly lateness: EncodedLatency
}

/** The transport: holds answers until deliver() is called. */
class PatientUpstream implements Transport {
  readonly #attemptIds: number[] = []
  readonly #sent: (account: number) => void
  #events: TransportEvents | undefined
  /** The Retry-After of the next answers. */
  patienceSeconds: number

  constructor(patienceSeconds: number, sent: (account: number) => void) {
    this.patienceSeconds = patienceSeconds
    this.#sent = sent
  }

  start(events: TransportEvents): void {
    this.#events = events
  }

  lineTo(): Line {
    return LINE_FREE
  }

  connect(): void {}

  send(attemptId: number, _to: number, { body }: OutgoingRequest): void {
    this.#attemptIds.push(attemptId)
    this.#events?.written(attemptId)
    if (body !== null) this.#sent(new DataView(body.buffer, body.byteOffset).getUint32(0))
  }

  deliver(): void {
    const retryAfter = String(this.patienceSeconds)
    for (const attemptId of this.#attemptIds) {
      this.#events?.head(attemptId, 429, { 'retry-after': retryAfter })
      this.#events?.end(attemptId, new Uint8Array(0), false)
    }
    this.#attemptIds.length = 0
  }

  abort(): void {}
  forget(): void {}
  forgetAll(): void {}
  async close(): Promise<void> {}
}

function stormLimits(accounts: number): Limits {
  return {
    memoryBytes: 0, shards: 1, bodyBytesMax: KIB, responseBytesMax: KIB, recordBytesMax: 8 * KIB,
    ringBytes: 16 * MIB, segmentBytes: 8 * MIB,
    segmentsMax: 8 + Math.ceil((accounts * JOBS_PER_ACCOUNT * KIB) / (8 * MIB)),
    jobsMax: 2 * accounts * JOBS_PER_ACCOUNT, lanesMax: 2 * accounts + 64, templatesMax: 16,
    upstreamsMax: 8,
  }
}

/** One storm. */
export class LaneStorm {
  readonly #accounts: number
  readonly #rounds: number
  readonly #roundSeconds: number
  readonly #lateness = new LatencyRecorder()
  /** When each account's next send is due; 0 before its first. */
  readonly #dueUs: Float64Array
  readonly #engine: Engine
  readonly #upstream: PatientUpstream
  readonly #ingress: RingWriter
  readonly #answers: RingReader
  readonly #nap = new Int32Array(new SharedArrayBuffer(4))
  #queued = 0
  #sends = 0
  #measuring = false
  /** The engine has received an answer, after which it may send more. */
  #turnWanted = false
  #broken: unknown

  constructor({ accounts, roundSeconds, rounds }: StormPlan) {
    this.#accounts = accounts
    this.#rounds = rounds
    this.#roundSeconds = roundSeconds
    this.#dueUs = new Float64Array(accounts)
    const limits = stormLimits(accounts)
    const shared = attachShared(allocateShared(limits), limits)
    shared.upstreams[UPSTREAM_INTERVAL_NS] = intervalNs(PACE_PER_SECOND)
    shared.upstreams[UPSTREAM_CONCURRENT_MAX] = 100
    shared.upstreams[UPSTREAM_ACCOUNT_QUEUES] = 1
    shared.upstreams[UPSTREAM_TIMEOUT_MS] = 30_000
    const views = attachShard(allocateShard(limits), limits)
    this.#ingress = new RingWriter(views.ingress)
    this.#answers = new RingReader(views.answers)
    this.#upstream = new PatientUpstream(FILL_ROUNDS * roundSeconds,
      (account) => this.#sentFor(account))
    const clock: Clock = {
      nowUs: monotonicUs, wakeAt: () => {},
      wallMs: (atUs) => Math.floor(atUs / 1000) as Millis,
    }
    this.#engine = new Engine({
      shard: 0, shared, shards: [views], clock, prng: new Prng(1), transport: this.#upstream,
      recover: false, journal: null,
      wantTurn: () => { this.#turnWanted = true },
      settings: {
        completedTtlMs: 60_000, failedTtlMs: 60_000, responseBytesMax: KIB, keyMismatch: 'reject',
        connectionsPerOriginMax: 1, webhookRetryAfterMsMax: 300_000, extraCaPem: '',
        userAgent: 'bench',
      },
      broken: (error) => { this.#broken = error },
    })
  }

  /** Runs it; `onProgress` receives the elapsed seconds. */
  async run(onProgress: (seconds: number) => void): Promise<StormResult> {
    const startUs = monotonicUs()
    const roundUs = this.#roundSeconds * US_PER_SECOND
    const measureUs = startUs + FILL_ROUNDS * roundUs
    const endUs = measureUs + this.#rounds * roundUs
    let cpuBefore = process.cpuUsage()
    for (let nowUs = monotonicUs(); nowUs < endUs; nowUs = monotonicUs()) {
      assert(this.#broken === undefined, String(this.#broken))
      if (nowUs >= startUs + roundUs) this.#upstream.patienceSeconds = this.#roundSeconds
      for (let turns = 0; turns < TURNS_PER_LOOK; turns++) this.#turn(startUs)
      if (!this.#measuring && monotonicUs() >= measureUs) {
        this.#measuring = true
        cpuBefore = process.cpuUsage()
      }
      onProgress((nowUs - startUs) / US_PER_SECOND)
      await new Promise((resolve) => { setImmediate(resolve) })
    }
    const cpu = process.cpuUsage(cpuBefore)
    const seconds = (monotonicUs() - measureUs) / US_PER_SECOND
    return {
      duePerSecond: this.#accounts / this.#roundSeconds, sends: this.#sends, seconds,
      coreShare: (cpu.user + cpu.system) / US_PER_SECOND / seconds,
      lanesActive: this.#dueUs.filter((dueUs) => dueUs > 0).length,
      lateness: this.#lateness.encode(),
    }
  }

  #turn(startUs: Micros): void {
    this.#submitDue(startUs)
    this.#turnWanted = false
    const nextUs = this.#engine.turn()
    this.#upstream.deliver()
    this.#answers.read(() => true, Infinity)
    if (this.#turnWanted || this.#queued < this.#accounts * JOBS_PER_ACCOUNT) return
    const sleepMs = (nextUs - monotonicUs()) / 1000
    if (sleepMs > 0) Atomics.wait(this.#nap, 0, 0, Math.min(sleepMs, SLEEP_MS_MAX))
  }

  /** Submits jobs evenly, so that their sends are due evenly ever after. */
  #submitDue(startUs: Micros): void {
    const elapsed =
      (monotonicUs() - startUs) / (FILL_ROUNDS * this.#roundSeconds * US_PER_SECOND)
    const accounts = Math.min(this.#accounts, Math.ceil(elapsed * this.#accounts))
    for (; this.#queued < accounts * JOBS_PER_ACCOUNT; this.#queued++) {
      if (!this.#submit(this.#queued)) return
    }
  }

  #submit(job: number): boolean {
    const account = Math.floor(job / JOBS_PER_ACCOUNT)
    const template = encodeTemplate({
      userId: `user-${account}`, url: 'http://127.0.0.1:1/v1/chat/completions', method: 'POST',
      headers: ['Authorization', `Bearer sk-bench-${account}`], webhookUrl: null, receiver: NONE,
    })
    const bytes =
      contract.ENQUEUE_HEADER_BYTES + template.length + jobBytes(0, BODY_BYTES)
    const at = this.#ingress.claim(contract.INGRESS_ENQUEUE, bytes)
    if (at === RING_FULL) return false
    const hash = Math.imul(job + 1, 0x9e3779b1) >>> 0
    const lane = Math.imul(account + 1, 0x85ebca6b) >>> 0
    this.#ingress.u32.set([0, hash, job, hash, job, hash, account, lane, UPSTREAM, NONE,
      -1 << contract.FLAG_RETRIES_SHIFT, template.length, hash], at / 4)
    const start = at + contract.ENQUEUE_HEADER_BYTES
    const target = this.#ingress.bytes
    target.set(template, start)
    const bodyAt = writeJobHead(target, start + template.length, Date.now(), 0, BODY_BYTES)
    target.writeUInt32BE(account, bodyAt)
    this.#ingress.commit()
    return true
  }

  #sentFor(account: number): void {
    const nowUs = monotonicUs()
    const dueUs = this.#dueUs[account] as number
    // An account whose first job was late has no due time to be measured against yet.
    if (this.#measuring && dueUs > 0) {
      this.#sends++
      this.#lateness.record(nowUs - dueUs)
    }
    this.#dueUs[account] = nowUs + this.#upstream.patienceSeconds * US_PER_SECOND
  }
}
