// A whole shard and the pace of its upstreams: headers that hold from the very next send, account
// queues on and off, limits on requests in flight, and what two shards do with one budget.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BUDGET_HOLD_MS_MAX, PACE_WRITE_LATE_US } from '../../../../shards/memory/limits.ts'
import { EngineBench, OTHER_UPSTREAM, rps, twoShards } from '../../../support/engine-bench.ts'
import { assertPromise } from '../../../support/pace-promise.ts'
import type { ScriptedTransport, Sent } from '../../../support/scripted-transport.ts'

const ACCOUNT_QUEUES_ON = { 'x-aqueduct-account-queue': 'enabled' }
const SHARED = { 'x-aqueduct-account-queue': 'disabled' }
/** A timing wheel's tick, and the rounding of a nanosecond. */
const LATE_US = 1001

/** When the requests were sent, in milliseconds after the first, rounded down. */
const timesMs = (sent: readonly Sent[]): number[] =>
  sent.map(({ atUs }) => Math.floor((atUs - (sent[0] as Sent).atUs) / 1000))

/** Asserts that a send came when it was due, or a tick later. */
function assertDue(sent: Sent | undefined, dueUs: number): void {
  assert.ok(sent !== undefined, 'nothing was sent')
  const lateUs = sent.atUs - dueUs
  assert.ok(lateUs >= 0 && lateUs <= LATE_US, `sent ${lateUs} us late`)
}

/** Which of the accounts' jobs were sent, by the account in their URL. */
const accountsOf = (sent: readonly Sent[]): string =>
  sent.map(({ request }) => request.path.at(-1)).join('')

/** Submits so many jobs of each account, one account after the other. */
function submitFor(
  bench: EngineBench, accounts: string, jobs: number, wantsAccountQueue = false,
): void {
  for (const account of accounts) {
    for (let count = 0; count < jobs; count++) {
      bench.put({ account, url: `http://api0.test/${account}`, wantsAccountQueue })
    }
  }
  bench.turn()
}

/** With one account that has so many jobs, which spends the upstream's budget, then its own. */
function withEachBudget(
  { pacePerSecond, writes, jobs }:
    { pacePerSecond: number, writes: ScriptedTransport['writes'], jobs: number },
  run: (bench: EngineBench) => void,
): void {
  for (const accountQueues of [false, true]) {
    const bench = new EngineBench({ accountQueues, pacePerSecond })
    bench.transport.writes = writes
    submitFor(bench, 'a', jobs)
    run(bench)
  }
}

