// Event streams of the front door, fed by fake shards.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { KIB, type Micros, msToUs } from '../../shards/base/units.ts'
import {
  CODE_NOT_FOUND, CODE_OK, CODE_TOO_MANY_WATCHED, EVENT_COMPLETED, EVENT_POSITION, INGRESS_GET,
  INGRESS_UNWATCH, INGRESS_WATCH, type JobSnapshot, WORD_REQUEST,
} from '../../shards/wire/contract.ts'
import { STREAM_KEEP_ALIVE_MS } from '../../src/base/limits.ts'
import { call, ID, ID_WORDS, idOf, openScene, post, type Scene, VIEW }
  from '../support/door-scene.ts'
import type { FakeRequest, FakeShard } from '../support/fake-shard.ts'
import { VirtualTime } from '../support/virtual-clock.ts'

/** Reads an event stream; `next` resolves with the next event, undefined at the end. */
async function follow(scene: Scene, id = ID): Promise<{
  response: Response, next: () => Promise<[string, unknown] | undefined>, leave: () => void
}> {
  const controller = new AbortController()
  const response = await fetch(`${scene.url}/jobs/${id}/stream`, { signal: controller.signal })
  const reader = response.body?.getReader()
  let text = ''
  const next = async (): Promise<[string, unknown] | undefined> => {
    for (;;) {
      const end = text.indexOf('\n\n')
      if (end >= 0) {
        const found = /^event: (\w+)(?:\nid: \S+)?\ndata: (.*)$/.exec(text.slice(0, end))
        text = text.slice(end + 2)
        if (found !== null) return [found[1] ?? '', JSON.parse(found[2] ?? '')]
        continue
      }
      const chunk = await reader?.read()
      if (chunk === undefined || chunk.done) return undefined
      text += Buffer.from(chunk.value).toString()
    }
  }
  return { response, next, leave: () => controller.abort() }
}

/** Resolves when the server has so many streams: it sees late that a client has gone. */
async function streamsAre(scene: Scene, count: number): Promise<void> {
  for (let streams = NaN; streams !== count;) {
    const { body } = await call(scene, 'GET', '/health')
    streams = (body['admission'] as { streams: number }).streams
  }
}

const kinds = (scene: Scene): number[] => scene.requests.map(({ kind }) => kind)

test('a stream tells what was missed, then what happens, then ends', async (t) => {
  const scene = await openScene(t)
  const view: JobSnapshot = { ...VIEW, attempts: 2, retry_at: Date.now() + 60_000 }
  scene.answer = (shard, { words }) => shard.job(words[WORD_REQUEST] as number, CODE_OK, view)
  const stream = await follow(scene)
  assert.equal(stream.response.status, 200)
  assert.equal(stream.response.headers.get('content-type'), 'text/event-stream')
  assert.deepEqual(await stream.next(), ['queued', { job_id: ID }])
  assert.deepEqual(await stream.next(), ['dispatching', { job_id: ID, attempt: 2 }])
  const [name, data] = await stream.next() as [string, { attempt: number, retry_in_ms: number }]
  assert.deepEqual([name, data.attempt], ['retrying', 2])
  assert.ok(data.retry_in_ms > 50_000 && data.retry_in_ms <= 60_000)
  assert.deepEqual(await stream.next(), ['position', { job_id: ID, position: 3 }])

  const other = await follow(scene)
  const shard = scene.shards[1] as FakeShard
  shard.event(ID_WORDS, EVENT_POSITION, { position: 1 })
  shard.event([1, 2, 3], EVENT_POSITION, { position: 9 }) // nobody follows this one
  shard.event(ID_WORDS, EVENT_COMPLETED, { status: 'completed', response_status: 200, body: 'ö' })
  const done = { job_id: ID, status: 'completed', response_status: 200, body: 'ö' }
  assert.deepEqual(await stream.next(), ['position', { job_id: ID, position: 1 }])
  assert.deepEqual(await stream.next(), ['completed', done])
  assert.equal(await stream.next(), undefined)
  const seen: string[] = []
  for (let at = await other.next(); at !== undefined; at = await other.next()) seen.push(at[0])
  assert.deepEqual(seen,
    ['queued', 'dispatching', 'retrying', 'position', 'position', 'completed'])
  assert.deepEqual(kinds(scene), [INGRESS_WATCH, INGRESS_WATCH], 'a finished job needs no unwatch')
})

