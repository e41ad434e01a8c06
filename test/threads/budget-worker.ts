// Worker of shared-budget.test.ts: one shard's hand on a budget that other threads spend as well.

import { parentPort, workerData } from 'node:worker_threads'
import { Prng } from '../../shards/base/prng.ts'
import type { Micros, UpstreamSlot } from '../../shards/base/units.ts'
import { attachShard, attachShared } from '../../shards/memory/layout.ts'
import { SharedBudgets } from '../../shards/pace/shared-budget.ts'
import { STATE_WORD } from '../support/ring-memory.ts'
import type { SpenderReport, SpenderTask, TakerReport, TakerTask } from './budget-task.ts'

const task = workerData as SpenderTask | TakerTask
const shards = task.shardBuffers.map((buffer) => attachShard(buffer, task.limits))
const budgets = new SharedBudgets(attachShared(task.shared, task.limits), task.shard, shards)
const bell = shards[task.shard]?.bell ?? new Int32Array(0)
const prng = new Prng(task.seed)
const upstream = 0 as UpstreamSlot
const RINGS_WORD = 0

/** Looks again and again, a few microseconds apart, now and then late. */
function spend({ clock, untilUs }: SpenderTask): SpenderReport {
  const time = new Int32Array(clock)
  const sentAtUs: number[] = []
  let lost = 0
  for (;;) {
    const stepUs = prng.chance(0.001) ? prng.below(3000) : prng.below(20)
    const nowUs = Atomics.add(time, 0, stepUs) as Micros
    if (nowUs >= untilUs) return { sentAtUs: Float64Array.from(sentAtUs), lost }
    while (budgets.eligibleAtUs(upstream) <= nowUs) {
      if (budgets.trySpend(upstream, nowUs)) sentAtUs.push(nowUs)
      else lost++
    }
  }
}

/** Sleeps until a notice comes, as a shard does, but without an event loop. */
function sleepForNotice(): void {
  const rings = Atomics.load(bell, RINGS_WORD)
  Atomics.store(bell, STATE_WORD, 1)
  if (!budgets.hasNotices()) Atomics.wait(bell, RINGS_WORD, rings)
  Atomics.store(bell, STATE_WORD, 0)
}

/** Takes and gives back at random; with nothing in hand and nothing to have, it sleeps. */
function take({ held, concurrentMax, rounds }: TakerTask): TakerReport {
  const heldByAll = new Int32Array(held)
  let own = 0
  let taken = 0
  let refused = 0
  let sleeps = 0
  let wrong = 0
  const giveBack = (permits: number): void => {
    for (let left = permits; left > 0; left--) {
      Atomics.sub(heldByAll, 0, 1)
      budgets.giveBack(upstream)
    }
    own -= permits
  }
  for (let round = 0; round < rounds; round++) {
    if (own > 0 && prng.chance(0.5)) {
      giveBack(1)
    } else if (budgets.tryTake(upstream)) {
      own++
      taken++
      if (Atomics.add(heldByAll, 0, 1) >= concurrentMax) wrong++
    } else {
      refused++
      giveBack(own)
      if (prng.chance(0.5)) continue
      sleeps++
      while (!budgets.takeNotices()) sleepForNotice()
      budgets.takeNotice(upstream)
    }
  }
  giveBack(own)
  return { taken, refused, sleeps, wrong }
}

/** A thread takes longer to start than the others may need for all of their work. */
function waitForOthers(): void {
  const ready = new Int32Array(task.ready)
  let count = Atomics.add(ready, 0, 1) + 1
  Atomics.notify(ready, 0)
  while (count < shards.length) {
    Atomics.wait(ready, 0, count)
    count = Atomics.load(ready, 0)
  }
}

waitForOthers()
parentPort?.postMessage(task.kind === 'spender' ? spend(task) : take(task))
