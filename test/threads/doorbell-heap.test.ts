// What a wake leaves behind that only a full collection takes: as little as V8 allows.

import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { growthOfRound } from '../support/heap-rounds.ts'

const PROGRAM = path.resolve(import.meta.dirname, '../support/doorbell-heap.ts')
/** Of 20,000 wakes; a set of promises that becomes empty each time leaves three times as much. */
const GROWTH_BYTES_MAX = 20_000 * 60

test('a wake leaves little for the collection of old objects', async (t) => {
  const bytes = await growthOfRound(PROGRAM, t)
  assert.ok(bytes < GROWTH_BYTES_MAX, `${bytes} bytes stay of a round`)
})
