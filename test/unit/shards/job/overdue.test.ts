// The hand that sweeps for jobs which had to begin by a certain time: it finds each within a round
// after its time, drops nothing else, and rests when there is nothing left to expect.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JobSlot, Micros, Millis } from '../../../../shards/base/units.ts'
import { Overdue } from '../../../../shards/job/overdue.ts'
import { EXPIRED_PER_TURN_MAX } from '../../../../shards/memory/limits.ts'
import {
  JOB_IN_FLIGHT, JOB_QUEUED, JOB_RETRYING, JobSlots,
} from '../../../../shards/store/job-slots.ts'
import { oneShard } from '../../../support/shard-memory.ts'
import { forEachSeed } from '../../../support/swarm.ts'

const LOOK_EVERY_US = 20_000
const SLOTS_PER_LOOK = 65_536
const NOW_US = 5_000_000

/** A sweep over slots of its own, moved on by its own word of when it is due. */
class Sweep {
  readonly jobs: JobSlots
  overdue: Overdue
  readonly dropped: number[] = []
  nowUs = NOW_US as Micros
  /** Nothing can be dropped. */
  isBlocked = false
  /** By how much somebody has set the wall clock, whose zero is otherwise the monotonic one's. */
  wallStepUs = 0

  constructor(jobsMax: number) {
    this.jobs = new JobSlots(oneShard({ jobsMax }))
    this.overdue = this.#sweep()
  }

  #sweep(): Overdue {
    return new Overdue(this.jobs, (atUs) => ((atUs + this.wallStepUs) / 1000) as Millis)
  }

  /** A queued job; with a time, it must begin by then. */
  add(beginByUs: number = Infinity): JobSlot {
    // Spread over all numbers, as the index expects of ids and keys.
    const idLow = Math.imul(this.jobs.highWater, 0x9e3779b1) >>> 0
    const slot = this.jobs.take({ route: 1, idHigh: 0, idLow, keyHigh: 0, keyLow: idLow, owner: 0 })
    this.jobs.beginState(slot, JOB_QUEUED)
    if (beginByUs === Infinity) return slot
    this.jobs.at.timeUs[slot] = beginByUs
    this.overdue.expect(this.nowUs)
    return slot
  }

  /** Looks whenever the sweep wants to, until `untilUs`; what is dropped is released. */
  runTo(untilUs: number): void {
    while (this.overdue.nextUs() <= untilUs) {
      this.nowUs = Math.max(this.nowUs, this.overdue.nextUs()) as Micros
      this.look()
    }
    this.nowUs = untilUs as Micros
  }

  /** Another thread goes on. */
  handOver(): void {
    const baton = structuredClone(this.overdue.handOver())
    this.overdue = this.#sweep()
    this.overdue.takeOver(baton)
  }

  look(): void {
    this.overdue.advance(this.nowUs, (slot) => {
      if (this.isBlocked) return false
      this.dropped.push(slot)
      this.jobs.release(slot)
      return true
    })
  }
}

