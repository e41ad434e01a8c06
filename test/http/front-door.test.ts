// The front door against fake shards: its answers, its refusals, and what it puts into the rings.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { SystemClock } from '../../shards/base/clock.ts'
import { KIB, type Micros, NONE } from '../../shards/base/units.ts'
import { decodeValue, encodeValue } from '../../shards/wire/codec.ts'
import {
  CODE_NOT_CANCELLABLE, CODE_NOT_FOUND, CODE_OK, FLAG_ACCOUNT_QUEUE, FLAG_RETRIES_SHIFT,
  INGRESS_CANCEL, INGRESS_ENQUEUE, INGRESS_GET, type JobSnapshot, REFUSED_JOBS, REFUSED_MEMORY,
  WORD_FLAGS, WORD_KEY_HIGH, WORD_KEY_LOW, WORD_LANE_HIGH, WORD_LANE_LOW, WORD_RECEIVER,
  WORD_REQUEST, WORD_ROUTE, WORD_TEMPLATE_HASH, WORD_UPSTREAM,
} from '../../shards/wire/contract.ts'
import { OperatingError } from '../../src/base/errors.ts'
import { shardOf } from '../../src/base/hash.ts'
import { UPSTREAM_SLOTS_ALPHA } from '../../src/base/limits.ts'
import type { ShardLink } from '../../src/engine/shard-link.ts'
import {
  ACCOUNT_QUEUES_ORIGIN, BODY_BYTES_MAX, call, ID, ID_WORDS, idText, JOB, openScene, post,
  type Scene, SHARDS, VIEW, wordsOf,
} from '../support/door-scene.ts'
import type { FakeRequest, FakeShard } from '../support/fake-shard.ts'

test('an accepted job is in its shard\'s ring before the 201', async (t) => {
  const scene = await openScene(t)
  const answer = await post(scene, { max_retries: -1, execute_before: 77 })
  const [request] = scene.requests as [FakeRequest]
  assert.equal(answer.status, 201)
  assert.equal(answer.headers.get('content-type'), 'application/json')
  assert.deepEqual(answer.body, { job_id: idText(request), status: 'queued' })
  const [flags = 0, receiver] = wordsOf(request, WORD_FLAGS, WORD_RECEIVER)
  assert.equal(flags >> FLAG_RETRIES_SHIFT, -1)
  assert.equal(flags & FLAG_ACCOUNT_QUEUE, 0)
  assert.deepEqual(request.template, {
    userId: 'ann', url: 'http://api.example/v1', method: 'POST',
    headers: ['Authorization', 'Bearer t'], webhookUrl: 'http://hook.example/done', receiver,
  })
  assert.equal(request.job?.executeBeforeMs, 77)
  assert.equal(Buffer.from(request.job?.body ?? []).toString(), 'hi')
  const ageMs = Date.now() - (request.job?.createdAtMs ?? 0)
  assert.ok(ageMs > -1000 && ageMs < 60_000)
})

