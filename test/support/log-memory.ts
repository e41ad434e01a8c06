// A shard's memory with a small job log and almost nothing else.

import { allocateShard, attachShard, type ShardViews } from '../../shards/memory/layout.ts'
import type { Limits } from '../../shards/memory/plan.ts'

/** Memory for a log of so many segments; attach() returns new typed arrays, as for a new thread. */
export function logMemory(segmentBytes: number, segmentsMax: number, templatesMax = 1):
  { limits: Limits; attach: () => ShardViews } {
  const limits: Limits = {
    memoryBytes: 0, shards: 1, bodyBytesMax: 0, responseBytesMax: 0, recordBytesMax: segmentBytes,
    ringBytes: 1024, segmentBytes, segmentsMax, jobsMax: 1, lanesMax: 1, templatesMax,
    upstreamsMax: 1,
  }
  const buffer = allocateShard(limits)
  return { limits, attach: () => attachShard(buffer, limits) }
}
