// The front door of a simulation: it writes requests into the ingress rings as src/submit does,
// reads the answer rings, and reports questions and answers to the checkers.

import { AssertionError } from 'node:assert'
import { NONE } from '../../shards/base/units.ts'
import { givenBackBy, isBefore, seeGivenBack } from '../../shards/memory/give-back.ts'
import type { ShardViews } from '../../shards/memory/layout.ts'
import { ownerOf } from '../../shards/memory/owner.ts'
import { RING_FULL, RingReader, RingWriter } from '../../shards/memory/ring.ts'
import { decodeValue, encodeTemplate } from '../../shards/wire/codec.ts'
import * as contract from '../../shards/wire/contract.ts'
import { encodeJob } from '../support/encode-job.ts'
import type { ShardMemory } from '../support/shard-memory.ts'
import type { EventLog } from './event-log.ts'
import type { Observer, Question, SimJob, Verdict } from './observations.ts'
import type { Scenario } from './scenario.ts'
import { promise } from './violation.ts'
import type { VirtualTime } from './virtual-time.ts'

const RECORDS_PER_READ_MAX = 4096
const KIND_OF_QUESTION = {
  get: contract.INGRESS_GET, cancel: contract.INGRESS_CANCEL, watch: contract.INGRESS_WATCH,
} as const

type Pending =
  | { readonly kind: 'submit'; readonly job: SimJob; position: number }
  | { readonly kind: 'release'; readonly heard: (done: boolean) => void }
  /** Another tenant's question, which must be answered with "not found". */
  | { readonly kind: 'foreign'; readonly job: SimJob; readonly label: string; position: number }
  | { readonly kind: Question; readonly job: SimJob; readonly askedUs: number; position: number }

/** What the front door needs. */
export interface FrontDoorParts {
  readonly scenario: Scenario
  readonly memory: ShardMemory
  readonly time: VirtualTime
  readonly log: EventLog
  readonly observers: readonly Observer[]
}

/** The main thread's ends of the rings. */
export class FrontDoor {
  readonly #parts: FrontDoorParts
  #ingress: readonly RingWriter[] = []
  #answers: readonly RingReader[] = []
  readonly #pending = new Map<number, Pending>()
  readonly #jobs = new Map<string, SimJob>()
  /** Requests that were given back: answers may still arrive, and are ignored. */
  readonly #givenBack = new Set<number>()
  /** Jobs that were refused: they are not tracked any more. */
  readonly #refused = new Set<SimJob>()
  #request = 0

  constructor(parts: FrontDoorParts) {
    this.#parts = parts
    this.attach()
  }

  /** Attaches to the rings; again when another process starts on fresh memory. */
  attach(): void {
    const { shards } = this.#parts.memory
    this.#pending.clear()
    this.#givenBack.clear()
    this.#ingress = shards.map((views) => new RingWriter(views.ingress))
    this.#answers = shards.map((views) => new RingReader(views.answers))
  }

  /** Requests that have not been answered. */
  get pending(): number {
    return this.#pending.size
  }

  jobById(id: string): SimJob | undefined {
    return this.#jobs.get(id)
  }

  /** Puts a new job into its shard's ring, or refuses it. */
  submit(job: SimJob): void {
    const { log, observers, scenario, time } = this.#parts
    this.#jobs.set(job.id, job)
    log.add(`submit ${job.number} ${job.id} account ${job.account.number} key ${job.key.text} ` +
      `to ${job.upstream} retries ${job.retriesMax} by ${job.executeBeforeMs}`)
    for (const observer of observers) observer.submitted?.(job)
    const receiver = job.receiver === NONE ? undefined : scenario.places[job.receiver]
    const template = encodeTemplate({
      userId: job.account.userId, method: 'POST', receiver: job.receiver,
      url: `${scenario.places[job.upstream]?.origin}/v1/things?of=${job.account.number}`,
      headers: ['Authorization', job.account.apiKey, 'X-Case', 'kept'],
      webhookUrl: receiver === undefined ? null : `${receiver.origin}/hook`,
    })
    const payload = encodeJob({
      createdAtMs: time.wallMs(job.submittedUs), executeBeforeMs: job.executeBeforeMs,
      body: job.body,
    })
    const ring = this.#ingress[job.shard] as RingWriter
    const bytes = contract.ENQUEUE_HEADER_BYTES + template.length + payload.length
    const offset = ring.claim(contract.INGRESS_ENQUEUE, bytes)
    if (offset === RING_FULL) return this.#judge(job, { kind: 'turned away' })
    const words = ring.u32.subarray(offset / 4)
    const pending = { kind: 'submit' as const, job, position: 0 }
    const request = this.#expect(pending)
    const [laneHigh, laneLow] = job.account.lanes[job.upstream] as readonly [number, number]
    const { keyNumber, tenant, userWord } = job.account
    words.set([request, ...job.idWords, job.key.high ^ userWord, job.key.low, laneHigh, laneLow,
      job.upstream, job.receiver, flagsOf(job), template.length, hashOf(template),
      ownerOf(tenant, keyNumber), 0])
    ring.bytes.set(template, offset + contract.ENQUEUE_HEADER_BYTES)
    ring.bytes.set(payload, offset + contract.ENQUEUE_HEADER_BYTES + template.length)
    pending.position = ring.commit()
  }

