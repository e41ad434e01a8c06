// The engine's bounded pools: name, limit, who holds shares, and what happens at the limit.
// Thread: any. Memory: none. Never: counts anything; a Share does, made from these facts.
// The pools of the front door are in src/base/pools.ts.

import {
  LANES_PER_SHARED, LANES_SHARED_ALPHA, LANES_UPSTREAM_ALPHA, LANES_USER_ALPHA,
} from './lane-limits.ts'
import {
  IN_FLIGHT_MINIMUM, IN_FLIGHT_RESERVE, IN_FLIGHT_SHARE_ALPHA, LOG_SPACE_ALPHA,
  WEBHOOKS_IN_FLIGHT_ALPHA,
} from './limits.ts'
import { LOOKUPS_ALPHA } from './name-limits.ts'
import {
  CONNECTIONS_MINIMUM, CONNECTIONS_SHARE_ALPHA, RESPONSE_SHARE_ALPHA,
} from './socket-limits.ts'

interface PoolFacts {
  /** The name in warnings and /health. */
  readonly name: string
  /** The constant or setting that limits it. */
  readonly bound: string
  /** What happens at the limit. */
  readonly atBound: string
}

/** A pool of which each holder has a share (share.ts). */
export interface SharedPool extends PoolFacts {
  readonly holder: string
  readonly alpha: number
  /** The reserve and for whom it is; the minimum of a holder. */
  readonly kept?: string
}

/** A pool that one holder may use up; when others need some, the largest holder is evicted from. */
export interface PushedOutPool extends PoolFacts {
  /** What a holder is. */
  readonly pushedOut: string
}

/** A pool without shares, and why. */
export interface UnsharedPool extends PoolFacts {
  readonly noShares: string
}

export type Pool = SharedPool | PushedOutPool | UnsharedPool

/** The engine's pools by their names in the code, in the order in which a job passes them. */
export const SHARD_POOLS = {
  logSpace: {
    name: 'log space', bound: 'LOG_FILL_PER_MILLE_MAX', holder: 'account', alpha: LOG_SPACE_ALPHA,
    atBound: '429 `memory_share`; finished jobs give way, then 429 `memory` or `jobs`',
  },
  lanesByUpstream: {
    name: 'lanes by upstream', bound: 'lanesMax', holder: 'upstream', alpha: LANES_UPSTREAM_ALPHA,
    kept: `one of ${LANES_PER_SHARED} for lanes that accounts share`,
    atBound: 'the longest idle is reused; else its accounts share lanes',
  },
  lanesByUser: {
    name: 'lanes by user', bound: 'lanesMax', holder: 'user', alpha: LANES_USER_ALPHA,
    kept: `one of ${LANES_PER_SHARED} for lanes that accounts share`,
    atBound: 'likewise',
  },
  sharedLanes: {
    name: 'lanes that accounts share', bound: 'lanesMax', holder: 'upstream',
    alpha: LANES_SHARED_ALPHA,
    atBound: 'its overflow lane, which is always there',
  },
  inFlight: {
    name: 'requests in flight', bound: 'IN_FLIGHT_PER_SHARD_MAX', holder: 'upstream or receiver',
    alpha: IN_FLIGHT_SHARE_ALPHA,
    kept: `${IN_FLIGHT_MINIMUM} for each, ${IN_FLIGHT_RESERVE} for those with less`,
    atBound: 'its lanes wait until some have ended',
  },
  webhooksInFlight: {
    name: 'webhooks in flight', bound: 'WEBHOOKS_IN_FLIGHT_PER_MILLE_MAX', holder: 'receiver',
    alpha: WEBHOOKS_IN_FLIGHT_ALPHA,
    atBound: 'its webhooks wait until some have ended',
  },
  connections: {
    name: 'connections', bound: 'CONNECTIONS_PER_SHARD_MAX', holder: 'upstream or receiver',
    alpha: CONNECTIONS_SHARE_ALPHA, kept: `${CONNECTIONS_MINIMUM} for each`,
    atBound: 'an idle one elsewhere is closed, else its lanes wait',
  },
  lookups: {
    name: 'look-ups', bound: 'LOOKUPS_MAX', holder: 'account', alpha: LOOKUPS_ALPHA,
    atBound: 'its oldest is given up; at the bound of all, that of whoever holds the most',
  },
  responseBytes: {
    name: 'response bytes', bound: 'RESPONSE_BUFFER_BYTES_MAX', holder: 'upstream or receiver',
    alpha: RESPONSE_SHARE_ALPHA, kept: 'one response of each may go on',
    atBound: 'its responses are paused; at the bound of all one is cut',
  },
  undeliveredResults: {
    name: 'undelivered results', bound: 'LOG_BODIES_PER_MILLE_MAX', pushedOut: 'receiver',
    atBound: 'its oldest lose their bodies (`truncated`)',
  },
  keptResults: {
    name: 'kept results', bound: 'RESULTS_PER_MILLE_MAX', pushedOut: 'user',
    atBound: 'its oldest lose their bodies (`truncated`), then their records',
  },
  finishedJobs: {
    name: 'finished jobs', bound: 'jobsMax', pushedOut: 'user',
    atBound: 'its oldest are forgotten; a key counts as four times as young',
  },
  journalQueue: {
    name: 'journal queue', bound: 'JOURNAL_BEHIND_BYTES_MAX',
    noShares: 'what is behind is the disk, whoever has asked',
    atBound: 'the shard reads no more requests; after a second 503 `journal_stalled`',
  },
  keptNames: {
    name: 'kept names', bound: 'NAMES_KEPT_MAX',
    noShares: 'a name that is given up costs one look-up',
    atBound: 'the least recently used is given up',
  },
} as const satisfies Record<string, Pool>
