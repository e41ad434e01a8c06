// The memory of a few small shards, and upstream records written as the front door writes them.

import { KIB } from '../../shards/base/units.ts'
import { intervalNs } from '../../shards/memory/interval.ts'
import {
  allocateShard, allocateShared, attachShard, attachShared, KIND_UPSTREAM, type SharedViews,
  type ShardViews, UPSTREAM_ACCOUNT_QUEUES, UPSTREAM_BASE_F64, UPSTREAM_CONCURRENT_MAX,
  UPSTREAM_INTERVAL_NS, UPSTREAM_IN_FLIGHT, UPSTREAM_KIND, UPSTREAM_RECORD_WORDS,
  UPSTREAM_TIMEOUT_MS,
} from '../../shards/memory/layout.ts'
import { UPSTREAM_NAME_BYTES } from '../../shards/memory/limits.ts'
import type { Limits } from '../../shards/memory/plan.ts'

/** Limits of a very small shard, each of which a test may set. */
export function smallLimits(parts: Partial<Limits> = {}): Limits {
  return {
    memoryBytes: 0, shards: 1, bodyBytesMax: KIB, responseBytesMax: KIB, recordBytesMax: 8 * KIB,
    ringBytes: 64 * KIB, segmentBytes: 8 * KIB, segmentsMax: 16, jobsMax: 64, lanesMax: 24,
    templatesMax: 16, upstreamsMax: 8, ...parts,
  }
}

/** The memory that all shards share, and each shard's own. */
export interface ShardMemory {
  readonly limits: Limits
  readonly shared: SharedViews
  readonly shards: readonly ShardViews[]
}

/** Fresh memory for `limits.shards` shards. */
export function shardMemory(limits: Limits): ShardMemory {
  return {
    limits,
    shared: attachShared(allocateShared(limits), limits),
    shards: Array.from({ length: limits.shards }, () => attachShard(allocateShard(limits), limits)),
  }
}

/** The memory of a single shard. */
export function oneShard(parts: Partial<Limits> = {}): ShardViews {
  const limits = smallLimits({ ...parts, shards: 1 })
  return attachShard(allocateShard(limits), limits)
}

/** The initial values of an upstream's record. */
export interface UpstreamStart {
  readonly pacePerSecond?: number
  readonly concurrentMax?: number
  readonly accountQueues?: boolean
  readonly kind?: number
  readonly timeoutMs?: number
}

/** Writes the origin of a slot, as the front door does. */
export function nameUpstream(shared: SharedViews, slot: number, origin: string): void {
  const at = slot * UPSTREAM_NAME_BYTES
  shared.upstreamNames.writeUInt16LE(origin.length, at)
  shared.upstreamNames.write(origin, at + 2, 'latin1')
}

/** Writes a new record; defaults: 2 per second, 100 in flight, no account queues, 30 s. */
export function writeUpstream(shared: SharedViews, slot: number, start: UpstreamStart = {}): void {
  const at = slot * UPSTREAM_RECORD_WORDS
  const words = shared.upstreams
  shared.upstreamTimesF64[at / 2 + UPSTREAM_BASE_F64] = 0
  words[at + UPSTREAM_INTERVAL_NS] = intervalNs(start.pacePerSecond ?? 2)
  words[at + UPSTREAM_CONCURRENT_MAX] = start.concurrentMax ?? 100
  words[at + UPSTREAM_IN_FLIGHT] = 0
  words[at + UPSTREAM_ACCOUNT_QUEUES] = start.accountQueues === true ? 1 : 0
  words[at + UPSTREAM_KIND] = start.kind ?? KIND_UPSTREAM
  words[at + UPSTREAM_TIMEOUT_MS] = start.timeoutMs ?? 30_000
}