test('hashes: one shard a user, one key a job, one lane an account and upstream', async (t) => {
  const scene = await openScene(t)
  const submit = async (changes: object): Promise<FakeRequest> => {
    assert.equal((await post(scene, changes)).status, 201)
    return scene.requests.at(-1) as FakeRequest
  }
  const lane = (request: FakeRequest): string =>
    String(wordsOf(request, WORD_LANE_HIGH, WORD_LANE_LOW))
  const key = (request: FakeRequest): string =>
    String(wordsOf(request, WORD_ROUTE, WORD_KEY_HIGH, WORD_KEY_LOW))
  const first = await submit({})
  const again = await submit({ body: 'other' })
  const otherKey = await submit({ idempotent_key: 'k2' })
  const otherUser = await submit({ user_id: 'bob' })
  const otherApiKey = await submit({ headers: { 'X-Api-Key': 'u' } })
  const otherUpstream = await submit({ url: 'https://api.example/v1' })
  assert.equal(key(again), key(first))
  assert.equal(lane(otherKey), lane(first))
  const template = wordsOf(first, WORD_TEMPLATE_HASH)
  assert.deepEqual(wordsOf(again, WORD_TEMPLATE_HASH), template)
  assert.deepEqual(wordsOf(otherKey, WORD_TEMPLATE_HASH), template)
  assert.notDeepEqual(wordsOf(otherUpstream, WORD_TEMPLATE_HASH), template)
  assert.equal(new Set([key(first), key(otherKey), key(otherUser)]).size, 3)
  const lanes = [first, otherUser, otherApiKey, otherUpstream].map(lane)
  assert.equal(new Set(lanes).size, 4)
  assert.notDeepEqual(wordsOf(otherUpstream, WORD_UPSTREAM), wordsOf(first, WORD_UPSTREAM))
  assert.equal(new Set(scene.requests.map(idText)).size, scene.requests.length)

  scene.answer = (shard, { words }) => {
    assert.equal(shard, scene.shards[shardOf(words[WORD_ROUTE] as number, SHARDS)])
    shard.accept(words[WORD_REQUEST] as number)
  }
  await Promise.all(Array.from({ length: 40 }, (_, at) => post(scene, { user_id: `u${at}` })))
})

test('delivery by poll has no receiver; the caller can ask for account queues', async (t) => {
  const scene = await openScene(t)
  const url = `${ACCOUNT_QUEUES_ORIGIN}/v1`
  await post(scene, { delivery: 'poll', webhook_url: undefined, url }, {
    'X-Aqueduct-Account-Queue': 'Enabled',
  })
  await post(scene, { url }, {
    'X-Aqueduct-Account-Queue': 'disabled', 'X-Aquifer-Account-Queue': 'enabled',
  })
  const [poll, other] = scene.requests as [FakeRequest, FakeRequest]
  assert.deepEqual(wordsOf(poll, WORD_RECEIVER), [NONE])
  assert.equal(poll.template?.webhookUrl, null)
  assert.equal((poll.words[WORD_FLAGS] as number) & FLAG_ACCOUNT_QUEUE, FLAG_ACCOUNT_QUEUE)
  assert.equal((other.words[WORD_FLAGS] as number) & FLAG_ACCOUNT_QUEUE, 0)
})

test('a caller does not switch account queues on where no setting allows it', async (t) => {
  const scene = await openScene(t)
  const headers = { 'X-Aqueduct-Account-Queue': 'enabled' }
  const jobs = Array.from({ length: 40 }, (_, at) => ({ ...JOB, idempotent_key: `b${at}` }))
  // Often enough for the later ones not to be parsed any more.
  for (const job of jobs) assert.equal((await post(scene, job, headers)).status, 201)
  const batch = await fetch(`${scene.url}/jobs/batch`, {
    method: 'POST', body: jobs.map((job) => JSON.stringify({ ...job, user_id: 'bob' })).join('\n'),
    headers: { 'content-type': 'application/x-ndjson', ...headers },
  })
  assert.equal((await batch.text()).trim().split('\n').length, jobs.length)
  assert.equal(scene.requests.length, 2 * jobs.length)
  for (const { words } of scene.requests) {
    assert.equal((words[WORD_FLAGS] as number) & FLAG_ACCOUNT_QUEUE, 0)
  }
})

test('a key in the header that is not ASCII is refused, as far as it can be seen', async (t) => {
  const scene = await openScene(t)
  for (const key of ['a\u00e9b', 'a\u00e8b', '\u00e9a \u00e9 b']) {
    const { body, status } = await post(scene, { idempotent_key: undefined },
      { 'Idempotency-Key': key })
    assert.deepEqual([status, body['code'], body['field']],
      [400, 'invalid_header', 'idempotent_key'])
  }
  const spaced = await post(scene, { idempotent_key: undefined }, { 'Idempotency-Key': 'a b ' })
  assert.equal(spaced.status, 201)
})

