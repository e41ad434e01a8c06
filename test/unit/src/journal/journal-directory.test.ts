// What a data folder is taken for: new, Sluice's, or nobody's business.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { MIB } from '../../../../shards/base/units.ts'
import { type Limits, planMemory } from '../../../../shards/memory/plan.ts'
import { OperatingError } from '../../../../src/base/errors.ts'
import type { Log } from '../../../../src/base/log.ts'
import { DataDirectory, checkDirectory } from '../../../../src/journal/directory.ts'
import { IDENTITY_FILE, type Identity, readIdentity, writeIdentity } from
  '../../../../src/journal/identity.ts'
import { Journals } from '../../../../src/journal/journals.ts'
import { moveJobs } from '../../../../src/reshard/moving.ts'
import { MODEL_LIMITS } from '../../../support/journal-model.ts'
import { temporaryFolder } from '../../../support/temporary-folder.ts'

const silent: Log = { info: () => {}, warn: () => {}, error: () => {} }

/** The message that a call fails with. */
function refusal(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    assert.ok(error instanceof OperatingError, String(error))
    assert.equal(error.code, 'data_refused')
    return error.message
  }
  return assert.fail('it was not refused')
}

function identityOf(folder: string): Identity {
  open(folder)
  const identity = readIdentity(folder)
  assert.ok(identity !== undefined)
  return identity
}

const open = (folder: string): DataDirectory => DataDirectory.open(folder, MODEL_LIMITS, '1.2.3')

describe('a data folder', () => {
  it('is made with an identity that only its owner can read, and found again', (t) => {
    const folder = path.join(temporaryFolder(t), 'a', 'b')
    const first = open(folder)
    assert.equal(statSync(folder).mode & 0o777, 0o700)
    assert.equal(statSync(path.join(folder, IDENTITY_FILE)).mode & 0o777, 0o600)
    assert.equal(first.isWhole, false)
    mkdirSync(path.dirname(first.shardFolder(0)), { recursive: true })
    first.isComplete(MODEL_LIMITS)
    const again = open(folder)
    assert.equal(again.isWhole, true)
    assert.deepEqual(again.secret, first.secret)
    assert.deepEqual(again.limits, MODEL_LIMITS)
    assert.equal(again.shardFolder(3), path.join(folder, 'image-1', 'shard-3'))
  })

  it('may have the lock and a disk\'s own folder in it before it is one', (t) => {
    const folder = temporaryFolder(t)
    writeFileSync(path.join(folder, 'control.sock'), '')
    mkdirSync(path.join(folder, 'lost+found'))
    checkDirectory(folder)
  })

  it('is refused when it has other things in it, and left as it is', (t) => {
    const folder = temporaryFolder(t)
    writeFileSync(path.join(folder, 'thesis.txt'), 'forty pages')
    const message = refusal(() => checkDirectory(folder))
    assert.match(message, /is not empty \(thesis\.txt\) and has no sluice\.json/)
    assert.deepEqual(readdirSync(folder), ['thesis.txt'])
  })

  it('is refused when it is a file, with the system\'s reason', (t) => {
    const file = path.join(temporaryFolder(t), 'file')
    writeFileSync(file, '')
    assert.match(refusal(() => checkDirectory(file)), /cannot use the data folder .*file: E\w+/)
    const below = path.join(file, 'data')
    assert.match(refusal(() => checkDirectory(below)), /ENOTDIR/)
  })

  it('of an earlier form is refused, with the version that wrote it and what to do', (t) => {
    const folder = temporaryFolder(t)
    open(folder)
    const file = path.join(folder, IDENTITY_FILE)
    const { checksum: _sum, version: _version, ...rest } =
      JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
    writeFileSync(file, JSON.stringify({ ...rest, format: 1, madeBy: '0.0.9' }))
    const message = refusal(() => open(folder))
    assert.match(message, /has form 1, written by Sluice 0\.0\.9, and .* reads forms 2 to 3 only/)
    assert.match(message, /start Sluice 0\.0\.9 on the folder, finish its jobs with 'sluice drain'/)
  })

  it('of a later form is refused, with the version that wrote it', (t) => {
    const folder = temporaryFolder(t)
    const { image, isWhole, limits, secret } = identityOf(folder)
    writeIdentity(folder, { format: 7, version: '8.0.0', secret, limits, image, isWhole })
    assert.match(refusal(() => open(folder)),
      /has form 7, written by Sluice 8\.0\.0, .* forms 2 to 3 only/)
  })

  it('of form 2 becomes form 3 when it is opened, and is otherwise the same', (t) => {
    const folder = temporaryFolder(t)
    const made = identityOf(folder)
    writeIdentity(folder, { ...made, format: 2, version: '0.1.0', image: 4, isWhole: true })
    const directory = open(folder)
    assert.deepEqual(readIdentity(folder), { ...made, image: 4, isWhole: true })
    assert.equal(made.format, 3)
    assert.equal(directory.isWhole, true)
  })

  it('is refused when any character of its identity has changed', (t) => {
    const folder = temporaryFolder(t)
    open(folder)
    const file = path.join(folder, IDENTITY_FILE)
    const text = readFileSync(file, 'latin1')
    for (let at = 0; at < text.length; at++) {
      const other = text[at] === '1' ? '2' : '1'
      writeFileSync(file, text.slice(0, at) + other + text.slice(at + 1), 'latin1')
      assert.match(refusal(() => open(folder)), /sluice\.json is damaged: restore/)
    }
  })

  it('is refused when its identity is cut off or something else', (t) => {
    const folder = temporaryFolder(t)
    open(folder)
    const file = path.join(folder, IDENTITY_FILE)
    for (const text of ['', '{', '[]', '{"format": 3}', readFileSync(file, 'utf8').slice(0, -9)]) {
      writeFileSync(file, text)
      assert.match(refusal(() => open(folder)), /sluice\.json is damaged/)
    }
  })

  it('loses images that were never finished, and the one that another replaces', (t) => {
    const folder = temporaryFolder(t)
    const directory = open(folder)
    for (const image of [1, 2, 3]) {
      mkdirSync(directory.shardFolder(0, image), { recursive: true })
    }
    const again = open(folder)
    assert.equal(again.nextImage, 2)
    assert.equal(existsSync(path.join(folder, 'image-3')), false)
    mkdirSync(again.shardFolder(0, 2), { recursive: true })
    again.change(2, { ...MODEL_LIMITS, jobsMax: 200 })
    assert.equal(existsSync(path.join(folder, 'image-1')), false)
    assert.equal(open(folder).limits.jobsMax, 200)
    assert.equal(open(folder).shardFolder(0), path.join(folder, 'image-2', 'shard-0'))
  })
})

