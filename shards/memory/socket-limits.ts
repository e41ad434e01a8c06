// The limits of a shard's sockets, each with its unit and the reason for its value.
// Thread: any. Memory: none. Never: computed from anything but constants.

const KIB = 1024
const MIB = 1024 * KIB

/** Connections to one origin that may be in the making at once, however few there are. */
export const CONNECTIONS_MAKING_MIN = 8
/**
 * One that is not made so long after its look-up stalls, and others are made beside it. More than
 * a SYN's first repetition takes, or TLS to the other side of the world.
 */
export const CONNECT_STALLED_MS = 1500
/** Of these, so many at one origin take nobody's place. */
export const CONNECTIONS_STALLED_MAX = 8
/**
 * Connections are made ahead for the sends that come due within this: about the time that it takes
 * to make one far away, with TLS.
 */
export const CONNECT_AHEAD_US = 100_000
/** How often connections in the making are looked at for their deadline. */
export const CONNECTS_LOOK_EVERY_MS = 250
/**
 * Connections from one shard to all origins, idle ones included. Two for each of three quarters of
 * its requests in flight would be more than most systems have descriptors for.
 */
export const CONNECTIONS_PER_SHARD_MAX = 16_384
/** An origin may have this times what is free of them: one alone has nine tenths. */
export const CONNECTIONS_SHARE_ALPHA = 8
/** What each may have whatever its share is. */
export const CONNECTIONS_MINIMUM = 1
/**
 * Connections begun in one turn of the event loop: each takes some 0.3 ms, a look-up included, and
 * what is due meanwhile may be late by a fraction of PACE_TOLERANCE_US.
 */
export const CONNECTS_PER_TURN_MAX = 4
/** Where they take longer, fewer are begun in a turn, */
export const CONNECTS_PER_TURN_US = 1000
/** and none for this times as long: they take a third of the time. */
export const CONNECTS_PAUSE = 2
/** Origins that are looked at, at most, for an idle connection to close in favour of another. */
export const IDLE_ORIGINS_LOOKED_AT_MAX = 64
/** Connections that an upstream may close in a row, unused, before it counts as unreachable. */
export const CONNECTIONS_UNUSED_LOST_MAX = 8
/** 1xx responses that are passed over for one request; at one more the attempt has failed. */
export const INTERIM_RESPONSES_MAX = 64
/** What is held of the head of one until it is whole; each piece is copied with what is held. */
export const INTERIM_HEAD_BYTES_MAX = 4 * KIB
/** Response bytes held while they arrive; a response is cut where they would be more. */
export const RESPONSE_BUFFER_BYTES_MAX = 64 * MIB
/** An origin may hold this times what is free of them before its responses are paused. */
export const RESPONSE_SHARE_ALPHA = 1
/**
 * What reading responses may cost in one turn of the event loop, in chunks: some 1 to 2 ms, so that
 * what is due meanwhile is late by a fraction of PACE_TOLERANCE_US.
 */
export const READ_COST_MAX = 2048
/** Bytes that cost as much as a chunk does, on their way from the socket into the log. */
export const READ_COST_BYTES = 256
/** A destination that has cost no more than this is served though the turn's bound is reached, */
export const READ_COST_SMALL = 64
/** as long as all together cost no more than this beyond it. */
export const READ_COST_EXTRA = 1024
/** Responses that go on in a turn after they were paused. */
export const READERS_PER_TURN_MAX = 16
/** How long an idle connection is kept when the upstream does not say; many close after 5 s. */
export const CONNECTION_IDLE_MS_DEFAULT = 4000
/** How long it is kept at most, whatever the upstream's Keep-Alive says. */
export const CONNECTION_IDLE_MS_MAX = 60_000
/** Taken off what Keep-Alive says, so that Sluice closes first and no send meets a closed one. */
export const CONNECTION_IDLE_MARGIN_MS = 1000
/** What is read of a connection at once; each shard has one such buffer. */
export const SOCKET_READ_BYTES = 64 * KIB
/** A request beyond it is written in pieces; each shard has one such buffer. */
export const SOCKET_WRITE_BYTES = 64 * KIB
/** TLS sessions that are kept to be taken up again, some 2 KiB each. */
export const TLS_SESSIONS_MAX = 256
/** After so long in silence the system asks whether a connection's other end is still there. */
export const SOCKET_PROBE_MS = 60_000
