// Limits of the front door and of the process around the shards, by name and unit. Those of client
// connections and their memory are in client-limits.ts, those of the engine in shards/memory.

import { KIB, MIB } from '../../shards/base/units.ts'

// --- what a caller may send ---

export const BODY_BYTES_MAX_DEFAULT = MIB
export const RETRIES_MAX = 100
export const RETRIES_DEFAULT = 4

// --- what an upstream may answer ---

export const RESPONSE_BYTES_MAX_DEFAULT = MIB

// --- pace ---

export const PACE_PER_SECOND_DEFAULT = 2
export const CONCURRENT_DEFAULT = 100
export const WEBHOOK_PACE_PER_SECOND_DEFAULT = 100_000
export const WEBHOOK_CONCURRENT_DEFAULT = 128

// --- time ---

export const ATTEMPT_TIMEOUT_MS_DEFAULT = 30_000
export const WEBHOOK_TIMEOUT_MS_DEFAULT = 10_000
export const CONNECT_TIMEOUT_MS_MIN = 100
export const CONNECT_TIMEOUT_MS_MAX = 3600 * 1000
export const COMPLETED_TTL_MS_DEFAULT = 30 * 60 * 1000
export const FAILED_TTL_MS_DEFAULT = 2 * 3600 * 1000
/** For a webhook's receiver, so that its four retries are over within half an hour. */
export const WEBHOOK_RETRY_AFTER_MS_MAX_DEFAULT = 300_000
/** How long the main thread blocks for the answers of shards whose bells it has just rung. */
export const ANSWER_NAP_MS = 0.1
/** Upper limit of the backoff after naps without an answer, in skipped naps; doubles each time. */
export const ANSWER_NAPS_MISSED_MAX = 64

// --- sockets and streams ---

/** Connections to one origin from one shard; further requests wait for a free connection. */
export const CONNECTIONS_PER_ORIGIN_MAX_DEFAULT = 1024

// --- front door ---

/** The header block of a request to Sluice itself; a larger one is answered with 431. */
export const REQUEST_HEADERS_BYTES_MAX = 16 * KIB
/** Jobs that wait for a shard's answer; a power of two, and a slot number of 16 bits. */
export const REQUESTS_PENDING_MAX = 65_536
/** Event streams at once. */
export const STREAMS_MAX = 16_384
/** What a slow reader of an event stream may leave unread, beyond one event. */
export const STREAM_BACKLOG_BYTES_MAX = MIB
export const STREAM_KEEP_ALIVE_MS = 15_000
/** Records read from one answer ring before the event loop serves sockets again. */
export const ANSWERS_PER_TURN_MAX = 4096
/** Records written to the ingress rings before the bells are rung, even if more keep arriving. */
export const RECORDS_PER_RING_MAX = 16
/** Iterations of the main thread's event loop for which a bell waits for more records. */
export const TURNS_PER_RING_MAX = 16
/** Job shapes that the front door keeps, so that similar jobs need not be parsed. */
export const SHAPES_MAX = 16_384
/** Maximum of a shape's pieces, and of its encoded template; larger jobs are parsed each time. */
export const SHAPE_BYTES_MAX = 2 * KIB
/** Maximum of the pieces of all JSON shapes; beyond it, a new shape replaces the oldest. */
export const SHAPES_BYTES = 8 * MIB
/** Hashes of shapes that were seen once; a power of two. */
export const SHAPES_SEEN_COUNT = 65_536
/** Once all shapes are in use, one new shape in so many replaces the oldest. */
export const SHAPES_LEARNT_ONE_IN = 64
/** Parsed URLs that are cached, and the longest that is. */
export const URLS_CACHED_MAX = 4096
export const URL_CACHED_LENGTH_MAX = KIB
export const RETRY_AFTER_S_MIN = 5
export const RETRY_AFTER_S_MAX = 60
/** Upstreams reclaimed from the shards when there is no slot for a new one. */
export const UPSTREAM_RELEASES_PER_REFUSAL_MAX = 16
/** Upstream slots scanned per tick, to find unused ones. */
export const UPSTREAM_LOOKS_PER_TICK_MAX = 1024
/** Upstreams reclaimed per tick. */
export const UPSTREAM_RELEASES_PER_TICK_MAX = 256
/** An upstream named within this time is not reclaimed as unused: jobs may be on their way. */
export const UPSTREAM_UNUSED_MS_MIN = 100

