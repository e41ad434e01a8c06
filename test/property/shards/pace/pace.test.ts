// Model: the list of send times, against which the promise of every window is checked.
// Method: a budget is polled early, in time and late, at paces from the lowest to the highest, by
// a clock of whole microseconds, while headers change its pace and hold it back. The rate is
// measured where polls come as late as the tolerance can make good, and no later.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { US_PER_SECOND } from '../../../../shards/base/units.ts'
import { intervalNs } from '../../../../shards/memory/interval.ts'
import {
  PACE_PER_SECOND_MAX, PACE_PER_SECOND_MIN, PACE_TOLERANCE_US,
} from '../../../../shards/memory/limits.ts'
import { baseAfterSend, baseHeldUntil, eligibleAtUs } from '../../../../shards/pace/pace.ts'
import {
  assertPromise, assertPromiseAcrossPaces, type PacedSend,
} from '../../../support/pace-promise.ts'
import { Swarm, forEachSeed } from '../../../support/swarm.ts'

const RUNS = 250
const SENDS = 150

/** Any pace, the low ones as likely as the high ones: even over the logarithms. */
function drawPace(prng: Prng): number {
  const spread = PACE_PER_SECOND_MAX / PACE_PER_SECOND_MIN
  return Math.min(PACE_PER_SECOND_MAX, PACE_PER_SECOND_MIN * spread ** prng.unit())
}

/** A budget with its clock and its history. */
class Run {
  readonly #prng: Prng
  #nowUs: number
  #baseUs = 0
  #pacePerSecond: number
  #heldUntilUs = 0
  readonly sends: PacedSend[] = []

  constructor(prng: Prng) {
    this.#prng = prng
    this.#nowUs = prng.between(1, 1_000_000_000)
    this.#pacePerSecond = drawPace(prng)
  }

  get #interval(): number {
    return intervalNs(this.#pacePerSecond)
  }

  /** Sends if the budget lets it. */
  poll(): void {
    if (eligibleAtUs(this.#baseUs, this.#interval) > this.#nowUs) return
    assert.ok(this.#nowUs >= this.#heldUntilUs, 'a send left a budget that was held')
    this.#baseUs = baseAfterSend(this.#baseUs, this.#interval, this.#nowUs)
    this.sends.push({ atUs: this.#nowUs, pacePerSecond: this.#pacePerSecond })
  }

  /** Polls before the send is due; it leaves only if it may. */
  early(): void {
    const gapUs = Math.max(0, eligibleAtUs(this.#baseUs, this.#interval) - this.#nowUs)
    this.#nowUs += Math.floor(gapUs * this.#prng.unit())
    this.poll()
  }

  /** Polls when the send is due, or after as many milliseconds as a busy machine takes. */
  late(): void {
    const atUs = eligibleAtUs(this.#baseUs, this.#interval) + this.#prng.pick([0, 1, 1000, 4999])
    this.#nowUs = Math.max(this.#nowUs, Math.ceil(atUs))
    this.poll()
  }

  /** Nothing is sent for up to a hundred intervals, then as much as may leave. */
  pause(): void {
    this.#nowUs += this.#prng.below(Math.ceil((100 * this.#interval) / 1000))
    for (let polls = 0; polls < 20; polls++) this.poll()
  }

  changePace(): void {
    this.#pacePerSecond = drawPace(this.#prng)
    this.#heldUntilUs = 0
  }

  hold(): void {
    this.#heldUntilUs = this.#nowUs + this.#prng.below(10_000_000)
    this.#baseUs = baseHeldUntil(this.#baseUs, this.#interval, this.#heldUntilUs)
    // The base is a float: what it holds until may be a rounding below what was asked.
    this.#heldUntilUs -= 0.001
  }
}

test('a budget keeps its promise, however it is polled', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(prng, 'late', ['early', 'poll', 'pause', 'hold'])
    while (run.sends.length < SENDS) run[swarm.next()]()
    const [first] = run.sends
    assertPromise(run.sends.map(({ atUs }) => atUs), first?.pacePerSecond ?? 0)
    assertPromiseAcrossPaces(run.sends)
  })
})

test('a pace holds from the very next send, and never before', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(prng, 'late', ['early', 'poll', 'pause', 'changePace', 'hold'])
    while (run.sends.length < SENDS) run[swarm.next()]()
    assertPromiseAcrossPaces(run.sends)
  })
})

test('the rate is the pace while polls are no later than the tolerance', () => {
  forEachSeed(RUNS, (prng) => {
    const pacePerSecond = drawPace(prng)
    const interval = intervalNs(pacePerSecond)
    const intervals = 2000
    const firstBaseUs = prng.between(1_000_000, 1_000_000_000)
    let baseUs = firstBaseUs
    let nowUs = 0
    for (let sent = 0; sent < intervals;) {
      nowUs = Math.max(nowUs, Math.ceil(eligibleAtUs(baseUs, interval)))
      nowUs += prng.below(PACE_TOLERANCE_US - 1)
      for (; sent < intervals && eligibleAtUs(baseUs, interval) <= nowUs; sent++) {
        baseUs = baseAfterSend(baseUs, interval, nowUs)
      }
    }
    const rate = (intervals * US_PER_SECOND) / (baseUs - firstBaseUs)
    assert.ok(rate < pacePerSecond * 1.000001, `${rate} is ahead of ${pacePerSecond}`)
    assert.ok(rate > pacePerSecond * 0.995, `${rate} is behind ${pacePerSecond}`)
  })
})
