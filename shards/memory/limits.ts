// Limits of the engine, by name and unit; plan.ts adds up what --memory pays for. Limits of lanes,
// results, names and sockets are in files beside this one, those of the front door in src/base.
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
/** max_retries of a job that is retried until it succeeds or its deadline passes. */
export const RETRIES_UNLIMITED = -1
/** How deep a MessagePack body may nest; a job needs 2, a batch of jobs 3. */
export const MSGPACK_DEPTH_MAX = 32

// --- what an upstream may answer ---

export const RESPONSE_HEADERS_BYTES_MAX = 64 * KIB
/** Length of the text about a failed attempt, in characters. */
export const FAILURE_DETAIL_LENGTH_MAX = 200

// --- pace ---

export const PACE_PER_SECOND_MIN = 0.5
/** 1,000 ns between sends; a higher pace is absurd. */
export const PACE_PER_SECOND_MAX = 1_000_000
export const CONCURRENT_MAX = 1_000_000
/** GCRA's tolerance: a send that is late by up to this is caught up. Part of the pace promise. */
export const PACE_TOLERANCE_US = 5000
/** The part of it for late writes; the rest is for delays between the write and the upstream. */
export const PACE_WRITE_LATE_US = 4500
/** A budget that was not spent for this long after its due time was idle, not late. */
export const PACE_IDLE_US = 100_000
/** How long a shard at most yields to one that is behind at a shared budget. */
export const YIELD_US_MAX = 2000
/** How long a 429's Retry-After may hold a whole budget; the job itself waits for all of it. */
export const BUDGET_HOLD_MS_MAX = 60_000

// --- time ---

/** Connect timeout, including look-up and TLS; less if the attempt timeout is shorter. */
export const CONNECT_TIMEOUT_MS_DEFAULT = 10_000
export const RETRY_BASE_MS = 1000
export const RETRY_CAP_MS = 60_000
export const JOB_DEADLINE_MS = 24 * 3600 * 1000
export const WEBHOOK_RETRIES_MAX = 4
export const QUEUED_KEY_TTL_MS = 24 * 3600 * 1000
/** An empty lane or an idle upstream keeps its learned pace and limit at least this long. */
export const IDLE_KEEP_MS_MIN = 5 * 60 * 1000
export const POSITION_EVERY_MS = 2000
/** A sleeping thread's poll interval: the most that a lost wake-up would cost. */
export const POLL_EVERY_MS = 50
/** The longest accepted Retry-After; a job does not live longer. */
export const RETRY_AFTER_MS_MAX = JOB_DEADLINE_MS
/**
 * After requests, if only more requests can arrive, a shard naps (blocks) before it sleeps: this
 * long, and at most this often in a row, since a nap blocks its event loop.
 */
export const SHARD_NAP_MS = 0.5
export const SHARD_NAPS_MAX = 16

// --- work of one turn of a shard ---

export const INGRESS_RECORDS_PER_TURN_MAX = 4096
/** Of these, queries and cancellations, which cost about 10 us each. */
export const QUESTIONS_PER_TURN_MAX = 128
/** Watched jobs whose positions are reported. */
export const POSITIONS_PER_TURN_MAX = 256
export const SENDS_PER_TURN_MAX = 1024
export const EXPIRED_PER_TURN_MAX = 4096
export const CLEAN_BYTES_PER_TURN_MAX = 256 * KIB
/** Items that a timing wheel moves from a list of 1,024 ms to the lists of 1 ms. */
export const WHEEL_DEALT_PER_TURN_MAX = 4096

// --- sockets and streams ---

/** Requests in flight from one shard, to all upstreams and receivers together. */
export const IN_FLIGHT_PER_SHARD_MAX = 16_384
/** An upstream or receiver may have this times what is free: a single one gets four fifths. */
export const IN_FLIGHT_SHARE_ALPHA = 4
/** Each may have this minimum at any time; the reserve is for those below their minimum. */
export const IN_FLIGHT_MINIMUM = 8
export const IN_FLIGHT_RESERVE = 1024
/** The share of webhook deliveries, so that receivers that hang leave the rest to jobs. */
export const WEBHOOKS_IN_FLIGHT_PER_MILLE_MAX = 500
/** A receiver may have this times what is free: a single one gets two thirds. */
export const WEBHOOKS_IN_FLIGHT_ALPHA = 2
/** Jobs watched by streams and sockets at once, per shard. */
export const WATCHED_JOBS_MAX = 65_536
/** Keys are numbered from 1 to this; a job's slot has 16 bits for its key. */
export const KEYS_MAX = 65_535

// --- front door ---

