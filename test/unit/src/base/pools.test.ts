// The list of pools: what it names is there, and the docs have all of it.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { Pool } from '../../../../shards/memory/pools.ts'
import { POOLS } from '../../../../src/base/pools.ts'
import { SETTINGS } from '../../../../src/config/settings.ts'
import { poolsTable } from '../../../support/pools-table.ts'

const ROOT = path.resolve(import.meta.dirname, '../../../..')
/** Of a shard's plan, and of the system. */
const OTHER_BOUNDS =
  ['ringBytes', 'upstreamsMax', 'lanesMax', 'jobsMax', 'ulimit -n']

/** The names of all limits. */
async function limitNames(): Promise<string[]> {
  const files = ['shards/memory', 'src/base'].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder)).filter((name) => /(^|-)limits\.ts$/.test(name))
      .map((name) => path.join(ROOT, folder, name)))
  const modules = await Promise.all(files.map(
    (file) => import(file) as Promise<Record<string, unknown>>))
  return modules.flatMap((names) => Object.keys(names))
}

test('docs/ARCHITECTURE.md has the table of pools as the code has them', () => {
  const text = readFileSync(path.join(ROOT, 'docs/ARCHITECTURE.md'), 'utf8')
  assert.ok(text.includes(`\n${poolsTable()}\n`), `it should be\n${poolsTable()}`)
})

test('every pool has a name of its own, and a bound that there is', async () => {
  const pools: Pool[] = Object.values(POOLS)
  assert.equal(new Set(pools.map(({ name }) => name)).size, pools.length)
  const bounds = new Set<string>([
    ...await limitNames(), ...OTHER_BOUNDS,
    ...Object.values(SETTINGS).map(({ flag }) => `--${flag}`),
  ])
  assert.deepEqual(pools.map(({ bound }) => bound).filter((bound) => !bounds.has(bound)), [])
})
