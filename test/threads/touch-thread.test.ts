// The thread that takes pages ahead of the shards, on real memory: the shard that goes on here is
// this test, which changes nothing but the words that say how far it is.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { MIB } from '../../shards/base/units.ts'
import { SEGMENT_OPEN } from '../../shards/store/segments.ts'
import { allocateMemory } from '../../src/engine/memory.ts'
import { touchAhead } from '../../src/engine/touch-thread.ts'
import { smallLimits } from '../support/shard-memory.ts'

const SEGMENTS = 256
/** More than a thread needs for itself. */
const TAKEN_BYTES = 100 * MIB
const LOOK_EVERY_MS = 5
const LOOKS_MAX = 6000

test('a thread takes pages for a shard that goes on, and holds nobody up at the end', async () => {
  const allocated = allocateMemory(smallLimits({ segmentBytes: MIB, segmentsMax: SEGMENTS }))
  assert.ok(allocated.ok)
  const views = allocated.memory.shards[0]
  assert.ok(views !== undefined)
  const warnings: string[] = []
  const listener = {
    info: () => {}, error: () => {}, warn: (_: object, message: string) => warnings.push(message),
  }
  touchAhead(allocated.memory, listener)
  await pause(LOOK_EVERY_MS)
  const before = process.memoryUsage.rss()
  let looks = 0
  while (process.memoryUsage.rss() - before < TAKEN_BYTES && looks < LOOKS_MAX) {
    views.segmentState[Math.min(looks, SEGMENTS / 2)] = SEGMENT_OPEN
    await pause(LOOK_EVERY_MS)
    looks += 1
  }
  assert.ok(looks < LOOKS_MAX, 'the pages of the log are resident')
  assert.deepEqual(warnings, [])
  const log = new Uint8Array(views.buffer, views.segments[0]?.bytes.byteOffset)
  assert.ok(log.every((byte) => byte === 0))
})
