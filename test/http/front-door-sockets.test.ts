// Sockets between a client and shards whose every answer the test decides.

import assert from 'node:assert/strict'
import { type TestContext, describe, test } from 'node:test'
import { SystemClock } from '../../shards/base/clock.ts'
import {
  CODE_OK, CODE_TOO_MANY_WATCHED, EVENT_COMPLETED, EVENT_POSITION, FLAG_WATCH, INGRESS_ENQUEUE,
  INGRESS_UNWATCH, INGRESS_WATCH, REFUSED_MEMORY, WORD_FLAGS, WORD_REQUEST,
} from '../../shards/wire/contract.ts'
import { AccountShare } from '../../src/base/account-share.ts'
import { JobHasher } from '../../src/base/hash.ts'
import { SOCKETS_MAX } from '../../src/base/limits.ts'
import { DOOR_POOLS } from '../../src/base/pools.ts'
import { call, ID, ID_WORDS, idOf, idText, JOB, openScene, type Scene, VIEW, wordsOf }
  from '../support/door-scene.ts'
import type { FakeRequest } from '../support/fake-shard.ts'
import { type Format, SocketClient } from '../support/socket-client.ts'

async function open(t: TestContext, scene: Scene, format: Format = 'msgpack'):
  Promise<SocketClient> {
  const client = await SocketClient.open(scene.url, format)
  t.after(() => client.ws.terminate())
  return client
}

const jobs = (count: number, more: object = {}): object[] => Array.from({ length: count },
  (_, ref) => ({ ref, ...JOB, idempotent_key: `k${ref}`, user_id: `u${ref % 9}`, ...more }))

const requestOf = ({ words }: FakeRequest): number => words[WORD_REQUEST] as number

const figures = async (scene: Scene): Promise<Record<string, unknown>> =>
  (await call(scene, 'GET', '/health')).body['admission'] as Record<string, unknown>

test('sockets are counted by the address that a trusted proxy names', async (t) => {
  const scene = await openScene(t)
  const { secret, sockets } = scene.door.tables
  const share = new AccountShare(DOOR_POOLS.sockets, SOCKETS_MAX, sockets.held,
    { clock: new SystemClock(), warn: () => {} })
  const heldBy = (key: string): number =>
    share.facts(new JobHasher(secret).user(0, key).route).current
  const openFor = async (headers: Record<string, string>): Promise<void> => {
    const client = await SocketClient.open(scene.url, 'json', { headers })
    t.after(() => client.ws.terminate())
  }
  await openFor({})
  await openFor({ 'x-forwarded-for': '6.6.6.6, 203.0.113.9' })
  await openFor({ 'x-forwarded-for': '203.0.113.9:80' })
  await openFor({ forwarded: 'for="[2001:db8:0:1::9]:80"' })
  assert.deepEqual(['7f000001', 'cb007109', '20010db800000001', '06060606'].map(heldBy),
    [1, 2, 1, 0])
})

describe('answers', () => {
  test('to many jobs come in few messages', async (t) => {
    const scene = await openScene(t)
    const client = await open(t, scene)
    let messages = 0
    client.ws.on('message', () => { messages += 1 })
    await client.enqueue(jobs(400))
    assert.ok(messages <= 20, `${messages} messages`)
  })

  test('of a full shard say when to come back', async (t) => {
    const scene = await openScene(t)
    scene.answer = (shard, request) => shard.refuse(requestOf(request), REFUSED_MEMORY, 100, 99)
    const client = await open(t, scene)
    const [entry] = await client.enqueue(jobs(1))
    assert.deepEqual(entry, {
      ref: 0, error: 'the limit of memory is reached', code: 'limit_reached',
      limit_reason: 'memory', limit: 100, current: 99, retry_after_s: 5,
    })
  })

  test('come for all jobs when a shard is gone', async (t) => {
    const scene = await openScene(t)
    for (const shard of scene.shards) shard.die()
    const client = await open(t, scene)
    client.send({ type: 'enqueue', jobs: jobs(40, { watch: true }) })
    client.send({ type: 'watch', job_id: ID })
    await scene.lying(41)
    for (const link of scene.links) link.down = true
    const entries = await client.answers(40)
    assert.ok(entries.every(({ code }) => code === 'shard_down'))
    assert.equal((await client.take('error'))['code'], 'shard_down')
    const [later] = await client.enqueue(jobs(1))
    assert.equal(later?.code, 'shard_down')
    assert.equal((await figures(scene))['watched'], 0)
  })

  test('are draining while the server is', async (t) => {
    const scene = await openScene(t)
    const client = await open(t, scene)
    scene.door.drain()
    const [entry] = await client.enqueue(jobs(1))
    assert.equal(entry?.code, 'draining')
  })
})

