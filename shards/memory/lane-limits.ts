// The limits of a shard's lanes: the shares of an upstream and a user, and the number of lanes
// that accounts share.
// Thread: any. Memory: none. Never: knows a lane, reads a setting.

import { powerOfTwoAtLeast } from '../base/units.ts'
import type { Limits } from './plan.ts'

/** A single upstream may have two thirds of the accounts' own lanes, and a single user half. */
export const LANES_UPSTREAM_ALPHA = 2
export const LANES_USER_ALPHA = 1
/** A single upstream may have half of the pool for lanes that accounts share. */
export const LANES_SHARED_ALPHA = 1
/** One lane in so many is reserved for lanes that accounts share. */
export const LANES_PER_SHARED = 4
/**
 * Each upstream's accounts form at least one group per this many lanes, and at most two. So the
 * reserved lanes are enough for a lane for each group of at least three upstreams.
 */
const LANES_PER_GROUP = 32
/** Size of the users' count-min sketch: a user with few lanes may be counted too high. */
export const LANE_USERS_COUNTED = 1024
/** Jobs of a shared lane that are examined to find the next user. */
export const SHARED_LANE_LOOKS_MAX = 32

/** The lanes for accounts: all but the overflow lane of each upstream. */
export const lanesForAccounts = ({ lanesMax, upstreamsMax }: Limits): number =>
  lanesMax - upstreamsMax

/** Of these, the lanes reserved for sharing. */
export const lanesKeptForShared = (limits: Limits): number =>
  Math.floor(lanesForAccounts(limits) / LANES_PER_SHARED)

/**
 * The number of groups of users by hash, a power of two; the users of a group share a lane. A job's
 * group is not stored, so a journal image is valid only for the same number of groups.
 */
export const laneGroups = (limits: Limits): number =>
  powerOfTwoAtLeast(lanesForAccounts(limits) / LANES_PER_GROUP)

/** The group of a user's accounts. @param user the first word of the user's hash. */
export const laneGroupOf = (user: number, groups: number): number => user & (groups - 1)
