// The answer of GET /health, put together from what the shards count; no shard is asked.

import { readStats } from '../shards/stats.ts'
import type { AdmissionCounts } from './admission.ts'
import type { ShardLink } from './shard-link.ts'

/** What the process as a whole is doing. */
export type DoorState = 'starting' | 'ready' | 'draining'

/** What /health is made of, besides the shards' own words. */
export interface HealthInputs {
  readonly state: DoorState
  readonly version: string
  readonly uptimeSeconds: number
  readonly links: readonly ShardLink[]
  readonly counts: AdmissionCounts
  readonly upstreams: number
  readonly pending: number
  readonly streams: number
  readonly sockets: number
  /** What their clients have not taken yet. */
  readonly socketsUnreadBytes: number
  /** Jobs that streams and sockets follow. */
  readonly watched: number
}

/** The answer as a plain value. `degraded`: a shard is down, so its users are answered 503. */
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
      shard: link.shard, up: !link.down, queued: stats.queued, retrying: stats.retrying,
      in_flight: stats.inFlight, finished: stats.finished,
      webhooks_waiting: stats.webhooksWaiting, lanes: stats.lanesUsed,
      lanes_active: stats.lanesActive, completed: stats.completed, failed: stats.failed,
      cancelled: stats.cancelled, attempts: stats.attempts, retries: stats.retries,
      restarts: link.restarts, last_restart: showRestart(link.lastRestart),
    }
  })
  const down = links.some((link) => link.down)
  const status = inputs.state === 'draining' ? 'draining' : down ? 'degraded' : 'ok'
  const limits = links[0]?.views.limits
  const { heapUsed, rss } = process.memoryUsage()
  return {
    status, version: inputs.version, uptime_s: inputs.uptimeSeconds, shards,
    queues: { active, backlog },
    admission: {
      accepted: counts.accepted, duplicates: counts.duplicates, refused: { ...counts.refused },
      invalid: counts.invalid, unavailable: counts.unavailable, pending: inputs.pending,
      streams: inputs.streams, sockets: inputs.sockets,
      sockets_unread_bytes: inputs.socketsUnreadBytes, watched: inputs.watched,
      upstreams: inputs.upstreams,
      upstreams_max: limits?.upstreamsMax ?? 0,
      memory_bytes: limits?.memoryBytes ?? 0,
      job_log_live_bytes: logLiveBytes, job_log_capacity_bytes: logCapacityBytes,
      jobs_max: (limits?.jobsMax ?? 0) * links.length,
      body_bytes_max: limits?.bodyBytesMax ?? 0,
    },
    // The heap is the main thread's; the resident memory is all threads', job memory included.
    process: { heap_used_bytes: heapUsed, rss_bytes: rss },
  }
}

const showRestart = (restart: ShardLink['lastRestart']): object | null => restart === null ? null
  : { at: restart.atMs, reason: restart.reason, down_ms: restart.downMs }