/** The minimum time between two warnings about the same upstream or pool. */
export const WARNING_PAUSE_MS = 60_000

// --- shards that crash ---

/** Crashes of its shard after which a job or request is set aside. */
export const SUSPECT_DEATHS_MAX = 2
/** Suspected jobs that are remembered; a new one replaces the oldest. */
export const SUSPECTS_MAX = 12

// --- tables ---

/** An upstream's record that all shards share: one cache line. */
export const UPSTREAM_RECORD_BYTES = 64
/** An upstream's origin: its length, then the text of scheme, a host of 253 bytes, and a port. */
export const UPSTREAM_NAME_BYTES = 272
export const ORIGIN_BYTES_MAX = UPSTREAM_NAME_BYTES - 2

// --- journal ---

/** Slots that are journalled together, since slots that change together are mostly adjacent. */
export const JOBS_PER_PAGE = 16
export const LANES_PER_PAGE = 16
export const TEMPLATES_PER_PAGE = 64
/** How far a shard's journal may be behind its memory before new jobs are refused. */
export const JOURNAL_BEHIND_BYTES_MAX = 64 * MIB
/** A tail file of this size is closed and compacted into the store; the next one is begun. */
export const JOURNAL_TAIL_BYTES_MAX = 64 * MIB
/** Pause before a failed journal write is retried. */
export const JOURNAL_RETRY_MS = 200
/** An unchanged journal gets a batch this often, since its time is used for the age of keys. */
export const JOURNAL_DATE_MS = 60_000
/** A journal whose writes have failed for this long is reported as stalled: callers get 503. */
export const JOURNAL_STALLED_MS = 1000
/** How often the journal's files are checked to be still under their names. */
export const JOURNAL_LOOK_MS = 100
/** The minimum time between two notes of how far a journal reaches. */
export const JOURNAL_EXTENT_MS = 10

// --- pages touched ahead ---

export const TOUCH_EVERY_MS = 100
/** Periods ahead, at the last period's rate of use, whose pages the toucher allocates. */
export const TOUCH_AHEAD_LOOKS = 10
/** Touched ahead of each array and of the job log while they are in use. */
export const TOUCH_AHEAD_BYTES_MIN = 64 * KIB
export const TOUCH_AHEAD_BYTES_MAX = 64 * MIB

// --- job log ---

/** Length, kind, owner, word: 4 bytes each. */
export const LOG_RECORD_HEADER_BYTES = 16
export const LOG_ALIGN_BYTES = 8
/** Not used for new jobs, so that the cleaner and results of requests in flight have space. */
export const SEGMENTS_RESERVED = 3
/** New jobs are refused above this share of the log's usable bytes; below it cleaning is cheap. */
export const LOG_FILL_PER_MILLE_MAX = 900
/** Response bodies are kept up to this share of it; the rest is for results without bodies. */
export const LOG_BODIES_PER_MILLE_MAX = 950
/**
 * A user's unfinished jobs may take this times what is free of the log, and of the slots: a single
 * user gets eight ninths.
 */
export const LOG_SPACE_ALPHA = 8
/** Size of the users' count-min sketch: a user with little may be counted too high. */
export const LOG_USERS_COUNTED = 1024
/** A location has twelve bits for the segment. */
export const SEGMENTS_MAX = 4096
/** Not used even for results: copying a segment's live records takes one, then frees one. */
export const SEGMENTS_FOR_CLEANER = 1
/** Not counted as space for jobs: the open segment, the cleaner's, the reserve, and the next. */
export const SEGMENTS_OVERHEAD = SEGMENTS_RESERVED + 3
/** The cleaner works while fewer free segments are left than this share plus the reserve. */
export const SEGMENTS_FREE_PER_MILLE_AIM = 30
/** A record above this share of a segment may waste space before it, and is charged for it. */
export const LARGE_RECORDS_PER_SEGMENT = 16
/** The cleaner works ahead only on segments with this share of dead bytes, so that it ends. */
export const CLEAN_DEAD_PER_SEGMENT = 32
/** Hashes of recently seen parts of jobs; a part that is seen again becomes a template. */
export const TEMPLATES_RECENT_COUNT = 65_536
/** Templates that a shard caches decoded, and the encoded size of the largest cached one. */
export const TEMPLATES_DECODED_MAX = 4096
export const TEMPLATE_DECODED_BYTES_MAX = 2 * KIB
/**
 * The bytes that a shared template may take per job that refers to it, beyond what the job's result
 * would have to repeat without it. If it takes more, as with large headers, results repeat that.
 */
export const TEMPLATE_PER_RESULT_BYTES_MAX = 512
