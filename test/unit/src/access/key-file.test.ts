// The key file: what is written is read again, and what is wrong is named without being quoted.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  chmodSync, mkdirSync, readFileSync, readdirSync, readlinkSync, statSync, symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { KeyEntry } from '../../../../src/access/key-entry.ts'
import { type Keys, NO_KEYS, readKeyFile, writeKeyFile } from '../../../../src/access/key-file.ts'
import { NO_LIMITS } from '../../../../src/access/principal.ts'
import { forEachSeed } from '../../../support/swarm.ts'
import { quickFolder } from '../../../support/temporary-folder.ts'

const HASH = createHash('sha256').update('slk_key').digest()

const entry = (parts: Partial<KeyEntry> = {}): KeyEntry => ({
  id: 'AAAAAAAAAAA1', number: 1, name: 'billing', tenant: 0, scopes: ['submit', 'read'],
  users: 'one', limits: NO_LIMITS, hash: HASH, createdMs: Date.UTC(2026, 10, 1), expiresMs: null,
  lastUsedMs: null, ...parts,
})

const KEYS: Keys = { nextNumber: 4, entries: [
  entry(),
  entry({
    id: 'AAAAAAAAAAA2', number: 3, name: 'Zoë & Søn 7', tenant: 65_535, users: 'many',
    scopes: ['admin'], expiresMs: Date.UTC(2027, 0, 1), lastUsedMs: Date.UTC(2026, 11, 1),
    limits: { ...NO_LIMITS, jobsQueued: 10, streams: 2 },
  }),
] }

function read(file: string): Keys {
  const result = readKeyFile(file)
  assert.ok(result.ok, JSON.stringify(result))
  return result.file.keys
}

test('a missing file has no keys', (t) => {
  const result = readKeyFile(path.join(quickFolder(t), 'keys.json'))
  assert.ok(result.ok)
  assert.deepEqual(result.file, { keys: NO_KEYS, mark: '', isOpenToOthers: false })
})

test('what is written is read again, is the owner\'s alone, and leaves nothing beside it',
  async (t) => {
    const folder = quickFolder(t)
    const file = path.join(folder, 'keys.json')
    // Left over by a process that was killed, with permissions for all.
    writeFileSync(`${file}.new`, 'half', { mode: 0o666 })
    for (const keys of [NO_KEYS, KEYS]) {
      const written = await writeKeyFile(file, keys)
      const result = readKeyFile(file)
      assert.ok(result.ok && 'mark' in written)
      assert.deepEqual(result.file, { keys, mark: written.mark, isOpenToOthers: false })
      assert.equal(statSync(file).mode & 0o777, 0o600)
    }
    assert.deepEqual(readdirSync(folder), ['keys.json'])
    chmodSync(file, 0o640)
    const open = readKeyFile(file)
    assert.ok(open.ok && open.file.isOpenToOthers)
  })

test('a file that cannot be read or written is named', async (t) => {
  const folder = quickFolder(t)
  const result = readKeyFile(folder)
  assert.deepEqual(result, { ok: false, error: `the key file ${folder} is not a file` })
  const lost = path.join(folder, 'missing', 'keys.json')
  const written = await writeKeyFile(lost, KEYS)
  assert.match('error' in written ? written.error : '', /^the key file \S+ cannot be written: /)
  mkdirSync(path.join(folder, 'keys.json'))
  const taken = await writeKeyFile(path.join(folder, 'keys.json'), KEYS)
  assert.match('error' in taken ? taken.error : '', /cannot be written: /)
  assert.deepEqual(readdirSync(folder), ['keys.json'])
})

test('a link to the file stays a link', async (t) => {
  const folder = quickFolder(t)
  const file = path.join(folder, 'keys.json')
  await writeKeyFile(path.join(folder, 'kept.json'), NO_KEYS)
  symlinkSync('kept.json', file)
  await writeKeyFile(file, KEYS)
  assert.equal(readlinkSync(file), 'kept.json')
  assert.deepEqual(read(file), KEYS)
})

test('a place that nobody may write says where the file is to be changed', {
  skip: process.platform !== 'linux',
}, async () => {
  const written = await writeKeyFile('/sys/keys.json', KEYS)
  assert.match('error' in written ? written.error : '',
    /^the key file \/sys\/keys\.json cannot be replaced here \(E[A-Z]+\): change it where/)
})

/** The file of KEYS, as JSON. */
async function jsonOf(t: Parameters<typeof quickFolder>[0]): Promise<[string, string]> {
  const file = path.join(quickFolder(t), 'keys.json')
  await writeKeyFile(file, KEYS)
  return [file, readFileSync(file, 'utf8')]
}

