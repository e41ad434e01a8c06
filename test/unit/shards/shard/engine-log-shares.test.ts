// What one user may have of a shard's log and job slots: much of them alone, and never what the
// next user needs.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KIB } from '../../../../shards/base/units.ts'
import { LOG_RECORD_HEADER_BYTES } from '../../../../shards/memory/limits.ts'
import { SHARD_POOLS } from '../../../../shards/memory/pools.ts'
import { REFUSED_JOBS, REFUSED_MEMORY_SHARE } from '../../../../shards/wire/contract.ts'
import { EngineBench, type JobParts, type Submitted } from '../../../support/engine-bench.ts'

const OTHER_USER = 0x0dde_5eed

/** Submits until something is refused, at most so many. @returns what was accepted. */
function fill(bench: EngineBench, atMost: number, parts: JobParts): Submitted[] {
  const accepted: Submitted[] = []
  while (accepted.length < atMost) {
    const job = bench.submit(parts)
    if (bench.answer(job.request).kind !== 'accepted') return accepted
    accepted.push(job)
  }
  return accepted
}

/** What was the reason of the last refusal, with what the user may have and has. */
function lastRefusal(bench: EngineBench): { reason: number; limit: number; current: number } {
  const refused = bench.answers.findLast(({ kind }) => kind === 'refused')
  assert.ok(refused?.kind === 'refused', 'nothing was refused')
  return refused
}

const usedAtEnd = (bench: EngineBench): number => bench.engine.handOver().logShares.pool.used

describe('a user that fills the slots', () => {
  it('is stopped at eight ninths of them, is told so, and leaves the rest to others', () => {
    const bench = new EngineBench({ limits: { jobsMax: 900, segmentsMax: 128 } })
    const count = fill(bench, 900, {}).length
    assert.ok(count >= 795 && count <= 810, `${count} of 900`)
    const { current, limit, reason } = lastRefusal(bench)
    assert.equal(reason, REFUSED_MEMORY_SHARE)
    assert.ok(current >= limit && limit > 0, `${current} of ${limit}`)
    const others = fill(bench, 900, { user: OTHER_USER }).length
    assert.ok(others >= 85 && others < 105, `${others} of another`)
    assert.deepEqual([bench.stats.refusedMemoryShare, bench.stats.refusedJobs], [2, 0])
    const warnings = bench.answers.flatMap((outcome) =>
      outcome.kind === 'warning' ? [outcome.warning] : [])
    assert.equal(warnings.length, 1, 'within a minute')
    assert.ok('pool' in (warnings[0] as object))
    assert.equal((warnings[0] as { pool: string }).pool, SHARD_POOLS.logSpace.name)
  })

  it('is told that there are no more jobs when there are none for anybody', () => {
    const bench = new EngineBench({ limits: { jobsMax: 8 } })
    for (let user = 1; user <= 8; user++) bench.submit({ user })
    bench.submit({ user: 1 })
    assert.equal(lastRefusal(bench).reason, REFUSED_JOBS)
  })

  it('by jobs that owe their webhooks is stopped at the same, until they are told of', () => {
    const bench = new EngineBench({
      pacePerSecond: 100_000, concurrentMax: 1000, receiver: { timeoutMs: 60_000 },
      limits: { jobsMax: 90, segmentsMax: 64 },
    })
    const completed: Submitted[] = []
    for (let job = 0; job < 90; job++) {
      completed.push(...fill(bench, 1, { webhook: true }))
      bench.advance(1)
      for (const sent of bench.sent) {
        if (!sent.isOver && sent.request.origin === 'http://api0.test') bench.respond(sent)
      }
    }
    assert.equal(lastRefusal(bench).reason, REFUSED_MEMORY_SHARE)
    assert.ok(completed.length >= 78 && completed.length <= 82, `${completed.length} of 90`)
    assert.equal(fill(bench, 3, { user: OTHER_USER }).length, 3)
    for (const delivery of bench.deliveries.slice(0, 10)) bench.respond(delivery)
    assert.ok(fill(bench, 20, {}).length >= 7, 'when its receiver answers')
  })

  it('has room again for what is done with', () => {
    const bench = new EngineBench({
      pacePerSecond: 10_000, concurrentMax: 1000, limits: { jobsMax: 90, segmentsMax: 64 },
    })
    const jobs = fill(bench, 90, { webhook: true })
    assert.equal(lastRefusal(bench).reason, REFUSED_MEMORY_SHARE)
    const [first] = jobs.slice(-1)
    assert.ok(first !== undefined)
    bench.cancel(first)
    assert.equal(fill(bench, 2, {}).length, 1)
  })
})

