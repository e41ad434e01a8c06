// A shard that says that its journal cannot be written, or is gone: whoever asks is told.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JOURNAL_LOST, JOURNAL_STALLED_US } from '../../shards/memory/journal-words.ts'
import { call, openScene } from '../support/door-scene.ts'

test('a journal in trouble is said by /ready and /health until it is over', async (t) => {
  const scene = await openScene(t)
  scene.door.ready()
  const words = scene.links[1]?.views.journal
  assert.ok(words !== undefined)
  const readyIs = async (status: number): Promise<void> => {
    while ((await call(scene, 'GET', '/ready')).status !== status) { /* once the door looks */ }
  }
  for (const [word, trouble] of [
    [JOURNAL_STALLED_US, 'journal_stalled'], [JOURNAL_LOST, 'journal_lost'],
  ] as const) {
    await readyIs(200)
    words[word] = 1
    await readyIs(503)
    const { status, shards } = (await call(scene, 'GET', '/health')).body
    assert.equal(status, 'degraded')
    const found = (shards as { up: boolean; trouble: string | null }[])
      .map(({ trouble: said, up }) => [up, said])
    assert.deepEqual(found, [[true, null], [false, trouble]])
    words[word] = 0
  }
  await readyIs(200)
})
