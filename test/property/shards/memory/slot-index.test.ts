// Model: a Map from slot to hash.
// Method: random inserts, removals and searches, with hashes drawn from few values in some runs,
// so that long runs of neighbours and equal hashes come up; after each step both must agree.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NONE } from '../../../../shards/base/units.ts'
import { SlotIndex } from '../../../../shards/memory/slot-index.ts'
import { Death, Fuse, burn, countStores } from '../../../sim/fuse.ts'
import { Swarm, forEachSeed } from '../../../support/swarm.ts'

const RUNS = 300
const STEPS = 400

test('an index finds what a map finds', () => {
  forEachSeed(RUNS, (prng) => {
    const slots = prng.between(1, 60)
    const hashes = new Uint32Array(slots)
    const entries = new Uint32Array(slots + prng.between(1, 20))
    const index = new SlotIndex(entries, (slot) => hashes[slot] as number)
    const model = new Map<number, number>()
    const hashesMax = prng.pick([1, 3, 20, 2 ** 32])
    const drawHash = (): number =>
      (Math.floor((prng.below(hashesMax) / hashesMax) * 2 ** 32) + prng.pick([0, 0, 1])) >>> 0
    const swarm = new Swarm(prng, 'insert', ['remove', 'removeWrongly', 'find', 'clear'])
    for (let step = 0; step < STEPS; step++) {
      const slot = prng.below(slots)
      const operation = swarm.next()
      if (operation === 'insert' && !model.has(slot)) {
        hashes[slot] = drawHash()
        index.insert(hashes[slot] as number, slot)
        model.set(slot, hashes[slot] as number)
      } else if (operation === 'remove') {
        assert.equal(index.remove(hashes[slot] as number, slot), model.delete(slot))
      } else if (operation === 'removeWrongly') {
        assert.equal(index.remove(hashes[slot] as number, slots), false)
      } else if (operation === 'find') {
        const hash = drawHash()
        const found = index.find(hash, (other) => hashes[other] === hash)
        const known = [...model].some(([, other]) => other === hash)
        assert.equal(found !== NONE && model.get(found) === hash, known)
      } else if (operation === 'clear' && prng.chance(0.05)) {
        index.clear()
        model.clear()
      }
      assert.equal(index.size, model.size)
      for (let other = 0; other < slots; other++) {
        const found = index.find(hashes[other] as number, (candidate) => candidate === other)
        assert.equal(found, model.has(other) ? other : NONE)
      }
    }
  })
})

test('an index refuses the entry that ends every search', () => {
  const index = new SlotIndex(new Uint32Array(3), () => 0)
  index.insert(0, 0)
  index.insert(0xffffffff, 1)
  assert.throws(() => index.insert(0, 2), /full/)
  assert.equal(index.find(0xffffffff, (slot) => slot === 1), 1)
})

test('a large index of few slots is emptied by those alone, whoever died at what', () => {
  forEachSeed(RUNS, (prng) => {
    const slots = prng.between(1, 60)
    const entries = new Uint32Array(5000)
    const center = prng.pick([0, 2 ** 31, 2 ** 32 - 1])
    const hashes = Uint32Array.from({ length: slots }, () => center + prng.below(40) * 900_000)
    const hashOf = (slot: number): number => hashes[slot] as number
    const wrapped = countStores({ entries }).entries
    const index = new SlotIndex(wrapped, hashOf)
    const inside: number[] = []
    for (let thread = 0; thread < 3; thread++) {
      try {
        burn(new Fuse(prng.between(1, 200)), () => {
          for (let step = 0; step < 100; step++) {
            const slot = prng.below(slots)
            const at = inside.indexOf(slot)
            if (at === -1) inside.push(slot)
            else inside.splice(at, 1)
            if (at === -1) index.insert(hashOf(slot), slot)
            else index.remove(hashOf(slot), slot)
          }
          index.recover(slots)
        })
      } catch (error) {
        assert.ok(error instanceof Death, String(error))
      }
      for (let tries = prng.below(3); tries > 0; tries--) {
        try {
          burn(new Fuse(prng.between(1, 60)), () => index.recover(slots))
        } catch (error) {
          assert.ok(error instanceof Death, String(error))
        }
      }
      index.recover(slots)
      inside.length = 0
      assert.equal(entries.findIndex((entry) => entry !== 0), -1)
    }
  })
})
