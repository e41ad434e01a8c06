// The keys of a process: added, found, revoked, expired, and kept in step with the file.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Micros, msToUs } from '../../../../shards/base/units.ts'
import { KEYS_MAX } from '../../../../shards/memory/limits.ts'
import type { KeyWish } from '../../../../src/access/key-entry.ts'
import { writeKeyFile } from '../../../../src/access/key-file.ts'
import { type AddedKey, KeyRing } from '../../../../src/access/key-ring.ts'
import { NO_LIMITS, type Principal, mayDo } from '../../../../src/access/principal.ts'
import { KEY_USES_EVERY_MS } from '../../../../src/base/limits.ts'
import { keptLog } from '../../../support/kept-log.ts'
import { quickFolder } from '../../../support/temporary-folder.ts'
import { VirtualTime } from '../../../support/virtual-clock.ts'

const WISH: KeyWish = {
  name: 'billing', tenant: 7, scopes: ['submit', 'read'], users: 'one', limits: NO_LIMITS,
  expiresMs: null,
}

function scene(t: TestContext, file: string | null = path.join(quickFolder(t), 'keys.json')) {
  const time = new VirtualTime()
  const log = keptLog()
  const clock = time.clock()
  const nowMs = (): number => clock.wallMs(clock.nowUs())
  const gone: Principal[] = []
  const open = (): KeyRing => {
    const ring = KeyRing.open({
      file: file ?? undefined, clock: time.clock(), random: randomBytes, log,
    })
    ring.onGone((principals) => gone.push(...principals))
    return ring
  }
  return { file: file ?? '', gone, log, nowMs, open, ring: open(), time }
}

async function add(ring: KeyRing, parts: Partial<KeyWish> = {}): Promise<AddedKey> {
  const added = await ring.add({ ...WISH, ...parts })
  assert.ok(added.ok, JSON.stringify(added))
  return added.value
}

const fileOf = (file: string): Record<string, unknown>[] =>
  (JSON.parse(readFileSync(file, 'utf8')) as { keys: Record<string, unknown>[] }).keys

test('a key that was added is found, as one principal, and its text is not in the file',
  async (t) => {
    const { file, gone, nowMs, open, ring } = scene(t)
    assert.equal(ring.size, 0)
    const limits = { ...NO_LIMITS, streams: 3 }
    const { entry, text } = await add(ring, { limits })
    const many = await add(ring, { users: 'many', scopes: ['admin'], tenant: 0 })
    assert.equal(ring.size, 2)
    const found = ring.find(text, nowMs())
    assert.deepEqual({ ...found, caller: 0 }, {
      tenant: 7, scopes: new Set(['submit', 'read']), user: 'billing', key: 1, keyId: entry.id,
      limits, validity: { untilMs: Infinity }, caller: 0,
    })
    assert.equal(ring.find(text, nowMs()), found)
    assert.ok(found !== undefined && mayDo(found, 'read') && !mayDo(found, 'operate'))
    assert.equal(ring.find(many.text, nowMs())?.user, null)
    assert.equal(ring.find(many.text, nowMs())?.key, 2)
    assert.equal(readFileSync(file, 'utf8').includes(text.slice(17)), false)
    // Another process knows it by the file.
    assert.equal(open().find(text, nowMs())?.keyId, entry.id)
    assert.deepEqual(gone, [])
  })

test('what is no key of the ring is not found', async (t) => {
  const { nowMs, ring } = scene(t)
  const { text } = await add(ring)
  const other = text.endsWith('a') ? 'b' : 'a'
  for (const wrong of ['', 'slk_', text.slice(0, -1), `${text} `, text.slice(0, -1) + other,
    text.replace(/^slk_./, (start) => start === 'slk_0' ? 'slk_1' : 'slk_0'), text.toUpperCase()]) {
    assert.equal(ring.find(wrong, nowMs()), undefined, wrong)
  }
})

