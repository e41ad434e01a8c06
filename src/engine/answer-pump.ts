// Reads the shards' messages from their answer rings. Sleeps on the main thread's bell, after a
// short blocking wait where answers are expected at once. A periodic tick checks the rings too, in
// case the thread that should have rung the bell crashed before it did.

import { assert } from '../../shards/base/assert.ts'
import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { Sleeper } from '../../shards/memory/doorbell.ts'
import { givenBackBy, isBefore, seeGivenBack } from '../../shards/memory/give-back.ts'
import { POLL_EVERY_MS } from '../../shards/memory/limits.ts'
import { decodeValue } from '../../shards/wire/codec.ts'
import {
  DUPLICATE_HEADER_BYTES, EVENT_HEADER_BYTES, JOB_HEADER_BYTES, type JobResult, type JobStatus,
  type JobSnapshot, ANSWER_ACCEPTED, ANSWER_DROPPED, ANSWER_DUPLICATE, ANSWER_EVENT, ANSWER_JOB,
  ANSWER_REFUSED, ANSWER_RELEASED, ANSWER_REUSED, ANSWER_WARNING, STATUS_OF_STATE,
  WARNING_HEADER_BYTES,
} from '../../shards/wire/contract.ts'
import { formatJobId } from '../../shards/wire/job-id.ts'
import { ANSWER_NAP_MS, ANSWER_NAPS_MISSED_MAX, ANSWERS_PER_TURN_MAX } from '../base/limits.ts'
import type { ShardLink } from './shard-link.ts'

/** Receives the answers. `request` is the number that the request was sent with. */
export interface AnswerSink {
  accepted(request: number): void
  /** `result` is null while the job that holds the key is not finished. */
  duplicate(request: number, jobId: string, status: JobStatus, result: JobResult | null): void
  /** The key belongs to another request: that of this job. */
  reused(request: number, jobId: string): void
  /** @param reason REFUSED_…; limit and current are in its unit. */
  refused(request: number, reason: number, limit: number, current: number): void
  /** @param code CODE_… */
  job(request: number, code: number, snapshot: JobSnapshot | null): void
  /** @param event EVENT_… */
  event(jobId: string, event: number, data: object): void
  /** The request has crashed its shard's thread more than once. */
  dropped(request: number): void
  /** Requests before this position of the ingress ring without an answer will never get one. */
  givenBack(shard: number, position: number): void
  released(request: number, done: boolean): void
  warning(upstream: number, value: unknown): void
  /** All rings have been read for now. */
  turnEnded(): void
  /** Every POLL_EVERY_MS or so. */
  tick(nowUs: Micros): void
}

const POLL_US = msToUs(POLL_EVERY_MS)

/** Whether the next answer was published before its shard gave back unanswered requests. */
function mayTell({ answers, views }: ShardLink): boolean {
  const givenBack = givenBackBy(views)
  return givenBack === undefined || isBefore(answers.position, givenBack.answers)
}

/** Reads all answer rings, and sleeps while they are empty. */
export class AnswerPump {
  readonly #links: readonly ShardLink[]
  readonly #handlers: readonly ((kind: number, offset: number, length: number) => boolean)[]
  readonly #sleeper: Sleeper
  readonly #clock: Clock
  readonly #sink: AnswerSink
  #running = false
  #goingOn = false
  /** Backoff: naps to skip after the next one without an answer, and naps still to be skipped. */
  #missedNext = 1
  #missed = 0

