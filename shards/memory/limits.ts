// Every bound of the engine, by name and unit, and the sum that --memory pays for.
// Thread: any. Memory: none; decides the sizes of all of it.
// Never: reads a setting itself; src/config passes what the user chose.
// The one place for these numbers: test/unit/shards/memory/limits.test.ts asserts how they relate.

import { assert } from '../base/assert.ts'
import { type Bytes, KIB, MIB, alignUp, powerOfTwoAtLeast } from '../base/units.ts'

// --- what a caller may send ---

export const USER_ID_BYTES_MAX = 256
export const IDEMPOTENT_KEY_BYTES_MAX = 512
export const URL_BYTES_MAX = 8 * KIB
/** All header names and values of a job together. */
export const JOB_HEADERS_BYTES_MAX = 32 * KIB
export const JOB_HEADERS_COUNT_MAX = 128
export const BODY_BYTES_MAX_DEFAULT = MIB
/** The most that a body or response limit may be set to: a record must fit in one segment. */
export const BODY_LIMIT_BYTES_MAX = 7 * MIB
export const RETRIES_MAX = 100
export const RETRIES_DEFAULT = 4
/** max_retries of a job that is tried until it succeeds or its deadline passes. */
export const RETRIES_UNLIMITED = -1
/** How deep a MessagePack body may nest; a job needs 2, a batch of jobs 3. */
export const MSGPACK_DEPTH_MAX = 32

// --- what an upstream may answer ---

export const RESPONSE_BYTES_MAX_DEFAULT = MIB
export const RESPONSE_HEADERS_BYTES_MAX = 64 * KIB
/** Characters of what is said about a failed attempt. */
export const FAILURE_DETAIL_LENGTH_MAX = 200

// --- pace ---

export const PACE_PER_SECOND_DEFAULT = 2
export const PACE_PER_SECOND_MIN = 0.5
/** A thousand nanoseconds between sends; more is absurd and ignored. */
export const PACE_PER_SECOND_MAX = 1_000_000
export const CONCURRENT_DEFAULT = 100
export const CONCURRENT_MAX = 1_000_000
/** GCRA's tolerance: how late a send may be and still be caught up. Part of the promise. */
export const PACE_TOLERANCE_US = 5000
/** How much of that may be used up by what was written; the rest is for the way from there. */
export const PACE_WRITE_LATE_US = 4500
/** A budget that could have been spent for so long was idle, not late. */
export const PACE_IDLE_US = 100_000
/** How long a shard lets the shard whose turn it is go first at a shared budget. */
export const TURN_GRACE_US = 2000
/** How long a 429's Retry-After may hold a whole budget; the job itself waits as long as asked. */
export const BUDGET_HOLD_MS_MAX = 60_000
export const WEBHOOK_PACE_PER_SECOND_DEFAULT = 100_000
export const WEBHOOK_CONCURRENT_DEFAULT = 128

// --- time ---

export const ATTEMPT_TIMEOUT_MS_DEFAULT = 30_000
export const WEBHOOK_TIMEOUT_MS_DEFAULT = 10_000
/** How long a connection may take, look-up and TLS included; less where an attempt may. */
export const CONNECT_TIMEOUT_MS_DEFAULT = 10_000
export const CONNECT_TIMEOUT_MS_MIN = 100
export const CONNECT_TIMEOUT_MS_MAX = 3600 * 1000
export const RETRY_BASE_MS = 1000
export const RETRY_CAP_MS = 60_000
export const JOB_DEADLINE_MS = 24 * 3600 * 1000
export const WEBHOOK_RETRIES_MAX = 4
export const QUEUED_KEY_TTL_MS = 24 * 3600 * 1000
export const COMPLETED_TTL_MS_DEFAULT = 30 * 60 * 1000
export const FAILED_TTL_MS_DEFAULT = 2 * 3600 * 1000
/** An emptied lane or a silent upstream keeps what it learned at least this long. */
export const IDLE_KEEP_MS_MIN = 5 * 60 * 1000
export const POSITION_EVERY_MS = 2000
/** How often a sleeping thread looks round unasked; what a lost ring would cost at most. */
export const POLL_EVERY_MS = 50
/** The longest wait that a Retry-After can ask for; a job does not outlive it. */
export const RETRY_AFTER_MS_MAX = JOB_DEADLINE_MS
/** The same of a webhook's receiver, so that its four retries are over within half an hour. */
export const WEBHOOK_RETRY_AFTER_MS_MAX_DEFAULT = 300_000

