// An upstream's shared budget: the time of a send, and a permit for a request in flight.

import type { Micros, UpstreamSlot } from '../../shards/base/units.ts'
import { intervalNs } from '../../shards/memory/interval.ts'
import {
  KIND_UPSTREAM, UPSTREAM_CONCURRENT_MAX, UPSTREAM_INTERVAL_NS, UPSTREAM_KIND, allocateShard,
  allocateShared, attachShard, attachShared,
} from '../../shards/memory/layout.ts'
import { SharedBudgets } from '../../shards/pace/shared-budget.ts'
import { type MicroBench, microLimits } from './micro-case.ts'

const UPSTREAM = 0 as UpstreamSlot
const PACE_PER_SECOND = 1_000_000
const INTERVAL_US = 1
const CONCURRENT_MAX = 100

export const budget: MicroBench = ({ operations }) => {
  const limits = microLimits({})
  const shared = attachShared(allocateShared(limits), limits)
  shared.upstreams[UPSTREAM_INTERVAL_NS] = intervalNs(PACE_PER_SECOND)
  shared.upstreams[UPSTREAM_CONCURRENT_MAX] = CONCURRENT_MAX
  shared.upstreams[UPSTREAM_KIND] = KIND_UPSTREAM
  const budgets = new SharedBudgets(shared, 0, [attachShard(allocateShard(limits), limits)])
  let nowUs = 1_000_000
  return [{
    name: 'budget: take a permit, spend, give back', operations,
    run: () => {
      let sent = 0
      for (let index = 0; index < operations; index++) {
        nowUs += INTERVAL_US
        if (!budgets.tryTake(UPSTREAM)) continue
        if (budgets.trySpend(UPSTREAM, nowUs as Micros)) sent += 1
        budgets.giveBack(UPSTREAM)
      }
      return sent
    },
  }]
}
