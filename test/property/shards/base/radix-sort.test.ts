// Model: Array.prototype.sort, which is stable.
// Method: random keys in ranges that need one, two or three passes, wrapping or all alike.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { radixSort, sortByTime } from '../../../../shards/base/radix-sort.ts'
import { forEachSeed } from '../../../support/swarm.ts'

const RUNS = 300
const COUNT_MAX = 300

test('a radix sort agrees with a stable sort', () => {
  forEachSeed(RUNS, (prng) => {
    const count = prng.below(COUNT_MAX)
    const keysMax = prng.pick([1, 2, 2000, 2 ** 20, 2 ** 32])
    const base = prng.pick([0, 2 ** 31, 2 ** 32 - 1000])
    const keys = Uint32Array.from({ length: COUNT_MAX }, () => base + prng.below(keysMax))
    const items = Uint32Array.from({ length: COUNT_MAX }, (_, at) => at * 7)
    const model = [...items.subarray(0, count)]
      .sort((one, other) => (keys[one / 7] as number) - (keys[other / 7] as number))
    const expected = model.map((item) => keys[item / 7])
    const sorted = radixSort({ items, keys }, count)
    assert.deepEqual([...sorted.items], model)
    assert.deepEqual([...sorted.keys], expected)
  })
})

test('with a shift, items come near others of like keys', () => {
  forEachSeed(RUNS, (prng) => {
    const keys = Uint32Array.from({ length: COUNT_MAX }, () => prng.uint32())
    const items = keys.slice()
    const sorted = radixSort({ items, keys }, COUNT_MAX, 21)
    assert.deepEqual(sorted.items, sorted.keys, 'items and keys stay together')
    for (let at = 1; at < COUNT_MAX; at++) {
      assert.ok((sorted.keys[at - 1] as number) >>> 21 <= (sorted.keys[at] as number) >>> 21)
    }
  })
})

test('times are sorted to a millisecond or so, however far apart', () => {
  forEachSeed(RUNS, (prng) => {
    const rangeUs = prng.pick([1, 1e6, 3600e6, 400 * 86_400e6])
    const items = Uint32Array.from({ length: COUNT_MAX }, (_, at) => at)
    const timesUs = Float64Array.from(items, () => 5e12 + prng.unit() * rangeUs)
    const sorted = sortByTime(items, timesUs, COUNT_MAX)
    assert.equal(new Set(sorted).size, COUNT_MAX)
    const toleranceUs = Math.max(1024, rangeUs / 2 ** 31)
    for (let at = 1; at < COUNT_MAX; at++) {
      const backUs = (timesUs[sorted[at - 1] as number] as number) -
        (timesUs[sorted[at] as number] as number)
      assert.ok(backUs <= toleranceUs, `${backUs} us out of order`)
    }
  })
})
