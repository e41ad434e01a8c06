// The toucher's thread: checks regularly how much memory the shards use, and touches pages ahead.
// Thread: toucher, one for all shards. Memory: attaches to all shards' memory.
// Never: waited for by another thread; without it each shard's pages are allocated at first use.

import { constants, setPriority } from 'node:os'
import { workerData } from 'node:worker_threads'
import { lookEvery } from '../base/clock.ts'
import { attachShard } from '../memory/layout.ts'
import { TOUCH_EVERY_MS } from '../memory/limits.ts'
import { TouchAhead, type TouchTask } from './touch-ahead.ts'

// Clearing a page of 2 MiB uses a core for milliseconds, so other threads should have priority. Not
// the lowest one: before 6.4 Linux holds a lock of the whole process meanwhile. On systems other
// than Linux it would be the priority of the process, not of this thread.
if (process.platform === 'linux') setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
const { limits, shardBuffers } = workerData as TouchTask
const shards = shardBuffers.map((buffer) => new TouchAhead(attachShard(buffer, limits)))
lookEvery(TOUCH_EVERY_MS, () => {
  for (const shard of shards) shard.look()
})
