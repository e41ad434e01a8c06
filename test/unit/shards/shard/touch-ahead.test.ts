// Pages taken ahead of a shard: how far, how often, and that nothing in them changes.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KIB, MIB } from '../../../../shards/base/units.ts'
import { JOBS_FRESH } from '../../../../shards/memory/crash-notes.ts'
import type { ShardViews } from '../../../../shards/memory/layout.ts'
import {
  TOUCH_AHEAD_BYTES_MAX, TOUCH_AHEAD_BYTES_MIN, TOUCH_AHEAD_LOOKS,
} from '../../../../shards/memory/limits.ts'
import { TouchAhead, touchPages } from '../../../../shards/shard/touch-ahead.ts'
import { SEGMENT_FREE, SEGMENT_OPEN } from '../../../../shards/store/segments.ts'
import { oneShard } from '../../../support/shard-memory.ts'

const PAGE_BYTES = 4096
const SEGMENT_BYTES = MIB
const SEGMENTS = 128
const JOBS = MIB

const shard = (): ShardViews =>
  oneShard({ segmentBytes: SEGMENT_BYTES, segmentsMax: SEGMENTS, jobsMax: JOBS })

/** The log is used up to here, as the shard's own words say. */
function useLog(views: ShardViews, bytes: number): void {
  const segment = Math.floor(bytes / SEGMENT_BYTES)
  views.segmentState[segment] = SEGMENT_OPEN
  views.segmentUsedBytes[segment] = bytes % SEGMENT_BYTES
}

describe('touching ahead', () => {
  it('takes nothing for a shard at rest, whatever it has used before', () => {
    const views = shard()
    views.progress[JOBS_FRESH] = 100_000
    useLog(views, 5 * SEGMENT_BYTES)
    const ahead = new TouchAhead(views)
    assert.deepEqual([ahead.look(), ahead.look()], [0, 0])
  })

  it('takes what some looks at the pace of the last will use, and each page once', () => {
    const views = shard()
    const ahead = new TouchAhead(views)
    const pace = 8 * 64 * KIB
    useLog(views, pace)
    const whole = TOUCH_AHEAD_LOOKS * pace
    assert.equal(ahead.look(), whole)
    useLog(views, 2 * pace)
    assert.equal(ahead.look(), pace, 'as much again as was used')
    useLog(views, 2 * pace + 1)
    assert.equal(ahead.look(), 0, 'slower: there is enough')
  })

  it('takes a little of each array for the first job, and no more than a limit for a flood', () => {
    const views = shard()
    const ahead = new TouchAhead(views)
    views.progress[JOBS_FRESH] = 1
    const arrays = Object.values(views.jobs) as readonly (Uint32Array | Float64Array)[]
    const used = arrays.reduce((sum, { BYTES_PER_ELEMENT }) => sum + BYTES_PER_ELEMENT, 0)
    assert.equal(ahead.look(), arrays.length * TOUCH_AHEAD_BYTES_MIN + used)
    useLog(views, 16 * SEGMENT_BYTES)
    assert.equal(ahead.look(), TOUCH_AHEAD_BYTES_MAX)
  })

  it('ends with the memory, and follows a log whose segments are free again', () => {
    const views = shard()
    const ahead = new TouchAhead(views)
    useLog(views, (SEGMENTS - 2) * SEGMENT_BYTES)
    assert.ok(ahead.look() <= 2 * SEGMENT_BYTES)
    views.segmentState.fill(SEGMENT_FREE)
    useLog(views, 3 * SEGMENT_BYTES)
    assert.equal(ahead.look(), 0, 'used before, so it is there')
    views.progress[JOBS_FRESH] = JOBS
    assert.equal(ahead.look(), 0, 'nothing is left to be taken')
  })

  it('changes no byte, and the pages are there', () => {
    const views = shard()
    const bytes = new Uint8Array(views.buffer)
    const inUse = 20 * SEGMENT_BYTES
    const log = views.segments[0]?.bytes.byteOffset ?? 0
    for (let at = 0; at < inUse; at += 61) bytes[log + at] = at % 251
    const ahead = new TouchAhead(views)
    useLog(views, inUse)
    const before = process.memoryUsage.rss()
    const touched = ahead.look()
    assert.ok(process.memoryUsage.rss() - before > touched * 0.9, 'pages are resident')
    touchPages(new Int32Array(views.buffer), log - (log % PAGE_BYTES), log + inUse)
    for (let at = 0; at < inUse; at += 61) assert.equal(bytes[log + at], at % 251)
    assert.ok(bytes.subarray(log + inUse, log + inUse + touched).every((byte) => byte === 0))
  })
})
