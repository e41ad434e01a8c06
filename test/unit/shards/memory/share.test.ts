// The pool's rules by examples; test/property/shards/memory/share.test.ts has the invariants.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Micros, msToUs } from '../../../../shards/base/units.ts'
import { WARNING_PAUSE_MS } from '../../../../shards/memory/limits.ts'
import { Share, type ShareRefusal } from '../../../../shards/memory/share.ts'

const NOW = 0 as Micros

/** Takes one by one until refused. */
function fill(pool: Share, held: number): number {
  let count = held
  while (pool.take(count, 1, NOW)) count++
  return count
}

describe('a shared pool', () => {
  it('gives one alone alpha / (1 + alpha) of it', () => {
    for (const [alpha, most] of [[1, 500], [4, 800], [0.25, 200]] as const) {
      assert.equal(fill(new Share({ name: 'slots', bound: 1000, alpha }), 0), most)
    }
  })

  it('leaves as much to the second as to the first, once the first gives way', () => {
    const pool = new Share({ name: 'slots', bound: 900, alpha: 1 })
    let first = fill(pool, 0)
    let second = fill(pool, 0)
    assert.deepEqual([first, second], [450, 225])
    for (let i = 0; i < 450; i++) {
      if (first > pool.threshold) {
        pool.give(1)
        first--
      }
      second = fill(pool, second)
    }
    assert.ok(Math.abs(first - 300) <= 1 && Math.abs(second - 300) <= 1, `${first} ${second}`)
  })

  it('gives a minimum beyond the share, from the reserve', () => {
    const pool = new Share({ name: 'slots', bound: 100, alpha: 8, minimum: 3, reserve: 12 })
    pool.adopt(88)
    assert.equal(pool.refusal(0, 4), 'bound')
    for (let newcomer = 0; newcomer < 4; newcomer++) assert.equal(fill(pool, 0), 3)
    assert.equal(pool.refusal(0, 1), 'bound')
  })

  it('tells a share from the bound, and counts both', () => {
    const pool = new Share({ name: 'bytes', bound: 10, alpha: 1 })
    assert.equal(pool.take(0, 6, NOW), true)
    assert.equal(pool.refusal(6, 1), 'share')
    assert.equal(pool.refusal(0, 5), 'bound')
    assert.equal(pool.take(6, 1, NOW), false)
    assert.equal(pool.take(0, 5, NOW), false)
    assert.deepEqual(pool.counts, { used: 6, peak: 6, refusedByShare: 1, refusedByBound: 1 })
    pool.give(4)
    const successor = new Share(pool, undefined, { ...pool.counts })
    assert.deepEqual(successor.counts, { used: 2, peak: 6, refusedByShare: 1, refusedByBound: 1 })
  })

  it('warns once in a minute', () => {
    const warnings: [string, ShareRefusal][] = []
    const pool = new Share({ name: 'slots', bound: 2, alpha: 1 },
      ({ name }, refusal) => warnings.push([name, refusal]))
    pool.adopt(2)
    for (const atMs of [0, 1, WARNING_PAUSE_MS - 1, WARNING_PAUSE_MS]) {
      assert.equal(pool.take(0, 1, msToUs(atMs)), false)
    }
    assert.deepEqual(warnings, [['slots', 'bound'], ['slots', 'bound']])
  })
})
