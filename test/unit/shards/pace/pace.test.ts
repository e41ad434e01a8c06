// The arithmetic of one budget: the worked values of the comments, its ends, and what a header's
// change means for the send after it.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { intervalNs, pacePerSecondOf } from '../../../../shards/memory/interval.ts'
import {
  PACE_PER_SECOND_MAX, PACE_PER_SECOND_MIN, PACE_WRITE_LATE_US,
} from '../../../../shards/memory/limits.ts'
import {
  baseAfterReturn, baseAfterSend, baseAfterWrite, baseHeldUntil, eligibleAtUs, mayFollow,
  trailAfterWrite,
} from '../../../../shards/pace/pace.ts'
import { assertPromise, assertPromiseAcrossPaces, sendsMax } from '../../../support/pace-promise.ts'

const TWO_PER_SECOND = 500_000_000

describe('intervalNs', () => {
  it('gives the worked values, rounded up', () => {
    assert.deepEqual([2, 3, 0.5].map(intervalNs), [500_000_000, 333_333_334, 2_000_000_000])
  })

  it('clamps what is beyond the limits', () => {
    assert.equal(intervalNs(0), intervalNs(PACE_PER_SECOND_MIN))
    assert.equal(intervalNs(-3), intervalNs(PACE_PER_SECOND_MIN))
    assert.equal(intervalNs(Infinity), intervalNs(PACE_PER_SECOND_MAX))
    assert.equal(intervalNs(PACE_PER_SECOND_MAX), 1000)
  })

  it('fits a signed 32-bit word at any pace', () => {
    assert.ok(intervalNs(PACE_PER_SECOND_MIN) < 2 ** 31)
  })

  it('is never faster than the pace, and within half a percent of it', () => {
    for (const pace of [0.5, 0.7, 1, 3, 7, 49.9, 333, 7777, 123_456.7, 999_999]) {
      const back = pacePerSecondOf(intervalNs(pace))
      assert.ok(back <= pace && back > pace * 0.995, `${pace} became ${back}`)
    }
  })
})

describe('pacePerSecondOf', () => {
  it('gives the worked value', () => {
    assert.equal(pacePerSecondOf(TWO_PER_SECOND), 2)
  })
})

describe('eligibleAtUs', () => {
  it('gives the worked value', () => {
    assert.equal(eligibleAtUs(1_000_000, TWO_PER_SECOND), 1_500_000)
  })

  it('lets a budget that was never spent go at once', () => {
    assert.ok(eligibleAtUs(0, TWO_PER_SECOND) < 1_000_000)
  })

  it('takes a new pace from the same base, for the very next send', () => {
    assert.equal(eligibleAtUs(1_000_000, intervalNs(50)), 1_020_000)
    assert.equal(eligibleAtUs(1_000_000, intervalNs(0.5)), 3_000_000)
  })
})

describe('baseAfterReturn', () => {
  it('frees the place, unless another has been taken since', () => {
    assert.equal(baseAfterReturn(1_500_000, 1_500_000, TWO_PER_SECOND), 1_000_000)
    assert.equal(baseAfterReturn(2_000_000, 1_500_000, TWO_PER_SECOND), 2_000_000)
    assert.equal(baseAfterReturn(1_500_000, NaN, TWO_PER_SECOND), 1_500_000)
  })
})

describe('baseAfterSend', () => {
  it('keeps the grid for a send that is late within the tolerance', () => {
    assert.equal(baseAfterSend(1_000_000, TWO_PER_SECOND, 1_504_000), 1_500_000)
    assert.equal(baseAfterSend(1_000_000, TWO_PER_SECOND, 1_505_000), 1_500_000)
    assert.equal(baseAfterSend(1_000_000, TWO_PER_SECOND, 1_500_000), 1_500_000)
  })

  it('moves the grid for a send that is later', () => {
    assert.equal(baseAfterSend(1_000_000, TWO_PER_SECOND, 1_510_000), 1_505_000)
  })

  it('starts a new grid at the send of a budget that was idle', () => {
    assert.equal(baseAfterSend(1_000_000, TWO_PER_SECOND, 1_700_000), 1_700_000)
  })
})

describe('trailAfterWrite', () => {
  it('gives the worked values', () => {
    const after = (nowUs: number): number => trailAfterWrite(1_000_000, TWO_PER_SECOND, nowUs)
    assert.deepEqual([1_400_000, 1_500_000, 1_510_000].map(after),
      [1_500_000, 1_500_000, 1_510_000])
  })
})

describe('baseAfterWrite', () => {
  it('gives the worked values', () => {
    assert.equal(baseAfterWrite(1_000_000, 1_004_500, 0), 1_000_000)
    assert.equal(baseAfterWrite(1_000_000, 1_014_500, 0), 1_010_000)
    assert.equal(baseAfterWrite(1_000_000, 1_014_500, TWO_PER_SECOND), 1_510_000)
  })

  it('leaves the grid alone up to a lateness that the tolerance has room for', () => {
    assert.equal(baseAfterWrite(1000, 1000 + PACE_WRITE_LATE_US, 0), 1000)
    assert.equal(baseAfterWrite(1000, 1001 + PACE_WRITE_LATE_US, 0), 1001)
  })
})

describe('mayFollow', () => {
  it('gives the worked values', () => {
    const allowed = (pacePerSecond: number): number => {
      let sends = 0
      const interval = intervalNs(pacePerSecond)
      while (mayFollow(sends * interval, interval)) sends++
      return sends
    }
    assert.deepEqual([100, 200, 400, 1000].map(allowed), [1, 1, 2, 5])
  })

  it('lets nothing at a slower pace follow what a faster one has still to write', () => {
    assert.equal(mayFollow(intervalNs(10_000), intervalNs(50)), false)
    assert.equal(mayFollow(intervalNs(10_000), intervalNs(1000)), true)
    assert.equal(mayFollow(0, intervalNs(50)), true)
  })
})

describe('baseHeldUntil', () => {
  it('gives the worked value, before which nothing leaves', () => {
    const base = baseHeldUntil(1_000_000, TWO_PER_SECOND, 9_000_000)
    assert.equal(base, 8_500_000)
    assert.equal(eligibleAtUs(base, TWO_PER_SECOND), 9_000_000)
  })

  it('never lets anything leave earlier than it would have', () => {
    assert.equal(baseHeldUntil(8_600_000, TWO_PER_SECOND, 9_000_000), 8_600_000)
  })
})

// The checks that other tests rely on must themselves find what they are for.
describe('the promise', () => {
  it('counts sends as the contract does', () => {
    assert.deepEqual([0, 494_900, 495_000, 995_000].map((us) => sendsMax(us, 2)), [1, 1, 2, 3])
  })

  it('is broken by one send a microsecond early', () => {
    assertPromise([0, 495_000, 995_000], 2)
    assert.throws(() => assertPromise([0, 500_000, 994_998], 2), /3 sends in 994998 us/)
    const paced = (timesUs: number[]) => timesUs.map((atUs) => ({ atUs, pacePerSecond: 2 }))
    assertPromiseAcrossPaces(paced([0, 495_000, 995_000]))
    assert.throws(() => assertPromiseAcrossPaces(paced([0, 500_000, 994_998])), /send 2 left/)
  })
})