describe('the pace', () => {
  it('is two a second for an upstream that has said nothing', () => {
    const bench = new EngineBench()
    submitFor(bench, 'a', 5)
    bench.advance(2100)
    assert.deepEqual(timesMs(bench.sent), [0, 500, 1000, 1500, 2000])
    assertPromise(bench.sent.map(({ atUs }) => atUs), 2)
  })

  it('becomes faster with the very next send, without waiting for the old one', () => {
    const bench = new EngineBench()
    submitFor(bench, 'a', 3)
    const first = bench.inFlight
    bench.advance(10)
    bench.respond(first, { headers: rps(50) })
    bench.advance(31)
    assertDue(bench.sent[1], first.atUs + 20_000)
    assertDue(bench.sent[2], first.atUs + 40_000 - 1)
    assert.equal(bench.sent[1]?.headers['X-Aqueduct-Flow-Rate'], '50.00')
  })

  it('holds as soon as the headers are here, before the response is whole', () => {
    const bench = new EngineBench()
    submitFor(bench, 'a', 2)
    bench.transport.head(bench.inFlight, { headers: rps(100) })
    bench.advance(20)
    assert.equal(bench.sent.length, 2)
  })

  it('becomes slower with the very next send', () => {
    const bench = new EngineBench({ pacePerSecond: 100 })
    submitFor(bench, 'a', 2)
    const first = bench.inFlight
    bench.respond(first, { headers: rps(1) })
    bench.advance(999)
    assert.equal(bench.sent.length, 1)
    bench.advance(2)
    assertDue(bench.sent[1], first.atUs + 1_000_000)
  })

  it('follows a send that is written very late', () => {
    withEachBudget({ pacePerSecond: 2, writes: 'later', jobs: 3 }, (bench) => {
      const first = bench.inFlight
      bench.advance(120)
      bench.transport.writes = 'at once'
      bench.transport.write(first)
      bench.advance(490)
      assert.equal(bench.sent.length, 1)
      bench.advance(10)
      assertDue(bench.sent[1], first.atUs + 620_000 - PACE_WRITE_LATE_US)
      bench.advance(600)
      assertDue(bench.sent[2], first.atUs + 1_120_000 - PACE_WRITE_LATE_US)
    })
  })

  it('follows a send that is written late, and lets none pass it meanwhile', () => {
    withEachBudget({ pacePerSecond: 100, writes: 'later', jobs: 3 }, (bench) => {
      const first = bench.inFlight
      bench.advance(40)
      assert.equal(bench.sent.length, 1)
      bench.transport.write(first)
      bench.transport.writes = 'at once'
      bench.advance(20)
      assertDue(bench.sent[1], first.atUs + 50_000 - PACE_WRITE_LATE_US)
      assertDue(bench.sent[2], first.atUs + 60_000 - PACE_WRITE_LATE_US)
    })
  })

  it('counts a send that goes out late, and those that come behind it', () => {
    withEachBudget({ pacePerSecond: 1000, writes: 'later', jobs: 20 }, (bench) => {
      bench.advance(10)
      assert.equal(bench.sent.length, 5)
      for (const sent of bench.sent) bench.transport.write(sent)
      const lastUs = bench.nowUs
      bench.transport.writes = 'at once'
      bench.advance(20)
      assertDue(bench.sent[6], lastUs + 6000 - PACE_WRITE_LATE_US)
    })
  })

  it('owes a slower pace one interval, however many still wait at the pace before', () => {
    withEachBudget({ pacePerSecond: 1000, writes: 'later', jobs: 30 }, (bench) => {
      bench.advance(15)
      const waiting = bench.sent.slice()
      bench.transport.writes = 'at once'
      bench.transport.write(waiting[0] as Sent)
      bench.respond(waiting[0] as Sent, { headers: rps(1) })
      for (const sent of waiting.slice(1)) bench.transport.write(sent)
      const trailUs = bench.nowUs + (waiting.length - 1) * 1000
      bench.advance(1100)
      assertDue(bench.sent[waiting.length], trailUs + 1_000_000 - PACE_WRITE_LATE_US)
    })
  })

  it('counts no request twice that ends before it was written', () => {
    const bench = new EngineBench({ pacePerSecond: 100 })
    bench.transport.writes = 'later'
    submitFor(bench, 'a', 3)
    bench.fail(bench.inFlight, 'connection_error')
    bench.advance(11)
    assert.equal(bench.sent.length, 2)
    assert.equal(bench.views.upstreams.unwritten[0], 10_000_000)
  })

  it('holds for jobs that trickle in one by one', () => {
    const bench = new EngineBench()
    for (let count = 0; count < 10; count++) {
      bench.submit()
      bench.advance(100)
      for (const sent of bench.sent) if (!sent.isOver) bench.respond(sent)
    }
    assert.equal(bench.sent.length, 3)
    assertPromise(bench.sent.map(({ atUs }) => atUs), 2)
  })

  it('is not touched by a value that makes no sense, which is told once a minute', () => {
    const bench = new EngineBench({ pacePerSecond: 1000 })
    for (const value of ['0.4', '-1', 'fast', '1e9']) {
      bench.submit()
      bench.respond(bench.inFlight, { headers: { 'x-aqueduct-rps': value } })
      bench.advance(1)
    }
    const warned = () => bench.answers.filter(({ kind }) => kind === 'warning')
    assert.deepEqual(warned(), [
      { kind: 'warning', upstream: 0, warning: { name: 'x-aqueduct-rps', value: '0.4' } },
    ])
    assert.equal(bench.stats.headersIgnored, 4)
    bench.submit()
    bench.advance(60_000)
    bench.submit()
    bench.respond(bench.inFlight, { headers: { 'x-aqueduct-rps': 'fast' } })
    assert.equal(warned().length, 2)
  })

  it('is held by a 429 as long as Retry-After says, for every job, within a bound', () => {
    for (const [seconds, heldMs] of [[5, 5000], [7200, BUDGET_HOLD_MS_MAX]] as const) {
      const bench = new EngineBench({ timeoutMs: 1_000_000 })
      submitFor(bench, 'ab', 1)
      const first = bench.inFlight
      bench.respond(first, { status: 429, headers: { 'retry-after': String(seconds) } })
      bench.advance(heldMs - 1)
      assert.equal(bench.sent.length, 1)
      bench.advance(2)
      assertDue(bench.sent[1], first.atUs + heldMs * 1000)
    }
  })

  it('of one upstream is not that of another', () => {
    const bench = new EngineBench()
    submitFor(bench, 'a', 2)
    bench.submit({ upstream: OTHER_UPSTREAM })
    assert.equal(bench.sent.length, 2)
  })

  it('of a receiver of webhooks is its own, and changes with its answers', () => {
    const bench = new EngineBench({ pacePerSecond: 1000, receiver: { pacePerSecond: 10 } })
    for (let count = 0; count < 3; count++) bench.submit({ webhook: true })
    bench.advance(10)
    for (const sent of bench.sent.slice()) bench.respond(sent)
    assert.equal(bench.deliveries.length, 1)
    bench.respond(bench.inFlight, { headers: { ...rps(1), ...ACCOUNT_QUEUES_ON } })
    bench.advance(990)
    assert.equal(bench.deliveries.length, 1)
    bench.advance(10)
    assert.equal(bench.deliveries.length, 2)
  })
})

