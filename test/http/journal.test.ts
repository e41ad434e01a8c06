// A real server that is killed with its jobs in a journal, and started again: everything that it
// has promised is there.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type WebhookBody, jobOf } from '../support/api-client.ts'
import { EventStream } from '../support/event-stream.ts'
import { start } from '../support/journal-run.ts'
import { UNPACED, upstreamFor } from '../support/scene.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import type { RecordedRequest } from '../support/upstream.ts'

const pathsOf = (requests: readonly RecordedRequest[]): string[] =>
  requests.map(({ path: text }) => text)

describe('after kill -9', { concurrency: true }, () => {
  for (const mode of ['interval', 'always'] as const) {
    it(`(${mode}) every accepted job is sent, in order, at the pace learned`, async (t) => {
      const data = temporaryFolder(t)
      const upstream = await upstreamFor(t, (_request, response) => {
        response.setHeader('X-Aqueduct-Rps', '8')
        response.end('said')
      })
      const before = await start(t, data, ['--journal', mode])
      const jobs = Array.from({ length: 10 }, (_, at) => jobOf(`${upstream.origin}/${at}`))
      const ids: string[] = []
      for (const job of jobs) ids.push(await before.api.accept(job))
      const firstResult = await before.api.finished(ids[0] ?? '')
      await upstream.waitFor(3)
      await before.server.kill()
      const sentBefore = upstream.requests.length
      const after = await start(t, data, ['--journal', mode])
      const again = await after.api.post(jobs[0])
      assert.deepEqual([again.status, again.body.duplicate, again.body.job_id],
        [200, true, ids[0]])
      assert.deepEqual(again.body.result, firstResult.result)
      const reused = await after.api.post({ ...jobs[0], method: 'PUT' })
      assert.deepEqual([reused.status, reused.body.job_id], [422, ids[0]])
      for (const id of ids) assert.equal((await after.api.finished(id)).status, 'completed')
      // Only what was in flight, or not yet known to have ended, may come twice.
      const first = [...new Set(pathsOf(upstream.requests))]
      assert.deepEqual(first, jobs.map((_, at) => `/${at}`))
      assert.ok(upstream.requests.length <= jobs.length + 1, pathsOf(upstream.requests).join(' '))
      const sentAfter = upstream.requests.slice(sentBefore)
      const spanUs = (sentAfter.at(-1)?.atUs ?? 0) - (sentAfter[0]?.atUs ?? 0)
      // The first may have been noted late, by up to an interval; without a pace it is no time.
      const leastUs = (sentAfter.length - 2) * 125_000
      assert.ok(spanUs > leastUs, `${spanUs} us for ${sentAfter.length} requests at 8 per second`)
    })
  }

  it('pending webhooks are delivered', async (t) => {
    const data = temporaryFolder(t)
    const upstream = await upstreamFor(t)
    const receiver = await upstreamFor(t, (_request, response) => {
      response.statusCode = 503
      response.end()
    })
    const before = await start(t, data)
    const id = await before.api.accept(
      jobOf(upstream.origin, { delivery: 'webhook', webhook_url: receiver.origin }))
    await receiver.waitFor(1)
    await before.server.kill()
    receiver.respond = (_request, response) => { response.end() }
    const delivered = receiver.requests.length
    const after = await start(t, data)
    const requests = await receiver.waitFor(delivered + 1)
    const body = JSON.parse(String(requests.at(-1)?.body)) as WebhookBody
    assert.deepEqual([body.job_id, body.status], [id, 'completed'])
    assert.equal(upstream.requests.length, 1, 'the job itself is not sent again')
    let { webhook } = (await after.api.show(id)).body
    while (webhook?.state === 'owed') ({ webhook } = (await after.api.show(id)).body)
    assert.equal(await after.server.stop(), 0)
    const last = await start(t, data)
    assert.deepEqual((await last.api.show(id)).body.webhook, webhook)
    assert.deepEqual([webhook?.state, webhook?.last_status], ['delivered', 200])
    const stream = await EventStream.join(last.server.url, id)
    await stream.ended()
    assert.deepEqual(stream.events.map((event) => event.id),
      ['queued', 'dispatching-1', 'completed'], 'ids are those of before')
  })

  it('account queues stay on', async (t) => {
    const data = temporaryFolder(t)
    const upstream = await upstreamFor(t, (_request, response) => {
      if (upstream.requests.length === 1) response.setHeader('X-Aqueduct-Account-Queue', 'enabled')
      response.end()
    })
    const before = await start(t, data)
    await before.api.run(jobOf(upstream.origin))
    await before.server.kill()
    const after = await start(t, data)
    await after.api.run(jobOf(upstream.origin))
    const modes = upstream.requests.map(({ headers }) => headers['x-ezthrottle-current-queue-mode'])
    assert.deepEqual(modes, ['shared', 'account'])
  })

  it('again and again, nothing is lost that was there before', async (t) => {
    const data = temporaryFolder(t)
    const upstream = await upstreamFor(t)
    const ids: string[] = []
    for (let run = 0; run < 2; run++) {
      const { api, server } = await start(t, data, ['--default-max-concurrent', '1'])
      for (const id of ids) assert.notEqual((await api.show(id)).status, 404)
      ids.push(await api.accept(jobOf(`${upstream.origin}/${run}`)))
      await server.kill()
    }
    const { api } = await start(t, data, UNPACED)
    for (const id of ids) assert.equal((await api.finished(id)).status, 'completed')
  })
})

describe('a stop', () => {
  it('says how many queued jobs are kept, and the next start has them', async (t) => {
    const data = temporaryFolder(t)
    const upstream = await upstreamFor(t)
    const before = await start(t, data, ['--default-rps', '0.5'])
    const ids: string[] = []
    for (let at = 0; at < 4; at++) ids.push(await before.api.accept(jobOf(upstream.origin)))
    await before.api.finished(ids[0] ?? '')
    assert.equal(await before.server.stop(), 0)
    assert.match(before.server.stderr, /"queued":3.*queued jobs are kept in the journal/)
    const after = await start(t, data)
    const { journal } = (await after.api.health()) as unknown as { journal: string }
    assert.equal(journal, 'interval')
    assert.equal((await after.api.show(ids[3] ?? '')).body.status, 'queued')
  })
})
