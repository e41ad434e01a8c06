// The messages between the front door and a shard: record kinds, their words, and their values.
// Thread: main and shards. Memory: describes ring payloads, owns none.
// Never: encodes or decodes text; that is codec.ts.
// A payload is aligned to 8 bytes; words are little-endian 32-bit at 4 * index.

import type { MessagePort } from 'node:worker_threads'
import type { Micros, PerSecond } from '../base/units.ts'
import type { Limits } from '../memory/plan.ts'
import type { ShareRefusal } from '../memory/share.ts'

// --- front door → shard ---

export const INGRESS_ENQUEUE = 1
export const INGRESS_GET = 2
export const INGRESS_CANCEL = 3
export const INGRESS_WATCH = 4
export const INGRESS_UNWATCH = 5
/** The front door reclaims an upstream's record; answered by ANSWER_RELEASED: released or busy. */
export const INGRESS_RELEASE_UPSTREAM = 6

// The first words of every request.
/** Chosen by the front door, echoed in the answer. */
export const WORD_REQUEST = 0
export const WORD_ROUTE = 1
export const WORD_ID_HIGH = 2
export const WORD_ID_LOW = 3

// All requests but INGRESS_ENQUEUE continue with this one.
/** The tenant that asks: for GET, CANCEL and WATCH, another's job is not there. */
export const WORD_TENANT = 4
export const REQUEST_WORDS = 5

// INGRESS_ENQUEUE continues with these, then the encoded template, then the encoded job.
export const WORD_KEY_HIGH = 4
export const WORD_KEY_LOW = 5
/** Keyed hash of account and upstream. */
export const WORD_LANE_HIGH = 6
export const WORD_LANE_LOW = 7
export const WORD_UPSTREAM = 8
/** The webhook receiver's upstream slot, or NONE. */
export const WORD_RECEIVER = 9
/** FLAG_… bits; max_retries as a signed byte in the top eight. */
export const WORD_FLAGS = 10
export const WORD_TEMPLATE_BYTES = 11
export const WORD_TEMPLATE_HASH = 12
/** Tenant and key; see owner.ts. */
export const WORD_OWNER = 13
/** The most unfinished jobs that the job's key may have; 0 for no limit. */
export const WORD_KEY_JOBS_MAX = 14
export const ENQUEUE_HEADER_BYTES = 64

/** The submitting request asked for account queues at this upstream. */
export const FLAG_ACCOUNT_QUEUE = 1
/** Send events about this job from the start. */
export const FLAG_WATCH = 2
/** The job has an execute_before, whose value is in the encoded job. */
export const FLAG_BEGIN_BY = 4
export const FLAG_RETRIES_SHIFT = 24

// INGRESS_RELEASE_UPSTREAM uses WORD_ROUTE for the upstream slot.

// --- shard → front door ---

/** Words: request. */
export const ANSWER_ACCEPTED = 1
/** Words: request, three of the id, job state; then the encoded result or nil. */
export const ANSWER_DUPLICATE = 2
/** Words: request, REFUSED_… reason; float64 limit and current at float64 index 1 and 2. */
export const ANSWER_REFUSED = 3
/** Answers GET, CANCEL and WATCH. Words: request, CODE_…; then the encoded JobSnapshot or nil. */
export const ANSWER_JOB = 4
/** Words: EVENT_…, three of the id; then the encoded event data. */
export const ANSWER_EVENT = 5
/** Words: request, 1 released or 0 busy. */
export const ANSWER_RELEASED = 6
/** Words: upstream slot, 0; then an encoded ShardWarning about it. */
export const ANSWER_WARNING = 7
/** The request crashed its shard more than once and was dropped. Words: request. */
export const ANSWER_DROPPED = 8

/** A known key with a different request. Words: request, three of the key's job's id. */
export const ANSWER_REUSED = 9

// Bytes of an answer's words; an encoded value begins there.
export const ACCEPTED_BYTES = 4
export const DUPLICATE_HEADER_BYTES = 20
export const REFUSED_BYTES = 24
export const JOB_HEADER_BYTES = 8
export const EVENT_HEADER_BYTES = 16
export const RELEASED_BYTES = 8
export const WARNING_HEADER_BYTES = 8

export const REFUSED_MEMORY = 1
export const REFUSED_JOBS = 2
/** The user has used up its share of memory or jobs. */
export const REFUSED_MEMORY_SHARE = 3
/** The job's key has as many unfinished jobs as it may. */
export const REFUSED_KEY_JOBS = 4

