// A real server whose shard threads die in the midst of their work: jobs, order, pace and streams
// go on; what kills its shard twice is set aside; threads that die again and again end the process.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { ApiClient, type WebhookBody, jobOf } from '../support/api-client.ts'
import { EventStream } from '../support/event-stream.ts'
import { upstreamFor } from '../support/scene.ts'
import { type TestServer, startServer } from '../support/server.ts'

interface Bench {
  readonly server: TestServer
  readonly api: ApiClient
}

async function startBench(t: TestContext, flags: readonly string[] = []): Promise<Bench> {
  const server = await startServer({
    preload: new URL('../support/shard-faults.ts', import.meta.url).href,
    flags: ['--shards', '1', '--grace', '0s', ...flags],
  }, t)
  const api = new ApiClient(server.url)
  t.after(() => api.close())
  return { server, api }
}

async function restartsOf(api: ApiClient): Promise<number | undefined> {
  const [shard] = (await api.health()).shards
  assert.equal(shard?.up, true)
  return shard.restarts
}

describe('a shard thread that dies', () => {
  for (const how of ['throw', 'exit'] as const) {
    it(`(${how}) loses no job, and sends what was in flight again, in order`, async (t) => {
      const { server, api } = await startBench(t, ['--default-rps', '20'])
      const upstream = await upstreamFor(t)
      const paths = ['/a', '/b', `/crash/once/${how}`, '/c', '/d', '/e']
      const ids: string[] = []
      for (const path of paths) ids.push(await api.accept(jobOf(upstream.origin + path)))
      for (const id of ids) assert.equal((await api.finished(id)).status, 'completed')
      assert.deepEqual(upstream.requests.map(({ path }) => path), paths)
      const crashed = await api.show(ids[2] ?? '')
      assert.equal(crashed.body.attempts, 2, 'the attempt that was cut off is counted')
      // Five intervals, but for what the first request took longer to arrive than the last.
      const spanUs = (upstream.requests.at(-1)?.atUs ?? 0) - (upstream.requests[0]?.atUs ?? 0)
      assert.ok(spanUs > 200_000, `${spanUs} us for five intervals at 20 per second`)
      assert.equal(await restartsOf(api), 1)
      assert.match(server.stderr, /a shard thread ended; another takes over its jobs/)
      assert.match(server.stderr, /"sent_again":1.*"msg":"a shard thread has taken over"/)
    })
  }

  it('keeps keys, results, paces and streams', async (t) => {
    const { server, api } = await startBench(t)
    const upstream = await upstreamFor(t, (_request, response) => {
      response.setHeader('X-Aqueduct-Rps', '5')
      response.end('said')
    })
    const first = jobOf(`${upstream.origin}/first`)
    const firstId = await api.accept(first)
    await api.finished(firstId)
    const stream = await EventStream.join(server.url,
      await api.accept(jobOf(`${upstream.origin}/crash/once/throw`, { delivery: 'stream' })))
    await stream.ended()
    const names = stream.names.filter((name) => name !== 'position')
    assert.equal(names.at(-1), 'completed', names.join(' '))
    assert.ok(names.includes('retrying'), names.join(' '))
    const again = await api.post(first)
    assert.deepEqual([again.status, again.body.duplicate, again.body.job_id], [200, true, firstId])
    assert.equal(again.body.result?.body, 'said')
    for (let job = 0; job < 3; job++) await api.accept(jobOf(upstream.origin))
    const requests = await upstream.waitFor(5)
    const spanUs = (requests[4]?.atUs ?? 0) - (requests[1]?.atUs ?? 0)
    assert.ok(spanUs > 500_000, `${spanUs} us for three intervals at 5 per second`)
  })

  it('answers whoever waits for it', async (t) => {
    const { api } = await startBench(t, ['--default-rps', '1000'])
    const upstream = await upstreamFor(t)
    const posts: Promise<{ status: number }>[] = []
    for (let job = 0; job < 200; job++) {
      const path = job === 50 ? '/crash/once/throw' : '/'
      posts.push(api.post(jobOf(upstream.origin + path)))
    }
    const answers = await Promise.all(posts)
    const statuses = new Set(answers.map(({ status }) => status))
    statuses.delete(503)
    assert.deepEqual([...statuses], [201])
    const accepted = answers.filter(({ status }) => status === 201).length
    await upstream.waitFor(accepted)
    assert.equal(await restartsOf(api), 1)
  })

  it('is replaced when it is stuck', async (t) => {
    const { server, api } = await startBench(t)
    const upstream = await upstreamFor(t)
    const jobId = await api.accept(jobOf(`${upstream.origin}/crash/once/hang`))
    assert.ok(await server.waitFor('stderr', /no sign of life for 5 s/))
    assert.equal((await api.finished(jobId)).status, 'completed')
  })
})

describe('what kills its shard twice', () => {
  it('is set aside if it is a job: failed, with the reason', async (t) => {
    const { server, api } = await startBench(t, ['--default-rps', '1000'])
    const upstream = await upstreamFor(t)
    const receiver = await upstreamFor(t)
    const jobId = await api.accept(jobOf(`${upstream.origin}/crash/always/throw`, {
      delivery: undefined, webhook_url: receiver.origin,
    }))
    const [webhook] = await receiver.waitFor(1)
    const told = JSON.parse(webhook?.body.toString() ?? '') as WebhookBody
    assert.deepEqual([told.job_id, told.status, told.reason], [jobId, 'failed', 'shard_crash'])
    const { result, attempts } = await api.finished(jobId)
    assert.deepEqual([result?.status, result?.reason, attempts], ['failed', 'shard_crash', 2])
    assert.equal((await api.run(jobOf(upstream.origin))).status, 'completed')
    assert.equal(await restartsOf(api), 2)
    assert.match(server.stderr, new RegExp(`"set_aside":"${jobId}"`))
  })

  it('is dropped if it is a request, and its client is told', async (t) => {
    const { server, api } = await startBench(t)
    const upstream = await upstreamFor(t)
    const poison = await api.post(jobOf(upstream.origin, { user_id: 'poison-throw' }))
    assert.ok(await server.waitFor('stderr', /taken over"[^]*"set_aside":"request".*taken over"/))
    // A machine that is too slow for two new threads in a second has told the client to wait.
    const told = poison.status === 503 ? 'shard_down' : 'request_crashed'
    assert.deepEqual([poison.status, poison.body.code], [poison.status === 503 ? 503 : 500, told])
    assert.equal((await api.run(jobOf(upstream.origin))).status, 'completed')
    assert.equal(await restartsOf(api), 2)
  })
})

it('threads that die more than three times in five seconds end the process', async (t) => {
  const { server, api } = await startBench(t, ['--default-rps', '1000'])
  const upstream = await upstreamFor(t)
  const posts = Array.from({ length: 4 },
    () => api.post(jobOf(`${upstream.origin}/crash/always/exit`)))
  assert.equal((await server.ended()).code, 1)
  await Promise.allSettled(posts)
  assert.match(server.stderr, /was the last of 4 shard threads to end within 5 s; the process ends/)
})
