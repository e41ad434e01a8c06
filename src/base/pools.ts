// The pools of the front door, and the list of all pools: docs/ARCHITECTURE.md has it as a table,
// which a test compares with this.

import { type Pool, SHARD_POOLS } from '../../shards/memory/pools.ts'
import {
  CLIENT_BYTES_ALPHA, WATCHED_JOBS_ALPHA, QUESTIONS_ALPHA, REQUESTS_ALPHA, SOCKETS_ALPHA,
  STREAMS_ALPHA,
} from './client-limits.ts'
import { UPSTREAM_SLOTS_ALPHA } from './limits.ts'

/** The front door's pools, in the order in which a job meets them. */
export const DOOR_POOLS = {
  clientConnections: {
    name: 'client connections', bound: '--client-connections',
    noShares: 'a connection has no account, and behind a proxy all have one address',
    atBound: 'closed at once; above three quarters with the next answer',
  },
  clientMemory: {
    name: 'client memory', bound: '--client-memory', holder: 'connection',
    alpha: CLIENT_BYTES_ALPHA, kept: '16 KiB for each, an eighth for those with less',
    atBound: 'not read on, 503 `overloaded`, or cut',
  },
  sockets: {
    name: 'sockets', bound: 'SOCKETS_MAX', holder: 'client address', alpha: SOCKETS_ALPHA,
    atBound: '503 `overloaded`',
  },
  requests: {
    name: 'jobs without an answer', bound: 'REQUESTS_PENDING_MAX', holder: 'account',
    alpha: REQUESTS_ALPHA, kept: 'a quarter for single posts',
    atBound: '429 `requests_share`, 503 `overloaded`',
  },
  ringSpace: {
    name: 'ring space', bound: 'ringBytes',
    noShares: 'a shard empties its ring in every turn',
    atBound: '429 `ingress`',
  },
  upstreamSlots: {
    name: 'upstream slots', bound: 'upstreamsMax', holder: 'account', alpha: UPSTREAM_SLOTS_ALPHA,
    atBound: '429 `upstreams_share`, `upstreams`; unused ones are reclaimed',
  },
  questions: {
    name: 'questions without an answer', bound: 'QUESTIONS_PENDING_MAX', holder: 'account',
    alpha: QUESTIONS_ALPHA, kept: 'a quarter for requests',
    atBound: '503 `overloaded`; QUESTIONS_IN_RING_MAX at once go to a shard, accounts in turn',
  },
  streams: {
    name: 'event streams', bound: 'STREAMS_MAX', holder: 'account', alpha: STREAMS_ALPHA,
    atBound: '503 `overloaded`',
  },
  watchedJobs: {
    name: 'watched jobs', bound: 'WATCHED_JOBS_MAX', holder: 'account', alpha: WATCHED_JOBS_ALPHA,
    atBound: '429 `too_many_watched`, for streams 503 `overloaded`',
  },
  descriptors: {
    name: 'descriptors', bound: 'ulimit -n',
    noShares: 'clients, sends and the journal have parts of their own',
    atBound: 'a send waits in its lane',
  },
} as const satisfies Record<string, Pool>

/** All of them. */
export const POOLS = { ...DOOR_POOLS, ...SHARD_POOLS } as const