test('whoever joins after the end gets it at once', async (t) => {
  const scene = await openScene(t)
  const result = { status: 'failed' as const, reason: 'timeout' }
  scene.answer = (shard, { words }) => shard.job(words[WORD_REQUEST] as number, CODE_OK,
    { ...VIEW, status: 'failed', attempts: 5, result })
  const stream = await follow(scene)
  const events: unknown[] = []
  for (let at = await stream.next(); at !== undefined; at = await stream.next()) events.push(at)
  assert.deepEqual(events.at(-1), ['failed', { job_id: ID, ...result }])
  const { body } = await call(scene, 'GET', '/health')
  assert.equal((body['admission'] as { streams: number }).streams, 0)
})

test('the last stream of a job to leave ends its being watched', async (t) => {
  const scene = await openScene(t)
  scene.answer = (shard, { kind, words }) => {
    if (kind === INGRESS_WATCH) shard.job(words[WORD_REQUEST] as number, CODE_OK, VIEW)
    else if (kind === INGRESS_GET) shard.job(words[WORD_REQUEST] as number, CODE_OK, VIEW)
  }
  const first = await follow(scene)
  const second = await follow(scene)
  await second.next()
  first.leave()
  await streamsAre(scene, 1)
  await call(scene, 'GET', `/jobs/${ID}`)
  ;(scene.shards[1] as FakeShard).event(ID_WORDS, EVENT_POSITION, { position: 2 })
  await second.next()
  assert.deepEqual(await second.next(), ['position', { job_id: ID, position: 2 }])
  assert.ok(!kinds(scene).includes(INGRESS_UNWATCH))
  second.leave()
  await scene.asked(4)
  assert.deepEqual(kinds(scene), [INGRESS_WATCH, INGRESS_WATCH, INGRESS_GET, INGRESS_UNWATCH])
  assert.deepEqual(idOf(scene.requests.at(-1) as FakeRequest), ID_WORDS)
})

test('no stream for an unknown job, nor beyond what a shard watches', async (t) => {
  const scene = await openScene(t)
  for (const [code, status, error] of [
    [CODE_NOT_FOUND, 404, 'job_not_found'], [CODE_TOO_MANY_WATCHED, 503, 'overloaded'],
  ] as const) {
    scene.answer = (shard, { words }) => shard.job(words[WORD_REQUEST] as number, code, null)
    const answer = await call(scene, 'GET', `/jobs/${ID}/stream`)
    assert.deepEqual([answer.status, answer.body['code']], [status, error])
  }
  assert.equal((await call(scene, 'GET', '/jobs/nonsense/stream')).status, 404)
  const { body } = await call(scene, 'GET', '/health')
  assert.equal((body['admission'] as { streams: number }).streams, 0)
  assert.ok(!kinds(scene).includes(INGRESS_UNWATCH))
})

