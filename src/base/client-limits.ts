// The bounds of what clients can make the front door hold, and the terms of the sum that resident
// memory stays below.

import { KIB, MIB } from '../../shards/base/units.ts'
import { QUESTIONS_PER_TURN_MAX } from '../../shards/memory/limits.ts'
import { REQUEST_HEADERS_BYTES_MAX } from './limits.ts'

/** Bytes that are held for clients, over all connections: the setting's bounds, and its default. */
export const CLIENT_BYTES_MIN = 32 * MIB
export const CLIENT_BYTES_MAX = 16 * 1024 * MIB
export const CLIENT_BYTES_DEFAULT_MAX = 512 * MIB
/** Of the machine's memory: the default where that is less. */
export const CLIENT_BYTES_PER_MILLE_DEFAULT = 60
/** Kept for those who hold less than CLIENT_BYTES_FREE_OF_SHARES. */
export const CLIENT_BYTES_RESERVED_PER_MILLE = 125
/** What a connection may make the server hold whatever its share is, while there is room. */
export const CLIENT_BYTES_FREE_OF_SHARES = 16 * KIB
/** An answer beyond it is counted while the client reads it. */
export const ANSWER_BYTES_UNCOUNTED_MAX = 16 * KIB
/** What a connection takes besides: unfinished headers, buffers of the library, its objects. */
export const CLIENT_CONNECTION_BYTES = REQUEST_HEADERS_BYTES_MAX + ANSWER_BYTES_UNCOUNTED_MAX +
  8 * KIB
/** The runtime, all code, the tables of the front door, and the main thread's heap. */
export const PROCESS_BYTES = 256 * MIB
/** A shard's thread: its heap, and what its sockets hold besides response bytes. */
export const THREAD_BYTES = 64 * MIB
/** Connections of clients: the setting's bounds. */
export const CLIENT_CONNECTIONS_MIN = 16
export const CLIENT_CONNECTIONS_MAX = 1_000_000
export const CLIENT_CONNECTIONS_DEFAULT_MAX = 65_536
/** Descriptors that are neither clients' nor sends': the journal's, the log's, the libraries'. */
export const DESCRIPTORS_OWN = 64
/** What a process takes at least, its clients' connections apart: at rest 35 of them are in use, */
export const DESCRIPTORS_PROCESS_MIN = 48
/** and for each shard 16, its journal's and its bells' among them; some are for sends. */
export const DESCRIPTORS_SHARD_MIN = 24
/** Where the system does not say how many there are. */
export const DESCRIPTORS_ASSUMED = 10_240
/** Of the clients' connections: those beyond are closed with their next answer. */
export const CONNECTIONS_KEPT_PER_MILLE = 750

// --- batches and sockets ---

/** Counted for a batch from its beginning: the short answers of its window. */
export const BATCH_BYTES = 64 * KIB
/** Of sockets that are opened when those before them may hold much; after them 16 KiB. */
export const FRAME_BYTES_MIDDLE = 64 * KIB
/** A batch begins with a window of so many, which grows as answers turn out to be short. */
export const BATCH_WINDOW_JOBS_MIN = 64

// --- shares of the front door's pools: what one may hold, as times what is free (share.ts) ---

/** Client memory: one connection alone has half. */
export const CLIENT_BYTES_ALPHA = 1
/** Jobs without an answer: one account alone has four fifths, three that take all 4/13 each. */
export const REQUESTS_ALPHA = 4
/** Questions without an answer: one account alone has two thirds. */
export const QUESTIONS_ALPHA = 2
/** Of QUESTIONS_PENDING_MAX, for sockets, which ask many at once; the rest is for requests. */
export const QUESTIONS_PENDING_BULK_MAX = 12_288
/**
 * Questions of all accounts that lie in one shard's ring at once; others wait for their turn. No
 * more than a shard answers in a turn, so that a new job behind them is not held up by them.
 */
export const QUESTIONS_IN_RING_MAX = QUESTIONS_PER_TURN_MAX
/** Lines in which they wait, for each shard; a power of two. Accounts are dealt out by hash. */
export const QUESTION_LINES = 256
/** Jobs that are watched: one account alone has two thirds. */
export const WATCHED_JOBS_ALPHA = 2
/** Event streams: likewise. */
export const STREAMS_ALPHA = 2
/** Sockets: all clients of one address have four fifths. Behind one proxy all have the same. */
export const SOCKETS_ALPHA = 4
