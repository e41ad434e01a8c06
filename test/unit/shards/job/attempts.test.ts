// Tokens of requests in flight: given out, given back, and ended by their deadline.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot,
} from '../../../../shards/base/units.ts'
import { ATTEMPT_JOB, ATTEMPT_WEBHOOK, Attempts } from '../../../../shards/job/attempts.ts'
import { EXPIRED_PER_TURN_MAX } from '../../../../shards/memory/limits.ts'
import type { Charge } from '../../../../shards/pace/lane-budgets.ts'
import { Writes } from '../../../../shards/pace/unwritten.ts'
import { splitTemplate } from '../../../../shards/store/decoded-templates.ts'
import { shardMemory, smallLimits } from '../../../support/shard-memory.ts'

/** The beginning of one of the wheel's windows, within which it knows the next time exactly. */
const NOW_US = 1_024_000 as Micros

/** What a job's attempt is charged here: twice its slot's number, in ns. */
const chargeFor = (slot: number, own = false): Charge => ({ own, intervalNs: 2 * slot, spentUs: 0 })

const newWrites = (shards = shardMemory(smallLimits()).shards): Writes =>
  new Writes(0, shards)

const newAttempts = (count: number, writes = newWrites()): Attempts =>
  new Attempts(NOW_US, writes, count)

/** Takes a token for job `slot` with a deadline so many milliseconds after NOW_US. */
function take(attempts: Attempts, slot: number, deadlineMs: number, own = false): number {
  return attempts.take(ATTEMPT_JOB, slot as JobSlot, 5 as LaneSlot, 7 as UpstreamSlot,
    (NOW_US + deadlineMs * 1000) as Micros, chargeFor(slot, own))
}

/** The tokens that expire at `ms` after NOW_US; each is released, as the engine does. */
function expireAt(attempts: Attempts, ms: number): number[] {
  const expired: number[] = []
  attempts.advance((NOW_US + ms * 1000) as Micros, (token) => {
    expired.push(token)
    attempts.release(token)
  })
  return expired
}

describe('a token', () => {
  it('keeps what its end will need', () => {
    const attempts = newAttempts(4)
    const token = attempts.take(ATTEMPT_WEBHOOK, 9 as JobSlot, 5 as LaneSlot, 7 as UpstreamSlot,
      (NOW_US + 1000) as Micros, { own: true, intervalNs: 2_147_483_647, spentUs: 0 })
    assert.deepEqual([
      attempts.kind[token], attempts.slot[token], attempts.lane[token], attempts.upstream[token],
      attempts.status[token], attempts.retryAfterMs[token],
      attempts.ownBudget[token], attempts.intervalNs[token],
    ], [ATTEMPT_WEBHOOK, 9, 5, 7, 0, 0, 1, 2_147_483_647])
    assert.equal(attempts.inFlight, 1)
  })

  it('knows nothing of the attempt that had it before', () => {
    const attempts = newAttempts(1)
    const token = take(attempts, 1, 10)
    attempts.status[token] = 503
    attempts.retryAfterMs[token] = 2000
    attempts.release(token)
    assert.equal(take(attempts, 2, 10), token)
    assert.deepEqual([attempts.status[token], attempts.retryAfterMs[token]], [0, 0])
  })

  it('keeps the template of its job until it is released', () => {
    const attempts = newAttempts(1)
    const template = splitTemplate({
      userId: 'u', url: 'http://a.test/', method: 'GET', headers: [], webhookUrl: null,
      receiver: NONE,
    })
    const token = take(attempts, 1, 10)
    assert.equal(attempts.templateOf(token), undefined)
    attempts.remember(token, template, 1_700_000_000_000)
    assert.equal(attempts.templateOf(token), template)
    assert.equal(attempts.createdAtMs[token], 1_700_000_000_000)
    attempts.release(token)
    assert.equal(attempts.templateOf(token), undefined)
  })

  it('counts as about to be written until it is, or is released', () => {
    const { shards } = shardMemory(smallLimits())
    const writes = newWrites(shards)
    const counts = (): number[] => [
      writes.ofLane(5 as LaneSlot), writes.ofUpstream(7 as UpstreamSlot),
      writes.everywhere(7 as UpstreamSlot), writes.ofLane(6 as LaneSlot),
    ]
    const before = newAttempts(4, writes)
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
    const next = newWrites(shards)
    newAttempts(4, next).takeOver(structuredClone(before.handOver()))
    assert.deepEqual(
      [next.ofLane(5 as LaneSlot), next.ofUpstream(7 as UpstreamSlot)], [12, 8])
    next.clear()
    assert.equal(next.everywhere(7 as UpstreamSlot), 0)
  })

  it('stays with its attempt, deadline and all, when another thread goes on', () => {
    const before = newAttempts(4)
    const tokens = [1, 2, 3].map((slot) => take(before, slot, 10 * slot))
    const [first = -1, second = -1, third = -1] = tokens
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
    const tokens = [1, 2, 3].map((slot) => take(attempts, slot, 10))
    assert.equal(new Set(tokens).size, 3)
    assert.equal(attempts.inFlight, 3)
    assert.throws(() => take(attempts, 4, 10), /more attempts in flight than tokens/)
    attempts.release(tokens[1] as number)
    assert.equal(attempts.inFlight, 2)
    assert.equal(take(attempts, 4, 10), tokens[1])
  })

  it('is not released twice', () => {
    const attempts = newAttempts(2)
    const token = take(attempts, 1, 10)
    attempts.release(token)
    assert.throws(() => attempts.release(token), /released twice/)
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
    const token = take(attempts, 2, 50)
    assert.deepEqual(expireAt(attempts, 20), [], 'the deadline of an earlier attempt')
    assert.deepEqual(expireAt(attempts, 50), [token])
  })

  it('may end a token that a listener takes again at once', () => {
    const attempts = newAttempts(1)
    take(attempts, 1, 10)
    attempts.advance((NOW_US + 10_000) as Micros, (token) => {
      attempts.release(token)
      assert.equal(take(attempts, 2, 20), token)
    })
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