test('a revoked key is not found, and its principal is told to be gone', async (t) => {
  const { file, gone, nowMs, ring } = scene(t)
  const first = await add(ring)
  const second = await add(ring, { name: 'shipping' })
  const principals = [first, second].map(({ text }) => ring.find(text, nowMs()))
  const revoked = await ring.revoke(first.entry.id)
  assert.ok(revoked.ok && revoked.value.id === first.entry.id)
  assert.deepEqual(gone, [principals[0]])
  assert.equal(gone[0]?.validity.untilMs, 0, 'what it has open ends')
  assert.equal(ring.find(first.text, nowMs()), undefined)
  assert.equal(ring.find(second.text, nowMs()), principals[1])
  assert.deepEqual(fileOf(file).map(({ id }) => id), [second.entry.id])
  assert.deepEqual(await ring.revoke(first.entry.id),
    { ok: false, error: 'there is no key with this id' })
})

test('the number of a revoked key rests until all others have had their turn', async (t) => {
  const { file, open, ring } = scene(t)
  const { entry } = await add(ring)
  assert.equal(entry.number, 1)
  await ring.revoke(entry.id)
  assert.equal((await add(ring)).entry.number, 2)
  // Also by a process that knows nothing of it but the file.
  assert.equal((await add(open())).entry.number, 3)
  const keys = { entries: ring.list(), nextNumber: KEYS_MAX }
  await writeKeyFile(file, keys)
  const later = open()
  assert.deepEqual([(await add(later)).entry.number, (await add(later)).entry.number],
    [KEYS_MAX, 1])
  assert.equal((await add(later)).entry.number, 3)
})

test('a key file that is gone is refused as long as there are keys, which stay', async (t) => {
  const { file, gone, nowMs, ring } = scene(t)
  assert.equal(ring.isFileMissing, true)
  const { text } = await add(ring)
  assert.equal(ring.isFileMissing, false)
  rmSync(file)
  assert.match(ring.check() ?? '', /keys.* is gone/)
  const read = await ring.reload()
  assert.ok(!read.ok)
  assert.ok(ring.find(text, nowMs()) !== undefined)
  assert.deepEqual(gone, [])
})

test('an expired key is not found, and is told to be gone when its time is over', async (t) => {
  const { gone, nowMs, ring, time } = scene(t)
  const { text } = await add(ring, { expiresMs: nowMs() + 5000 })
  const found = ring.find(text, nowMs())
  assert.ok(found !== undefined)
  time.advanceTo(time.nowUs() + msToUs(4999) as Micros)
  assert.equal(ring.find(text, nowMs()), found)
  assert.deepEqual(gone, [])
  time.advanceTo(time.nowUs() + msToUs(2) as Micros)
  assert.equal(ring.find(text, nowMs()), undefined)
  assert.deepEqual(gone, [found])
  assert.equal(ring.size, 1)
  await ring.close()
})

test('a reload keeps the principal of an unchanged key, and replaces that of a changed one',
  async (t) => {
    const { file, gone, log, nowMs, open, ring } = scene(t)
    const kept = await add(ring)
    const changed = await add(ring)
    const lost = await add(ring)
    const principals = [kept, changed, lost].map(({ text }) => ring.find(text, nowMs()))
    const entries = ring.list().slice(0, 2)
      .map((entry, at) => at === 1 ? { ...entry, scopes: ['read' as const] } : entry)
    await writeKeyFile(file, { entries, nextNumber: 9 })
    assert.deepEqual(await ring.reload(), { ok: true, value: 2 })
    assert.equal(ring.find(kept.text, nowMs()), principals[0])
    assert.deepEqual([...ring.find(changed.text, nowMs())?.scopes ?? []], ['read'])
    assert.deepEqual(gone, principals.slice(1))
    assert.deepEqual(log.lines.at(-1)?.fields,
      { file, keys: 2, added: 0, gone: [lost.entry.id] })
    // A file that is wrong changes nothing, and nothing is written over it.
    writeFileSync(file, '{')
    assert.equal((await ring.reload()).ok, false)
    assert.equal((await ring.add(WISH)).ok, false)
    assert.equal(readFileSync(file, 'utf8'), '{')
    assert.equal(ring.find(kept.text, nowMs()), principals[0])
    assert.throws(open, { code: 'keys_refused', message: /has to be JSON/ })
  })

