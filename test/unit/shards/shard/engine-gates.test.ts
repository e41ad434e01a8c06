// Sends that may not leave: what keeps them is looked at when it changes, and no sooner.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CONNECT_AHEAD_US } from '../../../../shards/memory/socket-limits.ts'
import {
  LINE_FREE, LINE_NO_CONNECTION, LINE_NO_MEMORY,
} from '../../../../shards/transport/transport.ts'
import { EngineBench, RECEIVER, UPSTREAM } from '../../../support/engine-bench.ts'
import { assertPromiseAcrossPaces } from '../../../support/pace-promise.ts'

const ACCOUNTS = 12
const PARKED = 10_000
const AT_ONCE = 100

/** One without a connection, with so many jobs, each of an account of its own. */
function unconnected(pacePerSecond: number, jobs: number, accountQueues = false): EngineBench {
  const limits = { jobsMax: 2 * PARKED, lanesMax: 2 * PARKED, segmentsMax: 1000 }
  const bench = new EngineBench({ pacePerSecond, accountQueues, limits })
  bench.transport.line = LINE_NO_CONNECTION
  for (let job = 0; job < jobs; job++) {
    bench.put({ account: `a${job}` })
    if (job % AT_ONCE === AT_ONCE - 1) bench.turn()
  }
  bench.turn()
  assert.equal(bench.stats.accepted, jobs)
  return bench
}

/** Turns of the shard and looks at its budgets while so much time passes. */
function workIn(bench: EngineBench, ms: number): readonly [turns: number, looks: number] {
  const turns = bench.stats.turns
  const { looks } = bench.engine
  bench.advance(ms)
  return [bench.stats.turns - turns, bench.engine.looks - looks]
}

/** So many lanes are parked: a turn now and then for other reasons, and no look. */
function assertParked(bench: EngineBench): void {
  bench.advance(2000) // what is due at the beginning of a window of the wheel
  const [turns, looks] = workIn(bench, 60_000)
  assert.ok(turns < 120, `${turns} turns though nothing happens`)
  assert.equal(looks, 0)
}

describe('without a connection', () => {
  it('a job waits in its line, queued and without an attempt, and asks for what is of use', () => {
    for (const [pacePerSecond, count] of [[2, 1], [25, 3], [1000, ACCOUNTS]] as const) {
      const bench = unconnected(pacePerSecond, ACCOUNTS)
      assert.deepEqual(bench.sent, [])
      assert.deepEqual(bench.transport.asked.map(({ to, count: of }) => [to, of]),
        [[UPSTREAM, count]], `${pacePerSecond} per second, ${CONNECT_AHEAD_US} us ahead`)
      assert.equal(bench.stats.inFlight, 0)
      assert.equal(bench.stats.attempts, 0)
    }
  })

  it('parked lanes cost no turn', () => {
    for (const accountQueues of [false, true]) {
      assertParked(unconnected(1000, PARKED, accountQueues))
    }
  })

  it('sends leave at their pace when connections come, however long they were awaited', () => {
    for (const accountQueues of [false, true]) {
      const bench = unconnected(25, accountQueues ? 1 : ACCOUNTS, accountQueues)
      const rest = accountQueues ? ACCOUNTS - 1 : 0
      for (let more = 0; more < rest; more++) bench.submit({ account: 'a0' })
      bench.advance(5000)
      bench.transport.line = LINE_FREE
      bench.transport.free(UPSTREAM)
      bench.advance(2000)
      assertPromiseAcrossPaces(bench.sent.map(({ atUs }) => ({ atUs, pacePerSecond: 25 })))
      assert.equal(bench.sent.length, ACCOUNTS)
    }
  })

  it('every lane with a budget of its own is served once they are free', () => {
    const bench = unconnected(2, ACCOUNTS, true)
    assert.equal(bench.transport.asked.at(-1)?.count, ACCOUNTS, 'each could use one')
    bench.advance(1000)
    bench.transport.line = LINE_FREE
    bench.transport.free(UPSTREAM)
    bench.advance(10)
    assert.equal(bench.sent.length, ACCOUNTS)
  })

  it('one that cannot be made costs its first job an attempt, at the pace', () => {
    const bench = unconnected(2, 0)
    const job = bench.submit({ retries: 1, watch: true })
    bench.transport.unreachable(UPSTREAM, 'connection_error')
    bench.advance(1)
    assert.deepEqual([bench.get(job).attempts, bench.stats.attempts], [1, 0])
    assert.deepEqual(bench.events(job).map(([name]) => name).filter((name) => name !== 'position'),
      ['retrying'])
    bench.advance(2000)
    bench.transport.unreachable(UPSTREAM, 'timeout')
    bench.advance(1)
    const { status, result } = bench.get(job)
    assert.deepEqual([status, result?.reason, result?.response_status],
      ['failed', 'timeout', undefined])
    assert.deepEqual(bench.sent, [])
  })

  it('one that cannot be made is nobody\'s fault when nobody waits for it', () => {
    const bench = new EngineBench()
    bench.transport.unreachable(UPSTREAM, 'connection_error')
    const job = bench.submit()
    bench.advance(1)
    assert.equal(bench.get(job).attempts, 1)
    assert.equal(bench.sent.length, 1)
  })

  it('a webhook that cannot be delivered is tried again, and given up at last', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    const job = bench.submit({ webhook: true })
    bench.transport.line = LINE_NO_CONNECTION
    bench.respond(bench.inFlight)
    for (let delivery = 1; delivery <= 5; delivery++) {
      bench.transport.unreachable(RECEIVER, 'connection_error')
      bench.advance(20_000)
    }
    assert.equal(bench.stats.webhooksFailed, 1)
    assert.equal(bench.get(job).webhook?.state, 'given_up')
  })

  it('where no address may be dialled, jobs fail without an attempt, each at the pace', () => {
    const bench = unconnected(2, 0)
    const jobs = [bench.submit({ retries: 5 }), bench.submit({ retries: -1 })]
    for (const job of jobs) {
      bench.transport.unreachable(UPSTREAM, 'address_refused', 'private 10.0.0.0/8')
      bench.advance(1000)
      const { attempts, result } = bench.get(job)
      assert.deepEqual([attempts, result], [0, {
        status: 'failed', reason: 'address_refused', rule: 'private 10.0.0.0/8',
      }])
    }
    assert.deepEqual([bench.stats.retries, bench.stats.attempts], [0, 0])
    const warnings = bench.answers.filter(({ kind }) => kind === 'warning')
    assert.deepEqual(warnings, [
      { kind: 'warning', upstream: UPSTREAM, warning: { rule: 'private 10.0.0.0/8' } },
    ], 'one in a minute')
  })

  it('where no address may be dialled, a webhook is given up at once', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    const job = bench.submit({ webhook: true })
    bench.transport.line = LINE_NO_CONNECTION
    bench.respond(bench.inFlight)
    bench.transport.unreachable(RECEIVER, 'address_refused')
    bench.advance(1)
    assert.equal(bench.stats.webhooksFailed, 1)
    assert.deepEqual(bench.get(job).webhook, { state: 'given_up', attempts: 1 })
  })
})

