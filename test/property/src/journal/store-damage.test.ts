// A store's file with something changed in it, wherever: it is refused in words, or all is there.
// lmdb itself would end the process, and this one with it.

import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import { STORE_FILE } from '../../../../shards/journal/tail-names.ts'
import { JournalStore } from '../../../../src/journal/store.ts'
import { SEED } from '../../../support/swarm.ts'
import { temporaryFolder } from '../../../support/temporary-folder.ts'

const MEMORY_BYTES = 2 ** 20
const TABLES = 3
const PAGE_BYTES = 4096
const DAMAGES = 150
/** Rows of every size that a page, a part of one, or many may take. */
const BYTES_MAX = [40, 900, 900, 900, 900, 900, 5000]
const LARGE_BYTES_MAX = 70_000
const LARGE_CHANCE = 0.01

type Rows = Map<string, string>

function opened(folder: string): JournalStore | string {
  const found = JournalStore.open(folder, MEMORY_BYTES, true)
  return found.ok ? found.store : found.problem
}

/** Commits that replace and remove rows, so that pages are free, shared and of several levels. */
async function fill(folder: string, prng: Prng): Promise<void> {
  const store = opened(folder)
  assert.ok(typeof store !== 'string', String(store))
  for (let sequence = 1; sequence <= 40; sequence++) {
    store.commit({ boot: 'one', tail: 1, sequence, accepted: 0 }, () => {
      for (let puts = 0; puts < 30; puts++) {
        const most = prng.chance(LARGE_CHANCE) ? LARGE_BYTES_MAX
          : BYTES_MAX[prng.below(BYTES_MAX.length)] as number
        const bytes = Buffer.alloc(1 + prng.below(most), puts)
        store.put(1 + prng.below(TABLES), prng.below(200), prng.below(3), bytes, 0, bytes.length)
      }
      if (prng.chance(0.2)) store.removeFrom(1 + prng.below(TABLES), prng.below(200), 0)
    })
  }
  await store.close()
}

/** All rows, or what is wrong; what has been read is written again. */
async function read(folder: string): Promise<Rows | string> {
  const store = opened(folder)
  if (typeof store === 'string') return store
  try {
    const { state } = store
    if (typeof state === 'string') return state
    const rows: Rows = new Map()
    for (let table = 1; table <= TABLES; table++) {
      const problem = store.forEach(table, (_table, key1, key2, bytes, start) => {
        rows.set(`${table} ${key1} ${key2}`, bytes.toString('latin1', start))
        return undefined
      })
      if (problem !== undefined) return problem
    }
    const { rows: count } = store
    assert.equal(rows.size + 1, count)
    for (let commits = 0; commits < 3; commits++) {
      store.commit({ boot: 'one', tail: 1, sequence: 41, accepted: 0 }, () => {
        for (let key1 = 0; key1 < 30; key1++) {
          store.put(TABLES + 1, key1, 0, Buffer.alloc(3000), 0, 3000)
        }
      })
    }
    return rows
  } finally {
    await store.close()
  }
}

/** A change somewhere in the file. */
function damage(whole: Buffer, prng: Prng): { bytes: Buffer; what: string } {
  const bytes = Buffer.from(whole)
  const at = prng.below(bytes.length)
  const page = at - at % PAGE_BYTES
  if (prng.chance(0.3)) {
    bytes.fill(0, page, page + PAGE_BYTES)
    return { bytes, what: `page ${page / PAGE_BYTES} is zero` }
  }
  if (prng.chance(0.2)) {
    const from = PAGE_BYTES * prng.below(bytes.length / PAGE_BYTES)
    whole.copy(bytes, page, from, from + PAGE_BYTES)
    return { bytes, what: `page ${page / PAGE_BYTES} is page ${from / PAGE_BYTES}` }
  }
  // Most of all where lmdb's own numbers are.
  const place = prng.chance(0.7) ? page + prng.below(80) : at
  bytes[place] = prng.below(256)
  return { bytes, what: `byte ${place} is ${bytes[place]}` }
}

test('a damaged store is refused in words, or all of it is there', async (t) => {
  const prng = new Prng(SEED)
  const folder = temporaryFolder(t)
  const file = path.join(folder, STORE_FILE)
  mkdirSync(folder, { recursive: true })
  await fill(folder, prng)
  const whole = readFileSync(file)
  const expected = await read(folder)
  assert.ok(typeof expected !== 'string' && expected.size > 300)
  let refused = 0
  for (let count = 0; count < DAMAGES; count++) {
    const { bytes, what } = damage(whole, prng)
    writeFileSync(file, bytes)
    const found = await read(folder)
    if (typeof found === 'string') {
      refused++
      assert.ok(found.length > 10, what)
    } else {
      assert.deepEqual(found, expected, `seed ${SEED}: ${what}`)
    }
  }
  assert.ok(refused > DAMAGES / 10 && refused < DAMAGES, `${refused} of ${DAMAGES} refused`)
})