  /** A shard does not answer for now: withdraws what it has not taken. */
  giveUp(shard: number): void {
    const ring = this.#ingress[shard] as RingWriter
    this.#refuse(shard, (position) => ring.withdraw(position))
  }

  /** Asks about a job; does nothing when the ring is full. */
  ask(job: SimJob, question: Question): void {
    const { log, observers, time } = this.#parts
    if (!this.#fits(job.shard)) return
    log.add(`${question} ${job.number}`)
    for (const observer of observers) observer.asked?.(job, question)
    const pending = { kind: question, job, askedUs: time.nowUs(), position: 0 }
    const request = this.#expect(pending)
    pending.position = this.#send(
      job.shard, KIND_OF_QUESTION[question], request, job.idWords, job.account.tenant)
  }

  /** Another tenant asks about a job; does nothing when the ring is full. */
  askAs(tenant: number, job: SimJob, question: Question): void {
    if (!this.#fits(job.shard)) return
    const label = `${question} of job ${job.number} by tenant ${tenant}`
    this.#parts.log.add(label)
    const pending = { kind: 'foreign' as const, job, label, position: 0 }
    const request = this.#expect(pending)
    pending.position = this.#send(
      job.shard, KIND_OF_QUESTION[question], request, job.idWords, tenant)
  }