// --- shards that end ---

/** Ends of shard threads within SHARD_DEATHS_WITHIN_MS; with more, the process ends. */
export const SHARD_DEATHS_MAX = 3
export const SHARD_DEATHS_WITHIN_MS = 5000
/** A shard without a heartbeat for this long is stuck: its thread is ended and replaced. */
export const SHARD_SILENCE_MS_MAX = 5000
/** The same while it attaches to its memory, which takes about 1 s per ten million jobs. */
export const SHARD_START_MS_MAX = 60_000
/** New code that its threads have not loaded after this time is refused. */
export const RELOAD_LOAD_MS_MAX = 10_000
/** An old thread whose successor needs no relay any more is ended after this, unless it ends. */
export const RELAY_END_MS_MAX = 5000
/** How often the supervisor checks the shards' heartbeats. */
export const SHARD_LOOK_EVERY_MS = 250
/** How long clients wait for a shard that is being replaced before they get 503. */
export const SHARD_AWAITED_MS = 1000

// --- jobs over WebSocket, and in batches ---

/** Sockets at once. */
export const SOCKETS_MAX = 4096
/** Unanswered jobs that a socket may have: its window. */
export const SOCKET_WINDOW_JOBS = 4096
/** Jobs in one `enqueue`, and job ids in one `watch`, `unwatch` or `cancel`. */
export const MESSAGE_JOBS_MAX = 1024
/** What a frame may have beyond the largest body: the message around the job. */
export const FRAME_OVERHEAD_BYTES = 64 * KIB
/** A caller's own name for a job, where it is text. */
export const REF_BYTES_MAX = 64
/** Of REQUESTS_PENDING_MAX, for sockets and batches; the rest is kept for single posts. */
export const REQUESTS_PENDING_BULK_MAX = 49_152
/** Questions about jobs that wait for a shard's answer. */
export const QUESTIONS_PENDING_MAX = 16_384
/** Jobs that one socket watches. */
export const SOCKET_WATCHED_MAX = 16_384
/** Unread bytes at which a socket is warned, and at which it is closed. */
export const SOCKET_WARN_BYTES = 256 * KIB
export const SOCKET_BACKLOG_BYTES_MAX = MIB
/** Answers to a socket's jobs that are sent as one message. */
export const ANSWERS_BYTES_MAX = 64 * KIB
/** A socket is pinged after this long without a byte, and closed if it does not respond. */
export const SOCKET_IDLE_MS_DEFAULT = 60_000
export const SOCKET_IDLE_MS_MIN = 8000
export const SOCKET_IDLE_MS_MAX = 960_000
/** Jobs in one POST /jobs/batch: the default, and the most that it may be set to. */
export const BATCH_JOBS_MAX_DEFAULT = 10_000
export const BATCH_JOBS_LIMIT_MAX = 10_000_000
/** Jobs of one batch that wait for a shard, and unread bytes of answers; reading stops beyond. */
export const BATCH_WINDOW_JOBS = 1024
export const BATCH_BACKLOG_BYTES = 256 * KIB

// --- control socket, reload, drain ---

