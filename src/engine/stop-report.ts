// The final log lines of a server that ends.

import type { ShardViews } from '../../shards/memory/layout.ts'
import { type StatName, type StatValues, readStats } from '../../shards/memory/stats.ts'
import { SHARD_DEATHS_WITHIN_MS } from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import type { ShardLoss } from '../base/process-end.ts'
import type { EngineMemory } from './memory.ts'
import type { StopSummary } from './supervisor.ts'

/** Warns of requests that were in flight when the grace period ended. */
export function reportCutOff(
  cutOff: readonly number[], shards: EngineMemory['shards'], log: Log,
): void {
  const stats = cutOff.map((shard) => readStats((shards[shard] as ShardViews).stats))
  const jobs = sum(stats, 'inFlight')
  const webhooks = sum(stats, 'webhooksInFlight')
  if (jobs + webhooks === 0) return
  log.warn({ shards: cutOff, jobs, webhooks }, 'requests in flight were cut off')
}

/**
 * Logs what a stop leaves behind. @param journal null without one; `trouble` is why it may be
 * incomplete.
 */
export function reportStop(
  { queued, cutOff }: StopSummary, { shards }: EngineMemory,
  journal: { readonly trouble: string | undefined } | null, log: Log,
): void {
  reportCutOff(cutOff, shards, log)
  const webhooks = sum(shards.map((views) => readStats(views.stats)), 'webhooksWaiting')
  if (journal?.trouble !== undefined) {
    return log.error({ queued, webhooks, reason: journal.trouble },
      'stopped; the journal may lack some of the queued jobs and results')
  }
  const isKept = journal !== null
  if (queued > 0) reportLeft({ queued }, 'queued jobs', isKept, log)
  if (webhooks > 0) reportLeft({ webhooks }, 'owed webhooks', isKept, log)
  log.info({ queued, webhooks }, 'stopped')
}

const sum = (stats: readonly StatValues[], name: StatName): number =>
  stats.reduce((total, values) => total + values[name], 0)

function reportLeft(count: object, what: string, isKept: boolean, log: Log): void {
  if (isKept) log.info(count, `${what} are kept in the journal, for the next start`)
  else log.warn(count, `${what} are given up: they were held in memory only`)
}

/** Logs that shards keep crashing. @param isKept queued jobs are in a journal. */
export function reportLoss(
  loss: ShardLoss, memory: EngineMemory, isKept: boolean, log: Log,
): void {
  const queued = sum(memory.shards.map((views) => readStats(views.stats)), 'queued')
  const { shard, reason, deaths } = loss
  const often = deaths === 1 ? 'could not start'
    : `was the last of ${deaths} shard threads to end within ${SHARD_DEATHS_WITHIN_MS / 1000} s`
  const fate = isKept ? 'are kept in the journal' : 'are lost'
  log.error({ shard, reason, deaths, queued },
    `shard ${shard} ${often}; the process ends and its queued jobs ${fate}`)
}