describe('a request given back', () => {
  it('is sent again, first in its line, with the same attempt', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    bench.transport.writes = 'later'
    const first = bench.submit()
    const sent = bench.inFlight
    bench.submit()
    bench.transport.giveBack(sent)
    bench.advance(10)
    assert.equal(bench.sent[1]?.headers['X-Sluice-Job-Id'], first.idText)
    assert.equal(bench.sent[1]?.headers['X-Sluice-Attempt'], '1')
    assert.equal(bench.get(first).attempts, 1)
  })

  for (const accountQueues of [false, true]) {
    it(`has not used up its place in the pace${accountQueues ? ' of its account' : ''}`, () => {
      const bench = new EngineBench({ pacePerSecond: 2, accountQueues })
      bench.transport.writes = 'later'
      for (let job = 0; job < 3; job++) bench.submit()
      const [first] = bench.sent
      assert.ok(first)
      bench.advance(20)
      bench.transport.giveBack(first)
      bench.transport.writes = 'at once'
      bench.advance(1)
      assert.equal(bench.sent.length, 2, 'it goes out again at once')
      bench.advance(2000)
      assert.equal(bench.sent.length, 4)
      assertPromiseAcrossPaces(bench.sent.slice(1).map(({ atUs }) => ({ atUs, pacePerSecond: 2 })))
    })
  }

  it('is delivered again, as the same delivery', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    bench.submit({ webhook: true })
    bench.respond(bench.inFlight)
    bench.transport.giveBack(bench.inFlight)
    bench.advance(10)
    assert.deepEqual(bench.deliveries.map(({ headers }) => headers['X-Sluice-Attempt']),
      ['1', '1'])
  })
})

describe('responses that hold their upstream\'s share of memory', () => {
  it('keep further sends back until there is room', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    bench.transport.line = LINE_NO_MEMORY
    bench.submit()
    bench.advance(100)
    assert.deepEqual([bench.sent.length, bench.transport.asked.length], [0, 0])
    bench.transport.line = LINE_FREE
    bench.transport.free(UPSTREAM)
    bench.advance(2)
    assert.equal(bench.sent.length, 1)
  })
})

describe('a shard that is held', () => {
  it('looks at nobody until it is let go', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    bench.engine.hold(true)
    for (let job = 0; job < ACCOUNTS; job++) bench.put({ account: `a${job}` })
    bench.turn()
    assertParked(bench)
    assert.equal(bench.sent.length, 0)
    bench.engine.hold(false)
    bench.turn()
    bench.advance(2000)
    assert.equal(bench.sent.length, ACCOUNTS)
  })
})
