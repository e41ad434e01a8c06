// Questions about single jobs on their way to a shard and back: show, cancel, watch; and the words
// to a shard that need no answer.

import {
  CODE_NOT_FOUND, INGRESS_CANCEL, INGRESS_GET, INGRESS_UNWATCH, INGRESS_WATCH, type JobView,
} from '../shards/contract.ts'
import { isBefore } from '../shards/give-back.ts'
import { RING_FULL } from '../shards/ring.ts'
import { NONE } from '../shards/units.ts'
import type { ErrorCode } from './errors.ts'
import { shardOf } from './hash.ts'
import { type JobIdWords, parseJobId } from './job-id.ts'
import { absenceOf, type BatchBells, sendRequest, type ShardLink } from './shard-link.ts'
import { Waiting, type WaitingTable } from './waiting.ts'

/** What can be asked. */
export type QuestionKind = 'get' | 'cancel' | 'watch'

const RECORD_KINDS = { get: INGRESS_GET, cancel: INGRESS_CANCEL, watch: INGRESS_WATCH } as const

/** Who asks about a job; exactly one of its calls comes, at once or later. */
export interface Question {
  /** @param code CODE_…; the view is null where there is none. */
  answered(code: number, view: JobView | null): void
  /** Nobody can be asked. */
  unavailable(code: ErrorCode): void
}

/** All questions under way. */
export class Questions {
  readonly #links: readonly ShardLink[]
  readonly #bells: BatchBells
  readonly #waiting: Waiting<Question>

  /** @param asked those under way; a second table, beside that of the jobs. */
  constructor(
    links: readonly ShardLink[], bells: BatchBells, asked: WaitingTable<Question>,
  ) {
    this.#links = links
    this.#bells = bells
    this.#waiting = new Waiting(asked)
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Asks the shard of a job; what is no id at all is the id of no job. */
  ask(kind: QuestionKind, jobId: string, question: Question): void {
    const id = parseJobId(jobId)
    if (id === undefined) return question.answered(CODE_NOT_FOUND, null)
    const link = this.#linkOf(id)
    const absence = absenceOf(link)
    if (absence !== undefined) return question.unavailable(absence)
    const request = this.#waiting.add(question, link.shard)
    if (request === NONE) return question.unavailable('overloaded')
    const position = this.#send(link, RECORD_KINDS[kind], request, id)
    if (position !== RING_FULL) return this.#waiting.sentAt(request, position)
    this.#waiting.take(request)
    question.unavailable('overloaded')
  }

  /** A shard's answer. */
  answered(request: number, code: number, view: JobView | null): void {
    this.#waiting.take(request)?.answered(code, view)
  }

  /** The question has ended its shard's thread more than once. */
  dropped(request: number): void {
    this.#waiting.take(request)?.unavailable('request_crashed')
  }

  /** Nobody follows a job any more; false when its shard's ring is full. */
  unwatch(jobId: string): boolean {
    const id = parseJobId(jobId)
    return id === undefined ||
      this.#send(this.#linkOf(id), INGRESS_UNWATCH, NONE, id) !== RING_FULL
  }

  /** A shard does not answer for now: what it has not taken is withdrawn. */
  giveUp({ ingress, shard }: ShardLink, code: ErrorCode): void {
    for (const request of this.#waiting.requestsOf(shard)) {
      if (!ingress.withdraw(this.#waiting.positionOf(request))) continue
      this.#waiting.take(request)?.unavailable(code)
    }
  }

  /** A shard cannot answer what it has taken before this position, and may have done it. */
  givenBack(shard: number, position: number): void {
    for (const request of this.#waiting.requestsOf(shard)) {
      if (!isBefore(this.#waiting.positionOf(request), position)) continue
      this.#waiting.take(request)?.unavailable('answer_unknown')
    }
  }

  /** Nothing more is said by a shard. */
  abandon(shard: number): void {
    for (const request of this.#waiting.requestsOf(shard)) {
      this.#waiting.take(request)?.unavailable('answer_unknown')
    }
  }

  #linkOf(id: JobIdWords): ShardLink {
    return this.#links[shardOf(id.route, this.#links.length)] as ShardLink
  }

  /** @returns where it is in the ring, or RING_FULL. */
  #send(link: ShardLink, kind: number, request: number, id: JobIdWords): number {
    const position = sendRequest(link, kind, request, id.route, id.idHigh, id.idLow)
    if (position !== RING_FULL) this.#bells.ringSoon(link.shard)
    return position
  }
}
