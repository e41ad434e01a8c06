// Model: an array of lines in the order of their turns, each an array of slots. Random arrivals and
// turns, by seed; after each the two must agree on whose turn it is.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import { QUESTION_LINES } from '../../../../src/base/client-limits.ts'
import { makeFairQueueTable, FairQueue } from '../../../../src/engine/fair-queue.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_262)
const SEEDS = 200
const STEPS = 400

interface Line { readonly name: number, readonly slots: number[] }

function step(prng: Prng, turns: FairQueue, model: Line[], slot: number): void {
  if (prng.chance(0.55)) {
    const route = prng.between(0, 5) + QUESTION_LINES * prng.below(3)
    const name = route % QUESTION_LINES
    turns.add(slot, route)
    const line = model.find((other) => other.name === name)
    if (line === undefined) model.push({ name, slots: [slot] })
    else line.slots.push(slot)
  } else if (prng.chance(0.99)) {
    const line = model.shift()
    assert.equal(turns.isEmpty, line === undefined)
    if (line === undefined) return
    assert.equal(turns.first, line.slots.shift())
    turns.shift()
    if (line.slots.length > 0) model.push(line)
  } else {
    turns.clear()
    model.length = 0
  }
  assert.equal(turns.isEmpty, model.length === 0)
}

it('agrees with its model after each step', () => {
  for (let seed = SEED; seed < SEED + SEEDS; seed++) {
    const prng = new Prng(seed)
    const turns = new FairQueue(makeFairQueueTable(), new Uint32Array(STEPS))
    const model: Line[] = []
    try {
      for (let slot = 0; slot < STEPS; slot++) step(prng, turns, model, slot)
    } catch (error) {
      assert.fail(`seed ${seed}: ${String(error)}`)
    }
  }
})
