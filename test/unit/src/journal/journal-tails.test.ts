// What a start makes of tails and stores that are not as they should be.

import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import type { Micros } from '../../../../shards/base/units.ts'
import { readExtent } from '../../../../shards/journal/extent-file.ts'
import { TABLE_JOBS } from '../../../../shards/journal/journal-format.ts'
import { EXTENT_FILE, STORE_FOLDER } from '../../../../shards/journal/tail-names.ts'
import { JOBS_FRESH } from '../../../../shards/memory/crash-notes.ts'
import { JOB_QUEUED } from '../../../../shards/store/job-slots.ts'
import { JournalStore } from '../../../../src/journal/store.ts'
import {
  BATCH_JOBS, JournalScene, NOW_US, type SceneStart,
} from '../../../support/journal-scene.ts'
import { type Cleanup } from '../../../support/server.ts'
import { temporaryFolder } from '../../../support/temporary-folder.ts'

const BOOT = 'one'
const LATER_BOOT = 'two'

/** A scene that has been started once, so that its store belongs to a boot. */
async function begun(t: Cleanup): Promise<JournalScene> {
  const scene = new JournalScene(temporaryFolder(t))
  assert.ok((await scene.start(BOOT)).ok)
  return scene
}

function good(start: SceneStart): SceneStart & { ok: true } {
  assert.ok(start.ok, start.ok ? '' : start.problem)
  return start
}

function problemOf(start: SceneStart): string {
  assert.ok(!start.ok, 'the start was not refused')
  return start.problem
}

describe('tails', () => {
  it('are in the store after a start, and the newest one\'s name stays', async (t) => {
    const scene = await begun(t)
    scene.write(1, 5)
    scene.write(2, 5)
    const { state, views } = good(await scene.start(BOOT))
    scene.model.equals(views, NOW_US)
    assert.deepEqual(state, { boot: BOOT, tail: 2, sequence: 10, accepted: 10 * BATCH_JOBS })
    assert.deepEqual(readdirSync(scene.folder).sort(),
      [EXTENT_FILE, STORE_FOLDER, path.basename(scene.fileOf(2))])
    assert.equal(readFileSync(scene.fileOf(2)).length, 0)
  })

  it('leave a name even where the last of them was lost', async (t) => {
    const scene = await begun(t)
    scene.write(7, 3)
    good(await scene.start(BOOT))
    rmSync(scene.fileOf(7))
    good(await scene.start(BOOT))
    assert.ok(existsSync(scene.fileOf(7)))
  })

  it('may lack batches only after a stop of the machine, and then it is told', async (t) => {
    const scene = await begun(t)
    scene.write(1, 3)
    scene.next()
    const bytes = scene.write(2, 4).length
    assert.equal(bytes, 4)
    assert.match(problemOf(await scene.start(BOOT)),
      /tail-0+2 begins with batch 5, where 4 should come\. Restore .*file and extent, .* from 4 on/)
    const size = readFileSync(scene.fileOf(2)).length
    const { dropped, state } = good(await scene.start(LATER_BOOT))
    assert.deepEqual(dropped, {
      batches: 4, bytes: size, jobs: 5 * BATCH_JOBS, file: scene.fileOf(2), hasStopped: true,
    })
    assert.equal(state.sequence, 3)
    assert.equal(good(await scene.start(LATER_BOOT)).dropped, null)
  })

  it('go on after a gap with new tails', async (t) => {
    const scene = await begun(t)
    scene.write(1, 3)
    scene.next()
    scene.write(2, 4)
    good(await scene.start(LATER_BOOT))
    scene.sequence = 3
    scene.model.change()
    scene.write(3, 2)
    const { state } = good(await scene.start(LATER_BOOT))
    assert.deepEqual(state, { boot: LATER_BOOT, tail: 3, sequence: 5, accepted: 5 * BATCH_JOBS })
  })

  it('that are damaged in the middle are refused, with the place', async (t) => {
    const scene = await begun(t)
    const [, , third] = scene.write(1, 5)
    scene.damage(1, (third ?? 0) + 60)
    const problem = problemOf(await scene.start(BOOT))
    assert.ok(problem.startsWith(`${scene.fileOf(1)} is damaged at byte ${third}`), problem)
    assert.match(problemOf(await scene.start(LATER_BOOT)), /is damaged at byte/)
  })

  it('with pages that were never written end there, after a stop of the machine', async (t) => {
    const scene = await begun(t)
    scene.write(1, 60)
    const bytes = readFileSync(scene.fileOf(1))
    const page = 4096 * Math.floor(bytes.length / 2 / 4096)
    bytes.fill(0, page, page + 4096)
    writeFileSync(scene.fileOf(1), bytes)
    assert.match(problemOf(await scene.start(BOOT)), /is damaged at byte/)
    const { dropped, state } = good(await scene.start(LATER_BOOT))
    assert.ok(dropped !== null && state.sequence > 0)
    assert.ok(dropped.batches > 0 && dropped.bytes >= bytes.length - page)
  })

  it('that are missing at the end are refused by what was noted of them', async (t) => {
    const scene = await begun(t)
    scene.write(1, 3)
    scene.note(1)
    good(await scene.start(BOOT))
    const starts = scene.write(2, 4)
    scene.note(2)
    const bytes = readFileSync(scene.fileOf(2))
    rmSync(scene.fileOf(2))
    assert.match(problemOf(await scene.start(BOOT)), /tail-0+2 is missing, and batch 7 had been /)
    writeFileSync(scene.fileOf(2), bytes.subarray(0, starts[3]))
    assert.match(problemOf(await scene.start(BOOT)), new RegExp('tail-0+2 ends with batch 6, and ' +
      `batch 7 had been written .missing batches: 1; new jobs in them: ${BATCH_JOBS}.. Restore .*` +
      'remove /.*/extent, and what .* from 7 on have said is lost'))
    writeFileSync(scene.fileOf(2), bytes)
    assert.equal(good(await scene.start(BOOT)).dropped, null)
  })

  it('are refused when what was noted is damaged, unless the machine has stopped', async (t) => {
    const scene = await begun(t)
    scene.write(1, 3)
    scene.note(1)
    const file = path.join(scene.folder, EXTENT_FILE)
    const bytes = readFileSync(file)
    bytes[3] = 1
    writeFileSync(file, bytes)
    rmSync(scene.fileOf(1))
    assert.match(problemOf(await scene.start(BOOT)), new RegExp('extent is damaged, so that ' +
      'nothing tells whether batches behind 0 are missing. Restore .* remove /.*/extent'))
    assert.ok(good(await scene.start(LATER_BOOT)))
  })

  it('go on with what is there when what was noted of them is removed too', async (t) => {
    const scene = await begun(t)
    scene.write(1, 3)
    scene.note(1, 8)
    rmSync(path.join(scene.folder, EXTENT_FILE))
    assert.equal(good(await scene.start(BOOT)).state.sequence, 3)
    assert.deepEqual(readExtent(scene.folder), { tail: 1, sequence: 3, accepted: 3 * BATCH_JOBS })
  })
})

