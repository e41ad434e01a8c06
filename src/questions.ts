// Questions about single jobs on their way to a shard and back: show, cancel, watch; and the words
// to a shard that need no answer.

import {
  CODE_NOT_FOUND, INGRESS_CANCEL, INGRESS_GET, INGRESS_UNWATCH, INGRESS_WATCH, type JobView,
} from '../shards/contract.ts'
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
    if (this.#send(link, RECORD_KINDS[kind], request, id)) return
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
    return id === undefined || this.#send(this.#linkOf(id), INGRESS_UNWATCH, NONE, id)
  }

  /** A shard will not answer any more. */
  giveUp(shard: number, code: ErrorCode): void {
    for (const request of this.#waiting.requestsOf(shard)) {
      this.#waiting.take(request)?.unavailable(code)
    }
  }

  #linkOf(id: JobIdWords): ShardLink {
    return this.#links[shardOf(id.route, this.#links.length)] as ShardLink
  }

  #send(link: ShardLink, kind: number, request: number, id: JobIdWords): boolean {
    if (!sendRequest(link, kind, request, id.route, id.idHigh, id.idLow)) return false
    this.#bells.ringSoon(link.shard)
    return true
  }
}