export const CODE_OK = 0
export const CODE_NOT_FOUND = 1
/** CANCEL of a job that has been sent or is finished. */
export const CODE_NOT_CANCELLABLE = 2
/** WATCH beyond WATCHED_JOBS_MAX. */
export const CODE_TOO_MANY_WATCHED = 3

export const EVENT_QUEUED = 1
export const EVENT_POSITION = 2
export const EVENT_DISPATCHING = 3
export const EVENT_RETRYING = 4
export const EVENT_COMPLETED = 5
export const EVENT_FAILED = 6
export const EVENT_CANCELLED = 7

/** Names of the events as clients see them, by EVENT_… number. */
export const EVENT_NAMES = [
  '', 'queued', 'position', 'dispatching', 'retrying', 'completed', 'failed', 'cancelled',
] as const

export type JobStatus = 'queued' | 'in_flight' | 'completed' | 'failed' | 'cancelled'

/** The states as callers see them, by ANSWER_DUPLICATE's state word (JOB_… in job-slots.ts). */
export const STATUS_OF_STATE: readonly JobStatus[] = [
  'queued', 'queued', 'in_flight', 'queued', 'completed', 'failed', 'cancelled',
]

/** A pace header that could not be understood. */
export interface HeaderWarning {
  readonly name: string
  readonly value: string
}

/** A pool of the shard refuses further takes. */
export interface PoolWarning {
  readonly pool: string
  readonly refusal: ShareRefusal
  readonly bound: number
  readonly used: number
}

/** No request may go to the upstream. */
export interface RefusalWarning {
  /** The rule that refuses its addresses. */
  readonly rule: string
}

/** A shard's warning about an upstream, for the program's log. */
export type ShardWarning = HeaderWarning | PoolWarning | RefusalWarning

/** A finished job's result, as webhooks, streams and polls show it. */
export interface JobResult {
  status: 'completed' | 'failed' | 'cancelled'
  response_status?: number
  /** Why a job failed: `upstream_error`, `timeout`, `connection_error`, `shard_crash`, … */
  reason?: string
  /** The rule that refuses the upstream's addresses, if that is the reason. */
  rule?: string
  body?: string
  /** Instead of `body` when the bytes are not UTF-8. */
  body_base64?: string
  /** The response was longer than the limit, or its bytes were evicted. */
  truncated?: boolean
}

/** The state of a finished job's webhook. */
export interface WebhookSnapshot {
  state: 'owed' | 'delivered' | 'given_up'
  /** Deliveries begun. */
  attempts: number
  /** The receiver's last status, once no more is sent; absent when there was no response. */
  last_status?: number
}

/** What GET /jobs/:id shows, except the id itself. */
export interface JobSnapshot {
  status: JobStatus
  /** Like `method` and `created_at`, absent once a finished job's record was evicted. */
  url?: string
  method?: string
  /** Unix ms. */
  created_at?: number
  attempts: number
  position?: number
  /** Unix ms of the next attempt, while a retry waits. */
  retry_at?: number
  result?: JobResult
  /** For a finished job whose result has been, or is to be, sent to a webhook. */
  webhook?: WebhookSnapshot
}

// --- control plane: messages that start and control a shard's thread ---

/** The supervisor's input to a shard's task; SharedArrayBuffers are shared, not copied. */
export interface ShardTask {
  readonly shard: number
  readonly limits: Limits
  readonly shared: SharedArrayBuffer
  /** Every shard's memory: a shard rings the others' bells and reads their upstream words. */
  readonly shardBuffers: readonly SharedArrayBuffer[]
  readonly seed: number
  /** Where the shard's journal is written; null when nothing is journalled. */
  readonly journal: JournalSettings | null
  /** The memory was used by a thread that has ended: recover its state. */
  readonly recover: boolean
  /** The shard starts as after `hold`, unless it takes over from a predecessor. */
  readonly isHeld: boolean
  readonly settings: ShardSettings
  readonly port: MessagePort
  /**
   * Present when a predecessor still runs on the memory: its baton arrives through this port, then
   * the responses to its requests. Until `takeOver` the thread does not touch the memory.
   */
  readonly handOver?: MessagePort
}

/** How a shard writes its journal. */
export interface JournalSettings {
  /** This shard's directory; created if it is missing. */
  readonly directory: string
  /** Whether an answer waits until its facts are synced to disk, or only written to the system. */
  readonly mode: 'interval' | 'always'
  /** With `interval`: the longest time from the write to the sync. */
  readonly intervalMs: number
}

