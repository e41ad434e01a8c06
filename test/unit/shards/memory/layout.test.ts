// The layout: regions that do not overlap, sizes that add up, and views that meet in one memory.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KIB, MIB } from '../../../../shards/base/units.ts'
import {
  BELL_BYTES, LINE_BYTES, RING_CONTROL_BYTES, UPSTREAM_RECORD_WORDS, allocateShard, allocateShared,
  attachShard, attachShared, shardBufferBytes,
} from '../../../../shards/memory/layout.ts'
import * as sizes from '../../../../shards/memory/plan.ts'
import { type Limits, planMemory, shardBytes, shardParts } from '../../../../shards/memory/plan.ts'

type View = Int32Array | Uint32Array | Float64Array | BigInt64Array | Buffer

interface Region {
  readonly start: number
  readonly end: number
  /** Every view of the region, by its path in the views object. */
  readonly views: Map<string, View>
}

function planned(memoryBytes: number): Limits {
  const plan = planMemory({
    memoryBytes, shards: 2, bodyBytesMax: 16 * KIB, responseBytesMax: 64 * KIB,
  })
  assert.ok(plan.ok)
  return plan.limits
}

const LIMITS = planned(64 * MIB)

/** All typed arrays of `value` and of what it holds, with their paths. */
function* viewsOf(value: object, path = ''): Generator<[string, View]> {
  for (const [name, part] of Object.entries(value)) {
    if (ArrayBuffer.isView(part)) yield [`${path}${name}`, part as View]
    else if (typeof part === 'object' && part !== null && !(part instanceof SharedArrayBuffer)) {
      yield* viewsOf(part, `${path}${name}.`)
    }
  }
}

/** The distinct regions in the order in which they lie. */
function regionsOf(views: object): Region[] {
  const regions = new Map<string, Region>()
  for (const [path, view] of viewsOf(views)) {
    const start = view.byteOffset
    const end = start + view.byteLength
    const region = regions.get(`${start}-${end}`) ?? { start, end, views: new Map() }
    region.views.set(path, view)
    regions.set(`${start}-${end}`, region)
  }
  return [...regions.values()].sort((one, other) => one.start - other.start)
}

/** The parts of these regions' paths before the last dot: who may share a region. */
const ownersOf = (region: Region): Set<string> =>
  new Set([...region.views.keys()].map((path) => path.slice(0, path.lastIndexOf('.') + 1)))

const SHARD = attachShard(allocateShard(LIMITS), LIMITS)
const SHARED = attachShared(allocateShared(LIMITS), LIMITS)

for (const [name, views] of [['shard', SHARD], ['shared', SHARED]] as const) {
  test(`${name}: regions do not overlap, each begins on a line of its own`, () => {
    let end = 0
    for (const region of regionsOf(views)) {
      const paths = [...region.views.keys()].join(', ')
      assert.ok(region.end > region.start, `${paths} is empty`)
      assert.ok(region.start >= end, `${paths} overlaps what is before it`)
      assert.ok(region.start - end < LINE_BYTES, `a hole before ${paths}`)
      assert.equal(region.start % LINE_BYTES, 0, paths)
      end = region.end
    }
    assert.ok(end <= views.buffer.byteLength && views.buffer.byteLength - end < LINE_BYTES)
  })

  test(`${name}: only views of one thing share a region`, () => {
    const shared = regionsOf(views).filter((region) => region.views.size > 1)
    for (const region of shared) assert.equal(ownersOf(region).size, 1, [...region.views].join())
    const expected = views === SHARED
      ? ['upstreams+upstreamTimes+upstreamTimesF64']
      : ['ingress.bytes+ingress.u32+ingress.f64', 'answers.bytes+answers.u32+answers.f64',
        ...SHARD.segments.map((_, at) => `segments.${at}.bytes+segments.${at}.u32`)]
    assert.deepEqual(shared.map((region) => [...region.views.keys()].join('+')), expected)
  })
}

