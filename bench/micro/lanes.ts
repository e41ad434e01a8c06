// Lanes: a job is appended to its account's lane, and the head leaves; and deficit round robin over
// an upstream's lanes at its budget.

import { Prng } from '../../shards/base/prng.ts'
import type { JobSlot, LaneSlot, Micros, UpstreamSlot } from '../../shards/base/units.ts'
import { allocateShard, attachShard } from '../../shards/memory/layout.ts'
import { Lanes } from '../../shards/pace/lanes.ts'
import { RoundRobin } from '../../shards/pace/round-robin.ts'
import { JobSlots } from '../../shards/store/job-slots.ts'
import { type MicroBench, microLimits } from './micro-case.ts'

const UPSTREAM = 0 as UpstreamSlot

export const lanes: MicroBench = ({ operations, items }) => {
  const limits = microLimits({ jobsMax: items, lanesMax: 4 * items + 8 })
  const views = attachShard(allocateShard(limits), limits)
  const jobs = new JobSlots(views)
  const lines = new Lanes(views, jobs)
  const turns = new RoundRobin(views)
  const prng = new Prng(3)
  const hashOf = (account: number): number => Math.imul(account, 0x9e3779b1) >>> 0
  const laneOf = (account: number): LaneSlot =>
    lines.find(account, hashOf(account), UPSTREAM, hashOf(account), 0 as Micros)
  for (let account = 0; account < items; account++) {
    const lane = laneOf(account)
    const slot = jobs.take(
      { route: 1, idHigh: 0, idLow: account, keyHigh: 0, keyLow: account, owner: 0 })
    views.jobs.lane[slot] = lane
    lines.addReference(lane)
    lines.place(lane, slot, false)
    lines.link(lane, slot, false)
    turns.add(UPSTREAM, lane)
  }
  return [{
    name: 'lanes: find, take the head, join the end', operations,
    run: () => {
      let sum = 0
      for (let index = 0; index < operations; index++) {
        const lane = laneOf(prng.below(items))
        // No lane is ever empty here.
        const head = lines.first(lane) as JobSlot
        lines.remove(lane, head)
        lines.place(lane, head, false)
        lines.link(lane, head, false)
        sum += head
      }
      return sum
    },
  }, {
    name: 'lanes: a turn of an upstream', operations,
    run: () => {
      let sum = 0
      for (let index = 0; index < operations; index++) {
        sum += turns.first(UPSTREAM)
        turns.rotate(UPSTREAM)
      }
      return sum
    },
  }]
}
