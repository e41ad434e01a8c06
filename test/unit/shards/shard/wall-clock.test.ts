// When somebody sets the wall clock: Unix times are judged by what it says then, and ages, waits
// and paces go by the monotonic clock, so they do not change.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SystemClock } from '../../../../shards/base/clock.ts'
import type { Micros } from '../../../../shards/base/units.ts'
import {
  JOB_DEADLINE_MS, JOURNAL_DATE_MS, RETRIES_UNLIMITED,
} from '../../../../shards/memory/limits.ts'
import { openScene, post } from '../../../support/door-scene.ts'
import { EngineBench, SETTINGS } from '../../../support/engine-bench.ts'
import { HeldSink } from '../../../support/held-sink.ts'
import { VirtualTime } from '../../../support/virtual-clock.ts'

const HOUR_MS = 3_600_000
const YEAR_MS = 365 * 24 * HOUR_MS
const STEPS_MS = [YEAR_MS, -YEAR_MS, 25 * HOUR_MS, -25 * HOUR_MS]

describe('the machine\'s clock', () => {
  it('tells Unix times by the wall clock as it is', (t) => {
    const clock = new SystemClock()
    for (const wallMs of [1_700_000_000_000, 1_700_003_600_000, 1_600_000_000_000]) {
      const mocked = t.mock.method(Date, 'now', () => wallMs)
      const aheadMs = clock.wallMs((clock.nowUs() + 5_000_000) as Micros) - wallMs
      mocked.mock.restore()
      assert.ok(aheadMs > -HOUR_MS / 2 && aheadMs <= 5000, `${aheadMs} ms`)
    }
  })
})

describe('created_at', () => {
  it('is by the wall clock as it is', async (t) => {
    const time = new VirtualTime()
    const scene = await openScene(t, 0, time.clock())
    await post(scene)
    time.stepWall(HOUR_MS)
    await post(scene, { idempotent_key: 'another' })
    const [before = NaN, after = NaN] = scene.requests.map(({ job }) => job?.createdAtMs)
    assert.equal(after - before, HOUR_MS)
  })
})

describe('a time to begin at the latest', () => {
  it('passes when the clock is set forward, also for a thread that takes over', () => {
    for (const isReplaced of [false, true]) {
      const bench = new EngineBench({ concurrentMax: 1 })
      const first = bench.submit()
      const second = bench.submit({ beginWithinMs: HOUR_MS })
      bench.advance(1000)
      assert.equal(bench.get(second).status, 'queued')
      bench.time.stepWall(HOUR_MS)
      if (isReplaced) bench.replace()
      bench.advance(50)
      assert.equal(bench.get(second).result?.reason, 'execution_deadline_exceeded')
      assert.notEqual(bench.get(first).status, 'failed')
    }
  })

  it('comes later when the clock is set back, and is kept by a send', () => {
    const bench = new EngineBench({ concurrentMax: 1 })
    bench.submit()
    const second = bench.submit({ beginWithinMs: 1000 })
    bench.time.stepWall(-HOUR_MS)
    bench.advance(2000)
    bench.respond(bench.inFlight)
    bench.advance(1000)
    assert.equal(bench.get(second).status, 'in_flight')
  })

  it('is that of a job which comes after the clock was set', () => {
    const bench = new EngineBench()
    bench.time.stepWall(YEAR_MS)
    const late = bench.submit({ beginWithinMs: -60_000 })
    assert.equal(bench.get(late).result?.reason, 'execution_deadline_exceeded')
    const job = bench.submit({ beginWithinMs: 60_000 })
    assert.equal(bench.get(job).status, 'in_flight')
  })
})

describe('a Retry-After that is a date', () => {
  it('is a wait by the wall clock as it is, which lasts as long whatever becomes of it', () => {
    for (const stepMs of STEPS_MS) {
      const bench = new EngineBench()
      const job = bench.submit()
      bench.time.stepWall(stepMs)
      const date = new Date(Math.ceil(bench.nowMs / 1000) * 1000 + 3000)
      const waitMs = date.getTime() - bench.nowMs
      bench.respond(bench.inFlight, { status: 503, headers: { 'retry-after': date.toUTCString() } })
      assert.equal(bench.get(job).retry_at, date.getTime())
      bench.time.stepWall(stepMs)
      assert.equal(bench.get(job).retry_at, date.getTime() + stepMs)
      bench.advance(waitMs - 1)
      assert.equal(bench.sent.length, 1)
      bench.advance(2)
      assert.equal(bench.sent.length, 2)
    }
  })
})

describe('a key', () => {
  it('is known as long as ever while its job waits', () => {
    for (const stepMs of STEPS_MS) {
      const bench = new EngineBench({ concurrentMax: 1, timeoutMs: 2 * JOB_DEADLINE_MS })
      bench.submit()
      bench.submit({ key: 'mine' })
      bench.time.stepWall(stepMs)
      bench.advance(JOB_DEADLINE_MS - 1)
      assert.equal(bench.answer(bench.submit({ key: 'mine' }).request).kind, 'duplicate')
      bench.advance(1000)
      assert.equal(bench.answer(bench.submit({ key: 'mine' }).request).kind, 'accepted')
    }
  })

  it('is known as long as ever once its job is completed', () => {
    for (const stepMs of STEPS_MS) {
      const bench = new EngineBench({ pacePerSecond: 1000 })
      bench.submit({ key: 'mine' })
      bench.respond(bench.inFlight)
      bench.time.stepWall(stepMs)
      bench.advance(SETTINGS.completedTtlMs - 1)
      assert.equal(bench.answer(bench.submit({ key: 'mine' }).request).kind, 'duplicate')
      bench.advance(1)
      assert.equal(bench.answer(bench.submit({ key: 'mine' }).request).kind, 'accepted')
    }
  })
})

describe('a job that is tried without end', () => {
  it('has its day whatever becomes of the wall clock', () => {
    for (const stepMs of STEPS_MS) {
      const bench = new EngineBench()
      const job = bench.submit({ retries: RETRIES_UNLIMITED })
      bench.time.stepWall(stepMs)
      bench.fail(bench.inFlight, 'connection_error')
      assert.equal(bench.get(job).status, 'queued')
      bench.advance(60_001)
      bench.respond(bench.inFlight, { status: 503, headers: { 'retry-after': '86399' } })
      assert.equal(bench.get(job).result?.reason, 'deadline_exceeded')
    }
  })
})

describe('a journal without changes', () => {
  it('gets a batch now and then, by whose time ages are known after a reboot', () => {
    const sink = new HeldSink()
    const bench = new EngineBench({ journal: sink })
    bench.turn()
    sink.writeAll(bench)
    bench.advance(JOURNAL_DATE_MS - 10)
    bench.turn()
    assert.equal(sink.isWriting, false)
    bench.advance(10)
    bench.turn()
    assert.equal(sink.isWriting, true)
    sink.end()
    bench.turn()
    assert.equal(sink.isWriting, false)
  })
})
