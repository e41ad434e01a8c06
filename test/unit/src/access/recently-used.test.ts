// The bounded table, against a list in the order of use.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RecentlyUsed } from '../../../../src/access/recently-used.ts'
import { forEachSeed } from '../../../support/swarm.ts'

test('a full table forgets what was used least recently', () => {
  forEachSeed(50, (prng) => {
    const max = prng.between(1, 8)
    const table = new RecentlyUsed<number>(max)
    let model: [string, number][] = []
    for (let step = 0; step < 200; step++) {
      const name = String(prng.below(12))
      const known = model.find(([each]) => each === name)?.[1]
      const isSet = prng.chance(0.5)
      if (isSet) table.set(name, step)
      else assert.equal(table.get(name), known)
      if (isSet || known !== undefined) {
        model = model.filter(([each]) => each !== name)
        model.push([name, isSet ? step : known as number])
        model = model.slice(-max)
      }
      if (prng.chance(0.01)) {
        table.clear()
        model = []
      }
    }
    for (const [name, value] of model) assert.equal(table.get(name), value)
  })
})
