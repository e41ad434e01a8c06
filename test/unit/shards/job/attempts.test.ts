// Attempts of requests in flight: given out, given back, and ended by their deadline.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot,
} from '../../../../shards/base/units.ts'
import { ATTEMPT_JOB, ATTEMPT_WEBHOOK, Attempts } from '../../../../shards/job/attempts.ts'
import { EXPIRED_PER_TURN_MAX } from '../../../../shards/memory/limits.ts'
import type { Charge } from '../../../../shards/pace/lane-budgets.ts'
import { UnwrittenSends } from '../../../../shards/pace/unwritten.ts'
import { splitTemplate } from '../../../../shards/store/decoded-templates.ts'
import { shardMemory, smallLimits } from '../../../support/shard-memory.ts'

/** The beginning of one of the wheel's windows, within which it knows the next time exactly. */
const NOW_US = 1_024_000 as Micros

/** What a job's attempt is charged here: twice its slot's number, in ns. */
const chargeFor = (slot: number, accountQueue = false): Charge =>
  ({ accountQueue, intervalNs: 2 * slot, spentUs: 0 })

const newUnwritten = (shards = shardMemory(smallLimits()).shards): UnwrittenSends =>
  new UnwrittenSends(0, shards)

const newAttempts = (count: number, unwritten = newUnwritten()): Attempts =>
  new Attempts(NOW_US, unwritten, count)

/** Takes an attempt for job `slot` with a deadline so many milliseconds after NOW_US. */
function take(attempts: Attempts, slot: number, deadlineMs: number, own = false): number {
  return attempts.take(ATTEMPT_JOB, slot as JobSlot, 5 as LaneSlot, 7 as UpstreamSlot,
    (NOW_US + deadlineMs * 1000) as Micros, chargeFor(slot, own))
}

/** The attempts that expire at `ms` after NOW_US; each is released, as the engine does. */
function expireAt(attempts: Attempts, ms: number): number[] {
  const expired: number[] = []
  attempts.advance((NOW_US + ms * 1000) as Micros, (attemptId) => {
    expired.push(attemptId)
    attempts.release(attemptId)
  })
  return expired
}

describe('an attempt', () => {
  it('keeps what its end will need', () => {
    const attempts = newAttempts(4)
    const attemptId = attempts.take(ATTEMPT_WEBHOOK, 9 as JobSlot, 5 as LaneSlot, 7 as UpstreamSlot,
      (NOW_US + 1000) as Micros, { accountQueue: true, intervalNs: 2_147_483_647, spentUs: 0 })
    assert.deepEqual([
      attempts.kind[attemptId], attempts.slot[attemptId], attempts.lane[attemptId],
      attempts.upstream[attemptId],
      attempts.status[attemptId], attempts.retryAfterMs[attemptId],
      attempts.accountQueue[attemptId], attempts.intervalNs[attemptId],
    ], [ATTEMPT_WEBHOOK, 9, 5, 7, 0, 0, 1, 2_147_483_647])
    assert.equal(attempts.inFlight, 1)
  })

  it('knows nothing of the attempt that had it before', () => {
    const attempts = newAttempts(1)
    const attemptId = take(attempts, 1, 10)
    attempts.status[attemptId] = 503
    attempts.retryAfterMs[attemptId] = 2000
    attempts.release(attemptId)
    assert.equal(take(attempts, 2, 10), attemptId)
    assert.deepEqual([attempts.status[attemptId], attempts.retryAfterMs[attemptId]], [0, 0])
  })

  it('keeps the template of its job until it is released', () => {
    const attempts = newAttempts(1)
    const template = splitTemplate({
      userId: 'u', url: 'http://a.test/', method: 'GET', headers: [], webhookUrl: null,
      receiver: NONE,
    })
    const attemptId = take(attempts, 1, 10)
    assert.equal(attempts.templateOf(attemptId), undefined)
    attempts.remember(attemptId, template, 1_700_000_000_000)
    assert.equal(attempts.templateOf(attemptId), template)
    assert.equal(attempts.createdAtMs[attemptId], 1_700_000_000_000)
    attempts.release(attemptId)
    assert.equal(attempts.templateOf(attemptId), undefined)
  })

  it('counts as about to be written until it is, or is released', () => {
    const { shards } = shardMemory(smallLimits())
    const unwritten = newUnwritten(shards)
    const counts = (): number[] => [
      unwritten.ofLane(5 as LaneSlot), unwritten.ofUpstream(7 as UpstreamSlot),
      shards[0]?.upstreams.unwritten[7] ?? -1, unwritten.ofLane(6 as LaneSlot),
    ]
    const before = newAttempts(4, unwritten)
    const [first = -1, second = -1, third = -1] = [1, 2, 3].map((slot) => take(before, slot, 10))
    const own = take(before, 5, 10, true)
    assert.deepEqual(counts(), [10, 12, 12, 0])
    before.settleWrite(first)
    before.settleWrite(first)
    before.release(first)
    before.release(second)
    before.settleWrite(own)
    assert.deepEqual(counts(), [0, 6, 6, 0])
    before.release(own)
    take(before, 4, 10)
    take(before, 6, 10, true)
    before.settleWrite(third)
    const next = newUnwritten(shards)
    newAttempts(4, next).takeOver(structuredClone(before.handOver()))
    assert.deepEqual(
      [next.ofLane(5 as LaneSlot), next.ofUpstream(7 as UpstreamSlot)], [12, 8])
    next.clear()
    assert.equal(next.ofUpstream(7 as UpstreamSlot), 0)
  })

  it('stays with its attempt, deadline and all, when another thread goes on', () => {
    const before = newAttempts(4)
    const attemptIds = [1, 2, 3].map((slot) => take(before, slot, 10 * slot))
    const [first = -1, second = -1, third = -1] = attemptIds
    before.status[second] = 503
    before.retryAfterMs[second] = 2000
    before.remember(second, splitTemplate({
      userId: 'u', url: 'http://a.test/', method: 'GET', headers: [], webhookUrl: null,
      receiver: NONE,
    }), 1_700_000_000_000)
    before.release(first)
    const after = newAttempts(4)
    after.takeOver(structuredClone(before.handOver()))
    assert.deepEqual([after.inFlight, after.jobsInFlight, after.slot[second], after.lane[second],
      after.upstream[second], after.status[second], after.retryAfterMs[second],
      after.createdAtMs[second], after.intervalNs[second], after.templateOf(second)],
    [2, 2, 2, 5, 7, 503, 2000, 1_700_000_000_000, 4, undefined])
    const fresh = [take(after, 8, 50), take(after, 9, 50)]
    assert.equal(after.inFlight, 4)
    assert.equal(new Set([second, third, ...fresh]).size, 4)
    assert.deepEqual(expireAt(after, 21), [second])
    assert.deepEqual(expireAt(after, 31), [third])
  })

  it('is one of a bounded number', () => {
    const attempts = newAttempts(3)
    const attemptIds = [1, 2, 3].map((slot) => take(attempts, slot, 10))
    assert.equal(new Set(attemptIds).size, 3)
    assert.equal(attempts.inFlight, 3)
    assert.throws(() => take(attempts, 4, 10), /more attempts in flight than attemptIds/)
    attempts.release(attemptIds[1] as number)
    assert.equal(attempts.inFlight, 2)
    assert.equal(take(attempts, 4, 10), attemptIds[1])
  })

  it('is not released twice', () => {
    const attempts = newAttempts(2)
    const attemptId = take(attempts, 1, 10)
    attempts.release(attemptId)
    assert.throws(() => attempts.release(attemptId), /released twice/)
  })
})

