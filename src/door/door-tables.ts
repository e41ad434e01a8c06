// The state of the front door that survives a reload, as plain data: the old and the new door logic
// work on the same tables.
//
// Why that is sound: everything here belongs to the main thread, and every call from outside (a
// request, a shard's answer, a tick) runs to completion in one door logic's code, so no code sees a
// table half changed by other code. An entry that waits for an answer is an object with methods (an
// Asker, a Question, a Watcher, a stream, a socket), made by the code that took the request; it
// answers in that code, whichever code finds it in the table. So nothing needs to be divided
// between old and new: numbers, slots and counts come from the same tables. An old door logic is
// garbage as soon as none of its entries is left. What two builds must have in common is the form
// of the tables and of those objects, which DOOR_FORM stands for.

import type { Micros } from '../../shards/base/units.ts'
import type { SharedViews } from '../../shards/memory/layout.ts'
import { WATCHED_JOBS_MAX } from '../../shards/memory/limits.ts'
import type { KeyFinder, TokenVerifier } from '../access/authenticator.ts'
import type { KeyUsageTable } from '../access/key-usage.ts'
import type { ClientBytes } from '../base/client-bytes.ts'
import type { DoorState } from '../base/door-state.ts'
import {
  QUESTIONS_PENDING_MAX, REQUESTS_PENDING_MAX, SOCKETS_MAX, STREAMS_MAX,
} from '../base/limits.ts'
import type { LogStatus } from '../base/log-sink.ts'
import { DOOR_POOLS } from '../base/pools.ts'
import { makeQuestionTable, type QuestionTable } from '../engine/questions.ts'
import type { ShardLink } from '../engine/shard-link.ts'
import { PausedRequests } from '../http/paused-requests.ts'
import { type ConnectionTable, makeConnectionTable } from '../http/server.ts'
import { makeStreamTable, type StreamTable } from '../http/sse.ts'
import { type AdmissionTable, makeAdmissionTable } from '../submit/admission.ts'
import { makePendingTable, type PendingTable } from '../submit/pending-jobs.ts'
import type { PeerJobs } from '../submit/submission.ts'
import { makeUpstreamTable, type UpstreamTable } from '../submit/upstream-slots.ts'
import { type WatchTable, makeWatchTable } from '../submit/watches.ts'
import { makeSocketTable, type SocketTable } from '../ws/sockets.ts'
import type { LastReload, ShownJournals, ShownPool, TakenOver } from './health.ts'
import type { CheckToken } from './held-tokens.ts'

/**
 * Must be incremented with every change that makes old and new code incompatible: of these tables,
 * of the interfaces of their entries, of ShardLink, Handlers, Logic and DoorLogicParts, or
 * of the exports of src/door/replaceable.ts. A build with another form needs a restart.
 */
export const DOOR_FORM = 8

/** Has answers to send at the end of an iteration of the event loop. */
export interface Flushable {
  flush(): void
}

/** Verifies tokens, at once or later. */
export interface Tokens extends TokenVerifier {
  readonly check: CheckToken
}

/** The keys and tokens that are accepted. */
export interface Credentials {
  readonly keys: KeyFinder
  readonly tokens: Tokens
}

/** The tables. */
export interface DoorTables {
  /** See JobHasher. */
  readonly secret: Uint8Array
  readonly startedUs: Micros
  phase: DoorState
  /** Null without a journal. */
  journals: ShownJournals | null
  /** The state of the log. */
  logStatus: LogStatus | null
  readonly admission: AdmissionTable
  /** Lives as long as the process. */
  readonly keys: KeyFinder
  readonly tokens: Tokens
  readonly keyUsage: KeyUsageTable
  /** What was logged last about who may ask. */
  accessNotice: string
  /** When the validity of what is open is checked next. */
  validityUs: number
  /** What the peer that this process has taken over from proves itself by; null for none. */
  peerProof: string | null
  readonly upstreams: UpstreamTable
  readonly jobs: PendingTable
  readonly questions: QuestionTable
  readonly watches: WatchTable
  readonly streams: StreamTable
  readonly sockets: SocketTable
  /** The memory held for clients; lives as long as the process. */
  readonly clientBytes: ClientBytes
  connections: ConnectionTable
  readonly paused: PausedRequests
  /** Batches with answers that have not been sent. */
  batchesToFlush: Flushable[]
  /** By slot: when an upstream may be warned about again. */
  readonly silentUntilUs: Float64Array
  /** When streams get their next comment. */
  keepAliveUs: number
  /** How often the code was replaced, and the result of the last attempt. */
  reloads: number
  lastReload: LastReload | null
  /** Submits jobs to the peer that is taking over from this process; null for none. */
  peer: PeerJobs | null
  /** The process that this one has taken over from. */
  takenOver: TakenOver | null
}

/** The tables of a new front door. */
export function makeDoorTables(
  links: readonly ShardLink[], secret: Uint8Array, startedUs: Micros,
  clientBytes: ClientBytes, { keys, tokens }: Credentials,
): DoorTables {
  const slotsMax = links[0]?.views.limits.upstreamsMax ?? 0
  return {
    secret, startedUs, phase: 'starting', journals: null, logStatus: null,
    admission: makeAdmissionTable(links.length), keys, tokens,
    keyUsage: new Map(), accessNotice: '', validityUs: 0,
    peerProof: null,
    upstreams: makeUpstreamTable(slotsMax), jobs: makePendingTable(),
    questions: makeQuestionTable(links.length), watches: makeWatchTable(),
    streams: makeStreamTable(), sockets: makeSocketTable(), clientBytes,
    connections: makeConnectionTable(Infinity), paused: new PausedRequests(), batchesToFlush: [],
    silentUntilUs: new Float64Array(slotsMax), keepAliveUs: Infinity,
    reloads: 0, lastReload: null, peer: null, takenOver: null,
  }
}

/** The tables' pools that have shares. */
export const poolsOf = (
  { watches, clientBytes, jobs, questions, sockets, streams, upstreams }: DoorTables,
): readonly ShownPool[] => [
  { pool: DOOR_POOLS.clientMemory, bound: clientBytes.bytesMax, counts: clientBytes.counts },
  { pool: DOOR_POOLS.sockets, bound: SOCKETS_MAX, counts: sockets.held.counts },
  { pool: DOOR_POOLS.requests, bound: REQUESTS_PENDING_MAX, counts: jobs.held.counts },
  { pool: DOOR_POOLS.upstreamSlots, bound: upstreams.entries.length, counts: upstreams.pool },
  { pool: DOOR_POOLS.questions, bound: QUESTIONS_PENDING_MAX, counts: questions.held.counts },
  { pool: DOOR_POOLS.streams, bound: STREAMS_MAX, counts: streams.held.counts },
  { pool: DOOR_POOLS.watchedJobs, bound: WATCHED_JOBS_MAX, counts: watches.held.counts },
]

/** What stays the same when the door logic is replaced. */
export interface DoorPlace {
  readonly tables: DoorTables
  /** One for each shard, in order. */
  readonly links: readonly ShardLink[]
  readonly shared: SharedViews
}