describe('the sweep', () => {
  it('sleeps while no job has a time to begin by', () => {
    const sweep = new Sweep(10)
    sweep.add()
    assert.equal(sweep.overdue.nextUs(), Infinity)
    sweep.look()
    assert.deepEqual(sweep.dropped, [])
  })

  it('drops a job after its time, never before, and rests again', () => {
    const sweep = new Sweep(10)
    sweep.add()
    const slot = sweep.add(NOW_US + 500_000)
    sweep.runTo(NOW_US + 499_999)
    assert.deepEqual(sweep.dropped, [])
    sweep.runTo(NOW_US + 500_000 + LOOK_EVERY_US)
    assert.deepEqual(sweep.dropped, [slot])
    sweep.runTo(NOW_US + 600_000)
    assert.equal(sweep.overdue.nextUs(), Infinity)
  })

  it('leaves jobs alone that have begun, or wait for a retry', () => {
    const sweep = new Sweep(10)
    for (const state of [JOB_IN_FLIGHT, JOB_RETRYING]) {
      sweep.jobs.setState(sweep.add(NOW_US + 1000), state)
    }
    sweep.runTo(NOW_US + 1_000_000)
    assert.deepEqual(sweep.dropped, [])
    assert.equal(sweep.overdue.nextUs(), Infinity)
  })

  it('takes a time that has passed already', () => {
    const sweep = new Sweep(10)
    const slot = sweep.add(NOW_US - 1)
    assert.ok(sweep.overdue.isOverdue(slot, sweep.nowUs))
    sweep.runTo(NOW_US + LOOK_EVERY_US)
    assert.deepEqual(sweep.dropped, [slot])
  })

  it('judges by the wall clock as it is, forward and back, also after a hand-over', () => {
    const sweep = new Sweep(10)
    const [first, second] = [sweep.add(NOW_US + 3_600_000_000), sweep.add(NOW_US + 7_200_000_000)]
    sweep.runTo(NOW_US + 10 * LOOK_EVERY_US)
    sweep.wallStepUs = 3_600_000_000
    sweep.handOver()
    sweep.runTo(NOW_US + 12 * LOOK_EVERY_US)
    assert.deepEqual(sweep.dropped, [first])
    sweep.wallStepUs = -86_400_000_000
    sweep.runTo(NOW_US + 7_200_000_000)
    assert.deepEqual(sweep.dropped, [first])
    sweep.runTo(NOW_US + 86_400_000_000 + 7_200_000_000 + LOOK_EVERY_US)
    assert.deepEqual(sweep.dropped, [first, second])
  })

  it('goes on for a job that came behind its hand', () => {
    const sweep = new Sweep(3 * SLOTS_PER_LOOK)
    for (let count = 0; count < 2.5 * SLOTS_PER_LOOK; count++) sweep.add()
    const first = 7 as JobSlot
    sweep.add(NOW_US + 1000)
    sweep.runTo(NOW_US + LOOK_EVERY_US)
    // The hand is beyond the first slots now; one of them is used again.
    sweep.jobs.at.timeUs[first] = NOW_US + 30_000
    sweep.overdue.expect(sweep.nowUs)
    sweep.runTo(NOW_US + 10 * LOOK_EVERY_US)
    assert.deepEqual(sweep.dropped.toSorted((a, b) => a - b), [first, 2.5 * SLOTS_PER_LOOK])
    assert.equal(sweep.overdue.nextUs(), Infinity)
  })

  it('looks at a bounded number of slots at once', () => {
    const sweep = new Sweep(2 * SLOTS_PER_LOOK)
    for (let count = 0; count < SLOTS_PER_LOOK; count++) sweep.add()
    sweep.add(NOW_US + 1)
    sweep.runTo(NOW_US + LOOK_EVERY_US)
    assert.deepEqual(sweep.dropped, [])
    sweep.runTo(NOW_US + 2 * LOOK_EVERY_US)
    assert.deepEqual(sweep.dropped, [SLOTS_PER_LOOK])
  })

  it('drops a bounded number of jobs in a turn, and asks for the next turn at once', () => {
    const sweep = new Sweep(3 * EXPIRED_PER_TURN_MAX)
    for (let count = 0; count < 2 * EXPIRED_PER_TURN_MAX + 1; count++) sweep.add(NOW_US + 1)
    sweep.nowUs = NOW_US + LOOK_EVERY_US as Micros
    for (const dropped of [1, 2]) {
      sweep.look()
      assert.equal(sweep.dropped.length, dropped * EXPIRED_PER_TURN_MAX)
      assert.equal(sweep.overdue.nextUs(), sweep.nowUs)
    }
    sweep.look()
    assert.equal(sweep.dropped.length, 2 * EXPIRED_PER_TURN_MAX + 1)
    assert.ok(sweep.overdue.nextUs() > sweep.nowUs)
  })

  it('waits at a job that cannot be dropped now, and asks for no turn before its next look', () => {
    const sweep = new Sweep(10)
    const slots = [sweep.add(NOW_US + 1), sweep.add(NOW_US + 1)]
    sweep.isBlocked = true
    sweep.runTo(NOW_US + 10 * LOOK_EVERY_US)
    assert.deepEqual(sweep.dropped, [])
    assert.ok(sweep.overdue.nextUs() > sweep.nowUs)
    sweep.isBlocked = false
    sweep.runTo(NOW_US + 12 * LOOK_EVERY_US)
    assert.deepEqual(sweep.dropped, slots)
    sweep.runTo(NOW_US + 14 * LOOK_EVERY_US)
    assert.equal(sweep.overdue.nextUs(), Infinity)
  })

  it('finds every job within two looks of its time, and only those, whoever looks', () => {
    forEachSeed(200, (prng) => {
      const sweep = new Sweep(200)
      const times = new Map<number, number>()
      for (let step = 0; step < 100; step++) {
        const beginByUs = sweep.nowUs + prng.below(300_000)
        if (prng.chance(0.5)) times.set(sweep.add(beginByUs), beginByUs)
        else sweep.add()
        if (prng.chance(0.1)) sweep.handOver()
        sweep.runTo(sweep.nowUs + prng.pick([0, 1000, 50_000]))
        for (const slot of sweep.dropped.splice(0)) {
          assert.ok((times.get(slot) ?? Infinity) <= sweep.nowUs, 'dropped ahead of its time')
          times.delete(slot)
        }
        for (const beginBy of times.values()) {
          assert.ok(beginBy > sweep.nowUs - 2 * LOOK_EVERY_US, 'overlooked')
        }
      }
    })
  })
})
