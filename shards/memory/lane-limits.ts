// The bounds of the lanes of a shard: what one upstream or user may have of them, and how many
// there are that accounts share.
// Thread: any. Memory: none. Never: knows a lane, reads a setting.

import { powerOfTwoAtLeast } from '../base/units.ts'
import type { Limits } from './plan.ts'

/** One upstream alone may have two thirds of the accounts' own lanes, and one user half. */
export const LANES_UPSTREAM_ALPHA = 2
export const LANES_USER_ALPHA = 1
/** One upstream alone may have half of what is free for lanes that accounts share. */
export const LANES_SHARED_ALPHA = 1
/** One lane of so many is kept for accounts that share one. */
export const LANES_PER_SHARED = 4
/**
 * The accounts that share the lanes of an upstream are at least one group for so many lanes, and
 * at most two: three upstreams may have a lane for each group out of those that are kept.
 */
const LANES_PER_GROUP = 32
/** Users are counted in rows for so many; one that has few of the lanes is counted too high. */
export const LANE_USERS_COUNTED = 1024
/** Jobs of a shared lane that are looked at for the user whose turn it is. */
export const SHARED_LANE_LOOKS_MAX = 32

/** The lanes that accounts may have: all but the one of each upstream that is always there. */
export const lanesForAccounts = ({ lanesMax, upstreamsMax }: Limits): number =>
  lanesMax - upstreamsMax

/** Of these, those that only accounts may have that share one. */
export const lanesKeptForShared = (limits: Limits): number =>
  Math.floor(lanesForAccounts(limits) / LANES_PER_SHARED)

/**
 * The groups into which users are put by their hash, a power of two; those of one group share a
 * lane. Which group a job is in is not written down, so an image holds for this number of them.
 */
export const laneGroups = (limits: Limits): number =>
  powerOfTwoAtLeast(lanesForAccounts(limits) / LANES_PER_GROUP)

/** The group of a user's accounts at one upstream. @param user the first word of its hash. */
export const laneGroupOf = (user: number, groups: number): number => user & (groups - 1)