test('a key that another process has added is not lost by the next change', async (t) => {
  const { file, nowMs, open, ring } = scene(t)
  await add(ring, { name: 'ours' })
  const theirs = await add(open(), { name: 'theirs' })
  await add(ring, { name: 'ours too' })
  assert.deepEqual(fileOf(file).map(({ name }) => name), ['ours', 'theirs', 'ours too'])
  assert.ok(ring.find(theirs.text, nowMs()) !== undefined)
})

test('changes at once are made one after the other', async (t) => {
  const { file, ring } = scene(t)
  const added = await Promise.all(Array.from({ length: 20 }, () => add(ring)))
  await Promise.all(added.slice(0, 10).map(({ entry }) => ring.revoke(entry.id)))
  assert.deepEqual(fileOf(file).map(({ number }) => number),
    added.slice(10).map(({ entry }) => entry.number))
})

test('the last use is written once in a while and at the end, into what the file has by then',
  async (t) => {
    const { file, nowMs, open, ring, time } = scene(t)
    const { text } = await add(ring)
    const before = readFileSync(file, 'utf8')
    assert.ok(ring.find(text, nowMs()) !== undefined)
    const usedMs = nowMs()
    assert.equal(ring.list()[0]?.lastUsedMs, usedMs)
    time.advanceTo(time.nowUs() + msToUs(KEY_USES_EVERY_MS) - 1 as Micros)
    await ring.reload()
    assert.equal(readFileSync(file, 'utf8'), before)
    time.advanceTo(time.nowUs() + 1 as Micros)
    await ring.reload() // the changes before it are over
    assert.equal(fileOf(file)[0]?.['last_used'], new Date(usedMs).toISOString())
    const theirs = await add(open(), { name: 'theirs' })
    assert.ok(ring.find(text, nowMs()) !== undefined)
    await ring.close()
    assert.deepEqual(fileOf(file).map((key) => key['last_used']),
      [new Date(nowMs()).toISOString(), null])
    assert.equal(theirs.entry.number, 2)
  })

test('a file that is gone is not made again by the uses', async (t) => {
  const { file, nowMs, ring } = scene(t)
  const { text } = await add(ring)
  assert.ok(ring.find(text, nowMs()) !== undefined)
  rmSync(file)
  await ring.close()
  assert.throws(() => readFileSync(file))
  assert.ok(ring.find(text, nowMs()) !== undefined)
})

test('once it is closed, nothing is written', async (t) => {
  const { file, nowMs, ring, time } = scene(t)
  const { entry, text } = await add(ring)
  await ring.close()
  const before = readFileSync(file, 'utf8')
  assert.ok(ring.find(text, nowMs()) !== undefined)
  time.advanceTo(time.nowUs() + msToUs(2 * KEY_USES_EVERY_MS) as Micros)
  assert.equal((await ring.add(WISH)).ok, false)
  assert.equal((await ring.revoke(entry.id)).ok, false)
  await ring.close()
  assert.equal(readFileSync(file, 'utf8'), before)
})

test('without a file there are no keys, and the message says what to name', async (t) => {
  const { ring } = scene(t, null)
  const added = await ring.add(WISH)
  assert.match(added.ok ? '' : added.error, /name a key file with --keys-file/)
  assert.equal((await ring.reload()).ok, true)
  assert.equal(ring.size, 0)
})

test('uses that cannot be written are logged once', async (t) => {
  const { file, log, nowMs, ring, time } = scene(t)
  const { text } = await add(ring)
  mkdirSync(`${file}.new`)
  for (let times = 0; times < 2; times++) {
    assert.ok(ring.find(text, nowMs()) !== undefined)
    time.advanceTo(time.nowUs() + msToUs(KEY_USES_EVERY_MS) as Micros)
    await ring.reload() // the changes before it are over
  }
  assert.deepEqual(log.lines.map(({ message }) => message)
    .filter((message) => message !== 'read the key file'),
  ['when keys were last used is not kept'])
  const added = await ring.add(WISH)
  assert.match(added.ok ? '' : added.error, /cannot be written/)
  assert.equal(ring.size, 1)
})