/** A request on the control socket: one line. */
export const CONTROL_LINE_BYTES_MAX = 4 * KIB
/** A line of its answers: they may quote problems of a configuration. */
export const CONTROL_ANSWER_BYTES_MAX = MIB
export const CONTROL_CONNECTIONS_MAX = 32
/** Requests of one connection that wait for their predecessor. */
export const CONTROL_REQUESTS_WAITING_MAX = 64
/** A client with this much unread gets no more progress, only the final answer. */
export const CONTROL_BACKLOG_BYTES_MAX = 64 * KIB
/** A socket file that refuses connections for this long has no listener. */
export const CONTROL_STALE_AFTER_MS = 100
/** How often the successor checks whether the predecessor has released its control socket. */
export const CONTROL_TRIES_MAX = 30
/** New code that is not loaded after this time is refused. */
export const CODE_LOAD_MS_MAX = 15_000
/** Part of a body that is read before it is decided which process answers the request. */
export const HELD_BODY_BYTES_MAX = 128 * KIB
/** Requests that are admitted together after waiting for a take-over, and the interval. */
export const LET_IN_AT_ONCE = 256
export const LET_IN_EVERY_MS = 1
/** None is admitted while more jobs than this wait for an answer, or a ring is half full. */
export const LET_IN_PENDING_MAX = REQUESTS_PENDING_MAX / 8
/** Bodies over HELD_BODY_BYTES_MAX: how many are read at the same time, and how long at most. */
export const LET_IN_ARRIVING_MAX = 2
export const LET_IN_ARRIVING_MS_MAX = 1000
/** How long the predecessor waits for the answers to jobs that it has accepted already. */
export const HAND_OVER_ANSWERS_MS_MAX = 5000
/** And for webhook deliveries, once no job is in flight: slower ones are sent again. */
export const HAND_OVER_DELIVERIES_MS_MAX = 1000
/** How long the predecessor proxies requests of old connections. */
export const PROXY_MS_MAX = 30_000
/** How often it checks whether that is over. */
export const PROXY_LOOK_EVERY_MS = 20
/** The pause before a request that could not be proxied is retried, and the number of tries. */
export const PROXY_AGAIN_MS = 100
export const PROXY_TRIES_MAX = 5
/** How often a drain is checked and reported to its client, and how often it is logged. */
export const DRAIN_LOOK_EVERY_MS = 250
export const DRAIN_LOG_EVERY_MS = 10_000
/** Slots scanned per shard and check, to find the job that has waited longest: 1 to 2 ms. */
export const DRAIN_SLOTS_PER_LOOK_MAX = 262_144

// --- tables ---

export const SHARDS_MAX = 64
/** One account alone gets at most two thirds of the slots, three that take all get 2/7 each. */
export const UPSTREAM_SLOTS_ALPHA = 2

// --- journal ---

export const JOURNAL_INTERVAL_MS_DEFAULT = 100
export const JOURNAL_INTERVAL_MS_MIN = 10
export const JOURNAL_INTERVAL_MS_MAX = 60_000

/** Entries of each of the two lists that say where requests may go. */
export const EGRESS_ENTRIES_MAX = 1024

// --- keys and tokens ---

/** The name of a key: it is also the user of the key's jobs. */
export const KEY_NAME_BYTES_MAX = 64
/** The key file: KEYS_MAX entries of about 600 bytes fit. */
export const KEY_FILE_BYTES_MAX = 64 * MIB
/** How often the times at which keys were last used are written to the key file, at most. */
export const KEY_USES_EVERY_MS = 60_000
/** Bounds of what a key's own limits may be set to. */
export const KEY_JOBS_QUEUED_MAX = 1_000_000_000
export const KEY_SUBMISSIONS_PER_SECOND_MAX = 1_000_000
/** Keys in one answer of the control socket: about 400 KiB. */
export const KEYS_PER_ANSWER_MAX = 1000
/** A presented JSON Web Token; a longer one is refused unread. */
export const JWT_BYTES_MAX = 8 * KIB
/** Tokens that are known to be right; beyond, the one that was used least recently is forgotten. */
export const JWTS_CACHED_MAX = 16_384
/** Tokens that are known to be wrong, and for how long. */
export const JWTS_REFUSED_MAX = 4096
export const JWT_REFUSED_MS = 10_000
/** Verifications under way at once. */
export const JWT_CHECKS_AT_ONCE = 64
/** Tokens that are verified, or wait for that or for a key set to be fetched. */
export const JWT_CHECKS_MAX = 1024
/** Of these, one client address alone gets at most 4/5 (share.ts). */
export const JWT_CHECKS_ALPHA = 4
/** How often it is logged why a token was refused, at most. */
export const JWT_REFUSED_LOG_EVERY_MS = 10_000
export const JWT_CLOCK_SKEW_MS_DEFAULT = 30_000
export const JWT_CLOCK_SKEW_MS_MAX = 300_000
/** Entries of jwt.tenants. */
export const JWT_TENANTS_MAX = 4096
/** A key set, and how long fetching it may take. */
export const JWKS_BYTES_MAX = 256 * KIB
export const JWKS_FETCH_MS_MAX = 5000
/** How often a key set is fetched again, and the least time between two fetches. */
export const JWKS_LIFETIME_MS = 600_000
export const JWKS_PAUSE_MS_MIN = 30_000
/** Entries of the list of proxies that are believed. */
export const TRUSTED_PROXIES_MAX = 256
