// Limits of what clients can make the front door hold, and the terms of the sum that bounds
// resident memory.

import { KIB, MIB } from '../../shards/base/units.ts'
import { QUESTIONS_PER_TURN_MAX } from '../../shards/memory/limits.ts'
import { REQUEST_HEADERS_BYTES_MAX } from './limits.ts'

/** Bytes held for clients over all connections: the range of --client-memory, and its default. */
export const CLIENT_BYTES_MIN = 32 * MIB
export const CLIENT_BYTES_MAX = 16 * 1024 * MIB
export const CLIENT_BYTES_DEFAULT_MAX = 512 * MIB
/** The default as a part of the machine's memory, where that is less. */
export const CLIENT_BYTES_PER_MILLE_DEFAULT = 60
/** Reserved for connections that hold less than CLIENT_BYTES_FREE_OF_SHARES. */
export const CLIENT_BYTES_RESERVED_PER_MILLE = 125
/** What each connection may hold whatever its share is, while the pool has room. */
export const CLIENT_BYTES_FREE_OF_SHARES = 16 * KIB
/** Answers up to this size are not counted in client memory; larger ones are, until sent. */
export const ANSWER_BYTES_UNCOUNTED_MAX = 16 * KIB
/** Per connection, besides the pool: unfinished headers, the library's buffers, its objects. */
export const CLIENT_CONNECTION_BYTES = REQUEST_HEADERS_BYTES_MAX + ANSWER_BYTES_UNCOUNTED_MAX +
  8 * KIB
/** The runtime, all code, the tables of the front door, and the main thread's heap. */
export const PROCESS_BYTES = 256 * MIB
/** A shard's thread: its heap, and what its sockets hold besides response bytes. */
export const THREAD_BYTES = 64 * MIB
/** The range of --client-connections, and its default. */
export const CLIENT_CONNECTIONS_MIN = 16
export const CLIENT_CONNECTIONS_MAX = 1_000_000
export const CLIENT_CONNECTIONS_DEFAULT_MAX = 65_536
/** File descriptors besides clients' and sends': the journal's, the log's, the libraries'. */
export const DESCRIPTORS_OWN = 64
/** File descriptors that a process needs, client connections apart: at rest 35 are in use. */
export const DESCRIPTORS_PROCESS_MIN = 48
/** And for each shard: 16 in use, its journal's and its bells' among them; the rest for sends. */
export const DESCRIPTORS_SHARD_MIN = 24
/** The limit of file descriptors that is assumed where the system does not report one. */
export const DESCRIPTORS_ASSUMED = 10_240
/** Part of --client-connections; connections beyond it are closed with their next answer. */
export const CONNECTIONS_KEPT_PER_MILLE = 750
/** Beyond --client-connections, for operators only, so that callers cannot lock them out. */
export const OPERATORS_CONNECTIONS = 16

// --- batches and sockets ---

/** Counted for a batch from its start: the short answers of its window. */
export const BATCH_BYTES = 64 * KIB
/** Frame limit of sockets opened when earlier ones may hold much already; later ones get 16 KiB. */
export const FRAME_BYTES_MIDDLE = 64 * KIB
/** Initial window of a batch, which grows as answers turn out to be short. */
export const BATCH_WINDOW_JOBS_MIN = 64
/** A batch whose client sends on, but has read no answer for so long, is disconnected. */
export const BATCH_UNREAD_MS_MAX = 30_000

// --- who asks ---

/** Requests whose token is being verified; beyond it, 503. */
export const TOKENS_CHECKED_AT_ONCE = 4096
/** Between two log lines about denials with the same code. */
export const DENIALS_LOG_PAUSE_MS = 10_000
/**
 * How often it is looked whether the tokens behind streams and sockets are still valid, and whether
 * the connections of paused requests are still there.
 */
export const VALIDITY_CHECK_MS = 1000

// --- shares of the front door's pools: a holder may take while it holds < alpha * free (share.ts)

/** Client memory: a single connection gets at most half. */
export const CLIENT_BYTES_ALPHA = 1
/** Jobs without an answer: one account alone gets at most 4/5; three that take all, 4/13 each. */
export const REQUESTS_ALPHA = 4
/** Questions without an answer: one account alone gets at most two thirds. */
export const QUESTIONS_ALPHA = 2
/** Of QUESTIONS_PENDING_MAX, for sockets, which ask many at once; the rest is for HTTP requests. */
export const QUESTIONS_PENDING_BULK_MAX = 12_288
/**
 * Questions of all accounts in one shard's ring at once; the others are queued in front of it. No
 * more than a shard answers in one turn, so that they do not delay a new job behind them.
 */
export const QUESTIONS_IN_RING_MAX = QUESTIONS_PER_TURN_MAX
/** FIFO queues of pending questions per shard; a power of two. Accounts are assigned by hash. */
export const QUESTION_LINES = 256
/** Watched jobs: one account alone gets at most two thirds. */
export const WATCHED_JOBS_ALPHA = 2
/** Event streams: as WATCHED_JOBS_ALPHA. */
export const STREAMS_ALPHA = 2
/** WebSockets: one client address gets at most 4/5. Clients behind one proxy share an address. */
export const SOCKETS_ALPHA = 4
