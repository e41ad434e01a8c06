// Model: the times at which requests go out, against which the promise of every window is checked.
// Method: a shard whose thread is held up at any moment, also between the decision about a send and
// its writing, and whose event loop writes before or after the next turn, as it happens.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import type { Micros } from '../../../../shards/base/units.ts'
import { EngineBench } from '../../../support/engine-bench.ts'
import { assertPromiseAcrossPaces } from '../../../support/pace-promise.ts'
import { forEachSeed } from '../../../support/swarm.ts'

const RUNS = 60
const STEPS = 300
const ACCOUNTS = ['a', 'b', 'c']
const BACKLOG = 40
const PACES = [2, 20, 150, 1000, 20_000]
const HELD_UP_US_MAX = 12_000

/** A shard with a backlog, and what has gone out of it. */
class Run {
  readonly #prng: Prng
  readonly #bench: EngineBench
  readonly #pacePerSecond: number
  readonly #accountQueues: boolean
  readonly #writtenUs = new Map<string, number[]>()
  #seen = 0
  #submitted = 0

  constructor(prng: Prng) {
    this.#prng = prng
    this.#pacePerSecond = prng.pick(PACES)
    this.#accountQueues = prng.chance(0.5)
    this.#bench = new EngineBench({
      pacePerSecond: this.#pacePerSecond, accountQueues: this.#accountQueues,
    })
    this.#bench.transport.writes = 'later'
  }

  step(): void {
    const { time } = this.#bench
    this.#submit()
    if (this.#prng.chance(0.2)) time.holdUp(this.#prng.below(HELD_UP_US_MAX))
    const intervalUs = 1e6 / this.#pacePerSecond
    const onUs = this.#prng.below(Math.ceil(intervalUs / 2) + 1000)
    time.advanceTo((time.nowUs() + onUs) as Micros)
    if (this.#prng.chance(0.7)) this.#write()
  }

  /** All that was decided goes out in its order, and is answered. */
  #write(): void {
    const { time, transport } = this.#bench
    for (; this.#seen < transport.sent.length; this.#seen++) {
      const sent = transport.sent[this.#seen]
      assert.ok(sent !== undefined)
      if (this.#prng.chance(0.1)) time.holdUp(this.#prng.below(HELD_UP_US_MAX))
      transport.write(sent)
      const budget = this.#accountQueues ? sent.request.path : 'shared'
      const times = this.#writtenUs.get(budget) ?? []
      times.push(time.nowUs())
      this.#writtenUs.set(budget, times)
      transport.respond(sent, {})
    }
  }

  #submit(): void {
    for (; this.#submitted < this.#bench.sent.length + BACKLOG; this.#submitted++) {
      const account = this.#prng.pick(ACCOUNTS)
      this.#bench.put({ account, url: `http://api0.test/${account}` })
    }
    this.#bench.turn()
  }

  /** @returns how many there were. */
  check(): number {
    let count = 0
    for (const times of this.#writtenUs.values()) {
      count += times.length
      assertPromiseAcrossPaces(
        times.map((atUs) => ({ atUs, pacePerSecond: this.#pacePerSecond })))
    }
    return count
  }
}

test('no window of what goes out is over its promise, however late a thread writes', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    for (let step = 0; step < STEPS; step++) run.step()
    assert.ok(run.check() > STEPS / 10, 'hardly anything was sent')
  })
})
