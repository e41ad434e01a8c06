// Bounds of the engine, by name and unit; plan.ts adds up what --memory pays for. Those of lanes,
// results, host names and sockets lie beside this file, those of the front door in src/base.
// Thread: any. Memory: none.
// Never: reads a setting; src/config passes what the user chose.

import { KIB, MIB } from '../base/units.ts'

// --- what a caller may send ---

export const USER_ID_BYTES_MAX = 256
export const IDEMPOTENT_KEY_BYTES_MAX = 512
export const URL_BYTES_MAX = 8 * KIB
/** All header names and values of a job together. */
export const JOB_HEADERS_BYTES_MAX = 32 * KIB
export const JOB_HEADERS_COUNT_MAX = 128
/** The most that a body or response limit may be set to: a record must fit in one segment. */
export const BODY_LIMIT_BYTES_MAX = 7 * MIB
/** max_retries of a job that is tried until it succeeds or its deadline passes. */
export const RETRIES_UNLIMITED = -1
/** How deep a MessagePack body may nest; a job needs 2, a batch of jobs 3. */
export const MSGPACK_DEPTH_MAX = 32

// --- what an upstream may answer ---

export const RESPONSE_HEADERS_BYTES_MAX = 64 * KIB
/** Characters of what is said about a failed attempt. */
export const FAILURE_DETAIL_LENGTH_MAX = 200

// --- pace ---

export const PACE_PER_SECOND_MIN = 0.5
/** A thousand nanoseconds between sends; more is absurd and ignored. */
export const PACE_PER_SECOND_MAX = 1_000_000
export const CONCURRENT_MAX = 1_000_000
/** GCRA's tolerance: how late a send may be and still be caught up. Part of the promise. */
export const PACE_TOLERANCE_US = 5000
/** How much of that may be used up by what was written; the rest is for the way from there. */
export const PACE_WRITE_LATE_US = 4500
/** A budget that could have been spent for so long was idle, not late. */
export const PACE_IDLE_US = 100_000
/** How long a shard lets the shard whose turn it is go first at a shared budget. */
export const YIELD_US_MAX = 2000
/** How long a 429's Retry-After may hold a whole budget; the job itself waits as long as asked. */
export const BUDGET_HOLD_MS_MAX = 60_000

// --- time ---

/** How long a connection may take, look-up and TLS included; less where an attempt may. */
export const CONNECT_TIMEOUT_MS_DEFAULT = 10_000
export const RETRY_BASE_MS = 1000
export const RETRY_CAP_MS = 60_000
export const JOB_DEADLINE_MS = 24 * 3600 * 1000
export const WEBHOOK_RETRIES_MAX = 4
export const QUEUED_KEY_TTL_MS = 24 * 3600 * 1000
/** An emptied lane or a silent upstream keeps what it learned at least this long. */
export const IDLE_KEEP_MS_MIN = 5 * 60 * 1000
export const POSITION_EVERY_MS = 2000
/** How often a sleeping thread looks round unasked; what a lost ring would cost at most. */
export const POLL_EVERY_MS = 50
/** The longest wait that a Retry-After can ask for; a job does not outlive it. */
export const RETRY_AFTER_MS_MAX = JOB_DEADLINE_MS
/**
 * After requests a shard waits on the spot for more before it sleeps, if nothing else can come:
 * so long at once, and so often in a row, since its event loop stands still meanwhile.
 */
export const SHARD_NAP_MS = 0.5
export const SHARD_NAPS_MAX = 16

// --- work of one turn of a shard ---

export const INGRESS_RECORDS_PER_TURN_MAX = 4096
/** Of these, questions and cancellations, which cost some 10 us each. */
export const QUESTIONS_PER_TURN_MAX = 128
/** Watched jobs whose positions are told. */
export const POSITIONS_PER_TURN_MAX = 256
export const SENDS_PER_TURN_MAX = 1024
export const EXPIRED_PER_TURN_MAX = 4096
export const CLEAN_BYTES_PER_TURN_MAX = 256 * KIB
/** Items of a timing wheel that are dealt out of a list of 1,024 ms to those of 1 ms. */
export const WHEEL_DEALT_PER_TURN_MAX = 4096

// --- sockets and streams ---

/** Requests in flight from one shard, to all upstreams and receivers together. */
export const IN_FLIGHT_PER_SHARD_MAX = 16_384
/** An upstream or receiver may have this times what is free of them: one alone has four fifths. */
export const IN_FLIGHT_SHARE_ALPHA = 4
/** What each may have at any time, and what is left for those who have less. */
export const IN_FLIGHT_MINIMUM = 8
export const IN_FLIGHT_RESERVE = 1024
/** Of these, deliveries of webhooks: receivers that hang leave the rest to jobs. */
export const WEBHOOKS_IN_FLIGHT_PER_MILLE_MAX = 500
/** A receiver may have this times what is free of them: one alone has two thirds. */
export const WEBHOOKS_IN_FLIGHT_ALPHA = 2
/** Jobs that streams and sockets watch at once, per shard. */
export const WATCHED_JOBS_MAX = 65_536

