// Jobs of several tenants in one shard: each sees its own, and its keys are its own.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { KEYS_MAX } from '../../../../shards/memory/limits.ts'
import {
  CODE_NOT_FOUND, CODE_OK, INGRESS_CANCEL, INGRESS_GET, INGRESS_WATCH, REFUSED_KEY_JOBS,
} from '../../../../shards/wire/contract.ts'
import { EngineBench } from '../../../support/engine-bench.ts'

const QUESTIONS = { get: INGRESS_GET, cancel: INGRESS_CANCEL, watch: INGRESS_WATCH } as const

/** Copies of all that a question could change of a job slot. */
const slotsOf = ({ views }: EngineBench): unknown => {
  const { resultWord, state, timeUs, owner } = views.jobs
  return structuredClone({ resultWord, state, timeUs, owner })
}

describe('another tenant\'s job', () => {
  for (const [name, kind] of Object.entries(QUESTIONS)) {
    it(`is not there for ${name}, and nothing of it changes`, () => {
      const bench = new EngineBench({ pacePerSecond: 0.5 })
      bench.submit({ tenant: 7 })
      const waiting = bench.submit({ tenant: 7 })
      const before = slotsOf(bench)
      for (const tenant of [0, 8, 65_535]) {
        const answer = bench.answer(bench.ask(kind, { ...waiting, tenant }))
        assert.ok(answer.kind === 'job')
        assert.deepEqual([answer.code, answer.view], [CODE_NOT_FOUND, null])
      }
      assert.deepEqual(slotsOf(bench), before)
      const own = bench.answer(bench.ask(kind, waiting))
      assert.ok(own.kind === 'job')
      assert.equal(own.code, CODE_OK)
      bench.engine.verify()
    })
  }

  it('stays hidden when the shard has recovered', () => {
    const bench = new EngineBench({ pacePerSecond: 0.5 })
    bench.submit({ tenant: 7 })
    const waiting = bench.submit({ tenant: 7, keyNumber: 65_535 })
    bench.replace()
    assert.equal(bench.cancel({ ...waiting, tenant: 0 }), CODE_NOT_FOUND)
    assert.equal(bench.cancel(waiting), CODE_OK)
  })
})

describe('an idempotency key', () => {
  it('is a tenant\'s own, whichever of its keys submits', () => {
    const bench = new EngineBench({ pacePerSecond: 0.5 })
    const kindOf = (tenant: number, keyNumber: number): string =>
      bench.answer(bench.submit({ key: 'same', tenant, keyNumber }).request).kind
    assert.equal(kindOf(0, 0), 'accepted')
    assert.equal(kindOf(7, 1), 'accepted')
    assert.equal(kindOf(8, 1), 'accepted')
    assert.equal(kindOf(7, 2), 'duplicate')
    assert.equal(kindOf(0, 0), 'duplicate')
    bench.replace()
    assert.equal(kindOf(8, 0), 'duplicate')
    assert.equal(kindOf(9, 0), 'accepted')
    bench.engine.verify()
  })
})

describe('the unfinished jobs of a key', () => {
  it('are counted until they are completed, failed or cancelled, also over a recovery', () => {
    const bench = new EngineBench({ pacePerSecond: 1 })
    const counts = (): number[] =>
      [0, 1, 2, KEYS_MAX].map((key) => bench.memory.shards[0]?.keyJobs[key] ?? 0)
    bench.submit({ tenant: 7, keyNumber: 1 })
    bench.submit({ tenant: 7, keyNumber: 1, retries: 0 })
    const last = bench.submit({ tenant: 8, keyNumber: 1 })
    bench.submit({ tenant: 7, keyNumber: KEYS_MAX, beginWithinMs: 100 })
    bench.submit()
    assert.deepEqual(counts(), [0, 3, 0, 1])
    bench.submit({ tenant: 7, keyNumber: 2, key: 'same' })
    bench.submit({ tenant: 7, keyNumber: 1, key: 'same' })
    assert.deepEqual(counts(), [0, 3, 1, 1], 'a duplicate is no job')
    bench.respond(bench.inFlight)
    assert.deepEqual(counts(), [0, 2, 1, 1], 'completed')
    bench.advance(1000)
    bench.fail(bench.inFlight, 'connection_error')
    assert.deepEqual(counts(), [0, 1, 1, 0], 'failed, and one too late')
    bench.replace()
    assert.deepEqual(counts(), [0, 1, 1, 0])
    assert.equal(bench.cancel(last), CODE_OK)
    assert.deepEqual(counts(), [0, 0, 1, 0])
    bench.engine.verify()
  })

  it('have a limit, exact however fast they come, which known keys do not meet', () => {
    const bench = new EngineBench({ pacePerSecond: 1 })
    const limited = { tenant: 7, keyNumber: 1, keyJobsMax: 2 }
    const kinds = (): string[] => bench.answers.splice(0).map(({ kind }) => kind)
    for (const key of ['a', 'b', 'c', 'a']) bench.put({ ...limited, key })
    bench.turn()
    const refused = bench.answers.find(({ kind }) => kind === 'refused')
    assert.deepEqual(refused,
      { ...refused, reason: REFUSED_KEY_JOBS, limit: 2, current: 2 })
    assert.deepEqual(kinds(), ['accepted', 'accepted', 'refused', 'duplicate'])
    bench.submit({ ...limited, keyNumber: 2 })
    bench.submit({ tenant: 7, keyNumber: 1 })
    assert.deepEqual(kinds(), ['accepted', 'accepted'], 'another key, and one without a limit')
    for (let sends = 0; sends < 3; sends++) {
      bench.respond(bench.inFlight)
      bench.advance(1000)
    }
    bench.answers.length = 0
    bench.submit({ ...limited, key: 'c' })
    assert.deepEqual(kinds(), ['accepted'])
  })
})