/**
 * After requests a shard waits on the spot for more before it sleeps, if nothing else can come:
 * so long at once, and so often in a row, since its event loop stands still meanwhile.
 */
export const SHARD_NAP_MS = 0.5
export const SHARD_NAPS_MAX = 16
/** The main thread waits on the spot so long for the answers of shards that it has just rung. */
export const OUTCOME_NAP_MS = 0.1
/** After naps that brought nothing, so many rings pass without one; twice as many each time. */
export const OUTCOME_NAPS_MISSED_MAX = 64

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

/** Connections to one origin from one shard; more in flight than that waits for a free one. */
export const CONNECTIONS_PER_ORIGIN_MAX_DEFAULT = 1024
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

/** Jobs that event streams follow at once, per shard. */
export const WATCHED_JOBS_MAX = 65_536

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
/** Records taken from one outcome ring before the sockets get their turn again. */
export const OUTCOMES_PER_TURN_MAX = 4096
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
/** The pause between two warnings about the same upstream, or the same pool. */
export const WARNING_PAUSE_MS = 60_000

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
/** Deaths of its shard after which a job, or a request, is set aside. */
export const SUSPECT_DEATHS_MAX = 2
/** Jobs whose deaths are remembered; the oldest is forgotten for a new one. */
export const SUSPECTS_MAX = 12

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
export const PASS_ON_MS_MAX = 30_000
/** How often it looks whether that is over. */
export const PASS_ON_LOOK_EVERY_MS = 20
/** A request that could not be passed on is tried again after so long, so many times. */
export const PASS_ON_AGAIN_MS = 100
export const PASS_ON_TRIES_MAX = 5
/** How often a drain is looked at, and told of; and how often the log is. */
export const DRAIN_LOOK_EVERY_MS = 250
export const DRAIN_LOG_EVERY_MS = 10_000
/** Of each shard's slots, at each look, to find what has waited longest: a millisecond or two. */
export const DRAIN_SLOTS_PER_LOOK_MAX = 262_144

// --- tables ---

export const SHARDS_MAX = 64
export const JOB_SLOT_BYTES = 72
export const LANE_SLOT_BYTES = 84
export const TEMPLATE_SLOT_BYTES = 16
/** An entry of the lane wheel: two links and a due time. */
export const WHEEL_ITEM_BYTES = 16
export const INDEX_ENTRY_BYTES = 4
/** Entries per thousand slots, so that an open-addressing index never fills beyond 80 %. */
export const INDEX_ENTRIES_PER_MILLE = 1250
/** An upstream's record that all shards share; a cache line of its own. */
export const UPSTREAM_RECORD_BYTES = 64
/** An upstream's origin as text, its length in front; scheme, a host of 253 bytes, and a port. */
export const UPSTREAM_NAME_BYTES = 272
export const ORIGIN_BYTES_MAX = UPSTREAM_NAME_BYTES - 2
/** What all shards share of an upstream. */
export const UPSTREAM_SHARED_BYTES = UPSTREAM_RECORD_BYTES + UPSTREAM_NAME_BYTES
/** Each shard's own words about an upstream, in shared memory. */
export const UPSTREAM_SHARD_WORDS_BYTES = 7 * 4
/** Each shard's private words about an upstream: links, counts and turns, and its wheel entry. */
export const UPSTREAM_PRIVATE_BYTES = 7 * 4 + 8 + WHEEL_ITEM_BYTES
export const UPSTREAMS_MAX = 16_384
export const UPSTREAMS_MIN = 256
/** One user alone may have two thirds of the slots, three that take all they can 2/7 each. */
export const UPSTREAM_SLOTS_ALPHA = 2
export const LANES_PER_SHARD_MAX = 2_097_152
/** A record's size that the number of job slots is planned for; small jobs run out of slots. */
export const RECORD_BYTES_PLANNED = 192
/** One lane is planned for so many job slots, besides the overflow lane of each upstream. */
export const LANE_PER_JOBS = 4

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
export const JOURNAL_INTERVAL_MS_DEFAULT = 100
export const JOURNAL_INTERVAL_MS_MIN = 10
export const JOURNAL_INTERVAL_MS_MAX = 60_000

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
export const SEGMENT_BYTES_MAX = 8 * MIB
/** What is known of a segment: live bytes, used bytes, state, journalled bytes. */
export const SEGMENT_WORDS_BYTES = 4 * 4
/** Aimed at: enough segments that one being cleaned is a small part of the log. */
export const SEGMENTS_AIM = 64
export const SEGMENTS_MIN = 8
/** Kept free of new jobs so that the cleaner and the results of what is in flight can go on. */
export const SEGMENTS_RESERVED = 3
/** New jobs are refused above this share of the log's usable bytes; cleaning stays cheap below. */
export const LOG_FILL_PER_MILLE_MAX = 900
/** Bodies of responses are kept up to this share of it; what is above is for outcomes alone. */
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

