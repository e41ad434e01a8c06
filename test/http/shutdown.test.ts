// A stop in the middle of work: no new jobs, what is in flight is finished and reported, and the
// process ends by itself.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { ApiClient, jobOf } from '../support/api-client.ts'
import { EventStream } from '../support/event-stream.ts'
import { Gate, UNPACED, upstreamFor } from '../support/scene.ts'
import { type TestServer, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

async function start(
  t: TestContext, flags: readonly string[] = [],
): Promise<{ server: TestServer, api: ApiClient }> {
  const server = await startServer({ flags: [...UNPACED, '--shards', '2', ...flags] }, t)
  const api = new ApiClient(server.url)
  t.after(() => api.close())
  return { server, api }
}

describe('a stop', { concurrency: 2 }, () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`by ${signal} takes no new jobs, finishes those in flight and their webhooks`, async (t) => {
      const { server, api } = await start(t)
      const gate = new Gate()
      const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end('late')))
      const receiver = await upstreamFor(t)
      const jobs = Array.from({ length: 10 }, (_, at) => jobOf(upstream.origin, {
        user_id: `user-${at}`, delivery: 'webhook', webhook_url: receiver.origin,
      }))
      const ids = await Promise.all(jobs.map((job) => api.accept(job)))
      const stream = await EventStream.join(server.url, String(ids[0]))
      await upstream.waitFor(10)

      server.signal(signal)
      await server.waitFor('stderr', /stopping/)
      const refused = await api.post(jobOf(upstream.origin))
      assert.equal(refused.status, 503)
      assert.equal(refused.body.code, 'draining')
      assert.ok(Number(refused.headers['retry-after']) > 0)
      const ready = await api.send('GET', '/ready')
      assert.equal(ready.status, 503)
      assert.equal((await api.health()).status, 'draining')
      assert.equal((await api.show(String(ids[1]))).body.status, 'in_flight')

      gate.open()
      assert.equal((await server.ended()).code, 0)
      await stream.ended()
      assert.equal(stream.events.at(-1)?.name, 'completed')
      assert.equal(receiver.requests.length, 10)
      assert.equal(upstream.requests.length, 10, 'nothing was sent twice')
    })
  }

  it('sends nothing of what waits, and says how much that was', async (t) => {
    const { server, api } = await start(t, ['--default-max-concurrent', '1'])
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
    for (let job = 0; job < 6; job++) await api.accept(jobOf(upstream.origin))
    await upstream.waitFor(1)
    server.signal('SIGTERM')
    await server.waitFor('stderr', /stopping/)
    // A question to the shard, to and fro, so that it has heard of the stop by then.
    for (let round = 0; round < 10; round++) await api.show('0'.repeat(24))
    gate.open()
    assert.equal((await server.ended()).code, 0)
    const sent = upstream.requests.length
    assert.ok(sent <= 2, `${sent} jobs were sent`)
    assert.match(server.stderr,
      new RegExp(`"queued":${6 - sent},"msg":"queued jobs are given up`))
  })

  it('waits no longer than the grace period', async (t) => {
    const { server, api } = await start(t, ['--grace', '300ms'])
    const upstream = await upstreamFor(t, () => { /* never answers */ })
    await api.accept(jobOf(upstream.origin))
    await upstream.waitFor(1)
    assert.equal(await server.stop('SIGTERM'), 0)
    assert.match(server.stderr, /"jobs":1,"webhooks":0,"msg":"requests in flight were cut off"/)
  })

  it('does not wait at all after a second signal', async (t) => {
    const { server, api } = await start(t)
    const upstream = await upstreamFor(t, () => { /* never answers */ })
    await api.accept(jobOf(upstream.origin))
    await upstream.waitFor(1)
    server.signal('SIGTERM')
    await server.waitFor('stderr', /stopping/)
    assert.equal(await server.stop('SIGINT'), 128 + 2)
  })

  it('with a journal leaves webhooks that wait to the next start', async (t) => {
    const upstream = await upstreamFor(t)
    const waiting = await upstreamFor(t, (_request, response) => {
      response.writeHead(429, { 'retry-after': '3600' }).end()
    })
    const gate = new Gate()
    const hanging = await upstreamFor(t, gate.hold((_request, response) => {
      response.writeHead(503).end()
    }))
    const flags = ['--journal', 'interval', '--data', temporaryFolder(t), '--grace', '1h',
      '--webhook-timeout', '1h', '--webhook-max-concurrent', '1']
    const { server, api } = await start(t, flags)
    for (const receiver of [waiting, hanging, hanging]) {
      const id = await api.accept(jobOf(upstream.origin, {
        delivery: 'webhook', webhook_url: receiver.origin,
      }))
      await api.finished(id)
    }
    await Promise.all([waiting.waitFor(1), hanging.waitFor(1)])
    server.signal('SIGTERM')
    await server.waitFor('stderr', /stopping/)
    // A question to the shard, to and fro, so that it has heard of the stop by then.
    for (let round = 0; round < 10; round++) await api.show('0'.repeat(24))
    gate.open()
    assert.equal((await server.ended()).code, 0)
    assert.deepEqual([waiting.requests.length, hanging.requests.length], [1, 1])
    assert.match(server.stderr, /"webhooks":3,"msg":"owed webhooks are kept in the journal/)
    assert.doesNotMatch(server.stderr, /cut off|given up/)
    const again = await start(t, flags)
    assert.equal((await again.api.health()).shards.reduce(
      (sum, shard) => sum + shard.webhooks_waiting, 0), 3)
    assert.equal(await again.server.stop('SIGTERM'), 0)
  })

  it('without one says how many webhooks are lost', async (t) => {
    const { server, api } = await start(t, ['--grace', '2s'])
    const upstream = await upstreamFor(t)
    const receiver = await upstreamFor(t, (_request, response) => {
      response.writeHead(429, { 'retry-after': '3600' }).end()
    })
    await api.accept(jobOf(upstream.origin, {
      delivery: 'webhook', webhook_url: receiver.origin,
    }))
    await receiver.waitFor(1)
    assert.equal(await server.stop('SIGTERM'), 0)
    assert.match(server.stderr, /"webhooks":1,"msg":"owed webhooks are given up/)
    assert.doesNotMatch(server.stderr, /cut off/)
  })

  it('of a server that has nothing to do is done at once', async (t) => {
    const { server } = await start(t, ['--grace', '1h'])
    assert.equal(await server.stop('SIGTERM'), 0)
    assert.doesNotMatch(server.stderr, /given up|cut off/)
  })
})
