// The answer of GET /health, from the counters of the shards; no shard is asked.

import { type Micros, US_PER_MS } from '../../shards/base/units.ts'
import { readJournalWords } from '../../shards/memory/journal-words.ts'
import type { SharedPool } from '../../shards/memory/pools.ts'
import type { ShareCounts } from '../../shards/memory/share.ts'
import { readStats } from '../../shards/memory/stats.ts'
import type { ClientBytes } from '../base/client-bytes.ts'
import type { DoorState } from '../base/door-state.ts'
import type { LogStatus } from '../base/log-sink.ts'
import { absenceOf, type ShardLink } from '../engine/shard-link.ts'
import type { ConnectionTable } from '../http/server.ts'
import type { CompactorStatus } from '../journal/compactors.ts'
import type { AdmissionCounts } from '../submit/admission.ts'

/** The result of an attempt to replace the code. */
export interface LastReload {
  /** Unix ms. */
  readonly atMs: number
  readonly ok: boolean
  /** Why it was refused; null when it was not. */
  readonly reason: string | null
}

/** The process that this one has taken over from. */
export interface TakenOver {
  readonly pid: number
  /** Unix ms. */
  readonly atMs: number
}

/** The journals' part of /health. */
export interface ShownJournals {
  readonly mode: string
  /** By shard. */
  readonly statuses: readonly CompactorStatus[]
  /** Progress of loading over all shards; `share` is 0 to 1. */
  readonly progress: { readonly share: number; readonly jobs: number }
}

/** The input of /health, besides the shards' counters. */
export interface HealthInputs {
  readonly state: DoorState
  readonly nowUs: Micros
  /** Null without a journal. */
  readonly journals: ShownJournals | null
  /** Null where it is not known. */
  readonly log: LogStatus | null
  readonly version: string
  readonly uptimeSeconds: number
  readonly reloads: number
  readonly lastReload: LastReload | null
  readonly takenOver: TakenOver | null
  readonly links: readonly ShardLink[]
  readonly counts: AdmissionCounts
  readonly upstreams: number
  readonly pending: number
  readonly streams: number
  readonly sockets: number
  /** Bytes that their clients have not read yet. */
  readonly socketsUnreadBytes: number
  /** Jobs that streams and sockets watch. */
  readonly watched: number
  readonly clientBytes: ClientBytes
  readonly connections: ConnectionTable
  readonly pools: readonly ShownPool[]
}

/** A pool of the front door that has shares. */
export interface ShownPool {
  readonly pool: SharedPool
  readonly bound: number
  readonly counts: Readonly<ShareCounts>
}

/** Pools of the front door that are at their limit, so that requests are refused or paused. */
export const atBound = (clientBytes: ClientBytes, connections: ConnectionTable): string[] => [
  ...(clientBytes.isFull ? ['client_memory'] : []),
  ...(connections.open >= connections.openMax ? ['client_connections'] : []),
]

/** The status alone. `degraded`: a shard does not answer, and its users get 503. */
export const healthStatus = (state: DoorState, links: readonly ShardLink[]): string =>
  state !== 'ready' ? state
    : links.some((link) => absenceOf(link) !== undefined) ? 'degraded' : 'ok'