describe('events', () => {
  test('come after the acceptance of their job', async (t) => {
    const scene = await openScene(t)
    scene.answer = (shard, request) => {
      if (request.kind !== INGRESS_ENQUEUE) return
      const [flags = 0] = wordsOf(request, WORD_FLAGS)
      assert.equal(flags & FLAG_WATCH, FLAG_WATCH)
      shard.accept(requestOf(request))
      shard.event(idOf(request), EVENT_POSITION, { position: 4 })
      shard.event(idOf(request), EVENT_COMPLETED, { status: 'completed' })
    }
    const client = await open(t, scene)
    for (const format of ['msgpack', 'json'] as const) {
      const reader = format === 'json' ? await open(t, scene, 'json') : client
      // Often enough that the job's shape is known.
      for (let round = 0; round < 5; round++) {
        reader.send({ type: 'enqueue', jobs: jobs(1, { watch: true }) })
        await reader.take('completed')
        assert.deepEqual(reader.messages.splice(0).map(({ type }) => type),
          ['accepted', 'position'])
      }
    }
    assert.equal((await figures(scene))['watched'], 0)
  })

  test('of a job whose client has gone are asked for no more', async (t) => {
    const scene = await openScene(t)
    const held: (() => void)[] = []
    scene.answer = (shard, request) => {
      if (request.kind === INGRESS_ENQUEUE) held.push(() => shard.accept(requestOf(request)))
    }
    const client = await open(t, scene)
    client.send({ type: 'enqueue', jobs: jobs(3, { watch: true }) })
    await scene.asked(3)
    held.shift()?.()
    await client.take('accepted')
    await client.close()
    await scene.asked(4)
    for (const accept of held) accept()
    await scene.asked(6)
    const ids = scene.requests.map(idText)
    assert.deepEqual(scene.requests.slice(3).map(({ kind }) => kind),
      [INGRESS_UNWATCH, INGRESS_UNWATCH, INGRESS_UNWATCH])
    assert.deepEqual(ids.slice(3).toSorted(), ids.slice(0, 3).toSorted())
    const { pending, watched } = await figures(scene)
    assert.deepEqual([pending, watched], [0, 0])
  })

  test('of a known job that is not finished are watched', async (t) => {
    const scene = await openScene(t)
    scene.answer = (shard, request) => {
      if (request.kind === INGRESS_ENQUEUE) shard.duplicate(requestOf(request), ID_WORDS, 1, null)
      else if (request.kind === INGRESS_WATCH) {
        shard.job(requestOf(request), CODE_OK, VIEW)
        shard.event(ID_WORDS, EVENT_COMPLETED, { status: 'completed', response_status: 200 })
      }
    }
    const client = await open(t, scene)
    const [entry] = await client.enqueue(jobs(1, { watch: true }))
    assert.deepEqual(entry, { ref: 0, job_id: ID, duplicate: true, status: 'queued' })
    assert.equal((await client.take('watched'))['position'], 3)
    assert.deepEqual(await client.take('completed'),
      { type: 'completed', job_id: ID, status: 'completed', response_status: 200 })
  })

  test('a shard that watches too many says so', async (t) => {
    const scene = await openScene(t)
    scene.answer = (shard, request) =>
      shard.job(requestOf(request), CODE_TOO_MANY_WATCHED, null)
    const client = await open(t, scene)
    client.send({ type: 'watch', job_id: ID })
    assert.equal((await client.take('error'))['code'], 'too_many_watched')
    assert.equal((await figures(scene))['watched'], 0)
  })

  test('unwatched while the shard is still asked, none come', async (t) => {
    const scene = await openScene(t)
    const held: (() => void)[] = []
    scene.answer = (shard, request) => {
      if (request.kind === INGRESS_WATCH) {
        held.push(() => shard.job(requestOf(request), CODE_OK, VIEW))
      }
    }
    const client = await open(t, scene)
    client.send({ type: 'watch', job_id: ID })
    await scene.asked(1)
    client.send({ type: 'unwatch', job_id: ID })
    await client.take('unwatched')
    for (const answer of held) answer()
    await scene.asked(2)
    assert.equal(scene.requests[1]?.kind, INGRESS_UNWATCH)
    await client.sync()
    assert.deepEqual(client.messages, [])
  })
})