/** A shard's bell, its statistics, ring heads and tails, and the gaps between regions. */
export const LAYOUT_SLACK_BYTES = 16 * KIB

/** What the user chose, in bytes and counts. */
export interface MemorySettings {
  readonly memoryBytes: number
  readonly shards: number
  readonly bodyBytesMax: number
  readonly responseBytesMax: number
}

/** All sizes that follow from MemorySettings; passed to every shard as plain data. */
export interface Limits extends MemorySettings {
  /** The largest record in a ring or in the log, its header included. */
  readonly recordBytesMax: number
  readonly ringBytes: number
  readonly segmentBytes: number
  readonly segmentsMax: number
  readonly jobsMax: number
  readonly lanesMax: number
  readonly templatesMax: number
  readonly upstreamsMax: number
}

/** What a job's record holds besides its body: template, msgpack framing and headers. */
const RECORD_OVERHEAD_BYTES =
  2 * URL_BYTES_MAX + // url, webhook_url
  JOB_HEADERS_BYTES_MAX + JOB_HEADERS_COUNT_MAX * 10 + // header text and its framing
  USER_ID_BYTES_MAX + IDEMPOTENT_KEY_BYTES_MAX +
  KIB // fixed fields

/** The bytes that one shard takes, part by part, in the order in which they lie. */
export function shardParts(limits: Limits): ReadonlyArray<readonly [string, Bytes]> {
  const indexBytes = (slots: number): number => indexEntries(slots) * INDEX_ENTRY_BYTES
  const parts: [string, number][] = [
    ['rings', 2 * limits.ringBytes],
    ['job slots', limits.jobsMax * JOB_SLOT_BYTES],
    ['job indexes', 2 * indexBytes(limits.jobsMax)],
    ['lanes', limits.lanesMax * (LANE_SLOT_BYTES + WHEEL_ITEM_BYTES) + indexBytes(limits.lanesMax)],
    ['templates', limits.templatesMax * TEMPLATE_SLOT_BYTES + indexBytes(limits.templatesMax)],
    ['upstreams', limits.upstreamsMax * (UPSTREAM_PRIVATE_BYTES + UPSTREAM_SHARD_WORDS_BYTES)],
    ['journal marks', journalMarksBytes(limits)],
    ['job log', limits.segmentsMax * (limits.segmentBytes + SEGMENT_WORDS_BYTES)],
    ['bell, statistics, alignment', LAYOUT_SLACK_BYTES],
  ]
  return parts.map(([name, bytes]) => [name, bytes as Bytes] as const)
}

/** One byte for each page of slots, each upstream and each segment. */
const journalMarksBytes = (limits: Limits): Bytes =>
  (Math.ceil(limits.jobsMax / JOBS_PER_PAGE) + Math.ceil(limits.lanesMax / LANES_PER_PAGE) +
    Math.ceil(limits.templatesMax / TEMPLATES_PER_PAGE) + limits.upstreamsMax +
    limits.segmentsMax) as Bytes

/** Entries of an index over `slots`: 1000 → 1250; never fewer than slots + 1. */
export const indexEntries = (slots: number): number =>
  Math.max(slots + 1, Math.ceil((slots * INDEX_ENTRIES_PER_MILLE) / 1000))

