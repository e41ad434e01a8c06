// The pools that many use at once: what each is called, its bound, who has a share of it, and what
// happens to those who ask for more.
// Thread: any. Memory: none. Never: counts anything; a Share does, made with these facts.
// The one list of them: docs/ARCHITECTURE.md has it as a table, which a test compares with this.

import {
  CLIENT_BYTES_ALPHA, FOLLOWED_JOBS_ALPHA, QUESTIONS_ALPHA, REQUESTS_ALPHA, SOCKETS_ALPHA,
  STREAMS_ALPHA,
} from './client-limits.ts'
import { LOG_SPACE_ALPHA, UPSTREAM_SLOTS_ALPHA } from './limits.ts'
import { LOOKUPS_ALPHA } from './name-limits.ts'

interface PoolFacts {
  /** As warnings and /health say it. */
  readonly name: string
  /** The limit, or the setting, that it ends at. */
  readonly bound: string
  /** What happens to those who ask for more. */
  readonly atBound: string
}

/** A pool of which each holder has a share (share.ts). */
export interface SharedPool extends PoolFacts {
  readonly holder: string
  readonly alpha: number
  /** What is kept, and for whom; what a holder may have whatever its share is. */
  readonly kept?: string
}

/** A pool of which nobody has a share, and why. */
export interface UnsharedPool extends PoolFacts {
  readonly noShares: string
}

export type Pool = SharedPool | UnsharedPool

/** By what the code calls them, in the order in which a job meets them. */
export const POOLS = {
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
    atBound: '429 `upstreams_share`, `upstreams`; unused ones are asked back',
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
  followedJobs: {
    name: 'followed jobs', bound: 'WATCHED_JOBS_MAX', holder: 'account', alpha: FOLLOWED_JOBS_ALPHA,
    atBound: '429 `too_many_watched`, for streams 503 `overloaded`',
  },
  logSpace: {
    name: 'log space', bound: 'LOG_FILL_PER_MILLE_MAX', holder: 'account', alpha: LOG_SPACE_ALPHA,
    atBound: '429 `memory_share`; finished jobs give way, then 429 `memory` or `jobs`',
  },
  lanes: {
    name: 'lanes', bound: 'lanesMax', holder: 'account', alpha: 4,
    atBound: 'the longest idle are reused, then overflow lanes of the upstream',
  },
  inFlight: {
    name: 'requests in flight', bound: 'IN_FLIGHT_PER_SHARD_MAX', holder: 'upstream or receiver',
    alpha: 4, kept: '8 for each, 1,024 for those with less',
    atBound: 'its lanes wait until some have ended',
  },
  connections: {
    name: 'connections', bound: 'CONNECTIONS_PER_SHARD_MAX', holder: 'upstream or receiver',
    alpha: 8, kept: '1 for each',
    atBound: 'an idle one elsewhere is closed, else its lanes wait',
  },
  lookups: {
    name: 'look-ups', bound: 'LOOKUPS_MAX', holder: 'account', alpha: LOOKUPS_ALPHA,
    atBound: 'its oldest is given up; at the bound of all, that of whoever holds the most',
  },
  responseBytes: {
    name: 'response bytes', bound: 'RESPONSE_BUFFER_BYTES_MAX', holder: 'upstream or receiver',
    alpha: 1, kept: 'one response of each may go on',
    atBound: 'its responses are paused; at the bound of all one is cut',
  },
  keptResults: {
    name: 'kept results', bound: 'RESULTS_PER_MILLE_MAX', holder: 'account', alpha: 4,
    atBound: 'the oldest lose their bodies (`truncated`)',
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
  descriptors: {
    name: 'descriptors', bound: 'ulimit -n',
    noShares: 'clients, sends and the journal have parts of their own',
    atBound: 'a send waits in its lane',
  },
} as const satisfies Record<string, Pool>
