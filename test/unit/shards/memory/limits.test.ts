// How the limits relate, and that the memory plan holds for every setting that a user may choose.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import { KIB, MIB } from '../../../../shards/base/units.ts'
import { STATS_WORDS } from '../../../../shards/memory/layout.ts'
import * as limits from '../../../../shards/memory/limits.ts'
import * as sizes from '../../../../shards/memory/plan.ts'
import {
  type Limits, type MemorySettings, planMemory, plannedBytes, shardBytes, shardParts,
} from '../../../../shards/memory/plan.ts'
import * as results from '../../../../shards/memory/result-limits.ts'
import { ringPayloadBytesMax } from '../../../../shards/memory/ring.ts'
import { STATS } from '../../../../shards/memory/stats.ts'
import { ENQUEUE_HEADER_BYTES } from '../../../../shards/wire/contract.ts'
import * as door from '../../../../src/base/limits.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261_122)
const DRAWS = 600
const GIB = 1024 * MIB
/** A location's bits: 12 for the segment, 20 for the offset in units of 8 bytes. */
const LOCATION_SEGMENTS_MAX = 2 ** 12
const LOCATION_OFFSETS_MAX = 2 ** 20

const MEMORY_BYTES = [16 * MIB, 64 * MIB, 100_000_001, 256 * MIB, GIB, 8 * GIB, 32 * GIB, 128 * GIB]
const SHARDS = [1, 2, 3, 7, 16, door.SHARDS_MAX]
const PAYLOAD_BYTES = [0, KIB, 64 * KIB, MIB, 4 * MIB, limits.BODY_LIMIT_BYTES_MAX]

/** Every combination, then random ones. */
function* settings(): Generator<MemorySettings> {
  for (const memoryBytes of MEMORY_BYTES) {
    for (const shards of SHARDS) {
      for (const bytes of PAYLOAD_BYTES) {
        yield { memoryBytes, shards, bodyBytesMax: bytes, responseBytesMax: MIB }
        yield { memoryBytes, shards, bodyBytesMax: KIB, responseBytesMax: bytes }
      }
    }
  }
  const prng = new Prng(SEED)
  for (let draw = 0; draw < DRAWS; draw++) {
    yield {
      memoryBytes: Math.floor(2 ** (24 + 14 * prng.unit())),
      shards: prng.between(1, door.SHARDS_MAX),
      bodyBytesMax: Math.floor(limits.BODY_LIMIT_BYTES_MAX ** prng.unit()),
      responseBytesMax: Math.floor(limits.BODY_LIMIT_BYTES_MAX ** prng.unit()),
    }
  }
}

/** The plans of all settings; where memory is too small, the plan for the least that would do. */
function* plans(): Generator<Limits> {
  for (const chosen of settings()) {
    const plan = planMemory(chosen)
    if (plan.ok) {
      yield plan.limits
      continue
    }
    assert.ok(plan.memoryBytesMin > chosen.memoryBytes, describe(chosen))
    const again = planMemory({ ...chosen, memoryBytes: plan.memoryBytesMin })
    assert.ok(again.ok, `the least memory does not do: ${describe(chosen)}`)
    yield again.limits
  }
}

const describe = (chosen: MemorySettings): string => `seed ${SEED}, ${JSON.stringify(chosen)}`

test('the parts never take more than the memory, and leave little of it unused', () => {
  for (const plan of plans()) {
    assert.ok(plannedBytes(plan) <= plan.memoryBytes, describe(plan))
    // Each shard may lose part of a segment; a log at its largest leaves the rest.
    const unusedMax = plan.segmentsMax === limits.SEGMENTS_MAX ? Infinity
      : plan.segmentBytes + sizes.SEGMENT_WORDS_BYTES + sizes.UPSTREAM_SHARED_BYTES + 2
    const unused = (plan.memoryBytes - plannedBytes(plan)) / plan.shards
    assert.ok(unused <= unusedMax, `${unused} bytes a shard: ${describe(plan)}`)
    const parts = shardParts(plan)
    assert.equal(parts.reduce((sum, [, bytes]) => sum + bytes, 0), shardBytes(plan))
    assert.ok(parts.every(([, bytes]) => bytes > 0), describe(plan))
  }
})