test('a text in MessagePack that is not UTF-8 is refused', async (t) => {
  const scene = await openScene(t)
  const bytes = Buffer.from(encodeValue({ ...JOB, idempotent_key: 'kee' }))
  const at = bytes.indexOf('kee') + 2
  for (const last of [0xe8, 0xe9]) {
    bytes[at] = last
    const { body, status } = await call(scene, 'POST', '/jobs', {
      body: bytes, headers: { 'content-type': 'application/msgpack' },
    })
    assert.deepEqual([status, body['code']], [400, 'invalid_msgpack'])
  }
  assert.equal(scene.requests.length, 0)
})

test('the Idempotency-Key header, MessagePack in and out', async (t) => {
  const scene = await openScene(t)
  const withHeader = await post(scene, { idempotent_key: undefined }, { 'Idempotency-Key': 'k1' })
  assert.equal(withHeader.status, 201)
  const response = await fetch(`${scene.url}/jobs`, {
    method: 'POST', body: Uint8Array.from(encodeValue({ ...JOB, body: Uint8Array.of(0, 255) })),
    headers: { 'content-type': 'application/msgpack', accept: 'application/msgpack' },
  })
  assert.equal(response.status, 201)
  assert.equal(response.headers.get('content-type'), 'application/msgpack')
  const bytes = Buffer.from(await response.arrayBuffer())
  const [first, second] = scene.requests as [FakeRequest, FakeRequest]
  assert.deepEqual(decodeValue(bytes, 0, bytes.length),
    { job_id: idText(second), status: 'queued' })
  assert.deepEqual([...second.job?.body ?? []], [0, 255])
  assert.deepEqual(wordsOf(first, WORD_KEY_HIGH, WORD_KEY_LOW),
    wordsOf(second, WORD_KEY_HIGH, WORD_KEY_LOW))
})

test('a known key is answered with its job, and its result when it has one', async (t) => {
  const scene = await openScene(t)
  scene.answer = (shard, { words }) => {
    shard.duplicate(words[WORD_REQUEST] as number, ID_WORDS, 2, null)
  }
  const running = await post(scene)
  assert.equal(running.status, 200)
  assert.deepEqual(running.body, { job_id: ID, status: 'in_flight', duplicate: true })
  const result = { status: 'completed' as const, response_status: 204, body: '' }
  scene.answer = (shard, { words }) => {
    shard.duplicate(words[WORD_REQUEST] as number, ID_WORDS, 4, result)
  }
  assert.deepEqual((await post(scene)).body,
    { job_id: ID, status: 'completed', duplicate: true, result })
})

test('refusals of a shard: 429, longer after each wait until one is accepted', async (t) => {
  let lateUs = 0
  const system = new SystemClock()
  const scene = await openScene(t, 0, {
    nowUs: () => (system.nowUs() + lateUs) as Micros,
    wakeAt: (atUs, wake) => system.wakeAt((atUs - lateUs) as Micros, wake),
    wallMs: (atUs) => system.wallMs(atUs),
  })
  const accept = scene.answer
  const waits: (string | null)[] = []
  for (const reason of [REFUSED_MEMORY, REFUSED_JOBS, REFUSED_JOBS]) {
    scene.answer = (shard, { words }) => {
      shard.refuse(words[WORD_REQUEST] as number, reason, 1000.5, 999)
    }
    const { status, body, headers } = await post(scene)
    assert.equal(status, 429)
    assert.equal(body['code'], 'limit_reached')
    assert.equal(body['limit_reason'], reason === REFUSED_MEMORY ? 'memory' : 'jobs')
    assert.deepEqual([body['limit'], body['current']], [1000.5, 999])
    waits.push(headers.get('retry-after'))
    assert.equal((await post(scene)).headers.get('retry-after'), waits.at(-1), 'the same burst')
    lateUs += 1_000_000 * Number(waits.at(-1))
  }
  assert.deepEqual(waits, ['5', '10', '20'])
  scene.answer = accept
  assert.equal((await post(scene)).status, 201)
  scene.answer = (shard, { words }) => shard.refuse(words[0] as number, REFUSED_JOBS, 1, 1)
  assert.equal((await post(scene)).headers.get('retry-after'), '5')
})