describe('memory of another size', () => {
  const planned = (memoryMib: number, shards: number): Limits => {
    const plan = planMemory({
      memoryBytes: memoryMib * MIB, shards, bodyBytesMax: MIB, responseBytesMax: MIB,
    })
    assert.ok(plan.ok)
    return plan.limits
  }
  const start = async (
    folder: string, limits: Limits, shards = true, memory = true,
  ): Promise<Limits> => {
    const journals = await Journals.open({
      folder, mode: 'interval', intervalMs: 100, version: '1.2.3', isGiven: { shards, memory },
    }, limits, silent, () => {}, moveJobs)
    return journals.limits
  }

  it('holds the image when it has more of everything', async (t) => {
    const folder = temporaryFolder(t)
    const limits = planned(4096, 2)
    await start(folder, limits)
    const more = { ...limits, jobsMax: limits.jobsMax + 1, segmentsMax: limits.segmentsMax + 1 }
    assert.deepEqual(await start(folder, more), more)
  })

  it('does not hold the image when users fall into other groups, though it has more lanes', (t) => {
    const folder = temporaryFolder(t)
    const limits = planned(300, 2)
    DataDirectory.open(folder, limits, '1.2.3')
    const misfit = (lanesMax: number): string | undefined => Journals.misfit({
      folder, mode: 'interval', intervalMs: 100, version: '1.2.3',
      isGiven: { shards: true, memory: true },
      // No memory that could be planned anew.
    }, { ...limits, lanesMax, memoryBytes: 0 })
    assert.equal(misfit(limits.lanesMax + 1), undefined)
    assert.match(misfit(4 * limits.lanesMax) ?? '', /^--memory 0 B where the running server has /)
  })

  it('is that of the image where nobody has asked for another', async (t) => {
    const folder = temporaryFolder(t)
    const limits = planned(300, 2)
    await start(folder, limits)
    assert.deepEqual(await start(folder, planned(290, 2), true, false), limits)
    assert.deepEqual(await start(folder, planned(300, 3), false, true), limits)
    assert.deepEqual(await start(folder, planned(512, 1), false, false), limits)
  })
})
