// The index from a job's key to its slot, 80 % full: a hit, and a removal with an insertion.

import { Prng } from '../../shards/base/prng.ts'
import { indexEntries } from '../../shards/memory/plan.ts'
import { SlotIndex } from '../../shards/memory/slot-index.ts'
import type { MicroBench } from './micro-case.ts'

export const slotIndex: MicroBench = ({ operations, items }) => {
  const prng = new Prng(2)
  const hashes = Uint32Array.from({ length: items }, () => prng.uint32())
  const index = new SlotIndex(
    new Uint32Array(indexEntries(items)), (slot) => hashes[slot] as number)
  for (let slot = 0; slot < items; slot++) index.insert(hashes[slot] as number, slot)
  return [{
    name: 'index: find', operations,
    run: () => {
      let sum = 0
      for (let turn = 0; turn < operations; turn++) {
        const wanted = prng.below(items)
        sum += index.find(hashes[wanted] as number, (slot) => slot === wanted)
      }
      return sum
    },
  }, {
    name: 'index: remove and insert', operations,
    run: () => {
      for (let turn = 0; turn < operations; turn++) {
        const slot = prng.below(items)
        index.remove(hashes[slot] as number, slot)
        hashes[slot] = prng.uint32()
        index.insert(hashes[slot] as number, slot)
      }
      return index.size
    },
  }]
}
