// Who may open the next connection: accounts in turn, whatever number of hosts one of them wants.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Micros } from '../../../../shards/base/units.ts'
import { CONNECTS_PER_TURN_MAX } from '../../../../shards/memory/socket-limits.ts'
import type { RoomTaker } from '../../../../shards/transport/connect-queue.ts'
import { ConnectionRoom } from '../../../../shards/transport/connection-room.ts'

const NOW_US = 0 as Micros

/** A room whose turns end when the test says so, and who was told to try again, in order. */
function start(connectionsMax = 1000) {
  const runs: (() => void)[] = []
  const retried: string[] = []
  const room = new ConnectionRoom({
    connectionsMax, clock: { nowUs: () => NOW_US, wakeAt: () => {} },
    soon: (run) => runs.push(run), nextTurn: (run) => runs.push(run),
  })
  const taker = (name: string): RoomTaker & { connectionCount: number } => {
    const its = {
      connectionCount: 0,
      endLongestIdle: () => false,
      retry: (): void => {
        retried.push(name)
        if (room.take(its, 1, NOW_US)) its.connectionCount++
      },
    }
    return its
  }
  return {
    room, retried, taker,
    next: (): string[] => {
      retried.length = 0
      for (const run of runs.splice(0)) run()
      return [...retried]
    },
  }
}

test('accounts open connections in turn', () => {
  const { room, next, taker } = start()
  for (let at = 0; at < 100; at++) room.take(taker(`a${at}`), 1, NOW_US)
  room.take(taker('b0'), 2, NOW_US)
  room.take(taker('b1'), 2, NOW_US)
  // The first of account 1 were begun at once.
  const first = CONNECTS_PER_TURN_MAX
  assert.deepEqual(next(), [`a${first}`, 'b0', `a${first + 1}`, 'b1'])
  assert.deepEqual(next(), [2, 3, 4, 5].map((more) => `a${first + more}`))
})

test('whoever has its share is skipped, and keeps its place', () => {
  const { room, next, retried, taker } = start(10)
  const [large, other] = [taker('large'), taker('other')]
  for (; room.take(large, 1, NOW_US); large.connectionCount++) next()
  assert.ok(large.connectionCount > 0 && large.connectionCount < 10)
  next()
  assert.ok(room.take(other, 1, NOW_US), 'another still finds room')
  assert.deepEqual(next(), [], 'nothing for one that has its share')
  for (let left = large.connectionCount; left > 0 && next().length === 0; left--) {
    large.connectionCount--
    room.give(large)
  }
  assert.deepEqual(retried, ['large'])
})

test('one that leaves is told nothing more', () => {
  const { room, next, taker } = start()
  const gone = taker('gone')
  for (let at = 0; at < CONNECTS_PER_TURN_MAX; at++) room.take(taker(`a${at}`), 1, NOW_US)
  room.take(gone, 2, NOW_US)
  room.take(taker('stays'), 3, NOW_US)
  room.leave(gone)
  assert.deepEqual(next(), ['stays'])
})
