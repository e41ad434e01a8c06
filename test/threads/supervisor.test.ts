// The supervisor with real threads that run a scripted shard: starting, stopping within and beyond
// the grace period, and every way in which a thread can end by itself.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import type { ShardSettings } from '../../shards/contract.ts'
import { SystemClock } from '../../shards/clock.ts'
import { planMemory } from '../../shards/limits.ts'
import { MIB, type Micros } from '../../shards/units.ts'
import { allocateMemory } from '../../src/memory.ts'
import { type ShardLoss, Supervisor } from '../../src/supervisor.ts'
import type { Script } from '../support/scripted-shard.ts'

const SHARDS = 2
const GRACE_MS = 60_000

interface Bench {
  readonly supervisor: Supervisor
  readonly doors: readonly { down: boolean }[]
  readonly logged: { fields: object; message: string }[]
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
  const logged: Bench['logged'] = []
  const log = (fields: object, message: string): void => void logged.push({ fields, message })
  const { promise: lost, resolve } = Promise.withResolvers<ShardLoss>()
  const losses: ShardLoss[] = []
  const doors = Array.from({ length: SHARDS }, () => ({ down: true }))
  const supervisor = new Supervisor({
    memory: allocated.memory, doors, seed: 40, wallOffsetUs: 0 as Micros,
    settings: { userAgent: script } as ShardSettings,
    clock: new SystemClock(0), log: { info: log, warn: log, error: log },
    onLost: (loss) => {
      losses.push(loss)
      resolve(loss)
    },
    workerFile: new URL('../support/scripted-shard.ts', import.meta.url),
  })
  t.after(() => supervisor.stop(0))
  return { supervisor, doors, logged, lost, losses }
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

  const ends: readonly (readonly [script: Script, cause: RegExp])[] = [
    ['throws', /scripted failure/], ['exits', /exited with code: 7/], ['returns', /ended early/],
    ['never-ready', /scripted failure/],
  ]
  for (const [script, cause] of ends) {
    it(`reports a shard that ${script}, once, and keeps the others`, async (t) => {
      const bench = setUp(t, script)
      const started = await bench.supervisor.start()
      const loss = await bench.lost
      if (script === 'never-ready') assert.equal(started, loss)
      assert.equal(loss.shard, 1)
      assert.match(String(loss.cause), cause)
      assert.deepEqual(isDown(bench), [false, true])
      const { queued } = await bench.supervisor.stop(GRACE_MS)
      assert.equal(queued, script === 'returns' ? 10 + 5 : 10)
      assert.equal(bench.losses.length, 1)
    })
  }

  it('runs a lost shard again on the same memory', async (t) => {
    const bench = setUp(t, 'throws')
    await bench.supervisor.start()
    await bench.lost
    const again = await bench.supervisor.runShard(1)
    // The script fails right after it is ready, and the two are told on different ports: what
    // counts is that the shard's own code ran once more.
    if (again !== undefined) assert.match(String(again.cause), /scripted failure/)
  })
})
