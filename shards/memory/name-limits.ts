// The limits of look-ups of host names, each with its unit and the reason for its value.
// Thread: any. Memory: none. Never: computed from anything but constants.

const MIB = 1024 * 1024

/** Look-ups at once, each with a socket of its own; one more ends an old one in its place. */
export const LOOKUPS_MAX = 256
/** An account may have this times what is free of them: one alone has three quarters. */
export const LOOKUPS_ALPHA = 3
/** Of these, for names that only open connections still need. */
export const LOOKUPS_FOLLOWING_MAX = 64
/** Connections that wait for one name; one more is refused. */
export const LOOKUP_WAITERS_MAX = 4096
/** A look-up is given up after so long, whatever the machine's settings would allow it. */
export const LOOKUP_MS_MAX = 30_000
/** Names whose addresses, or failure, are kept; the one least recently asked for gives way. */
export const NAMES_KEPT_MAX = 4096
/** Addresses of all these names together. */
export const NAME_ADDRESSES_KEPT_MAX = 65_536
/** Addresses are kept as long as their answer says, within these. */
export const NAME_TTL_MS_MIN = 1000
export const NAME_TTL_MS_MAX = 3_600_000
/** How long those are kept that the system's own look-up finds: it does not say. */
export const NAME_TTL_MS_SYSTEM = 5000
/** How long a failure is kept; within RETRY_BASE_MS, so that one does not use up all retries. */
export const NAME_FAILURE_MS = 1000
/** How long addresses may be used beyond their time while no name server answers. */
export const NAME_STALE_MS_MAX = 3_600_000
/** How often it is looked whether open connections lead where their names point to. */
export const NAME_FOLLOW_EVERY_MS = 1000
/** How often it is looked whether the hosts file and resolv.conf have changed. */
export const NAME_FILES_LOOK_MS = 1000
/** What is read of either. */
export const NAME_FILE_BYTES_MAX = 4 * MIB
/** Look-ups in the hands of the system at once: each blocks a thread that the journal may need. */
export const SYSTEM_LOOKUPS_MAX = 2
