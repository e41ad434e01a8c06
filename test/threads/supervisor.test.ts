// The supervisor with real threads that run a scripted shard: starting, stopping within and beyond
// the grace period, and every way in which a thread can end by itself and is replaced.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { SystemClock } from '../../shards/base/clock.ts'
import { MIB } from '../../shards/base/units.ts'
import { planMemory } from '../../shards/memory/plan.ts'
import type { ShardSettings } from '../../shards/wire/contract.ts'
import type { ShardLoss } from '../../src/base/process-end.ts'
import { allocateMemory } from '../../src/engine/memory.ts'
import { type ShardDoor, Supervisor } from '../../src/engine/supervisor.ts'
import { RECOVERED, type Script } from '../support/scripted-shard.ts'

const SHARDS = 2
const GRACE_MS = 60_000

interface Line {
  readonly fields: object
  readonly message: string
}

interface Bench {
  readonly supervisor: Supervisor
  readonly doors: readonly ShardDoor[]
  readonly logged: Line[]
  /** The first line that says so. */
  readonly logs: (message: RegExp) => Promise<Line>
  /** The first loss, and all of them. */
  readonly lost: Promise<ShardLoss>
  readonly losses: ShardLoss[]
}

function setUp(t: TestContext, script: Script): Bench {
  const plan = planMemory({
    memoryBytes: 128 * MIB, shards: SHARDS, bodyBytesMax: MIB, responseBytesMax: MIB,
  })
  assert.ok(plan.ok)
  const allocated = allocateMemory(plan.limits)
  assert.ok(allocated.ok)
  const logged: Line[] = []
  let look = (): void => {}
  const log = (fields: object, message: string): void => {
    logged.push({ fields, message })
    look()
  }
  const logs = (message: RegExp): Promise<Line> => new Promise((resolve) => {
    look = () => {
      const line = logged.find((other) => message.test(other.message))
      if (line !== undefined) resolve(line)
    }
    look()
  })
  const { promise: lost, resolve } = Promise.withResolvers<ShardLoss>()
  const losses: ShardLoss[] = []
  const doors: ShardDoor[] = Array.from({ length: SHARDS }, () => ({
    down: true, restarts: 0, lastRestart: null,
  }))
  const supervisor = new Supervisor({
    memory: allocated.memory, doors, seed: 40,
    settings: { userAgent: script } as ShardSettings,
    clock: new SystemClock(), log: { info: log, warn: log, error: log },
    onLost: (loss) => {
      losses.push(loss)
      resolve(loss)
    },
    heapMibMax: 64,
    workerFile: new URL('../support/scripted-shard.ts', import.meta.url),
  })
  t.after(() => supervisor.stop(0))
  return { supervisor, doors, logged, logs, lost, losses }
}

const isDown = ({ doors }: Bench): readonly boolean[] => doors.map((door) => door.down)

describe('supervisor', () => {
  it('starts all shards, marks them up, and passes their logs on', async (t) => {
    const bench = setUp(t, 'obeys')
    assert.equal(await bench.supervisor.start(), undefined)
    assert.deepEqual(isDown(bench), [false, false])
    const lines = bench.logged.map(({ fields }) => JSON.stringify(fields)).sort()
    assert.deepEqual(lines, ['{"shard":0,"seed":40}', '{"shard":1,"seed":41}'])
  })

  it('stops all shards and adds up what they still held', async (t) => {
    const bench = setUp(t, 'obeys')
    await bench.supervisor.start()
    assert.deepEqual(await bench.supervisor.stop(GRACE_MS), { queued: 10 + 11, cutOff: [] })
    assert.deepEqual(isDown(bench), [true, true])
    assert.deepEqual(bench.losses, [], 'an end that was asked for is no loss')
  })

  it('cuts off a shard that does not stop in time', async (t) => {
    const bench = setUp(t, 'ignores-stop')
    await bench.supervisor.start()
    assert.deepEqual(await bench.supervisor.stop(50), { queued: 10 + 100, cutOff: [1] })
    assert.deepEqual(bench.losses, [])
  })

  it('gives up a shard that never was ready', async (t) => {
    const bench = setUp(t, 'never-ready')
    const started = await bench.supervisor.start()
    const loss = await bench.lost
    assert.deepEqual(started, loss)
    assert.equal(loss.shard, 1)
    assert.match(loss.reason, /scripted failure/)
    assert.deepEqual(isDown(bench), [false, true])
  })

  const ends: readonly (readonly [script: Script, reason: RegExp])[] = [
    ['throws', /scripted failure/], ['exits', /exited with code: 7/], ['returns', /ended early/],
    ['breaks', /^scripted assertion$/], ['hangs', /no sign of life/],
    ['fills-heap', /out of memory|ERR_WORKER_OUT_OF_MEMORY|heap/],
  ]
  for (const [script, reason] of ends) {
    it(`replaces the thread of a shard that ${script}, on the same memory`, async (t) => {
      const bench = setUp(t, script)
      await bench.supervisor.start()
      const { fields } = await bench.logs(/has taken over/)
      const door = bench.doors[1] as ShardDoor
      assert.equal(door.restarts, 1)
      assert.match(door.lastRestart?.reason ?? '', reason)
      const { down_ms: downMs, ...rest } = fields as { down_ms: number }
      assert.equal(downMs, door.lastRestart?.downMs)
      // What was promised is 100 ms on a machine that has nothing else to do.
      assert.ok(downMs < 1000, `${downMs} ms`)
      assert.deepEqual(rest, {
        shard: 1, recovery_ms: RECOVERED.ms, jobs: RECOVERED.jobs,
        sent_again: RECOVERED.inFlight, webhooks: RECOVERED.webhooks,
        finished: RECOVERED.finished,
      })
      assert.deepEqual(isDown(bench), [false, false])
      assert.deepEqual(bench.doors[0]?.restarts, 0)
      const { queued } = await bench.supervisor.stop(GRACE_MS)
      assert.equal(queued, script === 'returns' ? 10 + 11 + 5 : 10 + 11)
      assert.deepEqual(bench.losses, [])
    })
  }

  it('gives up when threads end more than three times in five seconds', async (t) => {
    const bench = setUp(t, 'throws-always')
    await bench.supervisor.start()
    const loss = await bench.lost
    assert.deepEqual([loss.shard, loss.deaths], [1, 4])
    assert.match(loss.reason, /scripted failure/)
    assert.equal(bench.doors[1]?.restarts, 3)
    assert.deepEqual(isDown(bench), [false, true])
    assert.equal(bench.losses.length, 1)
  })
})
