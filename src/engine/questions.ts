// Questions about single jobs, sent to a shard and answered by it: show, cancel, watch; and the
// messages to a shard that need no answer.

import { assert } from '../../shards/base/assert.ts'
import { NONE } from '../../shards/base/units.ts'
import { isBefore } from '../../shards/memory/give-back.ts'
import { RING_FULL } from '../../shards/memory/ring.ts'
import {
  CODE_NOT_FOUND, INGRESS_CANCEL, INGRESS_GET, INGRESS_UNWATCH, INGRESS_WATCH, type JobSnapshot,
} from '../../shards/wire/contract.ts'
import {
  accountOf, AccountShare, type HeldTable, makeHeldTable, type PoolContext,
} from '../base/account-share.ts'
import { QUESTIONS_IN_RING_MAX, QUESTIONS_PENDING_BULK_MAX } from '../base/client-limits.ts'
import type { ErrorCode } from '../base/errors.ts'
import { shardOf } from '../base/hash.ts'
import { type JobIdWords, parseJobId } from '../base/job-id.ts'
import { QUESTIONS_PENDING_MAX } from '../base/limits.ts'
import { DOOR_POOLS } from '../base/pools.ts'
import { makeFairQueueTable, FairQueue, type FairQueueTable } from './fair-queue.ts'
import { absenceOf, type BatchBells, sendRequest, type ShardLink } from './shard-link.ts'
import { makeWaitingTable, slotOf, Waiting, type WaitingTable } from './waiting.ts'

/** What can be asked. */
export type QuestionKind = 'get' | 'cancel' | 'watch'

const RECORD_KINDS = { get: INGRESS_GET, cancel: INGRESS_CANCEL, watch: INGRESS_WATCH } as const

/** The asker's callbacks; exactly one is called, synchronously or later. */
export interface Question {
  /** Whether the asker may have many questions pending. */
  readonly isBulk: boolean
  /** @param code CODE_…; the snapshot is null where there is none. */
  answered(code: number, snapshot: JobSnapshot | null): void
  /** The question cannot be answered. */
  unavailable(code: ErrorCode): void
}

/** All pending questions, as plain data. The columns are indexed by slot. */
export interface QuestionTable {
  readonly waiting: WaitingTable<Question>
  readonly held: HeldTable
  readonly kind: Uint8Array
  readonly route: Uint32Array
  readonly idHigh: Uint32Array
  readonly idLow: Uint32Array
  readonly tenant: Uint16Array
  /** 1: it is in its shard's ring, or the shard has taken it. */
  readonly sent: Uint8Array
  /** See FairQueue. */
  readonly next: Uint32Array
  /** By shard. */
  readonly queues: readonly FairQueueTable[]
  /** Questions sent and not yet answered, by shard. */
  readonly sentCount: Uint32Array
}

/** An empty table. Its request numbers differ from those of pending jobs. */
export const makeQuestionTable = (shards: number): QuestionTable => ({
  waiting: makeWaitingTable(QUESTIONS_PENDING_MAX, true),
  held: makeHeldTable(QUESTIONS_PENDING_MAX),
  kind: new Uint8Array(QUESTIONS_PENDING_MAX),
  route: new Uint32Array(QUESTIONS_PENDING_MAX),
  idHigh: new Uint32Array(QUESTIONS_PENDING_MAX),
  idLow: new Uint32Array(QUESTIONS_PENDING_MAX),
  tenant: new Uint16Array(QUESTIONS_PENDING_MAX),
  sent: new Uint8Array(QUESTIONS_PENDING_MAX),
  next: new Uint32Array(QUESTIONS_PENDING_MAX),
  queues: Array.from({ length: shards }, makeFairQueueTable),
  sentCount: new Uint32Array(shards),
})

/** All pending questions. */
export class Questions {
  readonly #links: readonly ShardLink[]
  readonly #bells: BatchBells
  readonly #table: QuestionTable
  readonly #waiting: Waiting<Question>
  readonly #queues: readonly FairQueue[]
  readonly #single: AccountShare
  /** For askers that ask many at once: the same pool, less what is reserved for the others. */
  readonly #bulk: AccountShare

