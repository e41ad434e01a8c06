// Starts the thread that touches pages ahead of the shards (shards/shard/toucher.ts).

import { Worker } from 'node:worker_threads'
import type { TouchTask } from '../../shards/shard/touch-ahead.ts'
import type { Log } from '../base/log.ts'
import type { EngineMemory } from './memory.ts'

const TOUCHER_FILE = new URL('../../shards/shard/toucher.ts', import.meta.url)

/** Touches pages shortly before the shards use them. The thread ends with the process. */
export function touchAhead({ limits, shards }: EngineMemory, log: Log): void {
  const workerData: TouchTask = { limits, shardBuffers: shards.map(({ buffer }) => buffer) }
  const thread = new Worker(TOUCHER_FILE, { workerData })
  thread.unref()
  thread.on('error', (error) => log.warn({ err: error }, 'no pages are taken ahead any more'))
}
