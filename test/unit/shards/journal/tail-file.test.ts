// Tail files on a real disk: what was appended is there, in order, in files of their own for each
// thread; what cannot be written is said, and written again later at the same place.

import assert from 'node:assert/strict'
import {
  existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { type Micros, type Millis, msToUs } from '../../../../shards/base/units.ts'
import { readExtent } from '../../../../shards/journal/extent-file.ts'
import { type NamedFile, findGone, presentFile } from '../../../../shards/journal/named-files.ts'
import { TailFile } from '../../../../shards/journal/tail-file.ts'
import { EXTENT_FILE, STORE_FILE, STORE_FOLDER, tailName, tailNumber } from
  '../../../../shards/journal/tail-names.ts'
import { JOURNAL_ACCEPTED, JOURNAL_SEQUENCE } from '../../../../shards/memory/journal-words.ts'
import { JOURNAL_WORDS } from '../../../../shards/memory/layout.ts'
import {
  JOURNAL_EXTENT_MS, JOURNAL_LOOK_MS, JOURNAL_TAIL_BYTES_MAX,
} from '../../../../shards/memory/limits.ts'
import { VirtualTime } from '../../../sim/virtual-time.ts'
import { temporaryFolder } from '../../../support/temporary-folder.ts'

const INTERVAL_MS = 100 as Millis

function tailIn(directory: string, always = false): {
  tail: TailFile
  time: VirtualTime
  trouble: string[]
  words: Float64Array
} {
  const time = new VirtualTime()
  const clock = time.clock()
  const trouble: string[] = []
  const onTrouble = (error: Error | null): void => { trouble.push(error?.message ?? 'over') }
  const words = new Float64Array(JOURNAL_WORDS)
  const options = { directory, always, intervalMs: INTERVAL_MS, clock, words, onTrouble }
  return { time, trouble, words, tail: new TailFile(options) }
}

const append = (tail: TailFile, bytes: Buffer): Promise<Error | null> =>
  new Promise((resolve) => tail.append(bytes, resolve))

test('what is appended stands in one file, in order', async (context) => {
  const directory = temporaryFolder(context)
  for (const always of [false, true]) {
    const { tail } = tailIn(directory, always)
    assert.equal(await append(tail, Buffer.from('first ')), null)
    assert.equal(await append(tail, Buffer.from('second')), null)
    await tail.close()
  }
  assert.deepEqual(readdirSync(directory), [EXTENT_FILE, tailName(1), tailName(2)])
  for (const name of [tailName(1), tailName(2)]) {
    assert.equal(readFileSync(path.join(directory, name), 'utf8'), 'first second')
    assert.equal(statSync(path.join(directory, name)).mode & 0o777, 0o600)
  }
})

test('a tail that has grown large is followed by the next', async (context) => {
  const directory = temporaryFolder(context)
  const { tail } = tailIn(directory)
  assert.equal(await append(tail, Buffer.alloc(JOURNAL_TAIL_BYTES_MAX)), null)
  assert.equal(await append(tail, Buffer.from('next')), null)
  await tail.close()
  assert.equal(readFileSync(path.join(directory, tailName(2)), 'utf8'), 'next')
})

test('a directory that is gone is an error until it is back', async (context) => {
  const directory = path.join(temporaryFolder(context), 'gone')
  mkdirSync(directory)
  const { tail, trouble } = tailIn(directory)
  rmSync(directory, { recursive: true })
  assert.match(String(await append(tail, Buffer.from('lost?'))), /ENOENT/)
  mkdirSync(directory)
  assert.equal(await append(tail, Buffer.from('kept')), null)
  await tail.close()
  assert.equal(readFileSync(path.join(directory, tailName(1)), 'utf8'), 'kept')
  assert.equal(trouble.length, 2)
  assert.match(trouble.join(), /ENOENT.*,over$/)
})

function lookLater(tail: TailFile, time: VirtualTime): void {
  time.after(msToUs(JOURNAL_LOOK_MS), () => tail.tick(time.nowUs()))
  time.step(Infinity)
}

/** Looks at the files until they are found gone, or there; one begun earlier is not counted on. */
async function look(tail: TailFile, time: VirtualTime, until: boolean): Promise<void> {
  while (tail.isLost !== until) {
    lookLater(tail, time)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const goneOf = (file: NamedFile): Promise<Error | null> =>
  new Promise((resolve) => findGone([file], resolve))

test('a file is gone when its name is removed, or stands for another', async (context) => {
  const directory = temporaryFolder(context)
  const name = path.join(directory, 'file')
  writeFileSync(name, '')
  const file = presentFile(name) as NamedFile
  assert.equal(await goneOf(file), null)
  renameSync(name, `${name}-aside`)
  assert.match(String(await goneOf(file)), /has been removed or replaced/)
  writeFileSync(name, '')
  assert.match(String(await goneOf(file)), /has been removed or replaced/)
  renameSync(`${name}-aside`, name)
  assert.equal(await goneOf(file), null)
})

test('nothing is appended to a file that is gone, until it is back', async (context) => {
  for (const always of [false, true]) {
    const parent = temporaryFolder(context)
    const directory = path.join(parent, 'data')
    const aside = path.join(parent, 'aside')
    mkdirSync(directory)
    const { tail, time, trouble } = tailIn(directory, always)
    assert.equal(await append(tail, Buffer.from('kept')), null)
    renameSync(directory, aside)
    await look(tail, time, true)
    const gone = path.join(directory, tailName(1))
    const error = String(await append(tail, Buffer.from('no')))
    assert.ok(error.includes(`${gone} has been removed`), error)
    renameSync(aside, directory)
    await look(tail, time, false)
    assert.equal(await append(tail, Buffer.from(' too')), null)
    assert.equal(readFileSync(gone, 'utf8'), 'kept too')
    assert.deepEqual(trouble.map((text) => text === 'over'), [false, true])
    await tail.close()
  }
})

test('a store that is gone counts like a tail', async (context) => {
  const directory = temporaryFolder(context)
  const store = path.join(directory, STORE_FOLDER, STORE_FILE)
  mkdirSync(path.dirname(store))
  writeFileSync(store, '')
  const { tail, time } = tailIn(directory)
  rmSync(store)
  await look(tail, time, true)
  assert.match(String(await append(tail, Buffer.from('no'))), /store.data\.mdb has been removed/)
  await tail.close()
})

test('a batch that was being written when its file was found gone is none', async (context) => {
  const directory = temporaryFolder(context)
  const { tail, time } = tailIn(directory)
  assert.equal(await append(tail, Buffer.from('kept')), null)
  rmSync(path.join(directory, tailName(1)))
  // Whichever comes first, the look or the write: once the loss is known, no batch is appended.
  lookLater(tail, time)
  for (let left = 1000; left > 0; left--) {
    const error = await append(tail, Buffer.from('lost?'))
    assert.equal(error !== null, tail.isLost)
    if (error !== null) break
  }
  assert.ok(tail.isLost)
  await tail.close()
})

test('a directory that is gone from the beginning is not made', async (context) => {
  const directory = path.join(temporaryFolder(context), 'gone')
  const { tail } = tailIn(directory)
  assert.ok(tail.isLost)
  assert.match(String(await append(tail, Buffer.from('no'))), /gone has been removed/)
  await tail.close()
  assert.equal(existsSync(directory), false)
})

test('how far the tails reach is noted now and then, and at the end', async (context) => {
  const directory = temporaryFolder(context)
  const { tail, time, words } = tailIn(directory)
  const written = async (sequence: number): Promise<void> => {
    assert.equal(await append(tail, Buffer.from('batch')), null)
    words[JOURNAL_SEQUENCE] = sequence
    words[JOURNAL_ACCEPTED] = 10 * sequence
  }
  const noted = async (sequence: number): Promise<void> => {
    while (readExtent(directory)?.sequence !== sequence) {
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await written(1)
  tail.tick(time.nowUs())
  await noted(1)
  await written(2)
  tail.tick(time.nowUs())
  time.after(msToUs(JOURNAL_EXTENT_MS), () => {})
  time.step(Infinity)
  await written(3)
  tail.tick(time.nowUs())
  await noted(3)
  await written(4)
  await tail.close()
  assert.deepEqual(readExtent(directory), { tail: 1, sequence: 4, accepted: 40 })
  const file = path.join(directory, EXTENT_FILE)
  const bytes = readFileSync(file)
  bytes[9] = 1
  writeFileSync(file, bytes)
  assert.equal(readExtent(directory), null)
})

test('with an interval, what is not on the disk is known, and brought there', async (context) => {
  const { tail, time } = tailIn(temporaryFolder(context))
  assert.equal(tail.syncedUs, Infinity)
  time.step(0)
  assert.equal(await append(tail, Buffer.from('soon')), null)
  assert.equal(tail.syncedUs, time.nowUs())
  tail.tick(time.nowUs() as Micros)
  while (tail.syncedUs !== Infinity) await new Promise((resolve) => setImmediate(resolve))
  await tail.close()
})

test('with always, what was appended is on the disk', async (context) => {
  const { tail } = tailIn(temporaryFolder(context), true)
  assert.equal(await append(tail, Buffer.from('now')), null)
  assert.equal(tail.syncedUs, Infinity)
  await tail.close()
})

test('names of tails sort as their numbers do, and other names are none', () => {
  assert.equal(tailName(7), 'tail-000000000007')
  assert.equal(tailNumber(tailName(123_456)), 123_456)
  for (const name of ['tail-1', 'tail-0000000000007', 'store', 'tail-00000000000x', '']) {
    assert.equal(tailNumber(name), undefined)
  }
  assert.ok(tailName(9) < tailName(10))
})
