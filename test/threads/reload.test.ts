// Changing over to new code with real threads that run a scripted shard: what is refused and leaves
// all as it was, what is done, and threads that end in the midst of it.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { SystemClock } from '../../shards/base/clock.ts'
import { MIB } from '../../shards/base/units.ts'
import { planMemory } from '../../shards/memory/plan.ts'
import type { ShardSettings } from '../../shards/wire/contract.ts'
import type { ShardLoss } from '../../src/base/process-end.ts'
import { allocateMemory } from '../../src/engine/memory.ts'
import { type ShardDoor, Supervisor } from '../../src/engine/supervisor.ts'
import type { Script } from '../support/scripted-shard.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const SHARDS = 2
const GRACE_MS = 60_000
const SCRIPTED = new URL('../support/scripted-shard.ts', import.meta.url).href
const GOOD_BUILD = `export { default } from '${SCRIPTED}'\n`

interface Bench {
  readonly supervisor: Supervisor
  readonly doors: readonly ShardDoor[]
  readonly losses: ShardLoss[]
  /** Messages of the log, with their fields, in order. */
  readonly lines: (message: RegExp) => object[]
  /** The first line that says so. */
  readonly logs: (message: RegExp) => Promise<object>
  /** What the next threads find on the disk. */
  readonly build: (code: string) => void
}

const settingsOf = (script: Script): ShardSettings => ({ userAgent: script }) as ShardSettings

async function setUp(t: TestContext, script: Script = 'obeys'): Promise<Bench> {
  const plan = planMemory({
    memoryBytes: 128 * MIB, shards: SHARDS, bodyBytesMax: MIB, responseBytesMax: MIB,
  })
  assert.ok(plan.ok)
  const allocated = allocateMemory(plan.limits)
  assert.ok(allocated.ok)
  const file = path.join(temporaryFolder(t), 'build.mjs')
  const build = (code: string): void => writeFileSync(file, code)
  build(GOOD_BUILD)
  const logged: { message: string; fields: object }[] = []
  let look = (): void => {}
  const log = (fields: object, message: string): void => {
    logged.push({ fields, message })
    look()
  }
  const lines = (message: RegExp): object[] =>
    logged.filter((line) => message.test(line.message)).map(({ fields }) => fields)
  const logs = (message: RegExp): Promise<object> => new Promise((resolve) => {
    look = () => {
      const [first] = lines(message)
      if (first !== undefined) resolve(first)
    }
    look()
  })
  const losses: ShardLoss[] = []
  const doors: ShardDoor[] = Array.from({ length: SHARDS }, () => ({
    down: true, restarts: 0, lastRestart: null,
  }))
  const supervisor = new Supervisor({
    memory: allocated.memory, doors, seed: 40,
    settings: settingsOf(script), clock: new SystemClock(),
    log: { info: log, warn: log, error: log }, onLost: (loss) => { losses.push(loss) },
    workerFile: pathToFileURL(file),
  })
  t.after(() => supervisor.stop(0))
  assert.equal(await supervisor.start(), undefined)
  return { supervisor, doors, losses, lines, logs, build }
}

/** All shards are up, none was lost, and they stop with what they hold. */
async function assertWell({ supervisor, doors, losses }: Bench, restarts = 0): Promise<void> {
  assert.deepEqual(doors.map(({ down }) => down), [false, false])
  assert.deepEqual(doors.map((door) => door.restarts), [0, restarts])
  assert.deepEqual(losses, [])
  assert.deepEqual(await supervisor.stop(GRACE_MS), { queued: 10 + 11, cutOff: [] })
}

