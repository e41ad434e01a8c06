// Two tenants beside each other: over every route, message and event, the jobs of the one are not
// there for the other, whatever they have in common.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ROUTES, type RouteName } from '../../src/http/route-table.ts'
import { type Answer, get, post, send } from '../support/client.ts'
import { EventStream } from '../support/event-stream.ts'
import { KeyedServer, type TestKey } from '../support/keyed-server.ts'
import { Gate, upstreamFor } from '../support/scene.ts'
import { SocketClient } from '../support/socket-client.ts'

interface TwoTenants {
  readonly server: KeyedServer
  /** Tenant 7 and tenant 8; both name users, and both submit the same jobs. */
  readonly one: TestKey
  readonly other: TestKey
  /** Holds the upstream's responses. */
  readonly gate: Gate
  readonly job: object
}

async function openTwo(t: TestContext): Promise<TwoTenants> {
  const gate = new Gate()
  const upstream = await upstreamFor(t, gate.hold((_, response) => response.end('ok')))
  t.after(() => gate.open())
  const server = await KeyedServer.start(t, {
    flags: ['--default-rps', '1000', '--default-max-concurrent', '1', '--shards', '2'],
  })
  const one = await server.add({ name: 'one', tenant: '7', users: 'many' })
  const other = await server.add({ name: 'other', tenant: '8', users: 'many' })
  const job = {
    user_id: 'ann', idempotent_key: 'k', url: `${upstream.origin}/secret`, method: 'GET',
    delivery: 'poll',
  }
  return { server, one, other, gate, job }
}

const submit = async ({ server, job }: TwoTenants, key: TestKey, changes = {}): Promise<string> => {
  const answer = await post(`${server.url}/jobs`, { ...job, ...changes }, key.headers)
  assert.equal(answer.status, 201, answer.text)
  return String(answer.json()['job_id'])
}

/** Must not show that there is such a job. */
const isHidden = ({ status, text }: Answer, missing: Answer): void => {
  assert.equal(status, 404)
  assert.equal(text, missing.text, 'it differs from what is answered about no job')
}

const NO_JOB = 'f'.repeat(24)

/** What the other tenant tries, by route. A route that is not here fails the test. */
const TRIES: Readonly<Record<RouteName, (two: TwoTenants, jobId: string) => Promise<void>>> = {
  postJob: async (two, jobId) => {
    const { job, other, server } = two
    const answer = await post(`${server.url}/jobs`, job, other.headers)
    assert.equal(answer.status, 201, 'the same user and key are not known in another tenant')
    assert.notEqual(answer.json()['job_id'], jobId)
    const twice = await post(`${server.url}/jobs`, job, other.headers)
    assert.equal(twice.json()['job_id'], answer.json()['job_id'])
  },
  postBatch: async ({ job, other, server }, jobId) => {
    const answer = await post(`${server.url}/jobs/batch`,
      `${JSON.stringify({ ...job, idempotent_key: 'b' })}\n`,
      { ...other.headers, 'content-type': 'application/x-ndjson' })
    assert.equal(answer.status, 200)
    assert.equal(answer.json()['status'], 'queued')
    assert.notEqual(answer.json()['job_id'], jobId)
  },
  getJob: async ({ other, server }, jobId) => isHidden(
    await get(`${server.url}/jobs/${jobId}`, other.headers),
    await get(`${server.url}/jobs/${NO_JOB}`, other.headers)),
  deleteJob: async ({ other, server }, jobId) => isHidden(
    await send('DELETE', `${server.url}/jobs/${jobId}`, undefined, other.headers),
    await send('DELETE', `${server.url}/jobs/${NO_JOB}`, undefined, other.headers)),
  streamJob: async ({ other, server }, jobId) => isHidden(
    await get(`${server.url}/jobs/${jobId}/stream`, other.headers),
    await get(`${server.url}/jobs/${NO_JOB}/stream`, other.headers)),
  upgrade: async ({ job, other, server }, jobId) => {
    const socket = await SocketClient.open(server.url, 'json', { headers: other.headers })
    for (const type of ['watch', 'cancel']) {
      socket.send({ type, job_id: jobId })
      const error = await socket.take('error')
      assert.equal(error['code'], 'job_not_found', type)
      socket.send({ type, job_id: NO_JOB })
      assert.deepEqual(await socket.take('error'), { ...error, job_id: NO_JOB }, type)
    }
    socket.send({ type: 'unwatch', job_id: jobId })
    await socket.take('unwatched')
    socket.send({ type: 'enqueue', jobs: [{ ...job, ref: 1, idempotent_key: 's', watch: true }] })
    const [entry] = (await socket.take('accepted'))['jobs'] as Record<string, unknown>[]
    assert.notEqual(entry?.['job_id'], jobId)
    socket.ws.close()
  },
  health: async ({ other, server }) => {
    const answer = await get(`${server.url}/health`, other.headers)
    assert.deepEqual(answer.json(), { status: 'ok' }, 'counts are of all tenants')
  },
  ready: async ({ other, server }) => {
    assert.deepEqual((await get(`${server.url}/ready`, other.headers)).json(), { status: 'ready' })
  },
  other: async ({ other, server }, jobId) => {
    for (const path of ['/jobs', `/jobs/${jobId}/`, `/jobs//${jobId}`, `/job/${jobId}`]) {
      const { status, text } = await get(`${server.url}${path}`, other.headers)
      assert.ok(status === 404 || status === 405, `${path}: ${status}`)
      assert.ok(!text.includes('secret'), path)
    }
  },
}

