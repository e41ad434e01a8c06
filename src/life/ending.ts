// The last words of a server that ends, and its exit code.

import { SHARD_DEATHS_WITHIN_MS } from '../../shards/limits.ts'
import { readStats } from '../../shards/stats.ts'
import type { Log } from '../log.ts'
import type { EngineMemory } from '../memory.ts'
import type { ShardLoss, StopSummary } from '../supervisor.ts'

/**
 * Says what a stop leaves behind. @param journal null without one; its trouble is why it does not
 * have all.
 */
export function reportStop(
  { queued, cutOff }: StopSummary, journal: { readonly trouble: string | undefined } | null,
  log: Log,
): void {
  if (cutOff.length > 0) log.warn({ shards: cutOff }, 'requests in flight were cut off')
  if (journal?.trouble !== undefined) {
    return log.error({ queued, reason: journal.trouble },
      'stopped; of the queued jobs and of what they came to, the journal may not have all')
  }
  if (queued > 0 && journal !== null) {
    log.info({ queued }, 'queued jobs are kept in the journal, for the next start')
  } else if (queued > 0) {
    log.warn({ queued }, 'queued jobs are given up: they were held in memory only')
  }
  log.info({ queued }, 'stopped')
}

/** Shards end again and again: said clearly. @param isKept what is queued is in a journal. */
export function reportLoss(
  loss: ShardLoss, memory: EngineMemory, isKept: boolean, log: Log,
): void {
  let queued = 0
  for (const views of memory.shards) queued += readStats(views.stats).queued
  const { shard, reason, deaths } = loss
  const often = deaths === 1 ? 'could not start'
    : `was the last of ${deaths} shard threads to end within ${SHARD_DEATHS_WITHIN_MS / 1000} s`
  const fate = isKept ? 'are kept in the journal' : 'are lost'
  log.error({ shard, reason, deaths, queued },
    `shard ${shard} ${often}; the process ends and its queued jobs ${fate}`)
}