/** Where requests may go, besides public addresses. */
export interface EgressSettings {
  /** Addresses, CIDR ranges, host names, and domains such as `*.internal`. */
  readonly allow: readonly string[]
  /** Likewise; it wins over the others. */
  readonly deny: readonly string[]
  /** Hosts of the tables of upstreams and receivers, some with a port: allowed. */
  readonly named: readonly string[]
  /** All other addresses are allowed as well. */
  readonly isOpen: boolean
  /** Only the hosts in `named` are allowed. */
  readonly upstreamsOnly: boolean
}

/** The part of the configuration that a shard needs. */
export interface ShardSettings {
  readonly completedTtlMs: number
  readonly failedTtlMs: number
  readonly responseBytesMax: number
  /** How a known key with another method, URL or body is treated: refused, or as a duplicate. */
  readonly keyMismatch: 'reject' | 'duplicate'
  readonly connectionsPerOriginMax: number
  /** Connect timeout, besides the attempt timeout; the default if absent. */
  readonly connectTimeoutMs?: number
  /** The longest Retry-After of a webhook's receiver that is honoured. */
  readonly webhookRetryAfterMsMax: number
  /** PEM of certificate authorities to trust besides the built-in ones, or empty. */
  readonly extraCaPem: string
  readonly userAgent: string
  /** How names are resolved: by name servers or by the system; `direct` if absent. */
  readonly dns?: 'direct' | 'system'
  /** Name servers to ask instead of the machine's, as `address` or `address:port`. */
  readonly dnsServers?: readonly string[]
  /** Where requests may go; if absent, everywhere but where none ever may. */
  readonly egress?: EgressSettings
}

/** An upstream's initial settings; the front door writes them into the shared record. */
export interface UpstreamSettings {
  readonly pacePerSecond: PerSecond
  readonly concurrentMax: number
  readonly accountQueues: boolean
  readonly timeoutMs: number
}

/** What a shard recovered from its predecessor's memory. */
export interface Recovered {
  /** Jobs without a result: waiting, in flight, or between two attempts. */
  readonly jobs: number
  /** Of these, in flight when the thread ended: they are sent again. */
  readonly inFlight: number
  readonly webhooks: number
  readonly finished: number
  readonly ms: number
  /** What was set aside since it crashed its shard more than once: a job's id, or 'request'. */
  readonly setAside: string | null
}

/** Main → shard. */
export type ShardControl =
  /** Send nothing new while on; everything else continues. */
  | { readonly kind: 'hold'; readonly isOn: boolean }
  /**
   * Begin nothing new; finish what is in flight, then end the task. Without a journal, webhooks are
   * delivered until then, too.
   */
  | { readonly kind: 'stop'; readonly untilUs: Micros }
  /** End the task now. */
  | { readonly kind: 'abort' }
  /** Hand the shard over to the thread at the other end of the port; relay what is in flight. */
  | { readonly kind: 'handOver'; readonly port: MessagePort }
  /** The predecessor has handed over: the thread may use the memory. */
  | { readonly kind: 'takeOver'; readonly isHeld: boolean }

/** A journal's copy of an upstream's record, which is in memory that all shards share. */
export interface UpstreamFacts {
  /** When it was written: of two shards' copies the later one is used. */
  readonly asOfUs: Micros
  /** KIND_… */
  readonly kind: number
  readonly origin: string
  readonly baseUs: Micros
  readonly intervalNs: number
  readonly concurrentMax: number
  /** UPSTREAM_ACCOUNT_QUEUES of the shared record. */
  readonly accountQueues: number
}

/** By slot. */
export type KnownUpstreams = ReadonlyMap<number, UpstreamFacts>

/** The properties of a build that must be equal for a handover. */
export interface BuildMark {
  readonly layout: number
  readonly baton: number
  readonly sharedBytes: number
  readonly shardBytes: number
  /** A hash of the sizes of all regions. */
  readonly regions: number
}

/** Shard → main. */
export type ShardReport =
  | { readonly kind: 'ready'; readonly recovered: Recovered | null }
  /** All modules are loaded; the thread waits for `takeOver`. */
  | { readonly kind: 'loaded'; readonly mark: BuildMark }
  /** The baton is sent, and this thread no longer touches the memory. */
  | { readonly kind: 'handedOver' }
  /** No request of the predecessor is left. */
  | { readonly kind: 'relayEnded' }
  /** The error that ends the thread, reported by itself; the last report. */
  | { readonly kind: 'broken'; readonly error: string }
  | { readonly kind: 'stopped'; readonly queued: number }
  | { readonly kind: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly message: string
      readonly fields: Readonly<Record<string, string | number | boolean>> }