test('every size can do its work', () => {
  for (const plan of plans()) {
    const text = describe(plan)
    // Powers of two, for masks; whole words.
    for (const bytes of [plan.ringBytes, plan.segmentBytes]) {
      assert.equal(Math.log2(bytes) % 1, 0, text)
    }
    assert.equal(plan.recordBytesMax % limits.LOG_ALIGN_BYTES, 0, text)
    // The largest record fits a ring, twice and more, and a segment.
    assert.ok(plan.recordBytesMax * 2 <= ringPayloadBytesMax(plan.ringBytes), text)
    assert.ok(plan.recordBytesMax <= plan.segmentBytes, text)
    assert.ok(plan.recordBytesMax > Math.max(plan.bodyBytesMax, plan.responseBytesMax) +
      2 * limits.URL_BYTES_MAX + limits.JOB_HEADERS_BYTES_MAX + limits.USER_ID_BYTES_MAX +
      limits.IDEMPOTENT_KEY_BYTES_MAX + ENQUEUE_HEADER_BYTES, text)
    // Cleaning can always finish.
    assert.ok(plan.segmentsMax >= sizes.SEGMENTS_MIN, text)
    // Counts that are array lengths are whole, and every upstream has an overflow lane.
    for (const count of [plan.segmentsMax, plan.jobsMax, plan.lanesMax, plan.templatesMax]) {
      assert.ok(Number.isInteger(count) && count > 0 && count < 2 ** 32 - 1, text)
    }
    assert.ok(plan.lanesMax > plan.upstreamsMax, text)
    assert.ok(plan.lanesMax <= sizes.LANES_PER_SHARD_MAX + sizes.UPSTREAMS_MAX, text)
    assert.ok(plan.upstreamsMax >= sizes.UPSTREAMS_MIN, text)
    assert.ok(plan.upstreamsMax <= sizes.UPSTREAMS_MAX, text)
  }
})

test('a location packs into 32 bits', () => {
  for (const plan of plans()) {
    assert.ok(plan.recordBytesMax <= sizes.SEGMENT_BYTES_MAX, describe(plan))
    assert.ok(plan.segmentsMax <= LOCATION_SEGMENTS_MAX, describe(plan))
    assert.ok(plan.segmentBytes / limits.LOG_ALIGN_BYTES <= LOCATION_OFFSETS_MAX, describe(plan))
  }
})

test('more memory never plans for less', () => {
  for (const chosen of settings()) {
    const plan = planMemory(chosen)
    const more = planMemory({ ...chosen, memoryBytes: 2 * chosen.memoryBytes })
    if (!plan.ok) continue
    assert.ok(more.ok, describe(chosen))
    assert.ok(more.limits.jobsMax >= plan.limits.jobsMax, describe(chosen))
    assert.ok(more.limits.lanesMax >= plan.limits.lanesMax, describe(chosen))
    assert.ok(more.limits.segmentsMax * more.limits.segmentBytes >=
      plan.limits.segmentsMax * plan.limits.segmentBytes, describe(chosen))
  }
})

test('indexes stay below four fifths full and keep one entry free', () => {
  assert.equal(sizes.indexEntries(1000), 1250)
  assert.equal(sizes.indexEntries(1), 2)
  for (let slots = 1; slots < 5000; slots++) {
    const entries = sizes.indexEntries(slots)
    assert.ok(entries > slots && slots / entries <= 0.8 || entries === slots + 1)
  }
})

test('the limits relate as they should', () => {
  assert.ok(limits.PACE_PER_SECOND_MIN <= door.PACE_PER_SECOND_DEFAULT)
  assert.ok(door.PACE_PER_SECOND_DEFAULT <= limits.PACE_PER_SECOND_MAX)
  assert.ok(door.WEBHOOK_PACE_PER_SECOND_DEFAULT <= limits.PACE_PER_SECOND_MAX)
  assert.ok(door.CONCURRENT_DEFAULT <= limits.CONCURRENT_MAX)
  // The slowest pace's interval in nanoseconds fits the shared record's 32-bit word.
  assert.ok(1e9 / limits.PACE_PER_SECOND_MIN < 2 ** 31)
  // A shard's turn ends before the tolerance does, else the grace would cost pace.
  assert.ok(limits.YIELD_US_MAX < limits.PACE_TOLERANCE_US)
  // max_retries travels as a signed byte, the attempt count as sixteen bits.
  assert.ok(door.RETRIES_DEFAULT <= door.RETRIES_MAX && door.RETRIES_MAX <= 127)
  assert.ok(limits.RETRIES_UNLIMITED >= -128 && limits.RETRIES_UNLIMITED < 0)
  assert.ok(limits.RETRY_BASE_MS <= limits.RETRY_CAP_MS)
  assert.ok(limits.JOB_DEADLINE_MS <= limits.QUEUED_KEY_TTL_MS)
  assert.ok(limits.SEGMENTS_RESERVED < sizes.SEGMENTS_MIN)
  assert.ok(sizes.SEGMENTS_MIN <= sizes.SEGMENTS_AIM)
  assert.ok(sizes.UPSTREAMS_MIN <= sizes.UPSTREAMS_MAX)
  assert.ok(results.RESULTS_PER_MILLE_MAX < limits.LOG_FILL_PER_MILLE_MAX)
  // Bodies leave room for answers without them, and jobs for bodies.
  assert.ok(limits.LOG_FILL_PER_MILLE_MAX < limits.LOG_BODIES_PER_MILLE_MAX)
  assert.ok(limits.LOG_BODIES_PER_MILLE_MAX < 1000)
  assert.equal(Math.log2(results.RESULT_USERS_COUNT) % 1, 0)
  assert.ok(limits.MSGPACK_DEPTH_MAX >= 3)
  assert.ok(STATS.length <= STATS_WORDS)
})