test('each wrong field is named, and no value quoted', async (t) => {
  const [file, good] = await jsonOf(t)
  const SECRET = 'slk_AAAAAAAAAAA1_secret'
  const cases: [change: (value: WrittenFile) => unknown, problem: string][] = [
    [() => 5, 'has to be a JSON object'],
    [() => [], 'has to be a JSON object'],
    [(value) => ({ ...value, version: 2 }), 'is wrong at version: expected 1'],
    [(value) => ({ ...value, version: undefined }), 'is wrong at version: '],
    [(value) => ({ ...value, more: 1 }), 'is wrong at more: expected no such field'],
    [(value) => ({ ...value, [SECRET]: 1 }), 'is wrong at a field with another name: '],
    [(value) => ({ ...value, next_number: 0 }), 'is wrong at next_number: '],
    [(value) => ({ ...value, next_number: 65_536 }), 'is wrong at next_number: '],
    [(value) => ({ ...value, keys: {} }), 'is wrong at keys: expected a list of at most 65535'],
    [(value) => ({ ...value, keys: [...value.keys, 7] }),
      'is wrong at keys[2]: expected an object'],
    [(value) => ({ ...value, keys: [...value.keys, { ...value.keys[0], number: 9 }] }),
      'is wrong at keys[2].id: expected one that no other'],
    [(value) => ({ ...value, keys: [...value.keys, { ...value.keys[0], id: 'BBBBBBBBBBBB' }] }),
      'is wrong at keys[2].number: expected one that no other'],
    ...([
      ['id', 'short'], ['id', SECRET], ['number', 0], ['number', 65_536], ['number', 1.5],
      ['name', ''], ['name', 'a\nb'], ['name', 'é'.repeat(33)], ['name', ' a'], ['name', '\ud800'],
      ['tenant', 65_536], ['tenant', -1], ['tenant', '0'], ['scopes', []], ['scopes', ['all']],
      ['scopes', ['read', 'read']], ['scopes', 'read'], ['users', 'two'], ['limits', null],
      ['limits', []], ['sha256', HASH.toString('hex').toUpperCase()], ['sha256', SECRET],
      ['created', 'yesterday'], ['created', null], ['created', '2026-13-01T00:00:00Z'],
      ['expires', 5], ['expires', '2026-01-01'], ['last_used', 'never'], ['name', undefined],
    ] as const).map(([field, wrong]): (typeof cases)[number] => [
      ({ keys: [first, ...others], ...value }) =>
        ({ ...value, keys: [{ ...first, [field]: wrong }, ...others] }),
      `is wrong at keys[0].${field}: expected `,
    ]),
    ...([
      ['jobs_queued', 0], ['jobs_queued', 1_000_000_001], ['submissions_per_second', 0.5],
      ['streams', 16_385], ['sockets', 4097], ['others', 1],
    ] as const).map(([field, wrong]): (typeof cases)[number] => [
      ({ keys: [first, ...others], ...value }) =>
        ({ ...value, keys: [{ ...first, limits: { [field]: wrong } }, ...others] }),
      `is wrong at keys[0].limits.${field}: expected `,
    ]),
  ]
  for (const [change, problem] of cases) {
    writeFileSync(file, JSON.stringify(change(JSON.parse(good) as WrittenFile)))
    const result = readKeyFile(file)
    assert.ok(!result.ok, problem)
    assert.ok(result.error.startsWith(`the key file ${file} ${problem}`), result.error)
    assert.ok(!result.error.includes('slk_') && !result.error.includes(HASH.toString('hex')))
  }
  writeFileSync(file, good.slice(0, -5))
  assert.deepEqual(readKeyFile(file),
    { ok: false, error: `the key file ${file} has to be JSON` })
})

/** What the test changes of a file. */
type WrittenFile =
  Readonly<Record<string, unknown>> & { readonly keys: readonly Record<string, unknown>[] }

test('a damaged file is read, or refused without quoting a hash', async (t) => {
  const [file, good] = await jsonOf(t)
  const hash = HASH.toString('hex')
  let refused = 0
  forEachSeed(300, (prng) => {
    const bytes = Buffer.from(good)
    for (let times = prng.between(1, 4); times > 0; times--) {
      bytes[prng.below(bytes.length)] = prng.below(256)
    }
    const length = prng.chance(0.3) ? prng.below(bytes.length) : bytes.length
    writeFileSync(file, bytes.subarray(0, length))
    const result = readKeyFile(file)
    if (result.ok) return
    refused++
    assert.ok(result.error.startsWith(`the key file ${file} `))
    assert.ok(!result.error.includes(hash.slice(0, 16)), result.error)
  })
  assert.ok(refused > 100, `${refused}`)
  writeFileSync(file, good)
  assert.deepEqual(read(file), KEYS)
})