/** The answer in full, as a plain value. */
export function describeHealth(inputs: HealthInputs): object {
  const { links, counts } = inputs
  let active = 0
  let backlog = 0
  let logLiveBytes = 0
  let logCapacityBytes = 0
  const shards = links.map((link) => {
    const stats = readStats(link.views.stats)
    active += stats.lanesActive
    backlog += stats.queued
    logLiveBytes += stats.logLiveBytes
    logCapacityBytes += stats.logCapacityBytes
    return {
      shard: link.shard, up: absenceOf(link) === undefined, trouble: absenceOf(link) ?? null,
      queued: stats.queued,
      retrying: stats.retrying,
      in_flight: stats.inFlight, finished: stats.finished,
      webhooks_waiting: stats.webhooksWaiting, webhooks_in_flight: stats.webhooksInFlight,
      lanes: stats.lanesUsed,
      lanes_refused: { bound: stats.lanesRefusedByBound, share: stats.lanesRefusedByShare },
      lanes_active: stats.lanesActive, completed: stats.completed, failed: stats.failed,
      cancelled: stats.cancelled, attempts: stats.attempts, retries: stats.retries,
      given_up: {
        results: stats.resultsGivenUp, owed_bodies: stats.undeliveredBodiesGivenUp,
        new_bodies: stats.bodiesLeftOut, keys: stats.keysGivenUp,
      },
      restarts: link.restarts, last_restart: showRestart(link.lastRestart),
      journal: showJournal(link, inputs),
    }
  })
  const limits = links[0]?.views.limits
  const { heapUsed, rss } = process.memoryUsage()
  return {
    status: healthStatus(inputs.state, links), version: inputs.version,
    uptime_s: inputs.uptimeSeconds, shards,
    reloads: inputs.reloads, last_reload: showReload(inputs.lastReload),
    taken_over: inputs.takenOver === null ? null
      : { at: inputs.takenOver.atMs, from_pid: inputs.takenOver.pid },
    journal: inputs.journals === null ? 'off' : inputs.journals.mode,
    ...(inputs.state === 'starting' && { loading: showLoading(inputs.journals) }),
    queues: { active, backlog },
    admission: {
      accepted: counts.accepted, duplicates: counts.duplicates, reused_keys: counts.reusedKeys,
      refused: { ...counts.refused },
      invalid: counts.invalid, denied: counts.denied,
      unavailable: counts.unavailable, pending: inputs.pending,
      streams: inputs.streams, sockets: inputs.sockets,
      sockets_unread_bytes: inputs.socketsUnreadBytes, watched: inputs.watched,
      upstreams: inputs.upstreams,
      upstreams_max: limits?.upstreamsMax ?? 0,
      memory_bytes: limits?.memoryBytes ?? 0,
      job_log_live_bytes: logLiveBytes, job_log_capacity_bytes: logCapacityBytes,
      jobs_max: (limits?.jobsMax ?? 0) * links.length,
      body_bytes_max: limits?.bodyBytesMax ?? 0,
    },
    clients: showClients(inputs),
    pools: inputs.pools.map(showPool),
    log: { dropped_lines: inputs.log?.dropped ?? 0, trouble: inputs.log?.trouble ?? null },
    // The heap is the main thread's; resident memory is that of all threads, jobs included.
    process: { heap_used_bytes: heapUsed, rss_bytes: rss },
  }
}

const showPool = ({ bound, counts, pool: { name } }: ShownPool): object => ({
  pool: name, used: counts.used, peak: counts.peak, bound,
  refused: { bound: counts.refusedByBound, share: counts.refusedByShare },
})

function showClients({ clientBytes, connections }: HealthInputs): object {
  const { peak, refusedByBound, refusedByShare, used } = clientBytes.counts
  return {
    at_bound: atBound(clientBytes, connections),
    connections: connections.open, connections_max: connections.openMax,
    connections_refused: connections.refused,
    memory_bytes: used, memory_bytes_peak: peak, memory_bytes_max: clientBytes.bytesMax,
    memory_refused: { bound: refusedByBound, share: refusedByShare },
  }
}

/** Lags in ms: of data passed to the system, and of data on disk. */
function showJournal({ shard, views }: ShardLink, { journals, nowUs }: HealthInputs):
  object | null {
  if (journals === null) return null
  const { stalledUs, syncedUs, writtenBytes, writtenUs } = readJournalWords(views)
  const status = journals.statuses[shard]
  return {
    lag_ms: msSince(writtenUs, nowUs), sync_lag_ms: msSince(syncedUs, nowUs),
    stalled_ms: msSince(stalledUs, nowUs), written_bytes: writtenBytes,
    store_bytes: status?.storeBytes ?? 0, tail_bytes: status?.tailBytes ?? 0,
    tails: status?.tails ?? 0, trouble: status?.trouble ?? null,
    dropped_bytes: status?.dropped?.bytes ?? 0, dropped_jobs: status?.dropped?.jobs ?? 0,
  }
}

/** 0 for a time that is not set. */
const msSince = (atUs: number, nowUs: number): number =>
  atUs === 0 ? 0 : Math.max(0, Math.round((nowUs - atUs) / US_PER_MS))

const showLoading = (journals: ShownJournals | null): object => ({
  percent: Math.floor(100 * (journals?.progress.share ?? 0)), jobs: journals?.progress.jobs ?? 0,
})

const showRestart = (restart: ShardLink['lastRestart']): object | null => restart === null ? null
  : { at: restart.atMs, reason: restart.reason, down_ms: restart.downMs }

const showReload = (last: LastReload | null): object | null => last === null ? null
  : { at: last.atMs, ok: last.ok, ...(last.reason !== null && { reason: last.reason }) }