test('a full ring is refused at once, and leaves no trace', async (t) => {
  const scene = await openScene(t)
  for (const link of scene.links) {
    while (link.ingress.fits(16 * KIB)) {
      link.ingress.claim(99, 16 * KIB)
      link.ingress.commit() // nobody rings, so the fake shard sleeps on
    }
  }
  const { status, body } = await post(scene, { body: 'x'.repeat(30 * KIB) })
  assert.equal(status, 429)
  assert.equal(body['limit_reason'], 'ingress')
  assert.ok((body['current'] as number) <= (body['limit'] as number))
  const health = await call(scene, 'GET', '/health')
  assert.equal((health.body['admission'] as { pending: number }).pending, 0)
})

test('a user has its share of the upstreams, and a full table refuses new ones', async (t) => {
  const scene = await openScene(t)
  const slots = scene.links[0]?.views.limits.upstreamsMax ?? 0
  const postTo = (at: number, user: string): ReturnType<typeof post> => post(scene,
    { delivery: 'poll', webhook_url: null, url: `http://h${at}.example`, user_id: user })
  const share = Math.ceil((slots * UPSTREAM_SLOTS_ALPHA) / (1 + UPSTREAM_SLOTS_ALPHA))
  const first = await Promise.all(Array.from({ length: slots }, (_, at) => postTo(at, 'greedy')))
  assert.equal(first.filter(({ status }) => status === 201).length, share)
  const refused = first.find(({ status }) => status !== 201)
  assert.deepEqual([refused?.status, refused?.body['limit_reason']], [429, 'upstreams_share'])
  assert.equal(refused?.body['current'], share)
  const others = await Promise.all(Array.from({ length: slots - share }, (_, at) =>
    postTo(share + at, `other ${at}`)))
  assert.ok(others.every(({ status }) => status === 201))
  const { status, body } = await postTo(slots, 'one more')
  assert.deepEqual([status, body['limit_reason']], [429, 'upstreams'])
  assert.deepEqual([body['limit'], body['current']], [slots, slots])
  assert.equal((await postTo(1, 'one more')).status, 201)
  const { refused: counts } = (await call(scene, 'GET', '/health')).body['admission'] as
    { refused: Record<string, number> }
  assert.deepEqual([counts['upstreams_share'], counts['upstreams']], [slots - share, 1])
})

test('bad bodies: 400 names the field, 415 the types, 413 the limit', async (t) => {
  const scene = await openScene(t)
  const missing = await post(scene, { user_id: undefined })
  assert.equal(missing.status, 400)
  assert.deepEqual(missing.body,
    { error: 'user_id is required', code: 'missing_field', field: 'user_id' })
  const broken = await call(scene, 'POST', '/jobs',
    { body: '{', headers: { 'content-type': 'application/json' } })
  assert.deepEqual([broken.status, broken.body['code']], [400, 'invalid_json'])
  const plain = await call(scene, 'POST', '/jobs', { body: 'x' })
  assert.deepEqual([plain.status, plain.body['code']], [415, 'unsupported_media_type'])
  const large = await post(scene, { body: 'x'.repeat(BODY_BYTES_MAX) })
  assert.deepEqual([large.status, large.body['code'], large.body['limit']],
    [413, 'body_too_large', BODY_BYTES_MAX])
  assert.equal(scene.requests.length, 0)
  const { body } = await call(scene, 'GET', '/health')
  assert.equal((body['admission'] as { invalid: number }).invalid, 4)
})

/** Writes raw bytes; resolves with all that comes back before the server closes. */
async function raw(scene: Scene, text: string): Promise<string> {
  const socket = connect(scene.port, '127.0.0.1')
  let received = ''
  socket.on('data', (chunk) => { received += String(chunk) })
  socket.on('error', () => {})
  socket.write(text)
  await once(socket, 'close')
  return received
}

