// How many connections are begun in a turn, when the system is quick about it and when it is not.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Micros } from '../../../../shards/base/units.ts'
import {
  CONNECTS_PAUSE, CONNECTS_PER_TURN_MAX, CONNECTS_PER_TURN_US,
} from '../../../../shards/memory/socket-limits.ts'
import { ConnectTurns } from '../../../../shards/transport/connect-turns.ts'

/** What a turn takes besides connections. */
const TURN_US = 10

/** Somebody who wants connections without end, and a system that takes `callUs` for each. */
function start() {
  const soon: (() => void)[] = []
  const nextTurn: (() => void)[] = []
  let nowUs = 0
  let alarm = { atUs: Infinity, wake: () => {} }
  let begun = 0
  const scene = { callUs: 0, turn, runFor }
  const turns = new ConnectTurns({
    clock: {
      nowUs: () => nowUs as Micros,
      wakeAt: (atUs, wake) => { alarm = { atUs, wake } },
    },
    soon: (run) => soon.push(run), nextTurn: (run) => nextTurn.push(run), onTurn: beginAll,
  })
  beginAll()

  function beginAll(): void {
    for (; turns.mayBegin; begun++) {
      turns.begin()
      turns.calling()
      nowUs += scene.callUs
    }
    for (const run of soon.splice(0)) run()
  }

  /** How many are begun in one turn. */
  function turn(): number {
    const before = begun
    nowUs += TURN_US
    const { atUs, wake } = alarm
    if (atUs <= nowUs) {
      alarm.atUs = Infinity
      wake()
    }
    for (const run of nextTurn.splice(0)) run()
    return begun - before
  }

  /** How many are begun in so long, and how many of them at most in a turn. */
  function runFor(us: number): { readonly count: number, readonly most: number } {
    let count = 0
    let most = 0
    for (const untilUs = nowUs + us; nowUs < untilUs;) {
      const now = turn()
      count += now
      most = Math.max(most, now)
    }
    return { count, most }
  }
  return scene
}

it('begins so many in each turn', () => {
  const scene = start()
  for (let left = 10; left > 0; left--) assert.equal(scene.turn(), CONNECTS_PER_TURN_MAX)
})

it('begins one at a time, with pauses, while the system takes long, and more after that', () => {
  const scene = start()
  scene.callUs = 3 * CONNECTS_PER_TURN_US
  scene.runFor(100 * scene.callUs)
  const { count, most } = scene.runFor(100 * scene.callUs)
  assert.equal(most, 1)
  const share = count / 100
  assert.ok(Math.abs(share - 1 / (1 + CONNECTS_PAUSE)) < 0.05, `${share} of the time`)
  scene.callUs = 0
  scene.runFor(100 * CONNECTS_PER_TURN_US)
  assert.equal(scene.turn(), CONNECTS_PER_TURN_MAX)
})