describe('a user that fills the log', () => {
  for (const [what, kib] of [['small', 1], ['middling', 3], ['over half a segment', 5]] as const) {
    it(`by ${what} bodies is stopped before it is full`, () => {
      const bench = new EngineBench({ limits: { segmentsMax: 128, jobsMax: 2048 } })
      const body = 'b'.repeat(kib * KIB)
      fill(bench, 2048, { body })
      assert.equal(lastRefusal(bench).reason, REFUSED_MEMORY_SHARE)
      const { logCapacityBytes, refusedMemory } = bench.stats
      const part = heldBytesOf(bench) / logCapacityBytes
      assert.ok(part > 0.75 && part < 0.97, `${part} of the log`)
      const others = fill(bench, 3, { body, user: OTHER_USER }).length
      assert.equal(others, 3, 'another finds room')
      assert.equal(refusedMemory, 0)
    })
  }

  it('by templates that two jobs share each is stopped all the same', () => {
    const bench = new EngineBench({ limits: { segmentsMax: 128, jobsMax: 2048 } })
    const jobOf = (number: number): JobParts =>
      ({ url: `http://api0.test/${number >> 1}${'u'.repeat(2 * KIB)}` })
    let count = 0
    while (bench.answer(bench.submit(jobOf(count)).request).kind === 'accepted') count++
    assert.equal(lastRefusal(bench).reason, REFUSED_MEMORY_SHARE)
    assert.equal(fill(bench, 3, { body: 'b'.repeat(2 * KIB), user: OTHER_USER }).length, 3)
  })

  it('does not make others lose results for more than its share', () => {
    const bench = new EngineBench({ pacePerSecond: 10_000, limits: { segmentsMax: 128 } })
    for (let count = 0; count < 10; count++) {
      bench.submit({ user: OTHER_USER })
      bench.respond(bench.inFlight, { body: 'r'.repeat(3 * KIB) })
      bench.advance(10)
    }
    fill(bench, 2048, { body: 'b'.repeat(3 * KIB) })
    const before = bench.stats.resultsGivenUp
    for (let more = 0; more < 20; more++) bench.submit({ body: 'b'.repeat(3 * KIB) })
    assert.equal(bench.stats.resultsGivenUp, before)
  })
})

describe('what is counted of the log', () => {
  it('is nothing once all jobs are done with, however they ended', () => {
    const bench = new EngineBench({ pacePerSecond: 1000, concurrentMax: 10 })
    const job = bench.submit({ webhook: true, body: 'b'.repeat(500) })
    bench.respond(bench.inFlight, { body: 'r'.repeat(900) })
    bench.advance(10)
    bench.respond(bench.inFlight) // its webhook
    bench.submit({ retries: 0 })
    bench.fail(bench.inFlight, 'timeout')
    bench.advance(10)
    const retried = bench.submit({ retries: 3, body: 'b'.repeat(700) })
    bench.respond(bench.inFlight, { status: 500 })
    bench.cancel(retried)
    assert.equal(bench.get(job).status, 'completed')
    assert.equal(usedAtEnd(bench), 0)
  })

  it('is the same in a thread that takes over from a dead one', () => {
    const [one, other] = [new EngineBench(), new EngineBench()]
    for (const bench of [one, other]) {
      for (let count = 0; count < 9; count++) {
        bench.submit({ body: 'b'.repeat(count * 300), user: count, url: 'http://api0.test/same' })
      }
      bench.respond(bench.inFlight)
      bench.advance(10)
    }
    one.replace()
    const [found, counted] = [one.engine.handOver(), other.engine.handOver()]
    assert.ok(counted.logShares.pool.used > 0)
    assert.equal(found.logShares.pool.used, counted.logShares.pool.used)
    assert.deepEqual(found.logShares.users, counted.logShares.users)
    assert.equal(found.templates.bytes, counted.templates.bytes)
    assert.ok(counted.templates.bytes > LOG_RECORD_HEADER_BYTES)
  })
})

/** What the log holds, holes included. A thread that has handed over is over: another goes on. */
function heldBytesOf(bench: EngineBench): number {
  const { segments } = bench.engine.handOver().log
  bench.replace()
  return segments.heldSum
}
