// What requests leave behind once they are over: nothing that survives the collections of young
// objects. An old table of a Map, say, keeps the newer one alive, and with it all that came after.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import path from 'node:path'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { KIB } from '../../shards/units.ts'

const PROGRAM = path.resolve(import.meta.dirname, '../support/transport-heap.ts')
/** Of 4,000 requests; a Map of those in flight left 1,400 KiB and more. */
const GROWTH_BYTES_MAX = 256 * KIB

it('leave nothing for the collection of old objects', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath,
    ['--disable-warning=ExperimentalWarning', PROGRAM])
  const growths = JSON.parse(stdout) as number[]
  t.diagnostic(`old objects by round: ${growths.map((bytes) => Math.round(bytes / 1024))} KiB`)
  // A round with a full collection in it says nothing, nor does one that compiled much.
  const median = growths.toSorted((left, right) => left - right)[growths.length >> 1]
  assert.ok(median !== undefined && median < GROWTH_BYTES_MAX, `${median} bytes stay of a round`)
})
