// A shard that keeps no jobs: it reads the ingress ring on the test's own thread, shows the test
// each request, and writes the answers that the test wants.

import { NONE } from '../../shards/base/units.ts'
import { Bell, Sleeper } from '../../shards/memory/doorbell.ts'
import { GiveBack } from '../../shards/memory/give-back.ts'
import type { ShardViews, SharedViews } from '../../shards/memory/layout.ts'
import { RING_FULL, RingReader, RingWriter } from '../../shards/memory/ring.ts'
import { decodeJob, decodeTemplate, encodeValue, type JobPayload, type Template }
  from '../../shards/wire/codec.ts'
import {
  ACCEPTED_BYTES, DUPLICATE_HEADER_BYTES, ENQUEUE_HEADER_BYTES, EVENT_HEADER_BYTES,
  INGRESS_ENQUEUE, JOB_HEADER_BYTES, type JobResult, type JobSnapshot, ANSWER_ACCEPTED,
  ANSWER_DUPLICATE, ANSWER_EVENT, ANSWER_JOB, ANSWER_REFUSED, ANSWER_RELEASED,
  ANSWER_WARNING, REFUSED_BYTES, RELEASED_BYTES, WARNING_HEADER_BYTES, WORD_RECEIVER,
  WORD_TEMPLATE_BYTES, WORD_UPSTREAM,
} from '../../shards/wire/contract.ts'

/** An ingress record, copied out of the ring. */
export interface FakeRequest {
  readonly kind: number
  /** All words of the header; see WORD_… in contract.ts. */
  readonly words: readonly number[]
  /** Of an enqueue. */
  readonly template?: Template
  readonly job?: JobPayload
}

/** One fake shard. */
export class FakeShard {
  /** Called for each request, in order; replace it to answer. */
  onRequest: (request: FakeRequest) => void = () => {}
  /** Reference counts of upstreams, as in a real shard; these never reach zero. */
  readonly #references: Uint32Array
  readonly #ingress: RingReader
  readonly #answers: RingWriter
  readonly #sleeper: Sleeper
  readonly #mainBell: Bell
  readonly #giveBack: GiveBack
  #stopped = false
  #isDead = false

  constructor(views: ShardViews, shared: SharedViews) {
    this.#references = views.upstreams.references
    this.#ingress = new RingReader(views.ingress, true)
    this.#answers = new RingWriter(views.answers)
    this.#sleeper = new Sleeper(views.bell)
    this.#mainBell = new Bell(shared.mainBell)
    this.#giveBack = new GiveBack(views)
    this.#run()
  }

  /** Takes nothing from now on, as after the end of its thread, until revive(). */
  die(): void {
    this.#isDead = true
  }

  revive(): void {
    this.#isDead = false
    this.#sleeper.awake()
    this.#run()
  }

  /** As a shard with a stalled journal: gives back unanswered what it has taken. */
  giveBack(): void {
    this.#giveBack.begin({
      requests: this.#ingress.position, answers: this.#answers.published,
    })
    this.#giveBack.end()
    this.#mainBell.ring()
  }

  stop(): void {
    this.#stopped = true
    this.#sleeper.awake()
  }

  accept(request: number): void {
    this.#write(ANSWER_ACCEPTED, [request], ACCEPTED_BYTES)
  }

  /** @param state a JOB_… number of job-slots.ts. */
  duplicate(
    request: number, id: readonly number[], state: number, result: JobResult | null,
  ): void {
    this.#write(ANSWER_DUPLICATE, [request, ...id, state], DUPLICATE_HEADER_BYTES, result)
  }

  refuse(request: number, reason: number, limit: number, current: number): void {
    const at = this.#claim(ANSWER_REFUSED, [request, reason], REFUSED_BYTES)
    this.#answers.f64[at / 8 + 1] = limit
    this.#answers.f64[at / 8 + 2] = current
    this.#commit()
  }

  job(request: number, code: number, view: JobSnapshot | null): void {
    this.#write(ANSWER_JOB, [request, code], JOB_HEADER_BYTES, view)
  }

  event(id: readonly number[], event: number, data: object): void {
    this.#write(ANSWER_EVENT, [event, ...id], EVENT_HEADER_BYTES, data)
  }

  released(request: number, done: boolean): void {
    this.#write(ANSWER_RELEASED, [request, done ? 1 : 0], RELEASED_BYTES)
  }

  warn(upstream: number, value: object): void {
    this.#write(ANSWER_WARNING, [upstream, 0], WARNING_HEADER_BYTES, value)
  }

  readonly #run = (): void => {
    while (!this.#stopped && !this.#isDead) {
      this.#ingress.read((kind, offset, length) => {
        this.onRequest(this.#copy(kind, offset, length))
        return true
      }, 1000)
      if (this.#sleeper.sleep(() => !this.#ingress.isEmpty(), this.#run)) return
    }
  }

  #copy(kind: number, offset: number, length: number): FakeRequest {
    const { bytes, u32 } = this.#ingress
    const header = kind === INGRESS_ENQUEUE ? ENQUEUE_HEADER_BYTES : length
    const words = [...u32.subarray(offset / 4, (offset + header) / 4)]
    if (kind !== INGRESS_ENQUEUE) return { kind, words }
    const start = offset + header
    for (const word of [WORD_UPSTREAM, WORD_RECEIVER]) {
      const upstream = words[word] as number
      if (upstream !== NONE) this.#references[upstream] = (this.#references[upstream] as number) + 1
    }
    const middle = start + (words[WORD_TEMPLATE_BYTES] as number)
    return {
      kind, words, template: decodeTemplate(bytes, start, middle),
      job: decodeJob(bytes, middle, offset + length),
    }
  }

  #write(kind: number, words: readonly number[], header: number, value?: unknown): void {
    const encoded = value === undefined ? Buffer.alloc(0) : encodeValue(value)
    const at = this.#claim(kind, words, header + encoded.length)
    this.#answers.bytes.set(encoded, at + header)
    this.#commit()
  }

  #claim(kind: number, words: readonly number[], length: number): number {
    const at = this.#answers.claim(kind, length)
    if (at === RING_FULL) throw new Error('the fake shard has filled its answer ring')
    this.#answers.u32.set(words, at / 4)
    return at
  }

  #commit(): void {
    this.#answers.commit()
    this.#mainBell.ring()
  }
}
