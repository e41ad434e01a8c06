// What a wake leaves behind that only a full collection takes: as little as V8 allows.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const PROGRAM = path.resolve(import.meta.dirname, '../support/doorbell-heap.ts')
/** Of 20,000 wakes; a set of promises that becomes empty each time leaves three times as much. */
const GROWTH_BYTES_MAX = 20_000 * 60

test('a wake leaves little for the collection of old objects', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath,
    ['--disable-warning=ExperimentalWarning', PROGRAM])
  const growths = JSON.parse(stdout) as number[]
  t.diagnostic(`old objects by round: ${growths.map((bytes) => Math.round(bytes / 1024))} KiB`)
  // A round with a full collection in it says nothing, nor does one that compiled much.
  const median = growths.toSorted((left, right) => left - right)[growths.length >> 1]
  assert.ok(median !== undefined && median < GROWTH_BYTES_MAX, `${median} bytes stay of a round`)
})
