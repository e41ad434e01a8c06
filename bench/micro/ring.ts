// A record through a ring: claim, commit and read, without the other thread.

import { KIB, powerOfTwoAtLeast } from '../../shards/base/units.ts'
import { allocateShard, attachShard } from '../../shards/memory/layout.ts'
import { RingReader, RingWriter } from '../../shards/memory/ring.ts'
import { type MicroBench, microLimits } from './micro-case.ts'

const PAYLOAD_BYTES = 256

export const ring: MicroBench = ({ operations }) => {
  const ringBytes = powerOfTwoAtLeast(Math.max(64 * KIB, operations * PAYLOAD_BYTES * 2))
  const limits = microLimits({ ringBytes })
  const { ingress } = attachShard(allocateShard(limits), limits)
  const writer = new RingWriter(ingress)
  const reader = new RingReader(ingress, true)
  return [{
    name: `ring: write and read ${PAYLOAD_BYTES} B`, operations,
    run: () => {
      for (let index = 0; index < operations; index++) {
        const at = writer.claim(1, PAYLOAD_BYTES)
        writer.u32[at / 4] = index
        writer.commit()
      }
      let sum = 0
      reader.read((_kind, at) => {
        sum += reader.u32[at / 4] as number
        return true
      }, operations)
      return sum
    },
  }]
}
