// The timing wheel with one item for each lane: due items fire and are scheduled again, within the
// next second.

import { Prng } from '../../shards/base/prng.ts'
import type { Micros } from '../../shards/base/units.ts'
import { Wheel } from '../../shards/memory/wheel.ts'
import type { MicroBench } from './micro-case.ts'

const SPREAD_US = 1_000_000

export const wheel: MicroBench = ({ operations, items }) => {
  const timers = new Wheel({
    next: new Uint32Array(items), prev: new Uint32Array(items), dueUs: new Float64Array(items),
  }, 0 as Micros)
  const prng = new Prng(4)
  let nowUs = 0
  const schedule = (item: number): void =>
    timers.schedule(item, (nowUs + prng.below(SPREAD_US)) as Micros)
  for (let item = 0; item < items; item++) schedule(item)
  // Fired items are rescheduled later: an item that is due at once would fire again.
  const fired = new Uint32Array(operations)
  return [{
    name: 'wheel: fire and schedule', operations,
    run: () => {
      for (let done = 0; done < operations;) {
        nowUs = Math.max(nowUs + 1000, timers.nextUs())
        let count = 0
        timers.advance(nowUs as Micros, (item) => { fired[count++] = item }, operations - done)
        for (let index = 0; index < count; index++) schedule(fired[index] as number)
        done += count
      }
      return timers.size
    },
  }]
}
