// What requests leave behind once they are over: nothing that survives the collections of young
// objects. An old table of a Map, say, keeps the newer one alive, and with it all that came after.

import assert from 'node:assert/strict'
import path from 'node:path'
import { it } from 'node:test'
import { KIB } from '../../shards/base/units.ts'
import { growthOfRound } from '../support/heap-rounds.ts'

const PROGRAM = path.resolve(import.meta.dirname, '../support/transport-heap.ts')
/** Of 4,000 requests; a Map of those in flight left 1,400 KiB and more. */
const GROWTH_BYTES_MAX = 256 * KIB

it('leave nothing for the collection of old objects', async (t) => {
  const bytes = await growthOfRound(PROGRAM, t)
  assert.ok(bytes < GROWTH_BYTES_MAX, `${bytes} bytes stay of a round`)
})
