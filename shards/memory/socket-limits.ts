// The limits of a shard's sockets, each with its unit and the reason for its value.
// Thread: any. Memory: none. Never: computed from anything but constants.

const KIB = 1024
const MIB = 1024 * KIB

/** Connections to one origin that may always be opening at once, however few are open. */
export const CONNECTIONS_MAKING_MIN = 8
/**
 * A connection that is not open this long after its look-up counts as stalled, and others are
 * opened in addition. Longer than a SYN's first retransmission, or TLS to a far continent, takes.
 */
export const CONNECT_STALLED_MS = 1500
/** Stalled connections of one origin, up to this number, do not count as opening. */
export const CONNECTIONS_STALLED_MAX = 8
/**
 * Connections are opened ahead for the sends that are due within this: about the time to open one
 * to a distant host with TLS.
 */
export const CONNECT_AHEAD_US = 100_000
/** How often opening connections are checked for their deadline. */
export const CONNECTS_LOOK_EVERY_MS = 250
/**
 * Connections from one shard to all origins, idle ones included. Two for each of three quarters of
 * its requests in flight would exceed the file descriptors of most systems.
 */
export const CONNECTIONS_PER_SHARD_MAX = 16_384
/** An origin may have this times what is free: a single one gets eight ninths. */
export const CONNECTIONS_SHARE_ALPHA = 8
/** What each origin may have regardless of its share. */
export const CONNECTIONS_MINIMUM = 1
/**
 * Connections begun in one event-loop turn: each takes about 0.3 ms, including a look-up, and sends
 * that are due meanwhile may be late by only a fraction of PACE_TOLERANCE_US.
 */
export const CONNECTS_PER_TURN_MAX = 4
/** If those of a turn take longer than this, fewer are begun in the next turn. */
export const CONNECTS_PER_TURN_US = 1000
/** Before that turn is a pause of this times as long, so connecting uses a third of the time. */
export const CONNECTS_PAUSE = 2
/** Origins examined at most to find an idle connection to close in favour of another origin. */
export const IDLE_ORIGINS_LOOKED_AT_MAX = 64
/** Connections that an upstream may close in a row, unused, before it counts as unreachable. */
export const CONNECTIONS_UNUSED_LOST_MAX = 8
/** 1xx responses that are skipped for one request; one more fails the attempt. */
export const INTERIM_RESPONSES_MAX = 64
/** The longest partial head of one that is buffered; each chunk is copied with what is there. */
export const INTERIM_HEAD_BYTES_MAX = 4 * KIB
/** Response bytes held while responses arrive; one is truncated where they would exceed this. */
export const RESPONSE_BUFFER_BYTES_MAX = 64 * MIB
/** An origin may hold this times what is free before its responses are paused. */
export const RESPONSE_SHARE_ALPHA = 1
/**
 * The cost of reading responses in one event-loop turn, in chunks: about 1 to 2 ms, so that sends
 * that are due meanwhile are late by only a fraction of PACE_TOLERANCE_US.
 */
export const READ_COST_MAX = 2048
/** Bytes that cost as much as the overhead of a chunk, from the socket to the log. */
export const READ_COST_BYTES = 256
/** A destination whose cost is at most this is served even above READ_COST_MAX. */
export const READ_COST_SMALL = 64
/** The most that all such destinations together may cost above READ_COST_MAX. */
export const READ_COST_EXTRA = 1024
/** Paused responses that continue in one turn. */
export const READERS_PER_TURN_MAX = 16
/** Idle timeout of a connection without a Keep-Alive header; many upstreams close after 5 s. */
export const CONNECTION_IDLE_MS_DEFAULT = 4000
/** The longest idle timeout, whatever the upstream's Keep-Alive says. */
export const CONNECTION_IDLE_MS_MAX = 60_000
/** Subtracted from Keep-Alive's timeout, so that Sluice closes first and no send meets a close. */
export const CONNECTION_IDLE_MARGIN_MS = 1000
/** Size of a shard's only read buffer: the most that is read from a socket at once. */
export const SOCKET_READ_BYTES = 64 * KIB
/** Size of a shard's only write buffer: a larger request is written in parts. */
export const SOCKET_WRITE_BYTES = 64 * KIB
/** TLS sessions that are cached for resumption, about 2 KiB each. */
export const TLS_SESSIONS_MAX = 256
/** TCP keepalive: the idle time after which the system probes a connection's peer. */
export const SOCKET_PROBE_MS = 60_000