test('bodies in pieces: whole when they fit, cut off with 413 when they do not', async (t) => {
  const scene = await openScene(t)
  const body = JSON.stringify({ ...JOB, body: 'y'.repeat(20 * KIB) })
  const pieces = new ReadableStream({
    start(controller) {
      for (let at = 0; at < body.length; at += 1000) {
        controller.enqueue(Buffer.from(body.slice(at, at + 1000)))
      }
      controller.close()
    },
  })
  const init = { body: pieces, duplex: 'half', headers: { 'content-type': 'application/json' } }
  assert.equal((await call(scene, 'POST', '/jobs', init as RequestInit)).status, 201)
  assert.equal(scene.requests[0]?.job?.body?.length, 20 * KIB)

  const head = 'POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
  const chunk = `8000\r\n${' '.repeat(0x8000)}\r\n`
  const endless = `${head}Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}${chunk}`
  assert.match(await raw(scene, endless), /^HTTP\/1.1 413 /)
  const announced = `${head}Content-Length: ${BODY_BYTES_MAX + 1}\r\n\r\n{`
  assert.match(await raw(scene, announced), /^HTTP\/1.1 413 /)
  const garbage = await raw(scene,
    'POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n')
  assert.match(garbage, /^HTTP\/1.1 400 /)
  const headers = `GET /health HTTP/1.1\r\nHost: localhost\r\nX: ${'a'.repeat(20 * KIB)}\r\n\r\n`
  assert.match(await raw(scene, headers), /^HTTP\/1.1 431 /)
  assert.equal((await post(scene)).status, 201, 'and the door still stands')
})

