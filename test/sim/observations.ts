// What checkers observe of a run: jobs as their callers know them, requests as the upstreams see
// them, and the events between. Nothing here reads the engine's state.

import type { ShardViews } from '../../shards/memory/layout.ts'
import type { FailureReason, ResponseHeaders } from '../../shards/signals/response.ts'
import type { JobStatus, JobResult, JobSnapshot } from '../../shards/wire/contract.ts'

/** A job as its caller submitted it. */
export interface SimJob {
  /** Order of submission over the whole run. */
  readonly number: number
  readonly id: string
  readonly idWords: readonly [route: number, high: number, low: number]
  readonly shard: number
  readonly account: Account
  /** With tenant and user, the job's unique key. */
  readonly key: SimKey
  readonly upstream: number
  /** Slot of the webhook receiver, or NONE. */
  readonly receiver: number
  readonly retriesMax: number
  /** Unix ms, or 0. */
  readonly executeBeforeMs: number
  readonly body: Uint8Array | null
  readonly wantsAccountQueue: boolean
  readonly watch: boolean
  readonly submittedUs: number
}

/** A user with one of its API keys. */
export interface Account {
  readonly number: number
  readonly tenant: number
  /** The number of the key that it submits by; 0 for none. */
  readonly keyNumber: number
  readonly userId: string
  readonly apiKey: string
  /** The user's hash, or its tenant's. */
  readonly route: number
  /** The same for equal user ids, also of other tenants; mixed into the hashes of keys. */
  readonly userWord: number
  /** The lane's hash at each upstream. */
  readonly lanes: readonly (readonly [high: number, low: number])[]
}

/** A user's idempotent key. */
export interface SimKey {
  readonly text: string
  readonly high: number
  readonly low: number
}

/** Tells keys apart: no other user has this one, and none of another tenant. */
export const keyName = ({ account: { tenant, userId }, key }: SimJob): string =>
  `${tenant}/${userId}/${key.text}`

/** The meaning of a response's headers, as the upstream intended it. */
export interface Said {
  readonly pacePerSecond?: number
  readonly concurrentMax?: number
  readonly accountQueues?: boolean
  /** On a response that is to be retried. */
  readonly retryAfterMs?: number
}

/** What the simulated network does with a request. */
export interface Answer {
  readonly headAfterUs: number
  readonly endAfterUs: number
  /** 0: there is no head. */
  readonly status: number
  readonly headers: ResponseHeaders
  readonly said: Said
  readonly body: Uint8Array
  readonly truncated: boolean
  /** Instead of an end; `silent` never comes. */
  readonly failure: FailureReason | 'silent' | undefined
}

/** One request in flight, of a job or of its webhook. */
export interface Attempt {
  readonly job: SimJob
  readonly shard: number
  readonly place: number
  readonly isWebhook: boolean
  /** From its header: 1 for the first. */
  readonly number: number
  readonly sentUs: number
  readonly headers: readonly string[]
  readonly body: Uint8Array | null
  readonly method: string
  readonly path: string
  /** Replaced if its body is cut off for lack of memory. */
  answer: Answer
  /** Whether it has been on the wire. */
  isWritten: boolean
  /** Whether the shard has received the head. */
  headHeard: boolean
}

/** How an attempt ended: a complete response, or the reason why there was none. */
export type Ending = 'response' | FailureReason

/** The last event of an attempt that a thread received before it crashed. */
export type Doubt = 'written' | 'returned' | 'head' | 'end'

/** A shard's answer to a submission. */
export type Verdict =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'duplicate'; readonly id: string; readonly status: JobStatus
      readonly result: JobResult | null }
  /** The key belongs to another request. */
  | { readonly kind: 'reused'; readonly id: string }
  | { readonly kind: 'refused'; readonly reason: number; readonly limit: number
      readonly current: number }
  /** It has crashed its shard's thread more than once. */
  | { readonly kind: 'dropped' }
  /** Its shard has not taken it, or has given it back: the front door refuses it. */
  | { readonly kind: 'unavailable' }
  /** The ring was full: the front door refuses at once. */
  | { readonly kind: 'turned away' }

/** A question about a job. */
export type Question = 'get' | 'cancel' | 'watch'

/** A checker: observes every event in order, before the engine receives it. */
export interface Observer {
  submitted?(job: SimJob): void
  judged?(job: SimJob, verdict: Verdict): void
  /** A connection is used for the request, which is then written or returned. */
  sent?(attempt: Attempt): void
  /** It is on the wire: its upstream sees it. */
  written?(attempt: Attempt): void
  /** The connection was lost before that: as if it had not been sent. */
  returned?(attempt: Attempt): void
  /** A shard is told that it cannot have a connection, which may cost one attempt. */
  unreachable?(shard: number, place: number, reason: FailureReason): void
  headHeard?(attempt: Attempt): void
  ended?(attempt: Attempt, ending: Ending): void
  asked?(job: SimJob, question: Question): void
  /** @param askedUs when the question was put into the ring. */
  answered?(
    job: SimJob, question: Question, code: number, view: JobSnapshot | null, askedUs: number): void
  unwatched?(job: SimJob): void
  event?(job: SimJob, event: number, data: object): void
  warned?(place: number): void
  /** Its connection ended with the thread that held it. */
  lost?(attempt: Attempt): void
  /** The thread crashed after it had received this event, perhaps before it had stored it. */
  doubted?(attempt: Attempt, what: Doubt): void
  /** A shard's thread has ended. */
  died?(shard: number): void
  /** A thread has attached to the shard's memory, and recovered it if necessary. */
  lives?(shard: number, views: ShardViews): void
  /** A shard has completed a turn. */
  turned?(shard: number): void
  /** All faults have stopped and everything is at rest. */
  drained?(): void
}