test('nothing of a tenant is there for another, over any route', async (t) => {
  const two = await openTwo(t)
  const { one, server } = two
  await submit(two, one, { idempotent_key: 'first' }) // takes the only permit
  const jobId = await submit(two, one)
  const stream = await EventStream.join(server.url, jobId, undefined, one.headers)
  const socket = await SocketClient.open(server.url, 'json', { headers: one.headers })
  socket.send({ type: 'watch', job_id: jobId })
  await socket.take('watched')
  for (const { name } of ROUTES) {
    await t.test(name, () => TRIES[name](two, jobId))
  }
  const shown = await get(`${server.url}/jobs/${jobId}`, one.headers)
  assert.equal(shown.json()['status'], 'queued', 'it was not cancelled')
  assert.ok(!stream.closed && !socket.isClosed, 'nobody else ends a stream or a watch')
  two.gate.open()
  await stream.waitFor('completed')
  const told = await socket.take('completed')
  assert.equal(told['job_id'], jobId)
})

test('only events of its own jobs reach a tenant', async (t) => {
  const two = await openTwo(t)
  const { gate, one, other, server } = two
  const sockets = await Promise.all([one, other].map((key) =>
    SocketClient.open(server.url, 'json', { headers: key.headers })))
  const ids: string[] = []
  for (const socket of sockets) {
    socket.send({ type: 'enqueue', jobs: [{ ...two.job, ref: 1, watch: true }] })
    const [entry] = (await socket.take('accepted'))['jobs'] as Record<string, unknown>[]
    ids.push(String(entry?.['job_id']))
  }
  gate.open()
  for (const [at, socket] of sockets.entries()) {
    const done = await socket.take('completed')
    assert.equal(done['job_id'], ids[at])
    const named = socket.messages.map((message) => message['job_id'])
    assert.ok(named.every((id) => id === undefined || id === ids[at]))
  }
})

test('a tenant has one turn, however many users it names', async (t) => {
  const seen: string[] = []
  const upstream = await upstreamFor(t, (request, response) => {
    seen.push(String(request.headers['x-who']))
    response.end('ok')
  })
  const server = await KeyedServer.start(t, {
    flags: ['--default-rps', '200', '--default-max-concurrent', '1', '--shards', '2'],
  })
  const crowd = await server.add({ name: 'crowd', tenant: '7', users: 'many' })
  const single = await server.add({ name: 'single', tenant: '8' })
  const jobOf = (who: string, key: string, user?: string): object => ({
    idempotent_key: key, url: `${upstream.origin}/`, method: 'GET', delivery: 'poll',
    headers: { 'X-Who': who }, ...(user !== undefined && { user_id: user }),
  })
  const lines = (jobs: object[]): string => jobs.map((job) => JSON.stringify(job)).join('\n')
  const type = { 'content-type': 'application/x-ndjson' }
  await post(`${server.url}/jobs/batch`, lines(Array.from({ length: 200 }, (_, at) =>
    jobOf('crowd', `k${at}`, `user-${at % 50}`))), { ...crowd.headers, ...type })
  await post(`${server.url}/jobs/batch`, lines(Array.from({ length: 40 }, (_, at) =>
    jobOf('single', `k${at}`))), { ...single.headers, ...type })
  const last = `${server.url}/jobs`
  const end = await post(last, jobOf('single', 'k39'), single.headers)
  const stream = await EventStream.join(server.url, String(end.json()['job_id']), undefined,
    single.headers)
  await stream.waitFor('completed')
  const from = seen.indexOf('single')
  const during = seen.slice(from, seen.lastIndexOf('single'))
  const crowds = during.filter((who) => who === 'crowd').length
  assert.ok(crowds >= 30 && crowds <= 50, `of ${during.length} sends ${crowds} are of the crowd`)
})
