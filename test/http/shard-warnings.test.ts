// What shards have for the log about an upstream, from fake shards through the front door.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ShardWarning, WORD_UPSTREAM } from '../../shards/wire/contract.ts'
import { openScene, post, type Scene } from '../support/door-scene.ts'

/** Every shard warns of the upstream of a job that has been posted. */
async function warnOf(scene: Scene, warning: ShardWarning): Promise<void> {
  await post(scene)
  const upstream = scene.requests[0]?.words[WORD_UPSTREAM] as number
  for (const shard of scene.shards) shard.warn(upstream, warning)
  await post(scene)
}

test('an ignored header is logged with the origin, once in a while', async (t) => {
  const scene = await openScene(t)
  const ignored = { name: 'x-aqueduct-rps', value: '-1' }
  await warnOf(scene, ignored)
  assert.deepEqual(scene.warnings, [{ upstream: 'http://api.example', ignored }])
})

test('the rule that refuses an upstream is logged with the origin, once in a while', async (t) => {
  const scene = await openScene(t)
  const warning = { rule: 'private 10.0.0.0/8' }
  await warnOf(scene, warning)
  assert.deepEqual(scene.warnings, [{ upstream: 'http://api.example', ...warning }])
})

test('a pool that refuses is logged each time that a shard says so', async (t) => {
  const scene = await openScene(t)
  const warning = { pool: 'lanes by upstream', refusal: 'share', bound: 128, used: 64 } as const
  await warnOf(scene, warning)
  const logged = { upstream: 'http://api.example', ...warning }
  assert.deepEqual(scene.warnings, scene.shards.map(() => logged))
})
