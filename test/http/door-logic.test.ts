// One door logic takes the place of another in the middle of everything: the shards' every answer
// is the test's, so that it can come when the one who asked has been relieved.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { PerSecond } from '../../shards/base/units.ts'
import { MIB } from '../../shards/base/units.ts'
import {
  CODE_OK, EVENT_COMPLETED, INGRESS_ENQUEUE, INGRESS_GET, INGRESS_UNWATCH, INGRESS_WATCH,
  WORD_REQUEST,
} from '../../shards/wire/contract.ts'
import { BATCH_WINDOW_JOBS_MIN } from '../../src/base/client-limits.ts'
import { DoorLogic } from '../../src/door/door-logic.ts'
import {
  BODY_BYTES_MAX, call, ID, ID_WORDS, idOf, JOB, LOCAL_LISTENERS, openScene, post, type Scene,
  VIEW, wordsOf,
} from '../support/door-scene.ts'
import { EventStream } from '../support/event-stream.ts'
import type { FakeRequest, FakeShard } from '../support/fake-shard.ts'
import { SocketClient } from '../support/socket-client.ts'

/** Another door logic, with a version of its own. */
function replaceLogic(scene: Scene, version: string): WeakRef<DoorLogic> {
  const logic = new DoorLogic(scene.door.partsFor({
    listeners: LOCAL_LISTENERS, trustedProxies: [], bodyBytesMax: BODY_BYTES_MAX,
    batchJobsMax: 2000,
    socketIdleMs: 60_000,
    clientBytesMax: 64 * MIB, clientConnectionsMax: 10_000, version,
    access: { isOpenToAll: false, allowedHosts: [] },
    settingsOf: () => ({
      pacePerSecond: 2 as PerSecond, concurrentMax: 5, accountQueues: false, timeoutMs: 1000,
    }),
    mayAskAccountQueue: () => false, isListed: () => true,
  }))
  scene.door.replaceLogic(logic)
  return new WeakRef(logic)
}

/** Keeps the shards' answers until they are let go. */
function hold(scene: Scene): () => void {
  const held: (() => void)[] = []
  scene.answer = (shard, request) => { held.push(() => answer(shard, request)) }
  return () => {
    scene.answer = answer
    for (const go of held.splice(0)) go()
  }
}

function answer(shard: FakeShard, request: FakeRequest): void {
  const [number = 0] = wordsOf(request, WORD_REQUEST)
  if (request.kind === INGRESS_ENQUEUE) shard.accept(number)
  if (request.kind === INGRESS_GET) shard.job(number, CODE_OK, VIEW)
  if (request.kind === INGRESS_WATCH) shard.job(number, CODE_OK, VIEW)
}