test('a client that goes away costs nothing but its answer', async (t) => {
  const scene = await openScene(t)
  const held: number[] = []
  scene.answer = (_, { words }) => { held.push(words[WORD_REQUEST] as number) }
  const aborted = new AbortController()
  const going = fetch(`${scene.url}/jobs`, {
    method: 'POST', body: JSON.stringify(JOB), signal: aborted.signal,
    headers: { 'content-type': 'application/json' },
  })
  await scene.asked(1)
  aborted.abort()
  await assert.rejects(going, { name: 'AbortError' })
  // A half-sent body, given up.
  const socket = connect(scene.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write('POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"user')
  await once(socket, 'connect')
  socket.destroy()
  const [shard] = scene.shards.filter((_, at) =>
    at === shardOf(scene.requests[0]?.words[WORD_ROUTE] as number, SHARDS))
  shard?.accept(held[0] as number)
  shard?.accept(held[0] as number) // twice: the second finds nobody
  scene.answer = (other, { words }) => other.accept(words[WORD_REQUEST] as number)
  assert.equal((await post(scene)).status, 201)
  const { body } = await call(scene, 'GET', '/health')
  const admission = body['admission'] as { accepted: number, pending: number }
  assert.deepEqual([admission.accepted, admission.pending], [2, 0])
})

test('GET and DELETE of a job', async (t) => {
  const scene = await openScene(t)
  scene.answer = (shard, { words }) => shard.job(words[WORD_REQUEST] as number, CODE_OK, VIEW)
  const shown = await call(scene, 'GET', `/jobs/${ID}`)
  assert.equal(shown.status, 200)
  assert.deepEqual(shown.body, { job_id: ID, ...VIEW })
  assert.equal(Object.keys(shown.body)[0], 'job_id')
  const cancelled: JobSnapshot = { ...VIEW, status: 'cancelled', result: { status: 'cancelled' } }
  scene.answer = (shard, { words }) =>
    shard.job(words[WORD_REQUEST] as number, CODE_OK, cancelled)
  const gone = await call(scene, 'DELETE', `/jobs/${ID}`)
  assert.deepEqual([gone.status, gone.body['status']], [200, 'cancelled'])
  assert.deepEqual(scene.requests.map(({ kind }) => kind), [INGRESS_GET, INGRESS_CANCEL])
  assert.deepEqual(scene.requests.map((request) => idText(request)), [ID, ID])

  scene.answer = (shard, { words }) => shard.job(
    words[WORD_REQUEST] as number, CODE_NOT_CANCELLABLE, { ...VIEW, status: 'in_flight' })
  const sent = await call(scene, 'DELETE', `/jobs/${ID}`)
  assert.deepEqual([sent.status, sent.body['code'], sent.body['status']],
    [409, 'not_cancellable', 'in_flight'])
  scene.answer = (shard, { words }) =>
    shard.job(words[WORD_REQUEST] as number, CODE_NOT_FOUND, null)
  for (const path of [`/jobs/${ID}`, '/jobs/nonsense', `/jobs/${ID.toUpperCase()}`]) {
    const { status, body } = await call(scene, 'GET', path)
    assert.deepEqual([status, body['code']], [404, 'job_not_found'], path)
  }
})

test('unknown paths are 404, wrong methods 405 with what is allowed', async (t) => {
  const scene = await openScene(t)
  for (const path of ['/', '/job', '/jobs/a/b/c', `/jobs/${ID}/streams`, '/healthz']) {
    const { status, body } = await call(scene, 'GET', path)
    assert.deepEqual([status, body['code']], [404, 'not_found'], path)
  }
  for (const [method = '', path = '', allow] of [
    ['GET', '/jobs', 'POST'], ['PUT', `/jobs/${ID}`, 'GET, DELETE'],
    ['POST', `/jobs/${ID}/stream`, 'GET'], ['POST', '/ready', 'GET, HEAD'],
  ]) {
    const { status, body, headers } = await call(scene, method, path)
    assert.deepEqual([status, body['code']], [405, 'method_not_allowed'], path)
    assert.equal(headers.get('allow'), allow)
  }
  const head = await fetch(`${scene.url}/health`, { method: 'HEAD' })
  assert.equal(head.status, 200)
  assert.ok(Number(head.headers.get('content-length')) > 100)
})

test('health and readiness; draining refuses jobs and nothing else', async (t) => {
  const scene = await openScene(t)
  scene.links[1]?.views.stats.set([7]) // `queued` is the first of them
  assert.deepEqual((await call(scene, 'GET', '/ready')).body, { status: 'ready' })
  const { body } = await call(scene, 'GET', '/health')
  assert.deepEqual([body['status'], body['version']], ['ok', '1.2.3'])
  assert.equal(typeof body['uptime_s'], 'number')
  assert.deepEqual(body['queues'], { active: 0, backlog: 7 })
  assert.equal((body['shards'] as object[]).length, SHARDS)

  ;(scene.links[0] as ShardLink).down = true
  const { shards, status } = (await call(scene, 'GET', '/health')).body
  assert.equal(status, 'degraded')
  assert.deepEqual((shards as { up: boolean, trouble: string | null }[])
    .map(({ trouble, up }) => [up, trouble]), [[false, 'shard_down'], [true, null]])
  const unready = await call(scene, 'GET', '/ready')
  assert.deepEqual([unready.status, unready.body], [503, { status: 'degraded' }])
  scene.door.drain()
  assert.equal((await call(scene, 'GET', '/health')).body['status'], 'draining')
  assert.equal((await call(scene, 'GET', '/ready')).status, 503)
  const refused = await post(scene)
  assert.deepEqual([refused.status, refused.body['code']], [503, 'draining'])
  assert.ok(Number(refused.headers.get('retry-after')) > 0)
  scene.answer = (shard, { words }) => shard.job(words[WORD_REQUEST] as number, CODE_OK, VIEW)
  assert.equal((await call(scene, 'GET', `/jobs/${ID}`)).status, 200)
})

test('a shard that is down: 503 for its users, those who wait included', async (t) => {
  const scene = await openScene(t)
  const [first, second] = scene.links as [ShardLink, ShardLink]
  scene.shards[1]?.die()
  const waiting = call(scene, 'GET', `/jobs/${ID}`)
  await scene.lying(1)
  second.down = true
  const gone = await waiting
  assert.deepEqual([gone.status, gone.body['code']], [503, 'shard_down'])
  assert.equal((await call(scene, 'GET', `/jobs/${ID}`)).status, 503)
  scene.answer = (shard, { words }) => shard.accept(words[WORD_REQUEST] as number)
  const users = Array.from({ length: 20 }, (_, at) => post(scene, { user_id: `u${at}` }))
  const statuses = new Set((await Promise.all(users)).map(({ status }) => status))
  assert.deepEqual([...statuses].toSorted(), [201, 503])
  first.down = true
  assert.equal((await post(scene)).body['code'], 'shard_down')
  // Nobody executes what was refused, whoever comes after the dead thread.
  const before = scene.requests.length
  scene.shards[1]?.revive()
  assert.equal(scene.requests.length, before)
})

/** The link and the shard of the user of JOB, who has one job there; and its id. */
async function shardOfJob(
  scene: Scene,
): Promise<{ link: ShardLink, shard: FakeShard, jobId: string }> {
  const { body } = await post(scene, { idempotent_key: 'the first' })
  const [request] = scene.requests as [FakeRequest]
  const at = shardOf(request.words[WORD_ROUTE] as number, SHARDS)
  const [link, shard] = [scene.links[at], scene.shards[at]]
  assert.ok(link !== undefined && shard !== undefined)
  scene.requests.length = 0
  return { link, shard, jobId: body['job_id'] as string }
}

test('what a shard has taken is answered by it, however long that takes', async (t) => {
  const scene = await openScene(t)
  const { link, shard } = await shardOfJob(scene)
  scene.answer = () => { shard.die() }
  const taken = post(scene)
  await scene.asked(1)
  const lying = post(scene, { idempotent_key: 'k2' })
  await scene.lying(1)
  link.down = true
  assert.equal((await lying).body['code'], 'shard_down')
  shard.accept(scene.requests[0]?.words[WORD_REQUEST] as number)
  assert.equal((await taken).status, 201)
  shard.revive()
  assert.equal(scene.requests.length, 1)
})

test('a shard gives back what it cannot answer, and not what it has answered', async (t) => {
  const scene = await openScene(t)
  const { shard, jobId } = await shardOfJob(scene)
  scene.answer = () => {}
  const posts = ['k1', 'k2'].map((key) => post(scene, { idempotent_key: key }))
  const cancelled = call(scene, 'DELETE', `/jobs/${jobId}`)
  await scene.asked(3)
  const [first, second] = scene.requests.filter(({ kind }) => kind === INGRESS_ENQUEUE)
    .map(({ words }) => words[WORD_REQUEST] as number)
  // All before the front door looks: an answer, the giving back, and an answer that is void.
  shard.accept(first as number)
  shard.giveBack()
  shard.accept(second as number)
  const answers = await Promise.all(posts)
  assert.deepEqual(answers.map(({ status }) => status).toSorted(), [201, 503])
  const refused = answers.find(({ status }) => status === 503)
  assert.equal(refused?.body['code'], 'journal_stalled')
  const { status, body } = await cancelled
  assert.deepEqual([status, body['code']], [504, 'answer_unknown'])
})

test('a port that is taken is an error that says so', async (t) => {
  const scene = await openScene(t)
  await assert.rejects(openScene(t, scene.port), (error) =>
    error instanceof OperatingError && error.code === 'cannot_listen' &&
    error.message.includes(String(scene.port)))
})

test('many at once, out of order: every answer finds its own request', async (t) => {
  const scene = await openScene(t)
  const held: [FakeShard, number][] = []
  scene.answer = (shard, { kind, words }) => {
    if (kind === INGRESS_ENQUEUE) held.push([shard, words[WORD_REQUEST] as number])
    if (held.length < 50) return
    for (const [other, request] of held.splice(0).toReversed()) other.accept(request)
  }
  const answers = await Promise.all(Array.from({ length: 500 }, (_, at) =>
    post(scene, { user_id: `u${at % 17}`, idempotent_key: `k${at}`, body: `b${at}` })))
  const bodies = new Map(scene.requests.map((request) =>
    [idText(request), Buffer.from(request.job?.body ?? []).toString()]))
  assert.ok(answers.every(({ status }) => status === 201))
  const answered = answers.map(({ body }) => bodies.get(body['job_id'] as string))
  assert.deepEqual(answered, answers.map((_, at) => `b${at}`))
})