// --- front door ---

/** The pause between two warnings about the same upstream, or the same pool. */
export const WARNING_PAUSE_MS = 60_000

// --- shards that end ---

/** Deaths of its shard after which a job, or a request, is set aside. */
export const SUSPECT_DEATHS_MAX = 2
/** Jobs whose deaths are remembered; the oldest is forgotten for a new one. */
export const SUSPECTS_MAX = 12

// --- tables ---

/** An upstream's record that all shards share; a cache line of its own. */
export const UPSTREAM_RECORD_BYTES = 64
/** An upstream's origin as text, its length in front; scheme, a host of 253 bytes, and a port. */
export const UPSTREAM_NAME_BYTES = 272
export const ORIGIN_BYTES_MAX = UPSTREAM_NAME_BYTES - 2

// --- journal ---

/** Slots that are journalled together; most of what changes at once lies side by side. */
export const JOBS_PER_PAGE = 16
export const LANES_PER_PAGE = 16
export const TEMPLATES_PER_PAGE = 64
/** What a shard's journal may be behind its memory before new jobs are refused. */
export const JOURNAL_BEHIND_BYTES_MAX = 64 * MIB
/** A tail file that has grown so far is followed by the next, and taken into the store. */
export const JOURNAL_TAIL_BYTES_MAX = 64 * MIB
/** How long a journal that could not be written is left alone before it is tried again. */
export const JOURNAL_RETRY_MS = 200
/** A journal without changes gets a batch this often, since its time says how old keys are. */
export const JOURNAL_DATE_MS = 60_000
/** A journal that could not be written for so long is said to be stalled: callers get 503. */
export const JOURNAL_STALLED_MS = 1000
/** How often a look is begun whether the journal's files are still under their names. */
export const JOURNAL_LOOK_MS = 100
/** How often at most it is noted how far a journal reaches. */
export const JOURNAL_EXTENT_MS = 10

// --- pages taken ahead ---

export const TOUCH_EVERY_MS = 100
/** What a shard would use in so many looks, at the pace of the last, is taken for it. */
export const TOUCH_AHEAD_LOOKS = 10
/** Of each array and of the job log, while they are being used. */
export const TOUCH_AHEAD_BYTES_MIN = 64 * KIB
export const TOUCH_AHEAD_BYTES_MAX = 64 * MIB

// --- job log ---

/** Length, kind, owner, word: 4 bytes each. */
export const LOG_RECORD_HEADER_BYTES = 16
export const LOG_ALIGN_BYTES = 8
/** Kept free of new jobs so that the cleaner and the results of what is in flight can go on. */
export const SEGMENTS_RESERVED = 3
/** New jobs are refused above this share of the log's usable bytes; cleaning stays cheap below. */
export const LOG_FILL_PER_MILLE_MAX = 900
/** Bodies of responses are kept up to this share of it; what is above is for results alone. */
export const LOG_BODIES_PER_MILLE_MAX = 950
/**
 * A user's unfinished jobs may take this times what is free of the log, and of the slots: one alone
 * has eight ninths.
 */
export const LOG_SPACE_ALPHA = 8
/** Users are counted in rows for so many; one that has little is counted too high. */
export const LOG_USERS_COUNTED = 1024
/** Twelve bits of a location name the segment. */
export const SEGMENTS_MAX = 4096
/** Kept free even of results: copying a segment's survivors takes one more, then gives one back. */
export const SEGMENTS_FOR_CLEANER = 1
/** Not counted as room for jobs: the open one, the survivors' one, the reserve, and the next. */
export const SEGMENTS_OVERHEAD = SEGMENTS_RESERVED + 3
/** While fewer than this share of the segments, and the reserve, are free, the cleaner works. */
export const SEGMENTS_FREE_PER_MILLE_AIM = 30
/** A record above this share of a segment may leave a hole before it, and is charged for it. */
export const LARGE_RECORDS_PER_SEGMENT = 16
/** The cleaner works ahead only where this share of a segment has died, so that it ends. */
export const CLEAN_DEAD_PER_SEGMENT = 32
/** Hashes of parts of jobs that came by lately; a second coming makes a part a template. */
export const TEMPLATES_RECENT_COUNT = 65_536
/** Templates that a shard remembers decoded, and the encoded bytes of the largest that it does. */
export const TEMPLATES_DECODED_MAX = 4096
export const TEMPLATE_DECODED_BYTES_MAX = 2 * KIB
/**
 * What a shared template may take for each job that refers to it, beyond what the job's result
 * would have to repeat without it; if it takes more, as with large headers, results repeat that.
 */
export const TEMPLATE_PER_RESULT_BYTES_MAX = 512
