// The toucher's thread: looks again and again how far the shards are, and takes pages ahead of
// them.
// Thread: toucher, one for all shards. Memory: attaches to all of theirs.
// Never: is waited for by anybody; without it each shard takes its pages when it uses them.

import { constants, setPriority } from 'node:os'
import { workerData } from 'node:worker_threads'
import { lookEvery } from '../base/clock.ts'
import { attachShard } from '../memory/layout.ts'
import { TOUCH_EVERY_MS } from '../memory/limits.ts'
import { TouchAhead, type TouchTask } from './touch-ahead.ts'

// Clearing a page of 2 MiB takes its core for milliseconds, which those in a hurry should have. Not
// the lowest: before 6.4 Linux holds a lock of the whole process meanwhile. Elsewhere than on Linux
// it would be the priority of the process, not of this thread.
if (process.platform === 'linux') setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
const { limits, shardBuffers } = workerData as TouchTask
const shards = shardBuffers.map((buffer) => new TouchAhead(attachShard(buffer, limits)))
lookEvery(TOUCH_EVERY_MS, () => {
  for (const shard of shards) shard.look()
})