describe('a reload', () => {
  it('changes all shards over, and no shard counts as lost', async (t) => {
    const bench = await setUp(t)
    assert.deepEqual(await bench.supervisor.reload(), { ok: true })
    assert.equal(bench.supervisor.reloads, 1)
    assert.ok((bench.supervisor.lastReload?.downMs ?? Infinity) < 1000)
    assert.deepEqual(bench.lines(/a shard runs new code/).map((line) =>
      (line as { shard: number }).shard), [0, 1])
    await assertWell(bench)
  })

  it('can be done again and again, and takes the code that is there then', async (t) => {
    const bench = await setUp(t)
    const ran = path.join(temporaryFolder(t), 'ran')
    for (const build of ['first', 'second', 'third']) {
      bench.build("import { appendFileSync } from 'node:fs'\n" +
        `appendFileSync('${ran}', '${build}\\n')\n${GOOD_BUILD}`)
      assert.deepEqual(await bench.supervisor.reload(), { ok: true })
      assert.match(readFileSync(ran, 'utf8'), new RegExp(`${build}\n$`))
    }
    assert.equal(bench.supervisor.reloads, 3)
    await assertWell(bench)
  })

  it('waits at the end for an old thread that still relays', async (t) => {
    const bench = await setUp(t, 'relays')
    assert.deepEqual(await bench.supervisor.reload(settingsOf('obeys')), { ok: true })
    await assertWell(bench)
  })

  it('ends an old thread that relays to nobody and does not end itself', async (t) => {
    const bench = await setUp(t, 'relays-for-ever')
    assert.deepEqual(await bench.supervisor.reload(settingsOf('obeys')), { ok: true })
    assert.deepEqual(await bench.logs(/ended while it relayed/),
      { shard: 1, reason: 'it relayed nothing and went on' })
    await assertWell(bench)
  })

  it('is refused while one is under way', async (t) => {
    const bench = await setUp(t)
    const first = bench.supervisor.reload()
    assert.deepEqual(await bench.supervisor.reload(),
      { ok: false, reason: 'a reload is under way already' })
    assert.deepEqual(await first, { ok: true })
    await assertWell(bench)
  })

  it('is refused at the end', async (t) => {
    const bench = await setUp(t)
    const stopped = bench.supervisor.stop(GRACE_MS)
    assert.deepEqual(await bench.supervisor.reload(),
      { ok: false, reason: 'the server is ending' })
    await stopped
  })

  it('does not keep the server from ending, nor does it lose what shards report', async (t) => {
    const bench = await setUp(t)
    const reloaded = bench.supervisor.reload()
    assert.deepEqual(await bench.supervisor.stop(GRACE_MS), { queued: 10 + 11, cutOff: [] })
    assert.deepEqual(await reloaded, { ok: false, reason: 'the server is ending' })
    assert.deepEqual(bench.losses, [])
  })

  const builds: readonly (readonly [what: string, code: string, reason: RegExp])[] = [
    ['throws when it is loaded', `${GOOD_BUILD}throw new Error('a broken build')\n`,
      /does not start: .*a broken build/s],
    ['is no program', 'export default function (\n', /does not start: .*SyntaxError/s],
    ['lacks a file', `import './nowhere.mjs'\n${GOOD_BUILD}`, /does not start: .*nowhere\.mjs/s],
    ['has nothing to run', 'export const nothing = 1\n', /does not start: /],
  ]
  for (const [what, code, reason] of builds) {
    it(`is refused when the new code ${what}, and can be done later`, async (t) => {
      const bench = await setUp(t)
      bench.build(code)
      const outcome = await bench.supervisor.reload()
      assert.ok(!outcome.ok)
      assert.match(outcome.reason, reason)
      assert.equal(bench.supervisor.reloads, 0)
      assert.equal(bench.supervisor.lastReload, null)
      bench.build(GOOD_BUILD)
      assert.deepEqual(await bench.supervisor.reload(), { ok: true })
      await assertWell(bench)
    })
  }

  const marks: readonly (readonly [script: Script, reason: RegExp])[] = [
    ['other-layout', /speaks memory layout 77, the running server \d+; a restart is needed/],
    ['other-sizes', /other sizes/], ['other-baton', /takes over by baton 77/],
    ['dies-loading', /does not start: .*scripted failure/s],
    ['never-loads', /does not start: not loaded after 10 s/],
  ]
  for (const [script, reason] of marks) {
    it(`is refused by code that says ${script}`, async (t) => {
      const bench = await setUp(t)
      const outcome = await bench.supervisor.reload(settingsOf(script))
      assert.ok(!outcome.ok)
      assert.match(outcome.reason, reason)
      await assertWell(bench)
    })
  }

  for (const script of ['dies-handing-over', 'hangs-handing-over'] as const) {
    it(`replaces a thread that ${script}, and goes on`, async (t) => {
      const bench = await setUp(t, script)
      assert.deepEqual(await bench.supervisor.reload(settingsOf('obeys')), { ok: true })
      await bench.logs(/has taken over/)
      await assertWell(bench, 1)
    })
  }

  it('falls back on the old code when the new one cannot take over', async (t) => {
    const bench = await setUp(t)
    const outcome = await bench.supervisor.reload(settingsOf('dies-taking-over'))
    assert.ok(!outcome.ok)
    assert.match(outcome.reason, /could not take over shard 1: .*exited with code: 7/)
    await bench.logs(/has taken over/)
    await assertWell(bench, 1)
  })
})
