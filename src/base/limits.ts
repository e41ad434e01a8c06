// Bounds of the front door and of the process around the shards, by name and unit. Those of client
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
/** The same of a webhook's receiver, so that its four retries are over within half an hour. */
export const WEBHOOK_RETRY_AFTER_MS_MAX_DEFAULT = 300_000
/** The main thread waits on the spot so long for the answers of shards that it has just rung. */
export const ANSWER_NAP_MS = 0.1
/** After naps that brought nothing, so many rings pass without one; twice as many each time. */
export const ANSWER_NAPS_MISSED_MAX = 64

// --- sockets and streams ---

/** Connections to one origin from one shard; more in flight than that waits for a free one. */
export const CONNECTIONS_PER_ORIGIN_MAX_DEFAULT = 1024

// --- front door ---

/** The header block of a request to Sluice itself; more is answered with 431. */
export const REQUEST_HEADERS_BYTES_MAX = 16 * KIB
/** Requests that wait for a shard's answer; a power of two, and a slot number of 16 bits. */
export const REQUESTS_PENDING_MAX = 65_536
/** Event streams at once. */
export const STREAMS_MAX = 16_384
/** What one slow reader of events may leave unread, beyond one event. */
export const STREAM_BACKLOG_BYTES_MAX = MIB
export const STREAM_KEEP_ALIVE_MS = 15_000
/** Records taken from one answer ring before the sockets get their turn again. */
export const ANSWERS_PER_TURN_MAX = 4096
/** Records that are handed to the shards before their bells are rung, however many still come. */
export const RECORDS_PER_RING_MAX = 16
/** Turns of the main thread's event loop that a bell waits for more records. */
export const TURNS_PER_RING_MAX = 16
/** Shapes of jobs that the front door keeps, so that it need not parse their like. */
export const SHAPES_MAX = 16_384
/** Of a shape's pieces, and of its encoded template; what is longer is parsed each time. */
export const SHAPE_BYTES_MAX = 2 * KIB
/** Of the pieces of all shapes of JSON; what would be more takes the place of the oldest. */
export const SHAPES_BYTES = 8 * MIB
/** Hashes of shapes that came by once; a power of two. */
export const SHAPES_SEEN_COUNT = 65_536
/** Once all shapes are taken, one new shape in so many takes the place of the oldest. */
export const SHAPES_LEARNT_ONE_IN = 64
/** Parsed URLs that are remembered, and the longest that is. */
export const URLS_CACHED_MAX = 4096
export const URL_CACHED_LENGTH_MAX = KIB
export const RETRY_AFTER_S_MIN = 5
export const RETRY_AFTER_S_MAX = 60
/** Upstreams that are asked back from the shards when a new one finds no room. */
export const UPSTREAM_RELEASES_PER_REFUSAL_MAX = 16
/** Slots of upstreams that are looked at in a tick, to find those that nothing is kept for. */
export const UPSTREAM_LOOKS_PER_TICK_MAX = 1024
/** And those of them that are asked back. */
export const UPSTREAM_RELEASES_PER_TICK_MAX = 256
/** An upstream that was named within so long is not asked back unused: jobs may be on their way. */
export const UPSTREAM_UNUSED_MS_MIN = 100

// --- shards that end ---

/** Ends of shard threads within SHARD_DEATHS_WITHIN_MS, above which the process gives up. */
export const SHARD_DEATHS_MAX = 3
export const SHARD_DEATHS_WITHIN_MS = 5000
/** A shard that has not turned for so long is stuck: its thread is ended and replaced. */
export const SHARD_SILENCE_MS_MAX = 5000
/** The same while it attaches to its memory, which takes a second for some ten million jobs. */
export const SHARD_START_MS_MAX = 60_000
/** New code that has not been loaded by its threads after so long is refused. */
export const RELOAD_LOAD_MS_MAX = 10_000
/** An old thread that relays to nobody any more is ended after this, if it does not end itself. */
export const RELAY_END_MS_MAX = 5000
/** How often the supervisor looks at the shards' heartbeats. */
export const SHARD_LOOK_EVERY_MS = 250
/** Clients wait so long for a shard that is being replaced before they are answered 503. */
export const SHARD_AWAITED_MS = 1000

// --- jobs over WebSocket, and in batches ---