describe('lanes of an upstream', () => {
  it('take turns at its budget, however long their lines are', () => {
    const bench = new EngineBench({ pacePerSecond: 10 })
    submitFor(bench, 'a', 5)
    submitFor(bench, 'bc', 2)
    bench.advance(2000)
    // The first one went before the others had come.
    assert.equal(accountsOf(bench.sent), 'aabcabcaa')
  })

  it('have budgets of their own once a response says so, each in its own order', () => {
    const bench = new EngineBench()
    submitFor(bench, 'abc', 3)
    const first = bench.inFlight
    bench.respond(first, { headers: ACCOUNT_QUEUES_ON })
    bench.advance(1)
    assert.equal(accountsOf(bench.sent), 'abc', 'the others go at once, their own pace allows it')
    bench.advance(500)
    assert.equal(accountsOf(bench.sent), 'abcabc')
    assert.equal(bench.inFlight.headers['X-EZTHROTTLE-CURRENT-ACCOUNT-QUEUE-ENABLED'], 'true')
    for (const account of 'abc') {
      const own = bench.sent.filter(({ request }) => request.path === `/${account}`)
      assertPromise(own.map(({ atUs }) => atUs), 2)
    }
  })

  it('follow the headers of their own responses, each at its own pace', () => {
    const bench = new EngineBench({ accountQueues: true })
    submitFor(bench, 'ab', 20)
    const [premium, free] = bench.sent
    assert.ok(premium !== undefined && free !== undefined)
    bench.respond(premium, { headers: rps(50) })
    bench.respond(free, { headers: rps(1) })
    bench.advance(1000)
    const counts = ['a', 'b'].map((account) =>
      bench.sent.filter(({ request }) => request.path === `/${account}`).length)
    assert.deepEqual(counts, [20, 2])
    const times = bench.sent.filter(({ request }) => request.path === '/a').map(({ atUs }) => atUs)
    assertPromise(times, 50)
  })

  it('are switched on by a caller, who gets no faster pace by it', () => {
    const bench = new EngineBench()
    submitFor(bench, 'a', 4, true)
    submitFor(bench, 'b', 4)
    bench.advance(1400)
    assert.equal(accountsOf(bench.sent), 'ababab')
    assertPromise(bench.sent.filter((_, at) => at % 2 === 0).map(({ atUs }) => atUs), 2)
  })

  it('share a budget again once the upstream says so, from that moment on', () => {
    const bench = new EngineBench({ accountQueues: true })
    submitFor(bench, 'abc', 4)
    assert.equal(bench.sent.length, 3)
    bench.advance(100)
    const switchedUs = bench.nowUs
    bench.respond(bench.inFlight, { headers: SHARED })
    bench.advance(1600)
    assert.equal(bench.sent.length, 6)
    const since = bench.sent.slice(3)
    assertDue(since[0], switchedUs + 500_000)
    assertPromise(since.map(({ atUs }) => atUs), 2)
    assert.equal(accountsOf(since).split('').toSorted().join(''), 'abc', 'each has its turn')
    assert.equal(bench.inFlight.headers['X-EZTHROTTLE-CURRENT-QUEUE-MODE'], 'shared')
  })

  it('are told of a switch that another shard has seen', () => {
    const [here, there] = twoShards()
    submitFor(here, 'a', 2)
    submitFor(there, 'bc', 2)
    assert.equal(there.sent.length, 0)
    here.respond(here.inFlight, { headers: ACCOUNT_QUEUES_ON })
    assert.equal(there.engine.hasWork(), true, 'a notice was left')
    there.turn()
    assert.equal(accountsOf(there.sent), 'bc')
  })

  it('forget what they were told before a switch off and on, though a shard saw neither', () => {
    const [here, there] = twoShards({ accountQueues: true })
    submitFor(here, 'ac', 1)
    submitFor(there, 'b', 3)
    there.respond(there.inFlight, { headers: rps(1) })
    there.advance(100)
    here.respond(here.inFlight, { headers: SHARED })
    here.respond(here.inFlight, { headers: ACCOUNT_QUEUES_ON })
    // One a second was what the lane had been told; the upstream's own pace is two.
    there.turn()
    there.advance(400)
    assert.equal(there.sent.length, 2)
    there.advance(600)
    assert.equal(there.sent.length, 3)
    assertPromise(there.sent.map(({ atUs }) => atUs), 2)
  })
})