describe('at a replacement', () => {
  test('who waits for an answer gets it, old and new at once', async (t) => {
    const scene = await openScene(t)
    const go = hold(scene)
    const before = Array.from({ length: 20 }, (_, at) => post(scene, { idempotent_key: `a${at}` }))
    const shown = call(scene, 'GET', `/jobs/${ID}`)
    await scene.asked(21)
    replaceLogic(scene, '2')
    const after = Array.from({ length: 20 }, (_, at) => post(scene, { idempotent_key: `b${at}` }))
    await scene.asked(41)
    const numbers = scene.requests.map((request) => wordsOf(request, WORD_REQUEST)[0])
    assert.equal(new Set(numbers).size, 41, 'no number was given to two')
    go()
    for (const { status } of await Promise.all([...before, ...after])) assert.equal(status, 201)
    assert.equal((await shown).status, 200)
    const { body } = await call(scene, 'GET', '/health')
    assert.equal(body['version'], '2')
    const { accepted, pending, upstreams } = body['admission'] as Record<string, unknown>
    assert.deepEqual([accepted, pending, upstreams], [40, 0, 2], 'counts and slots go on')
  })

  test('a batch goes on to its end', async (t) => {
    const scene = await openScene(t)
    const go = hold(scene)
    const jobs = Array.from({ length: 1500 }, (_, at) => ({ ...JOB, idempotent_key: `k${at}` }))
    const batch = fetch(`${scene.url}/jobs/batch`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(jobs),
    })
    await scene.asked(BATCH_WINDOW_JOBS_MIN)
    replaceLogic(scene, '2')
    go()
    const lines = (await (await batch).text()).trim().split('\n')
    assert.equal(lines.length, jobs.length)
    for (const line of lines) assert.match(line, /"status":"queued"/)
  })

  test('a stream goes on, and is closed when the server is', async (t) => {
    const scene = await openScene(t)
    scene.answer = answer
    const [ending, staying] = [await EventStream.join(scene.url, ID),
      await EventStream.join(scene.url, ID.replace('aaaa', 'cccc'))]
    replaceLogic(scene, '2')
    scene.shards[1]?.event(ID_WORDS, EVENT_COMPLETED, { status: 'completed' })
    await ending.ended()
    assert.equal(ending.events.at(-1)?.name, 'completed')
    assert.equal(staying.closed, false)
    scene.door.close()
    await staying.ended()
  })

  test('an idle socket goes over, with what it watches', async (t) => {
    const scene = await openScene(t)
    scene.answer = answer
    const client = await SocketClient.open(scene.url)
    t.after(() => client.ws.terminate())
    client.send({ type: 'watch', job_id: ID })
    await client.take('watched')
    const old = replaceLogic(scene, '2')
    replaceLogic(scene, '3')
    assert.equal((await client.enqueue([{ ref: 1, ...JOB }]))[0]?.ref, 1)
    await collected(old)
    scene.shards[1]?.event(ID_WORDS, EVENT_COMPLETED, { status: 'completed' })
    assert.equal((await client.take('completed'))['job_id'], ID)
    assert.equal(client.isClosed, false)
  })

  test('a busy socket goes over when it is idle, and loses no answer', async (t) => {
    const scene = await openScene(t)
    const client = await SocketClient.open(scene.url, 'msgpack')
    t.after(() => client.ws.terminate())
    const old = replaceLogic(scene, '2')
    const go = hold(scene)
    client.send({ type: 'enqueue', jobs: [{ ref: 1, ...JOB, watch: true }] })
    client.send({ type: 'watch', job_id: ID })
    await scene.asked(2)
    replaceLogic(scene, '3')
    client.send({ type: 'enqueue', jobs: [{ ref: 2, ...JOB, idempotent_key: 'k2' }] })
    await scene.asked(3)
    assert.ok(old.deref(), 'it is still needed')
    go()
    assert.deepEqual((await client.answers(2)).map(({ ref }) => ref), [1, 2])
    await client.take('watched')
    await client.sync()
    await collected(old)
    const [first] = scene.requests
    assert.ok(first)
    const shard = scene.shards.find((_, at) => at === Number((idOf(first)[0] ?? 0) >= 2 ** 31))
    shard?.event(idOf(first), EVENT_COMPLETED, { status: 'completed' })
    await client.take('completed')
    await client.close()
    while (!scene.requests.some(({ kind }) => kind === INGRESS_UNWATCH)) await turn()
  })
})

test('door logics that were replaced leave nothing behind', async (t) => {
  const scene = await openScene(t)
  const olds: WeakRef<DoorLogic>[] = []
  for (let round = 0; round < 10; round++) {
    olds.push(replaceLogic(scene, String(round)))
    for (let at = 0; at < 5; at++) {
      assert.equal((await post(scene, { idempotent_key: `k${round}-${at}` })).status, 201)
    }
  }
  olds.pop()
  for (const old of olds) await collected(old)
})

/** Resolves when the object is garbage. */
async function collected(ref: WeakRef<object>): Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let tries = 0; ref.deref() !== undefined; tries++) {
    assert.ok(tries < 100, 'something still holds it')
    // What has been looked at is kept until the end of the turn.
    await turn()
    collect()
  }
}
