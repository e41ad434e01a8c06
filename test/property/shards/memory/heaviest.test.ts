// Model: the weights of holders, in an array.
// Method: random weights come and go, and the structure changes hands; after each step nobody has
// twice what the first has.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NONE } from '../../../../shards/base/units.ts'
import { Heaviest } from '../../../../shards/memory/heaviest.ts'
import { forEachSeed } from '../../../support/swarm.ts'

const RUNS = 200
const STEPS = 300

test('the heaviest of many holders is found within a factor of two', () => {
  forEachSeed(RUNS, (prng) => {
    const holders = prng.between(1, 20)
    const grain = prng.pick([1, 64])
    const scale = grain * prng.pick([3, 1000, 2 ** 23])
    const weights = Array.from({ length: holders }, () => 0)
    let heaviest = new Heaviest(holders, grain)
    for (let step = 0; step < STEPS; step++) {
      const holder = prng.below(holders)
      const before = weights[holder] ?? 0
      const amount = prng.chance(0.4) ? -prng.pick([before, Math.floor(before / 2)])
        : Math.floor(prng.unit() * scale)
      weights[holder] = before + amount
      heaviest.add(holder, amount)
      if (prng.chance(0.02)) {
        const baton = structuredClone(heaviest.handOver())
        heaviest = new Heaviest(holders, grain)
        heaviest.takeOver(baton)
      }
      const most = Math.max(...weights)
      const { first } = heaviest
      assert.equal(heaviest.most, first === NONE ? 0 : weights[first])
      if (most === 0) assert.equal(first, NONE)
      else assert.ok(Math.ceil(heaviest.most / grain) * 2 > Math.ceil(most / grain))
      assert.equal(heaviest.weightOf(holder), weights[holder])
    }
  })
})
