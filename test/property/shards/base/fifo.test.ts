// Model: a plain array. Random joins, turns and leaves, by seed; after each the line and the array
// must agree on who is next, who stood in the line and how long it is.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Fifo } from '../../../../shards/base/fifo.ts'
import { Prng } from '../../../../shards/base/prng.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_262)
const SEEDS = 200
const STEPS = 600

function step(prng: Prng, line: Fifo<number>, model: number[], who: number): void {
  const joins = prng.chance(0.5)
  if (joins) {
    line.join(who)
    model.push(who)
  } else if (prng.chance(0.6)) {
    assert.equal(line.next(), model.shift())
  } else if (prng.chance(0.99)) {
    const leaver = prng.chance(0.3) ? model[0] ?? 0 : prng.below(who + 1)
    const at = model.indexOf(leaver)
    assert.equal(line.leave(leaver), at >= 0)
    if (at >= 0) model.splice(at, 1)
  } else {
    line.clear()
    model.length = 0
  }
  assert.equal(line.length, model.length)
}

it('agrees with its model after each step', () => {
  for (let seed = SEED; seed < SEED + SEEDS; seed++) {
    const prng = new Prng(seed)
    const line = new Fifo<number>()
    const model: number[] = []
    try {
      for (let who = 0; who < STEPS; who++) step(prng, line, model, who)
      while (model.length > 0) assert.equal(line.next(), model.shift())
      assert.equal(line.next(), undefined)
    } catch (error) {
      assert.fail(`seed ${seed}: ${String(error)}`)
    }
  }
})
