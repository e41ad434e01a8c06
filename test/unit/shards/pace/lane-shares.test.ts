// Who may have how many of a shard's lanes, counted by itself; lanes.test.ts in
// test/property/shards/pace compares every decision with shares that are counted anew.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Micros, UpstreamSlot } from '../../../../shards/base/units.ts'
import { laneGroups } from '../../../../shards/memory/lane-limits.ts'
import { LaneShares } from '../../../../shards/pace/lane-shares.ts'
import { smallLimits } from '../../../support/shard-memory.ts'

const LANES = 1200
const LIMITS = smallLimits({ lanesMax: 8 + LANES })
const KEPT = LANES / 4
const NOW = 0 as Micros
const [ONE, OTHER] = [0 as UpstreamSlot, 1 as UpstreamSlot]
/** As hashes are. */
const userOf = (number: number): number => Math.imul(number + 1, 0x9e3779b1) >>> 0

/** Lanes for users from the first on, each with one, until it is refused. */
function fill(shares: LaneShares, upstream: UpstreamSlot, firstUser: number): number {
  let count = 0
  while (shares.takeOwn(upstream, userOf(firstUser + count), NOW)) count++
  return count
}

function fillShared(shares: LaneShares, upstream: UpstreamSlot): number {
  let count = 0
  while (shares.takeShared(upstream, NOW)) count++
  return count
}

describe('the lanes of a shard', () => {
  it('go to one upstream by two thirds, and to the next by two thirds of what is free', () => {
    const shares = new LaneShares(LIMITS)
    const own = LANES - KEPT
    assert.equal(fill(shares, ONE, 0), own * 2 / 3)
    assert.equal(fill(shares, OTHER, 5000), own * 2 / 9)
    assert.equal(shares.counts.refusedByShare, 2)
  })

  it('go to one user by half, however many accounts and upstreams it has', () => {
    const shares = new LaneShares(LIMITS)
    let count = 0
    while (shares.takeOwn(count % 3 as UpstreamSlot, userOf(1), NOW)) count++
    assert.equal(count, (LANES - KEPT) / 2)
    assert.equal(shares.mayOwn(ONE, userOf(2)), true)
    assert.equal(shares.takeWarning()?.pool, 'lanes by user')
    assert.equal(shares.takeWarning(), undefined)
  })

  it('are kept for those of three upstreams that share, one for each group', () => {
    const shares = new LaneShares(LIMITS)
    for (let upstream = 0; upstream < 8; upstream++) {
      fill(shares, upstream as UpstreamSlot, 1000 * upstream)
    }
    for (const upstream of [0, 1, 2]) {
      let groups = 0
      while (groups < laneGroups(LIMITS) && shares.takeShared(upstream as UpstreamSlot, NOW)) {
        groups++
      }
      assert.equal(groups, laneGroups(LIMITS))
    }
  })

  it('come back to the upstream and the user that had them', () => {
    const shares = new LaneShares(LIMITS)
    const count = fill(shares, ONE, 0)
    const shared = fillShared(shares, ONE)
    for (let user = 0; user < count; user++) shares.giveOwn(ONE, userOf(user))
    for (let lane = 0; lane < shared; lane++) shares.giveShared(ONE)
    assert.equal(shares.hasShared(ONE), false)
    assert.equal(shares.counts.used, 0)
    assert.equal(fill(shares, ONE, 0), count)
  })

  it('are counted on by a successor, and anew after a recovery', () => {
    const shares = new LaneShares(LIMITS)
    fill(shares, ONE, 0)
    shares.takeShared(ONE, NOW)
    const next = new LaneShares(LIMITS)
    next.takeOver(structuredClone(shares.handOver()))
    assert.deepEqual(next.handOver(), shares.handOver())
    next.recover()
    next.adoptOwn(OTHER, userOf(1))
    next.adoptShared(ONE)
    assert.equal(next.counts.used, 2)
    assert.equal(next.hasShared(ONE), true)
    next.giveOwn(OTHER, userOf(1))
    assert.throws(() => next.giveOwn(OTHER, userOf(1)), /gave back more/)
  })
})
