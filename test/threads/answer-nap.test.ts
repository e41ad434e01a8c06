// The main thread's naps: answers that come at once are read on the spot, and where they do not,
// the event loop is held up more and more rarely.

import assert from 'node:assert/strict'
import { type mock, test, type TestContext } from 'node:test'
import { SystemClock } from '../../shards/base/clock.ts'
import { Bell } from '../../shards/memory/doorbell.ts'
import { RingWriter } from '../../shards/memory/ring.ts'
import { ACCEPTED_BYTES, ANSWER_ACCEPTED } from '../../shards/wire/contract.ts'
import { ANSWER_NAP_MS, ANSWER_NAPS_MISSED_MAX } from '../../src/base/limits.ts'
import { AnswerPump, type AnswerSink } from '../../src/engine/answer-pump.ts'
import { openShardLink } from '../../src/engine/shard-link.ts'
import { shardMemory, smallLimits } from '../support/shard-memory.ts'

/** A pump, the far end of its ring, and what was accepted. */
function makePump(t: TestContext): {
  pump: AnswerPump, say: (request: number) => void, accepted: number[],
  waits: ReturnType<typeof mock.method<typeof Atomics, 'wait'>>,
} {
  const { shared, shards: [views] } = shardMemory(smallLimits())
  assert.ok(views !== undefined)
  const accepted: number[] = []
  const nothing = (): void => {}
  const sink: AnswerSink = {
    accepted: (request) => { accepted.push(request) },
    duplicate: nothing, reused: nothing, refused: nothing, job: nothing, event: nothing,
    dropped: nothing, released: nothing, givenBack: nothing,
    warning: nothing, turnEnded: nothing, tick: nothing,
  }
  const pump = new AnswerPump(
    [openShardLink(0, views)], shared.mainBell, new SystemClock(), sink)
  const answers = new RingWriter(views.answers)
  const bell = new Bell(shared.mainBell)
  const waits = t.mock.method(Atomics, 'wait', () => 'timed-out')
  t.after(() => pump.stop())
  pump.start()
  return {
    pump, accepted, waits,
    say: (request) => {
      const at = answers.claim(ANSWER_ACCEPTED, ACCEPTED_BYTES)
      answers.u32[at >>> 2] = request
      answers.commit()
      bell.ring()
    },
  }
}

test('what shards say during a nap is read on the spot', (t) => {
  const { pump, say, accepted, waits } = makePump(t)
  waits.mock.mockImplementation((_words, _at, _naps, ms) => {
    assert.equal(ms, ANSWER_NAP_MS)
    say(7)
    return 'ok'
  })
  pump.nap()
  assert.deepEqual(accepted, [7])
  pump.nap()
  assert.deepEqual(accepted, [7, 7], 'a nap that brought something is followed by another')
})

test('what has been said already needs no nap', (t) => {
  const { pump, say, accepted, waits } = makePump(t)
  say(3)
  pump.nap()
  assert.deepEqual([accepted, waits.mock.callCount()], [[3], 0])
})

test('naps that bring nothing become rare, until one brings something', (t) => {
  const { pump, say, waits } = makePump(t)
  /** How many calls it takes until one naps. */
  const callsUntilNap = (): number => {
    const before = waits.mock.callCount()
    let calls = 0
    while (waits.mock.callCount() === before) {
      pump.nap()
      calls++
    }
    return calls
  }
  const missed = Array.from({ length: 9 }, () => callsUntilNap() - 1)
  assert.deepEqual(missed, [0, 1, 2, 4, 8, 16, 32, 64, ANSWER_NAPS_MISSED_MAX])
  waits.mock.mockImplementation(() => {
    say(1)
    return 'ok'
  })
  callsUntilNap()
  waits.mock.mockImplementation(() => 'timed-out')
  assert.deepEqual([callsUntilNap(), callsUntilNap()], [1, 2])
})

test('after a nap that brought nothing the event loop wakes the thread as ever', async (t) => {
  const { pump, say, accepted } = makePump(t)
  pump.nap()
  say(5)
  assert.deepEqual(accepted, [], 'not from ring()')
  while (accepted.length === 0) await new Promise((resolve) => { setImmediate(resolve) })
  assert.deepEqual(accepted, [5])
})

test('who has stopped does not nap', (t) => {
  const { pump, waits } = makePump(t)
  pump.stop()
  pump.nap()
  assert.equal(waits.mock.callCount(), 0)
})