  /** Ends the watch of a job. */
  unwatch(job: SimJob): void {
    if (!this.#fits(job.shard)) return
    this.#parts.log.add(`unwatch ${job.number}`)
    for (const observer of this.#parts.observers) observer.unwatched?.(job)
    this.#send(job.shard, contract.INGRESS_UNWATCH, 0, job.idWords)
  }

  /** Asks a shard to release an upstream's slot; `heard` receives whether it did. */
  release(shard: number, place: number, heard: (done: boolean) => void): void {
    const request = this.#expect({ kind: 'release', heard })
    this.#send(shard, contract.INGRESS_RELEASE_UPSTREAM, request, [place, 0, 0])
  }

  hasAnswers(): boolean {
    return this.#answers.some((ring) => !ring.isEmpty()) ||
      this.#parts.memory.shards.some((views) => givenBackBy(views) !== undefined)
  }

  /** Reads the shards' answers. */
  read(): void {
    for (const [shard, ring] of this.#answers.entries()) {
      const views = this.#parts.memory.shards[shard] as ShardViews
      ring.read((kind, offset, length) => {
        const givenBack = givenBackBy(views)
        if (givenBack !== undefined && !isBefore(ring.position, givenBack.answers)) return false
        this.#hear(shard, kind, offset, offset + length)
        return true
      }, RECORDS_PER_READ_MAX)
      const givenBack = givenBackBy(views)
      if (givenBack === undefined || isBefore(ring.position, givenBack.answers)) continue
      for (const request of this.#refuse(shard, (at) => isBefore(at, givenBack.requests))) {
        this.#givenBack.add(request)
      }
      seeGivenBack(views)
    }
  }

  /**
   * Answers requests to a shard itself, where `mayRefuse` says so of their position. It is not
   * known whether a cancellation was done, so its caller keeps waiting.
   */
  #refuse(shard: number, mayRefuse: (position: number) => boolean): readonly number[] {
    const refused: number[] = []
    for (const [request, pending] of this.#pending) {
      if (pending.kind === 'release' || pending.kind === 'cancel') continue
      if (pending.job.shard !== shard || !mayRefuse(pending.position)) continue
      this.#pending.delete(request)
      refused.push(request)
      if (pending.kind !== 'submit') continue
      this.#refused.add(pending.job)
      this.#judge(pending.job, { kind: 'unavailable' })
    }
    return refused
  }

  #hear(shard: number, kind: number, offset: number, end: number): void {
    const { bytes, u32, f64 } = this.#answers[shard] as RingReader
    const at = offset / 4
    const first = u32[at] as number
    const isAnswer = kind !== contract.ANSWER_EVENT && kind !== contract.ANSWER_WARNING
    if (isAnswer && this.#givenBack.delete(first)) return
    const idAt = (word: number): string => idText([...u32.subarray(word, word + 3)])
    switch (kind) {
      case contract.ANSWER_ACCEPTED:
        return this.#judge(this.#submission(first), { kind: 'accepted' })
      case contract.ANSWER_DUPLICATE:
        return this.#judge(this.#submission(first), {
          kind: 'duplicate', id: idAt(at + 1),
          status: contract.STATUS_OF_STATE[u32[at + 4] as number] as contract.JobStatus,
          result: decodeValue(bytes, offset + contract.DUPLICATE_HEADER_BYTES, end) as
            contract.JobResult | null,
        })
      case contract.ANSWER_REUSED:
        return this.#judge(this.#submission(first), { kind: 'reused', id: idAt(at + 1) })
      case contract.ANSWER_REFUSED:
        return this.#judge(this.#submission(first), {
          kind: 'refused', reason: u32[at + 1] as number,
          limit: f64[offset / 8 + 1] as number, current: f64[offset / 8 + 2] as number,
        })
      case contract.ANSWER_DROPPED: {
        const pending = this.#take(first)
        if (pending.kind === 'submit') this.#judge(pending.job, { kind: 'dropped' })
        return
      }
      case contract.ANSWER_JOB:
        return this.#answered(first, u32[at + 1] as number,
          decodeValue(bytes, offset + contract.JOB_HEADER_BYTES, end) as
            contract.JobSnapshot | null)
      case contract.ANSWER_EVENT:
        return this.#event(idAt(at + 1), first,
          decodeValue(bytes, offset + contract.EVENT_HEADER_BYTES, end) as object)
      case contract.ANSWER_RELEASED: {
        const pending = this.#take(first)
        if (pending.kind !== 'release') throw new AssertionError({ message: 'no release' })
        return pending.heard(u32[at + 1] === 1)
      }
      case contract.ANSWER_WARNING:
        for (const observer of this.#parts.observers) observer.warned?.(first)
        return
      default:
        throw new AssertionError({ message: `an outcome of kind ${kind}` })
    }
  }

  #judge(job: SimJob, verdict: Verdict): void {
    this.#parts.log.add(`judge ${job.number} ${JSON.stringify(verdict)}`)
    for (const observer of this.#parts.observers) observer.judged?.(job, verdict)
  }

  #answered(request: number, code: number, view: contract.JobSnapshot | null): void {
    const pending = this.#take(request)
    if (pending.kind === 'submit' || pending.kind === 'release') {
      throw new AssertionError({ message: 'an answer to no question' })
    }
    if (pending.kind === 'foreign') {
      const isHidden = code === contract.CODE_NOT_FOUND && view === null
      return promise(isHidden, 'tenants', () => `${pending.label} gave ${code}`)
    }
    const { kind, job, askedUs } = pending
    this.#parts.log.add(`${kind} ${job.number} says ${code} ${view?.status} ${view?.attempts}`)
    for (const observer of this.#parts.observers) {
      observer.answered?.(job, kind, code, view, askedUs)
    }
  }

  #event(id: string, event: number, data: object): void {
    const job = this.#jobs.get(id)
    if (job === undefined) throw new AssertionError({ message: `an event of no job: ${id}` })
    if (this.#refused.has(job)) return
    this.#parts.log.add(`event ${job.number} ${contract.EVENT_NAMES[event]}`)
    for (const observer of this.#parts.observers) observer.event?.(job, event, data)
  }

  #submission(request: number): SimJob {
    const pending = this.#take(request)
    if (pending.kind !== 'submit') throw new AssertionError({ message: 'no submission' })
    return pending.job
  }

  #expect(pending: Pending): number {
    this.#pending.set(++this.#request, pending)
    return this.#request
  }

  #take(request: number): Pending {
    const pending = this.#pending.get(request)
    if (pending === undefined) throw new AssertionError({ message: 'a request answered twice' })
    this.#pending.delete(request)
    return pending
  }

  #fits(shard: number): boolean {
    return (this.#ingress[shard] as RingWriter).fits(contract.REQUEST_WORDS * 4)
  }

  #send(
    shard: number, kind: number, request: number, id: readonly number[], tenant = 0,
  ): number {
    const ring = this.#ingress[shard] as RingWriter
    const offset = ring.claim(kind, contract.REQUEST_WORDS * 4)
    if (offset === RING_FULL) throw new AssertionError({ message: 'asked without looking' })
    ring.u32.set([request, ...id, tenant], offset / 4)
    return ring.commit()
  }
}

/** Three words → 24 hexadecimal digits. */
export const idText = (words: readonly number[]): string =>
  words.map((word) => word.toString(16).padStart(8, '0')).join('')

function flagsOf(job: SimJob): number {
  return ((job.wantsAccountQueue ? contract.FLAG_ACCOUNT_QUEUE : 0) |
    (job.watch ? contract.FLAG_WATCH : 0) |
    (job.executeBeforeMs !== 0 ? contract.FLAG_BEGIN_BY : 0) |
    (job.retriesMax << contract.FLAG_RETRIES_SHIFT)) >>> 0
}

/** FNV-1a; sufficient, since no text is chosen to collide. */
function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}
