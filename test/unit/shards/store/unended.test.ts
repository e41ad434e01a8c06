// What a drain is told of a shard's memory: the oldest of each kind, and what is due next.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { US_PER_SECOND } from '../../../../shards/base/units.ts'
import {
  type UnendedByKind, UnendedSweep, joinUnended, makeUnended,
} from '../../../../shards/store/unended.ts'
import { EngineBench, OTHER_UPSTREAM } from '../../../support/engine-bench.ts'

const NOTHING = { oldest: undefined, nextUs: Infinity }

const lookAt = (bench: EngineBench): UnendedByKind => {
  const sweep = new UnendedSweep(bench.views)
  sweep.advance(Infinity, bench.nowUs)
  return sweep.found
}

test('the oldest of what is queued, in flight and owed, and the next that is due', () => {
  const bench = new EngineBench({ pacePerSecond: 1000, concurrentMax: 1 })
  assert.deepEqual(lookAt(bench), makeUnended())
  const owing = bench.submit({ webhook: true })
  bench.respond(bench.inFlight)
  bench.respond(bench.inFlight, { status: 429, headers: { 'retry-after': '100' } })
  const webhookDueUs = bench.nowUs + 100 * US_PER_SECOND
  const done = bench.submit()
  bench.advance(2000)
  bench.respond(bench.inFlight)
  const retrying = bench.submit({ upstream: OTHER_UPSTREAM })
  bench.advance(3000)
  bench.respond(bench.inFlight, { status: 503, headers: { 'retry-after': '50' } })
  const retryDueUs = bench.nowUs + 50 * US_PER_SECOND
  const running = bench.submit()
  bench.advance(4000)
  for (let job = 0; job < 3; job++) bench.submit()
  bench.advance(1000)
  assert.equal(bench.get(done).status, 'completed')
  const { inFlight, queued, webhooks } = lookAt(bench)
  const job = ({ idText }: { idText: string }, ageS: number): object => ({ jobId: idText, ageS })
  assert.deepEqual(queued, { oldest: job(retrying, 8), nextUs: retryDueUs })
  assert.deepEqual(inFlight, { oldest: job(running, 5), nextUs: Infinity })
  assert.deepEqual(webhooks, { oldest: job(owing, 10), nextUs: webhookDueUs })
})

test('a sweep in steps tells what it has found when it has come to its end', () => {
  const bench = new EngineBench({ concurrentMax: 1 })
  const jobs = Array.from({ length: 5 }, () => bench.submit())
  const sweep = new UnendedSweep(bench.views)
  sweep.advance(5, bench.nowUs)
  assert.equal(sweep.found.inFlight.oldest?.jobId, jobs[0]?.idText)
  bench.respond(bench.inFlight)
  bench.advance(1000)
  for (let step = 0; step < 2; step++) {
    sweep.advance(2, bench.nowUs)
    assert.equal(sweep.found.inFlight.oldest?.jobId, jobs[0]?.idText)
  }
  sweep.advance(2, bench.nowUs)
  assert.equal(sweep.found.inFlight.oldest?.jobId, jobs[1]?.idText)
})

test('of several shards the oldest and the next count', () => {
  const all = makeUnended()
  const of = (jobId: string, ageS: number, nextUs: number): UnendedByKind =>
    ({ ...makeUnended(), queued: { oldest: { jobId, ageS }, nextUs } })
  for (const one of [of('a', 5, 70), of('b', 9, 80), makeUnended()]) joinUnended(all, one)
  assert.deepEqual(all, {
    queued: { oldest: { jobId: 'b', ageS: 9 }, nextUs: 70 }, inFlight: NOTHING, webhooks: NOTHING,
  })
})