describe('the limit on requests in flight', () => {
  it('holds what is due until something ends', () => {
    const bench = new EngineBench({ pacePerSecond: 1000, concurrentMax: 2 })
    submitFor(bench, 'a', 5)
    bench.advance(100)
    assert.equal(bench.sent.length, 2)
    bench.respond(bench.inFlight)
    assert.equal(bench.sent.length, 3)
    bench.advance(100)
    assert.equal(bench.sent.length, 3)
  })

  it('cancels nothing when it is lowered, and lets fewer go from then on', () => {
    const bench = new EngineBench({ pacePerSecond: 1000, concurrentMax: 4 })
    submitFor(bench, 'a', 10)
    bench.advance(20)
    const [first, second, third, fourth] = bench.sent
    assert.ok(first && second && third && fourth)
    bench.respond(first, { headers: { 'x-aqueduct-max-concurrent': '2' } })
    bench.respond(second)
    bench.advance(20)
    assert.equal(bench.sent.length, 4)
    assert.ok(bench.sent.every(({ isAborted }) => !isAborted))
    bench.respond(third)
    assert.equal(bench.sent.length, 5)
    assert.equal(bench.inFlight.headers['X-EZTHROTTLE-CURRENT-MAX-CONCURRENT'], '2')
  })

  it('lets more go at once when it is raised', () => {
    const bench = new EngineBench({ pacePerSecond: 1000, concurrentMax: 1 })
    submitFor(bench, 'a', 5)
    bench.advance(20)
    assert.equal(bench.sent.length, 1)
    bench.respond(bench.inFlight, { headers: { 'x-aqueduct-max-concurrent': '3' } })
    bench.advance(20)
    assert.equal(bench.sent.length, 4)
  })

  it('is each lane\'s own where accounts have their queues', () => {
    const bench = new EngineBench({ pacePerSecond: 1000, concurrentMax: 1, accountQueues: true })
    submitFor(bench, 'ab', 3)
    bench.advance(20)
    assert.equal(accountsOf(bench.sent), 'ab')
    bench.respond(bench.sent[0] as Sent, { headers: { 'x-aqueduct-max-concurrent': '2' } })
    bench.advance(20)
    assert.equal(accountsOf(bench.sent), 'abaa')
  })

  it('is held by all shards together, and a permit that is free is told to who waits', () => {
    const [here, there] = twoShards({ pacePerSecond: 1000, concurrentMax: 1 })
    submitFor(here, 'a', 1)
    submitFor(there, 'b', 1)
    there.advance(50)
    assert.deepEqual([here.sent.length, there.sent.length], [1, 0])
    here.respond(here.inFlight)
    assert.equal(there.engine.hasWork(), true)
    there.turn()
    assert.equal(there.sent.length, 1)
  })

  it('is shared by shards as their lanes are, where the limit and not the pace decides', () => {
    const [here, there] = twoShards({ pacePerSecond: 1000, concurrentMax: 2 })
    submitFor(here, 'a', 30)
    submitFor(there, 'bcdefgh', 30)
    // Each request takes 5 ms; whoever is told of a free attempt looks at once.
    while (here.sent.length + there.sent.length < 80) {
      const due = [here, there].flatMap((bench) =>
        bench.sent.filter(({ isOver }) => !isOver).map((sent) => ({ bench, sent })))
      assert.ok(due.length > 0, 'nothing goes on')
      here.advance(5)
      for (const { bench, sent } of due) {
        bench.respond(sent)
        for (const other of [there, here]) if (other.engine.hasWork()) other.turn()
      }
    }
    // A tenth for each of eight lanes, and the lead that a shard may have.
    assert.ok(here.sent.length <= 15, `one lane of eight had ${here.sent.length} of 80 sends`)
  })
})