test('every array is as long as its table', () => {
  const lengthsOf = (part: object): Set<number> =>
    new Set([...viewsOf(part)].map(([, view]) => view.length))
  assert.deepEqual(lengthsOf(SHARD.jobs), new Set([LIMITS.jobsMax]))
  assert.deepEqual(lengthsOf(SHARD.lanes), new Set([LIMITS.lanesMax]))
  assert.deepEqual(lengthsOf(SHARD.wheel), new Set([LIMITS.lanesMax + LIMITS.upstreamsMax]))
  assert.deepEqual(lengthsOf(SHARD.upstreams), new Set([LIMITS.upstreamsMax]))
  const { index, ...templates } = SHARD.templates
  assert.deepEqual(lengthsOf(templates), new Set([LIMITS.templatesMax]))
  assert.equal(index.length, sizes.indexEntries(LIMITS.templatesMax))
  assert.equal(SHARD.segments.length, LIMITS.segmentsMax)
  assert.equal(SHARD.segments[0]?.bytes.length, LIMITS.segmentBytes)
  assert.equal(SHARD.ingress.bytes.length, LIMITS.ringBytes)
  assert.equal(SHARD.answers.control.byteLength, RING_CONTROL_BYTES)
  assert.equal(SHARD.bell.byteLength, BELL_BYTES)
  assert.equal(SHARED.mainBell.byteLength, BELL_BYTES)
  assert.equal(SHARED.upstreams.length, LIMITS.upstreamsMax * UPSTREAM_RECORD_WORDS)
})

test('the parts that --memory pays for are the parts that are laid out', () => {
  const bytesOf = (part: object): number => {
    let sum = 0
    for (const region of regionsOf(part)) sum += region.end - region.start
    return sum
  }
  const { ingress, answers } = SHARD
  const laid: Record<string, number> = {
    'rings': ingress.bytes.length + answers.bytes.length,
    'job slots': bytesOf(SHARD.jobs),
    'job indexes': SHARD.idIndex.byteLength + SHARD.keyIndex.byteLength,
    'jobs by key': SHARD.keyJobs.byteLength,
    'lanes and upstreams': bytesOf(SHARD.lanes) + SHARD.laneIndex.byteLength +
      bytesOf(SHARD.wheel) + bytesOf(SHARD.upstreams),
    'templates': bytesOf(SHARD.templates),
    'job log': bytesOf(SHARD.segments) + SHARD.segmentLiveBytes.byteLength +
      SHARD.segmentUsedBytes.byteLength + SHARD.segmentState.byteLength +
      SHARD.segmentJournalledBytes.byteLength,
    'journal marks': bytesOf(SHARD.marks),
  }
  const parts = Object.fromEntries(shardParts(LIMITS)) as Record<string, number>
  // The wheel's entries of lanes and of upstreams lie together, and are paid for apart.
  const { lanes, upstreams, 'bell, statistics, alignment': slack, ...others } = parts
  assert.equal(slack, sizes.LAYOUT_SLACK_BYTES)
  assert.deepEqual(laid, { ...others, 'lanes and upstreams': Number(lanes) + Number(upstreams) })
})

test('a buffer is never larger than what is paid for it', () => {
  for (const memoryBytes of [16 * MIB, 64 * MIB, 1024 * MIB, 65_536 * MIB, 262_144 * MIB]) {
    const plan = planned(memoryBytes)
    const unused = shardBytes(plan) - shardBufferBytes(plan)
    assert.ok(unused >= 0 && unused <= sizes.LAYOUT_SLACK_BYTES, `${unused} bytes unused`)
  }
})

test('views attached twice see one memory', () => {
  const again = new Map(viewsOf(attachShard(SHARD.buffer, LIMITS)))
  const sharedAgain = new Map(viewsOf(attachShared(SHARED.buffer, LIMITS)))
  for (const [views, twins] of [[SHARD, again], [SHARED, sharedAgain]] as const) {
    let mark = 0
    for (const [path, view] of viewsOf(views)) {
      const twin = twins.get(path)
      assert.ok(twin !== undefined && twin !== view, path)
      assert.equal(twin.length, view.length, path)
      const value = view instanceof BigInt64Array ? BigInt(++mark % 251) : ++mark % 251
      view[0] = value
      view[view.length - 1] = value
      assert.deepEqual([twin[0], twin[view.length - 1]], [value, value], path)
    }
  }
})

test('memory of another layout is refused', () => {
  const other = planned(32 * MIB)
  assert.throws(() => attachShard(SHARD.buffer, other), /another layout/)
  const fewer = { ...LIMITS, upstreamsMax: LIMITS.upstreamsMax - 16 }
  assert.throws(() => attachShared(allocateShared(LIMITS), fewer), /another layout/)
  assert.throws(() => attachShared(allocateShared(fewer), LIMITS), RangeError)
})
