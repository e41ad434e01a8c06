// All memory of the engine, allocated once at the start by the main thread, which keeps it until
// the process ends: shard threads only attach to it.

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

/** Reserves everything; returns the reason if the system refuses. Untouched pages cost nothing. */
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
 * Takes every page from the system now; call it before any thread attaches. It takes about 0.4 s
 * per GiB. The system kills the process where it has too little memory.
 */
export function touchMemory(memory: EngineMemory): void {
  for (const { buffer } of [memory.shared, ...memory.shards]) {
    touchPages(new Int32Array(buffer), 0, buffer.byteLength)
  }
}
