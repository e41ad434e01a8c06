// Real threads on one budget. Spenders draw their time from a shared counter, so that what each of
// them recorded can be judged together; takers count what they hold, and sleep until a permit is
// free: a lost notice would hang the test until its guard. A taker that is killed at any point
// leaves permits behind, which its successor finds to the last while the others go on.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Prng } from '../../shards/base/prng.ts'
import { US_PER_SECOND } from '../../shards/base/units.ts'
import { BUDGET_OPERATION } from '../../shards/memory/crash-notes.ts'
import { type ShardViews, UPSTREAM_IN_FLIGHT } from '../../shards/memory/layout.ts'
import { PACE_TOLERANCE_US } from '../../shards/memory/limits.ts'
import { SharedBudgets } from '../../shards/pace/shared-budget.ts'
import { assertPromiseAcrossPaces, sendsMax } from '../support/pace-promise.ts'
import {
  type ShardMemory, shardMemory, smallLimits, writeUpstream,
} from '../support/shard-memory.ts'
import { SEED } from '../support/swarm.ts'
import type { SpenderReport, SpenderTask, TakerReport, TakerTask } from './budget-task.ts'

const THREADS = 3
const DEATHS = 12
const GUARD_MS = 60_000

type OfShard = 'shard' | 'limits' | 'shared' | 'shardBuffers' | 'seed' | 'ready'

type AnyTask = Omit<SpenderTask, OfShard> | Omit<TakerTask, OfShard>

/** Starts as many workers as there are shards, each as one of them. */
function startAll({ limits, shared, shards }: ShardMemory, task: AnyTask): Worker[] {
  const ready = new SharedArrayBuffer(4)
  return shards.map((_, shard) => new Worker(
    new URL('./budget-worker.ts', import.meta.url), { workerData: {
      ...task, shard, limits, shared: shared.buffer, shardBuffers: shards.map((s) => s.buffer),
      seed: SEED + shard, ready,
    } }))
}

/** The same, and waits for what they report. */
async function run<Report>(memory: ShardMemory, task: AnyTask): Promise<Report[]> {
  const workers = startAll(memory, task)
  try {
    const reports = await Promise.all(workers.map((worker) => once(worker, 'message')))
    return reports.map(([report]) => report as Report)
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
}

for (const pacePerSecond of [50, 5000, 50_000]) {
  test(`three threads send at ${pacePerSecond} per second`, { timeout: GUARD_MS }, async (t) => {
    const memory = shardMemory(smallLimits({ shards: THREADS }))
    writeUpstream(memory.shared, 0, { pacePerSecond })
    const clock = new SharedArrayBuffer(4)
    const startUs = 1_000_000
    new Int32Array(clock)[0] = startUs
    const untilUs = startUs + 10_000_000
    const reports = await run<SpenderReport>(memory, { kind: 'spender', clock, untilUs })
    const timesUs = reports.flatMap(({ sentAtUs }) => [...sentAtUs]).toSorted((a, b) => a - b)
    t.diagnostic(`SLUICE_SEED=${SEED} ${reports.map(({ sentAtUs, lost }) =>
      `${sentAtUs.length} sent, ${lost} lost`).join('; ')}`)
    assertPromiseAcrossPaces(timesUs.map((atUs) => ({ atUs, pacePerSecond })))
    const spanUs = (timesUs.at(-1) as number) - (timesUs[0] as number)
    assert.ok(timesUs.length <= sendsMax(spanUs, pacePerSecond))
    // A thread that was held up asks with an old time, which sends nothing; the others go on.
    const expected = (10_000_000 - PACE_TOLERANCE_US) * pacePerSecond / US_PER_SECOND
    assert.ok(timesUs.length > expected * 0.995, `SLUICE_SEED=${SEED}: ${timesUs.length} sends`)
    const senders = reports.filter(({ sentAtUs }) => sentAtUs.length > 0)
    assert.ok(senders.length > 1, 'the threads did not run at the same time')
  })
}

for (const concurrentMax of [1, 5]) {
  test(`three threads share ${concurrentMax} permits`, { timeout: GUARD_MS }, async (t) => {
    const memory = shardMemory(smallLimits({ shards: THREADS }))
    writeUpstream(memory.shared, 0, { concurrentMax })
    const held = new SharedArrayBuffer(4)
    const rounds = 500_000
    const reports = await run<TakerReport>(
      memory, { kind: 'taker', held, concurrentMax, rounds })
    t.diagnostic(`SLUICE_SEED=${SEED} ${JSON.stringify(reports)}`)
    for (const { wrong } of reports) {
      assert.equal(wrong, 0, `SLUICE_SEED=${SEED}: more permits out than there are`)
    }
    assert.ok(reports.some(({ sleeps }) => sleeps > 0), 'nobody ever slept')
    assert.equal(memory.shared.upstreams[UPSTREAM_IN_FLIGHT], 0)
    for (const { upstreams } of memory.shards) assert.equal(upstreams.inFlight[0], 0)
  })
}

test('what a killed thread held is given back, however the others spend', { timeout: GUARD_MS },
  async () => {
    const prng = new Prng(SEED)
    for (let death = 0; death < DEATHS; death++) {
      const memory = shardMemory(smallLimits({ shards: THREADS }))
      writeUpstream(memory.shared, 0, { concurrentMax: 1000 })
      const workers = startAll(memory, {
        kind: 'taker', held: new SharedArrayBuffer(4), concurrentMax: 1000, rounds: 200_000,
      })
      const others = workers.slice(1).map((worker) => once(worker, 'message'))
      const { progress } = memory.shards[0] as ShardViews
      // Early in its work, so that the others are still at theirs when it is dead.
      const killedAt = prng.between(1, 20_000)
      const operations = (): number => (progress[BUDGET_OPERATION] as number) >>> 15
      while (operations() < killedAt) await new Promise(setImmediate)
      await workers[0]?.terminate()
      new SharedBudgets(memory.shared, 0, memory.shards).recover()
      assert.equal(memory.shards[0]?.upstreams.inFlight[0], 0)
      await Promise.all(others)
      await Promise.all(workers.map((worker) => worker.terminate()))
      assert.equal(memory.shared.upstreams[UPSTREAM_IN_FLIGHT], 0,
        `SLUICE_SEED=${SEED}: death ${death} at operation ${killedAt}`)
    }
  })
