// Compactors in threads of their own: they load a shard's journal, take its tails while it grows,
// and say why they cannot.

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { allocateShard, attachShard, type ShardViews } from '../../shards/memory/layout.ts'
import { Compactors } from '../../src/journal/compactors.ts'
import { MODEL_LIMITS } from '../support/journal-model.ts'
import { JournalScene } from '../support/journal-scene.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const BOOT = 'one'

interface Started {
  readonly compactors: Compactors
  readonly views: ShardViews
  readonly told: string[]
}

function start(t: TestContext, scene: JournalScene, mayMake = true): Started {
  const views = attachShard(allocateShard(MODEL_LIMITS), MODEL_LIMITS)
  const told: string[] = []
  const tell = (_fields: object, message: string): void => { told.push(message) }
  const compactors = new Compactors({
    limits: MODEL_LIMITS, memories: [views.buffer], shardFolder: () => scene.folder, mayMake,
    boot: BOOT, log: { info: tell, warn: tell, error: tell },
  })
  t.after(() => compactors.stop())
  return { compactors, views, told }
}

describe('a compactor', () => {
  it('loads what the tails say, and tells the upstreams first', async (t) => {
    const scene = new JournalScene(temporaryFolder(t))
    scene.write(1, 40)
    const { compactors, views } = start(t, scene)
    const known = await compactors.known
    assert.ok(known.ok && (known.value[0]?.size ?? 0) > 0)
    const loaded = await compactors.loaded
    assert.deepEqual(loaded, { ok: true, value: [40] })
    assert.deepEqual(views.jobs.idHigh, scene.model.views.jobs.idHigh)
    assert.equal(compactors.statuses[0]?.isLoaded, true)
  })

  it('takes every tail but the newest while the shard goes on', async (t) => {
    const scene = new JournalScene(temporaryFolder(t))
    const { compactors } = start(t, scene)
    assert.deepEqual(await compactors.loaded, { ok: true, value: [0] })
    for (const tail of [1, 2, 3]) scene.write(tail, 20)
    while (compactors.statuses[0]?.tails !== 1) await pause(20)
    await compactors.stop()
    const again = await start(t, scene, false).compactors.loaded
    assert.deepEqual(again, { ok: true, value: [60] })
  })

  it('lets tails lie that it cannot take, says so once, and takes them when it can', async (t) => {
    const scene = new JournalScene(temporaryFolder(t))
    const { compactors, told } = start(t, scene)
    await compactors.loaded
    scene.write(1, 5)
    const missing = scene.next()
    scene.write(2, 5)
    scene.write(3, 5)
    while (compactors.statuses[0]?.trouble === null) await pause(20)
    assert.match(compactors.statuses[0]?.trouble ?? '', /tail-0+2 begins with batch 7/)
    assert.deepEqual(told, ['the journal cannot be taken into its store; it grows until it can'])
    writeFileSync(scene.fileOf(1), missing)
    while (compactors.statuses[0]?.tails !== 1) await pause(20)
    assert.equal(compactors.statuses[0]?.trouble, null)
  })

  it('refuses a shard without a store where there should be one', async (t) => {
    const scene = new JournalScene(temporaryFolder(t))
    const { compactors } = start(t, scene, false)
    for (const part of [await compactors.known, await compactors.loaded]) {
      assert.ok(!part.ok)
      assert.match(part.problem, /store\/data\.mdb: it is missing/)
    }
  })

  it('refuses a store that lmdb did not write', async (t) => {
    const scene = new JournalScene(temporaryFolder(t))
    mkdirSync(path.join(scene.folder, 'store'))
    writeFileSync(path.join(scene.folder, 'store', 'data.mdb'), Buffer.alloc(40_000, 1))
    const loaded = await start(t, scene).compactors.loaded
    assert.ok(!loaded.ok)
    assert.match(loaded.problem, /it is no lmdb file/)
  })
})