  /** @param clock the pump's own, since a clock has one wake-up. */
  constructor(
    links: readonly ShardLink[], mainBell: Int32Array, clock: Clock, sink: AnswerSink,
  ) {
    this.#links = links
    this.#handlers = links.map((link) => (kind, offset, length) => {
      if (!mayTell(link)) return false
      this.#handle(link, kind, offset, length)
      return true
    })
    this.#sleeper = new Sleeper(mainBell)
    this.#clock = clock
    this.#sink = sink
  }

  start(): void {
    this.#running = true
    this.#tick()
    this.#drain()
  }

  /** Reads everything that is left; call it after stop(), once the shards have ended. */
  readRest(): void {
    for (let at = 0; at < this.#links.length; at++) this.#read(at)
    if (this.#hasAnswers()) this.readRest()
  }

  /** Stops reading. */
  stop(): void {
    this.#running = false
    this.#sleeper.awake()
    this.#clock.wakeAt(Infinity as Micros, this.#tick)
  }

  /**
   * Call it when shards have been rung and the event loop has nothing else to do: blocks until they
   * answer, some tens of microseconds if nothing delays them. If something does, such as a journal,
   * blocking is wasted, so naps are skipped with a doubling backoff.
   */
  nap(): void {
    if (!this.#running || this.#goingOn) return
    if (this.#missed > 0) {
      this.#missed--
      return
    }
    this.#sleeper.awake()
    if (this.#sleeper.nap(this.#hasAnswers, ANSWER_NAP_MS)) {
      this.#missedNext = 1
    } else {
      this.#missed = this.#missedNext
      this.#missedNext = Math.min(ANSWER_NAPS_MISSED_MAX, 2 * this.#missedNext)
    }
    this.#drain()
  }

  readonly #tick = (): void => {
    if (!this.#running) return
    const nowUs = this.#clock.nowUs()
    this.#clock.wakeAt((nowUs + POLL_US) as Micros, this.#tick)
    this.#sink.tick(nowUs)
    if (this.#goingOn || !this.#hasAnswers()) return
    this.#sleeper.awake()
    this.#drain()
  }

  /** Reads until all rings are empty, or continues in the next iteration of the event loop. */
  readonly #drain = (): void => {
    this.#goingOn = false
    if (!this.#running) return
    for (let at = 0; at < this.#links.length; at++) {
      this.#read(at)
      if (!this.#running) return
    }
    this.#sink.turnEnded()
    if (this.#sleeper.sleep(this.#hasAnswers, this.#drain)) return
    this.#goingOn = true
    setImmediate(this.#drain)
  }

  #read(at: number): void {
    const handler = this.#handlers[at]
    const link = this.#links[at]
    assert(handler !== undefined && link !== undefined, 'a link without a handler')
    link.answers.read(handler, ANSWERS_PER_TURN_MAX)
    const givenBack = givenBackBy(link.views)
    if (givenBack === undefined || isBefore(link.answers.position, givenBack.answers)) return
    this.#sink.givenBack(link.shard, givenBack.requests)
    seeGivenBack(link.views)
  }

  readonly #hasAnswers = (): boolean => {
    for (const { answers, views } of this.#links) {
      if (!answers.isEmpty() || givenBackBy(views) !== undefined) return true
    }
    return false
  }

  #handle(link: ShardLink, kind: number, offset: number, length: number): void {
    const { bytes, u32, f64 } = link.answers
    const at = offset >>> 2
    const end = offset + length
    const first = u32[at] as number
    const second = u32[at + 1] as number
    switch (kind) {
      case ANSWER_ACCEPTED:
        return this.#sink.accepted(first)
      case ANSWER_DUPLICATE: {
        const status = STATUS_OF_STATE[u32[at + 4] as number]
        assert(status !== undefined, 'an unknown job state in an answer')
        const jobId = formatJobId(second, u32[at + 2] as number, u32[at + 3] as number)
        const result = decodeValue(bytes, offset + DUPLICATE_HEADER_BYTES, end)
        return this.#sink.duplicate(first, jobId, status, result as JobResult | null)
      }
      case ANSWER_REUSED:
        return this.#sink.reused(
          first, formatJobId(second, u32[at + 2] as number, u32[at + 3] as number))
      case ANSWER_REFUSED: {
        const word = offset >>> 3
        const limit = f64[word + 1] as number
        return this.#sink.refused(first, second, limit, f64[word + 2] as number)
      }
      case ANSWER_JOB: {
        const snapshot = decodeValue(bytes, offset + JOB_HEADER_BYTES, end)
        return this.#sink.job(first, second, snapshot as JobSnapshot | null)
      }
      case ANSWER_EVENT: {
        const jobId = formatJobId(second, u32[at + 2] as number, u32[at + 3] as number)
        const data = decodeValue(bytes, offset + EVENT_HEADER_BYTES, end)
        return this.#sink.event(jobId, first, data as object)
      }
      case ANSWER_DROPPED:
        return this.#sink.dropped(first)
      case ANSWER_RELEASED:
        return this.#sink.released(first, second === 1)
      case ANSWER_WARNING:
        return this.#sink.warning(first, decodeValue(bytes, offset + WARNING_HEADER_BYTES, end))
      default:
        assert(false, `an unknown answer kind: ${kind}`)
    }
  }
}