describe('a deadline', () => {
  it('ends the attempts whose time has passed, and no others', () => {
    const attempts = newAttempts(4)
    const late = take(attempts, 1, 30)
    const soon = take(attempts, 2, 10)
    assert.equal(attempts.nextUs(), NOW_US + 10_000)
    assert.deepEqual(expireAt(attempts, 9), [])
    assert.deepEqual(expireAt(attempts, 10), [soon])
    assert.equal(attempts.nextUs(), NOW_US + 30_000)
    assert.deepEqual(expireAt(attempts, 40), [late])
    assert.equal(attempts.nextUs(), Infinity)
    assert.equal(attempts.inFlight, 0)
  })

  it('is over with the attempt', () => {
    const attempts = newAttempts(1)
    attempts.release(take(attempts, 1, 10))
    assert.equal(attempts.nextUs(), Infinity)
    const attemptId = take(attempts, 2, 50)
    assert.deepEqual(expireAt(attempts, 20), [], 'the deadline of an earlier attempt')
    assert.deepEqual(expireAt(attempts, 50), [attemptId])
  })

  it('may end an attempt whose id a listener takes again at once', () => {
    const attempts = newAttempts(1)
    const first = take(attempts, 1, 10)
    const again: number[] = []
    attempts.advance((NOW_US + 10_000) as Micros, (attemptId) => {
      attempts.release(attemptId)
      again.push(take(attempts, 2, 20))
    })
    assert.deepEqual(again, [first])
    assert.equal(attempts.inFlight, 1)
    assert.equal(expireAt(attempts, 20).length, 1)
  })

  it('expires a bounded number a turn, and says whether there was any', () => {
    const attempts = newAttempts(EXPIRED_PER_TURN_MAX + 1)
    for (let slot = 0; slot <= EXPIRED_PER_TURN_MAX; slot++) take(attempts, slot, 10)
    assert.equal(expireAt(attempts, 10).length, EXPIRED_PER_TURN_MAX)
    assert.ok(attempts.nextUs() <= NOW_US + 10_000, 'the rest is due')
    assert.equal(expireAt(attempts, 10).length, 1)
    assert.equal(attempts.advance((NOW_US + 11_000) as Micros, () => {}), false)
  })
})