describe('a store', () => {
  it('is brought to the clock of another boot, once, as if no time had passed', async (t) => {
    const scene = await begun(t)
    const { acceptedS, state, timeUs } = scene.model.views.jobs
    for (const slot of state.keys()) state[slot] = slot % 2 + JOB_QUEUED
    timeUs.fill(7e6)
    scene.write(1, 5)
    // Of a machine that has just started.
    const shiftUs = 3e6 - NOW_US
    const isQueued = (slot: number): boolean => ((state[slot] as number) & 0xff) === JOB_QUEUED
    assert.ok([...state.keys()].some((slot) => isQueued(slot) && timeUs[slot] === 7e6))
    for (const boot of [LATER_BOOT, LATER_BOOT]) {
      const { views } = good(await scene.start(boot, 3e6 as Micros))
      const fresh = views.progress[JOBS_FRESH] as number
      for (let slot = 0; slot < fresh; slot++) {
        if (views.jobs.state[slot] === 0) continue // of a page that was not written
        assert.equal(views.jobs.timeUs[slot],
          (timeUs[slot] as number) + (isQueued(slot) ? 0 : shiftUs), `slot ${slot}`)
        assert.equal(views.jobs.acceptedS[slot],
          ((acceptedS[slot] as number) + shiftUs / 1e6) >>> 0, `slot ${slot}`)
      }
      assert.deepEqual(views.lanes.lastSendUs,
        scene.model.views.lanes.lastSendUs.map((us) => us === 0 ? 0 : us + shiftUs))
    }
  })

  it('is brought to a clock of the same boot that is behind', async (t) => {
    const scene = await begun(t)
    scene.write(1, 5)
    const { views } = good(await scene.start(BOOT, (NOW_US - 1e6) as Micros))
    assert.deepEqual(views.lanes.lastSendUs,
      scene.model.views.lanes.lastSendUs.map((us) => us === 0 ? 0 : us - 1e6))
  })

  it('is refused when a row has lost its meaning', async (t) => {
    const scene = await begun(t)
    scene.write(1, 5)
    good(await scene.start(BOOT))
    await scene.withStore((store, state) => store.commit(state, () => {
      store.put(TABLE_JOBS, 0, 0, Buffer.alloc(100), 0, 100)
    }))
    assert.match(problemOf(await scene.start(BOOT)), /a page of 100 bytes \(table 2, key 0, 0\)/)
  })

  it('is refused when a row is damaged', async (t) => {
    const scene = await begun(t)
    scene.model.views.jobs.idHigh.fill(0x5ea1ed00)
    for (let batches = 0; batches < 10; batches++) scene.write(1, 10)
    good(await scene.start(BOOT))
    const file = path.join(scene.folder, 'store', 'data.mdb')
    const bytes = readFileSync(file)
    // Pages that are no longer in use have it too.
    for (let at = bytes.indexOf('00eda15e', 0, 'hex'); at >= 0;
      at = bytes.indexOf('00eda15e', at + 1, 'hex')) bytes[at] = 1
    writeFileSync(file, bytes)
    assert.match(problemOf(await scene.start(BOOT)), /data\.mdb: a row is damaged \(table 2/)
  })

  it('is refused when it is no store, or has lost its end, before lmdb sees it', async (t) => {
    const scene = await begun(t)
    scene.write(1, 30)
    good(await scene.start(BOOT))
    const folder = path.join(scene.folder, 'store')
    const file = path.join(folder, 'data.mdb')
    const bytes = readFileSync(file)
    const refused = (pattern: RegExp): void => {
      const opened = JournalStore.open(folder, 2 ** 20, true)
      assert.ok(!opened.ok)
      assert.match(opened.problem, pattern)
    }
    truncateSync(file, 4096 * 3)
    refused(/data\.mdb: it has 12288 bytes and should have \d+/)
    truncateSync(file, 100)
    refused(/it ends before its second page/)
    writeFileSync(file, Buffer.alloc(bytes.length, 7))
    refused(/it is no lmdb file/)
    bytes.writeUInt32LE(9, 28)
    writeFileSync(file, bytes)
    refused(/it has version 9 of lmdb's format, not 2/)
    rmSync(file)
    const opened = JournalStore.open(folder, 2 ** 20, false)
    assert.ok(!opened.ok)
    assert.match(opened.problem, /it is missing/)
  })
})