  constructor(
    links: readonly ShardLink[], bells: BatchBells, table: QuestionTable,
    context: PoolContext,
  ) {
    this.#links = links
    this.#bells = bells
    this.#table = table
    this.#waiting = new Waiting(table.waiting)
    this.#queues = table.queues.map((queue) => new FairQueue(queue, table.next))
    this.#single = new AccountShare(
      DOOR_POOLS.questions, QUESTIONS_PENDING_MAX, table.held, context)
    this.#bulk = new AccountShare(
      DOOR_POOLS.questions, QUESTIONS_PENDING_MAX, table.held, context,
      QUESTIONS_PENDING_MAX - QUESTIONS_PENDING_BULK_MAX)
  }

  get size(): number {
    return this.#waiting.size
  }

  /**
   * Asks the shard of a job. A text that is not an id is answered as not found, and so is a job of
   * another tenant than the asker's.
   */
  ask(kind: QuestionKind, jobId: string, tenant: number, question: Question): void {
    const id = parseJobId(jobId)
    if (id === undefined) return question.answered(CODE_NOT_FOUND, null)
    const link = this.#linkOf(id)
    const absence = absenceOf(link)
    if (absence !== undefined) return question.unavailable(absence)
    const share = question.isBulk ? this.#bulk : this.#single
    const account = accountOf(tenant, id.route)
    if (share.refusal(account) !== undefined) return question.unavailable('overloaded')
    share.take(account)
    const request = this.#waiting.add(question, link.shard)
    assert(request !== NONE, 'the questions under way were miscounted')
    const slot = slotOf(request)
    this.#table.kind[slot] = RECORD_KINDS[kind]
    this.#table.route[slot] = id.route
    this.#table.idHigh[slot] = id.idHigh
    this.#table.idLow[slot] = id.idLow
    this.#table.tenant[slot] = tenant
    this.#table.sent[slot] = 0
    this.#queueOf(link.shard).add(slot, account)
    this.#sendSome(link.shard)
  }

  /** A shard's answer. */
  answered(request: number, code: number, snapshot: JobSnapshot | null): void {
    this.#take(request)?.answered(code, snapshot)
  }

  /** The question has crashed its shard's thread more than once. */
  dropped(request: number): void {
    this.#take(request)?.unavailable('request_crashed')
  }

  /** Retries questions that did not fit into a ring. */
  tick(): void {
    for (const { shard } of this.#links) this.#sendSome(shard)
  }

  /** Tells the shard that a job has no watchers any more; false when its ring is full. */
  unwatch(jobId: string): boolean {
    const id = parseJobId(jobId)
    return id === undefined ||
      this.#send(this.#linkOf(id), INGRESS_UNWATCH, NONE, id, 0) !== RING_FULL
  }

  /** A shard does not answer for now: withdraws and denies what it has not taken. */
  giveUp({ ingress, shard }: ShardLink, code: ErrorCode): void {
    this.#queueOf(shard).clear()
    for (const request of this.#waiting.requestsOf(shard)) {
      const isInRing = this.#isSent(request)
      if (isInRing && !ingress.withdraw(this.#waiting.positionOf(request))) continue
      this.#take(request)?.unavailable(code)
    }
  }

  /** A shard will not answer what it took before this position, and may have done it. */
  givenBack(shard: number, position: number): void {
    for (const request of this.#waiting.requestsOf(shard)) {
      if (!this.#isSent(request)) continue
      if (!isBefore(this.#waiting.positionOf(request), position)) continue
      this.#take(request)?.unavailable('answer_unknown')
    }
  }

  /** A shard will send nothing more. */
  abandon(shard: number): void {
    this.#queueOf(shard).clear()
    for (const request of this.#waiting.requestsOf(shard)) {
      this.#take(request)?.unavailable('answer_unknown')
    }
  }

  // --- inside ---

  /** Removes a question, and sends queued ones in its place; undefined when it is gone already. */
  #take(request: number): Question | undefined {
    const question = this.#waiting.take(request)
    if (question === undefined) return undefined
    const { route, sent, sentCount, tenant } = this.#table
    const slot = slotOf(request)
    const shard = this.#waiting.shardAt(slot)
    this.#single.give(accountOf(tenant[slot] as number, route[slot] as number))
    if (sent[slot] === 1) {
      sentCount[shard] = (sentCount[shard] as number) - 1
      this.#sendSome(shard)
    }
    return question
  }

  /** Sends queued questions in order, as many as may be in the ring. */
  #sendSome(shard: number): void {
    const link = this.#links[shard] as ShardLink
    const queue = this.#queueOf(shard)
    const { idHigh, idLow, kind, route, sent, sentCount, tenant } = this.#table
    while (!queue.isEmpty && (sentCount[shard] as number) < QUESTIONS_IN_RING_MAX) {
      const slot = queue.first
      const request = this.#waiting.requestAt(slot)
      const position = this.#send(link, kind[slot] as number, request, {
        route: route[slot] as number, idHigh: idHigh[slot] as number, idLow: idLow[slot] as number,
      }, tenant[slot] as number)
      if (position === RING_FULL) return
      queue.shift()
      this.#waiting.sentAt(request, position)
      sent[slot] = 1
      sentCount[shard] = (sentCount[shard] as number) + 1
    }
  }

  #isSent(request: number): boolean {
    return this.#table.sent[slotOf(request)] === 1
  }

  #queueOf(shard: number): FairQueue {
    return this.#queues[shard] as FairQueue
  }

  #linkOf(id: JobIdWords): ShardLink {
    return this.#links[shardOf(id.route, this.#links.length)] as ShardLink
  }

  /** @returns its position in the ring, or RING_FULL. */
  #send(
    link: ShardLink, kind: number, request: number, id: JobIdWords, tenant: number,
  ): number {
    const position = sendRequest(link, kind, request, id.route, id.idHigh, id.idLow, tenant)
    if (position !== RING_FULL) this.#bells.ringSoon(link.shard)
    return position
  }
}
