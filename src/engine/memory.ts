// All memory of the engine, allocated once at the start by the main thread, which keeps it for as
// long as the process lives: shard threads only attach to it.

import {
  type ShardViews, type SharedViews, allocateShard, allocateShared, attachShard, attachShared,
} from '../../shards/memory/layout.ts'
import type { Limits } from '../../shards/memory/plan.ts'
import { touchPages } from '../../shards/shard/touch-ahead.ts'

/** The memory of a running engine, as the main thread sees it. */
export interface EngineMemory {
  readonly limits: Limits
  readonly shared: SharedViews
  readonly shards: readonly ShardViews[]
}

/** Reserves everything; says why where the system refuses. Pages cost nothing until touched. */
export function allocateMemory(limits: Limits):
  { ok: true; memory: EngineMemory } | { ok: false; reason: string } {
  let sharedBuffer: SharedArrayBuffer
  let shardBuffers: SharedArrayBuffer[]
  try {
    sharedBuffer = allocateShared(limits)
    shardBuffers = Array.from({ length: limits.shards }, () => allocateShard(limits))
  } catch (error) {
    return { ok: false, reason: (error as Error).message }
  }
  const shared = attachShared(sharedBuffer, limits)
  const shards = shardBuffers.map((buffer) => attachShard(buffer, limits))
  return { ok: true, memory: { limits, shared, shards } }
}

/**
 * Takes every page from the system now; to be called before any thread attaches. It takes about
 * 0.4 s for each GiB, and ends the process where the system has not got that much.
 */
export function touchMemory(memory: EngineMemory): void {
  for (const { buffer } of [memory.shared, ...memory.shards]) {
    touchPages(new Int32Array(buffer), 0, buffer.byteLength)
  }
}