test('a reader that takes nothing is cut off before it fills the memory', async (t) => {
  const scene = await openScene(t)
  scene.answer = (shard, { kind, words }) => {
    if (kind === INGRESS_WATCH) shard.job(words[WORD_REQUEST] as number, CODE_OK, VIEW)
  }
  const socket = connect(scene.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.pause()
  socket.write(`GET /jobs/${ID}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  await scene.asked(1)
  const shard = scene.shards[1] as FakeShard
  // The kernel's own buffers take some megabytes before anything is left in the server's.
  for (let events = 0; scene.requests.length < 2 && events < 500; events++) {
    shard.event(ID_WORDS, EVENT_POSITION, { position: 1, pad: 'x'.repeat(50 * KIB) })
    await call(scene, 'GET', '/ready') // the event has been written when this is answered
  }
  await scene.asked(2)
  assert.deepEqual(kinds(scene), [INGRESS_WATCH, INGRESS_UNWATCH])
  socket.destroy()
})

test('closing ends streams and answers who still waits', async (t) => {
  const scene = await openScene(t)
  scene.answer = (shard, { words }) => shard.job(words[WORD_REQUEST] as number, CODE_OK, VIEW)
  const stream = await follow(scene)
  scene.answer = () => {}
  const taken = post(scene)
  await scene.asked(2)
  for (const shard of scene.shards) shard.die()
  const waiting = post(scene)
  const joining = call(scene, 'GET', `/jobs/${ID}/stream`)
  await scene.lying(2)
  scene.door.drain()
  scene.door.close()
  assert.deepEqual((await taken).body['code'], 'answer_unknown')
  assert.deepEqual((await waiting).body['code'], 'draining')
  assert.deepEqual((await joining).body['code'], 'draining')
  await stream.next()
  await stream.next()
  assert.equal(await stream.next(), undefined)
  await assert.rejects(fetch(`${scene.url}/ready`))
})

test('a silent stream gets a comment every 15 seconds', async (t) => {
  const time = new VirtualTime()
  const scene = await openScene(t, 0, time.clock())
  scene.answer = (shard, { words }) => shard.job(words[WORD_REQUEST] as number, CODE_OK, VIEW)
  const response = await fetch(`${scene.url}/jobs/${ID}/stream`)
  const reader = response.body?.getReader()
  let text = ''
  const readUntil = async (holds: () => boolean): Promise<void> => {
    while (!holds()) text += Buffer.from((await reader?.read())?.value ?? []).toString()
  }
  await readUntil(() => text.includes('"position":3}'))
  // An event behind which everything that was written before it has been read.
  const readAll = async (position: number): Promise<void> => {
    (scene.shards[1] as FakeShard).event(ID_WORDS, EVENT_POSITION, { position })
    await readUntil(() => text.includes(`"position":${position}}`))
  }
  time.advanceTo((time.nowUs() + msToUs(STREAM_KEEP_ALIVE_MS - 100)) as Micros)
  await readAll(10)
  assert.doesNotMatch(text, /^:/m)
  for (let comments = 1; comments <= 3; comments++) {
    time.advanceTo((time.nowUs() + msToUs(STREAM_KEEP_ALIVE_MS)) as Micros)
    await readAll(10 + comments)
    assert.equal(text.split('\n\n: keep-alive\n\n').length, 1 + comments, text)
  }
  await reader?.cancel()
})

test('an unwatch that finds the ring full is sent later', async (t) => {
  const time = new VirtualTime()
  const scene = await openScene(t, 0, time.clock())
  scene.answer = (shard, { kind, words }) => {
    if (kind === INGRESS_WATCH) shard.job(words[WORD_REQUEST] as number, CODE_OK, VIEW)
  }
  const stream = await follow(scene)
  await stream.next()
  const [, link] = scene.links
  assert.ok(link)
  let filled = 0
  for (; link.ingress.fits(8); filled++) {
    link.ingress.claim(99, 8)
    link.ingress.commit() // nobody rings, so the fake shard sleeps on
  }
  stream.leave()
  await streamsAre(scene, 0)
  link.bell.ring()
  await scene.asked(1 + filled)
  assert.ok(!kinds(scene).includes(INGRESS_UNWATCH))
  time.advanceTo((time.nowUs() + msToUs(100)) as Micros)
  await scene.asked(2 + filled)
  assert.equal(kinds(scene).at(-1), INGRESS_UNWATCH)
})
