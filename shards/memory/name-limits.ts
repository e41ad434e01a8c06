// The limits of look-ups of host names, each with its unit and the reason for its value.
// Thread: any. Memory: none. Never: computed from anything but constants.

const MIB = 1024 * 1024

/** Concurrent look-ups, each with its own socket; one more evicts an old one. */
export const LOOKUPS_MAX = 256
/** An account may have this times what is free: a single one gets three quarters. */
export const LOOKUPS_ALPHA = 3
/** Of these, look-ups for names that only open connections still use. */
export const LOOKUPS_FOLLOWING_MAX = 64
/** Connections that wait for one name; one more is refused. */
export const LOOKUP_WAITERS_MAX = 4096
/** A look-up's timeout, whatever the machine's settings would allow. */
export const LOOKUP_MS_MAX = 30_000
/** Names whose addresses, or failure, are cached; the least recently used one is evicted. */
export const NAMES_KEPT_MAX = 4096
/** Total number of addresses of these names. */
export const NAME_ADDRESSES_KEPT_MAX = 65_536
/** Addresses are cached for the TTL of their DNS answer, clamped to this range. */
export const NAME_TTL_MS_MIN = 1000
export const NAME_TTL_MS_MAX = 3_600_000
/** How long the results of the system's look-up are cached, since it reports no TTL. */
export const NAME_TTL_MS_SYSTEM = 5000
/** How long a failure is cached: at most RETRY_BASE_MS, so that one does not use up all retries. */
export const NAME_FAILURE_MS = 1000
/** How long addresses may be used beyond their TTL while no name server answers. */
export const NAME_STALE_MS_MAX = 3_600_000
/** How often open connections are checked against their names' current addresses. */
export const NAME_FOLLOW_EVERY_MS = 1000
/** How often the hosts file and resolv.conf are checked for changes. */
export const NAME_FILES_LOOK_MS = 1000
/** The most that is read of either. */
export const NAME_FILE_BYTES_MAX = 4 * MIB
/** Concurrent system look-ups: each blocks a thread of the pool, which the journal may need. */
export const SYSTEM_LOOKUPS_MAX = 2