/** The bytes of one shard. */
export function shardBytes(limits: Limits): Bytes {
  let sum = 0
  for (const [, bytes] of shardParts(limits)) sum += bytes
  return sum as Bytes
}

/** The bytes that all shards and the table they share take; at most `limits.memoryBytes`. */
export const plannedBytes = (limits: Limits): Bytes =>
  (limits.shards * shardBytes(limits) + limits.upstreamsMax * UPSTREAM_SHARED_BYTES) as Bytes

/**
 * Sizes for the settings, or the least memory that would do. A shard's log ends at SEGMENTS_MAX
 * segments (32 GiB), so more memory than that wants more shards; what is beyond stays unused.
 * Asserts that the body and response limits are at most BODY_LIMIT_BYTES_MAX.
 */
export function planMemory(settings: MemorySettings):
  { ok: true; limits: Limits } | { ok: false; memoryBytesMin: Bytes } {
  assert(Math.max(settings.bodyBytesMax, settings.responseBytesMax) <= BODY_LIMIT_BYTES_MAX,
    'a body limit beyond what a segment holds')
  const recordBytesMax = alignUp(
    RECORD_OVERHEAD_BYTES + Math.max(settings.bodyBytesMax, settings.responseBytesMax), 8)
  const limits = plan(settings, recordBytesMax)
  if (limits !== undefined) return { ok: true, limits }
  let memoryBytes = settings.memoryBytes
  while (plan({ ...settings, memoryBytes }, recordBytesMax) === undefined) {
    memoryBytes += MIB
    assert(memoryBytes < 2 ** 50, 'no memory is enough for these settings')
  }
  return { ok: false, memoryBytesMin: memoryBytes as Bytes }
}

function plan(settings: MemorySettings, recordBytesMax: number): Limits | undefined {
  const perShardBytes = Math.floor(settings.memoryBytes / settings.shards)
  const ringBytes = Math.max(MIB, 4 * powerOfTwoAtLeast(recordBytesMax))
  const segmentFloor = powerOfTwoAtLeast(recordBytesMax)
  const upstreamsMax = Math.min(UPSTREAMS_MAX,
    Math.max(UPSTREAMS_MIN, Math.floor(perShardBytes / (64 * KIB))))
  const recordsBytes = Math.ceil((upstreamsMax * UPSTREAM_SHARED_BYTES) / settings.shards)
  const fixed = 2 * ringBytes + LAYOUT_SLACK_BYTES + recordsBytes +
    upstreamsMax * (UPSTREAM_PRIVATE_BYTES + UPSTREAM_SHARD_WORDS_BYTES + 1)
  const rest = perShardBytes - fixed
  if (rest < SEGMENTS_MIN * segmentFloor) return undefined
  const perJob = JOB_SLOT_BYTES + 2 * INDEX_ENTRY_BYTES * (INDEX_ENTRIES_PER_MILLE / 1000) +
    RECORD_BYTES_PLANNED
  const jobsMax = Math.floor(rest / (perJob + 128 / LANE_PER_JOBS + 1 / JOBS_PER_PAGE))
  const lanesMax = upstreamsMax +
    Math.min(LANES_PER_SHARD_MAX, Math.max(KIB, Math.floor(jobsMax / LANE_PER_JOBS)))
  const base: Limits = {
    ...settings, recordBytesMax, ringBytes, jobsMax, lanesMax, upstreamsMax,
    templatesMax: Math.max(KIB, Math.floor(lanesMax / 2)), segmentBytes: 0, segmentsMax: 0,
  }
  const logBytes = perShardBytes - shardBytes(base) - recordsBytes
  let segmentBytes = segmentFloor
  while (segmentBytes * 2 <= SEGMENT_BYTES_MAX && logBytes / (segmentBytes * 2) >= SEGMENTS_AIM) {
    segmentBytes *= 2
  }
  const segmentsMax = Math.min(SEGMENTS_MAX,
    Math.floor(logBytes / (segmentBytes + SEGMENT_WORDS_BYTES + 1)))
  if (segmentsMax < SEGMENTS_MIN) return undefined
  return { ...base, segmentBytes, segmentsMax }
}