/** Sockets at once. */
export const SOCKETS_MAX = 4096
/** Jobs that a socket may have sent without having been answered: its window. */
export const SOCKET_WINDOW_JOBS = 4096
/** Jobs in one `enqueue`, and job ids in one `watch`, `unwatch` or `cancel`. */
export const MESSAGE_JOBS_MAX = 1024
/** What a frame may have beyond the largest body: the words around the job. */
export const FRAME_OVERHEAD_BYTES = 64 * KIB
/** A caller's own name for a job, where it is text. */
export const REF_BYTES_MAX = 64
/** Of REQUESTS_PENDING_MAX, for sockets and batches; the rest is kept for single posts. */
export const REQUESTS_PENDING_BULK_MAX = 49_152
/** Questions about jobs that wait for a shard's answer. */
export const QUESTIONS_PENDING_MAX = 16_384
/** Jobs that one socket watches. */
export const SOCKET_WATCHED_MAX = 16_384
/** Unread bytes at which a socket is warned, and at which it is cut. */
export const SOCKET_WARN_BYTES = 256 * KIB
export const SOCKET_BACKLOG_BYTES_MAX = MIB
/** Answers to a socket's jobs that are sent as one message. */
export const ANSWERS_BYTES_MAX = 64 * KIB
/** A socket is pinged after so long without a byte, and then closed. */
export const SOCKET_IDLE_MS_DEFAULT = 60_000
export const SOCKET_IDLE_MS_MIN = 8000
export const SOCKET_IDLE_MS_MAX = 960_000
/** Jobs in one POST /jobs/batch, and the most that this may be set to. */
export const BATCH_JOBS_MAX_DEFAULT = 10_000
export const BATCH_JOBS_LIMIT_MAX = 10_000_000
/** Jobs of one batch that wait for a shard, and unread bytes of answers, before reading stops. */
export const BATCH_WINDOW_JOBS = 1024
export const BATCH_BACKLOG_BYTES = 256 * KIB

// --- control socket, reload, drain ---

/** A request of the control socket, one line. */
export const CONTROL_LINE_BYTES_MAX = 4 * KIB
/** A line of its answers: reasons may quote what is wrong with a configuration. */
export const CONTROL_ANSWER_BYTES_MAX = MIB
export const CONTROL_CONNECTIONS_MAX = 32
/** Requests of one connection that wait for the one before them. */
export const CONTROL_REQUESTS_WAITING_MAX = 64
/** A client that has left so much unread is told of no more progress, only of the end. */
export const CONTROL_BACKLOG_BYTES_MAX = 64 * KIB
/** A socket that refuses a connection for so long has nobody behind it. */
export const CONTROL_STALE_AFTER_MS = 100
/** How often whoever takes over looks whether the other process has let go of its socket. */
export const CONTROL_TRIES_MAX = 30
/** New code that is not loaded by then is refused. */
export const CODE_LOAD_MS_MAX = 15_000
/** Of a body, while it is not decided who answers the request; more of it is not read. */
export const HELD_BODY_BYTES_MAX = 128 * KIB
/** Requests that are let in at once after they have waited for a take-over, and how often. */
export const LET_IN_AT_ONCE = 256
export const LET_IN_EVERY_MS = 1
/** While more jobs than this wait for an answer, or a ring is half full, none is let in. */
export const LET_IN_PENDING_MAX = REQUESTS_PENDING_MAX / 8
/** Of bodies beyond HELD_BODY_BYTES_MAX so many are read on at once, and waited for so long. */
export const LET_IN_ARRIVING_MAX = 2
export const LET_IN_ARRIVING_MS_MAX = 1000
/** How long whoever hands over waits for the answers to what it has taken already. */
export const HAND_OVER_ANSWERS_MS_MAX = 5000
/** And for deliveries of webhooks, once no job is in flight: others hang, and are sent again. */
export const HAND_OVER_DELIVERIES_MS_MAX = 1000
/** How long it goes on passing requests of old connections on. */
export const PROXY_MS_MAX = 30_000
/** How often it looks whether that is over. */
export const PROXY_LOOK_EVERY_MS = 20
/** A request that could not be proxied is tried again after so long, so many times. */
export const PROXY_AGAIN_MS = 100
export const PROXY_TRIES_MAX = 5
/** How often a drain is looked at, and told of; and how often the log is. */
export const DRAIN_LOOK_EVERY_MS = 250
export const DRAIN_LOG_EVERY_MS = 10_000
/** Of each shard's slots, at each look, to find what has waited longest: a millisecond or two. */
export const DRAIN_SLOTS_PER_LOOK_MAX = 262_144

// --- tables ---

export const SHARDS_MAX = 64
/** One user alone may have two thirds of the slots, three that take all they can 2/7 each. */
export const UPSTREAM_SLOTS_ALPHA = 2

// --- journal ---

export const JOURNAL_INTERVAL_MS_DEFAULT = 100
export const JOURNAL_INTERVAL_MS_MIN = 10
export const JOURNAL_INTERVAL_MS_MAX = 60_000
