// The data folder of a real server: with other shards and memory than before, and those folders
// with which it does not start.

import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { readExtent } from '../../shards/journal/extent-file.ts'
import { STORE_FILE, STORE_FOLDER, tailName } from '../../shards/journal/tail-names.ts'
import { type WebhookBody, jobOf } from '../support/api-client.ts'
import { start } from '../support/journal-run.ts'
import { upstreamFor } from '../support/scene.ts'
import { SluiceProcess } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import type { RecordedRequest } from '../support/upstream.ts'

/** What a start that should fail says on standard error. */
async function refusal(t: TestContext, data: string, flags: readonly string[] = []):
  Promise<string> {
  const run = new SluiceProcess([
    'serve', '--port', '0', '--memory', '128MiB', '--shards', '2', '--journal', 'interval',
    '--data', data, ...flags,
  ])
  t.after(() => run.kill())
  assert.equal((await run.ended()).code, 1, run.stderr)
  assert.match(lastLine(run.stderr), /^sluice: /, run.stderr)
  return run.stderr
}

const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1) ?? ''

const pathsOf = (requests: readonly RecordedRequest[]): string[] =>
  requests.map(({ path: text }) => text)

describe('a start with other sizes', { concurrency: true }, () => {
  it('moves every job to its user\'s shard, with keys, order, results, paces and webhooks',
    async (t) => {
      const data = temporaryFolder(t)
      const upstream = await upstreamFor(t, (_request, response) => {
        response.setHeader('X-Aqueduct-Rps', '20')
        response.end('said')
      })
      const receiver = await upstreamFor(t, (_request, response) => {
        response.statusCode = 503
        response.end()
      })
      const users = Array.from({ length: 8 }, (_, at) => `user ${at}`)
      const first = await start(t, data)
      const owed = await first.api.accept(jobOf(`${upstream.origin}/owed`,
        { delivery: 'webhook', webhook_url: receiver.origin }))
      await receiver.waitFor(1)
      const jobs = users.flatMap((user) => [0, 1, 2].map((at) => jobOf(
        `${upstream.origin}/${encodeURIComponent(user)}/${at}`,
        { user_id: user, body: 'x'.repeat(at * 100), method: 'POST' })))
      const ids: string[] = []
      for (const job of jobs) ids.push(await first.api.accept(job))
      const done = await first.api.finished(ids[0] ?? '')
      await first.server.kill()
      for (const sizes of [['--shards', '3'], ['--shards', '1', '--memory', '200MiB']]) {
        const { api, server } = await start(t, data, ['--default-rps', '0.5', ...sizes])
        assert.match(server.stdout, /^moving jobs from \d to \d shards$/m)
        const again = await api.post(jobs[0])
        assert.deepEqual([again.status, again.body.job_id], [200, ids[0]])
        assert.deepEqual(again.body.result, done.result)
        for (const id of ids) assert.notEqual((await api.show(id)).status, 404)
        await server.kill()
      }
      receiver.respond = (_request, response) => { response.end() }
      const { api } = await start(t, data, ['--shards', '4', '--memory', '256MiB'])
      for (const id of ids) assert.equal((await api.finished(id)).status, 'completed')
      const sent = [...new Set(pathsOf(upstream.requests))]
      for (const user of users) {
        const own = sent.filter((text) => text.startsWith(`/${encodeURIComponent(user)}/`))
        assert.deepEqual(own.map((text) => text.at(-1)), ['0', '1', '2'], user)
      }
      const delivered = (await receiver.waitFor(2)).at(-1)
      assert.equal((JSON.parse(String(delivered?.body)) as WebhookBody).job_id, owed)
    })

  it('is refused with numbers when the jobs do not fit, and they stay', async (t) => {
    const data = temporaryFolder(t)
    const upstream = await upstreamFor(t)
    const before = await start(t, data, ['--default-rps', '0.5', '--memory', '256MiB'])
    const body = 'x'.repeat(900_000)
    const ids: string[] = []
    for (let at = 0; at < 60; at++) {
      ids.push(await before.api.accept(jobOf(upstream.origin,
        { method: 'POST', body, user_id: `user ${at}` })))
    }
    await before.server.stop()
    assert.match(await refusal(t, data, ['--shards', '1', '--memory', '64MiB']),
      /do not fit: shard 0 of 1 would have \d+ bytes for jobs and results, .* after \d+ jobs/)
    const { api } = await start(t, data, ['--memory', '256MiB'])
    for (const id of ids) assert.notEqual((await api.show(id)).status, 404)
  })
})

describe('a data folder', { concurrency: true }, () => {
  it('is refused where none can be made', { skip: process.platform !== 'linux' }, async (t) => {
    // A parent that says that it is not there.
    assert.match(await refusal(t, '/proc/sluice/data'),
      /cannot use the data folder \/proc\/sluice\/data: ENOENT.*--data/)
  })

  it('that is removed is noticed: nothing more is accepted, and it is said', async (t) => {
    const data = path.join(temporaryFolder(t), 'data')
    const upstream = await upstreamFor(t)
    const { api, server } = await start(t, data, ['--default-rps', '0.5', '--shards', '1'])
    const job = (at: number): Record<string, unknown> =>
      jobOf(upstream.origin, { idempotent_key: `key ${at}` })
    for (let at = 0; at < 3; at++) await api.accept(job(at))
    rmSync(data, { recursive: true })
    let answer = await api.post(job(3))
    for (let at = 4; answer.status === 201; at++) answer = await api.post(job(at))
    assert.deepEqual([answer.status, answer.body.code], [503, 'journal_lost'])
    assert.equal((await fetch(`${server.url}/ready`)).status, 503)
    let { shards: [shard], status } = await api.health()
    assert.deepEqual([status, shard?.trouble], ['degraded', 'journal_lost'])
    while (shard?.journal.trouble === null) {
      await pause(20)
      shard = (await api.health()).shards[0]
    }
    assert.match(shard?.journal.trouble ?? '', /shard-0: ENOENT/)
    assert.equal(await server.stop(), 0)
    assert.match(server.stderr, /"level":"error",.*(tail-\d+|data\.mdb) has been removed or rep/)
    assert.match(lastLine(server.stderr),
      /"error",.*"reason":"files of the journal in .* were removed or replaced","msg":"stopped/)
  })

  it('is for one process', async (t) => {
    const data = temporaryFolder(t)
    const { api } = await start(t, data)
    assert.match(await refusal(t, data), /another server answers at .*control\.sock/)
    assert.equal((await api.health()).status, 'ok')
  })

  it('with something else in it is refused', async (t) => {
    const data = temporaryFolder(t)
    writeFileSync(path.join(data, 'thesis.txt'), '')
    assert.match(await refusal(t, data), /^sluice: .* is not empty \(thesis\.txt\)/)
  })

  it('that is a file is refused, with the reason of the system', async (t) => {
    const file = path.join(temporaryFolder(t), 'file')
    writeFileSync(file, '')
    assert.match(await refusal(t, file), /cannot use the data folder .*file: EEXIST/)
  })

  it('without its newest tail, or with a damaged store, is refused with the file', async (t) => {
    const data = temporaryFolder(t)
    const folder = path.join(data, 'image-1', 'shard-0')
    const upstream = await upstreamFor(t)
    const { api, server } = await start(t, data, ['--default-rps', '0.5', '--shards', '1'])
    for (let at = 0; at < 5; at++) {
      await api.accept(jobOf(upstream.origin, { idempotent_key: `key ${at}` }))
    }
    while (readExtent(folder)?.accepted !== 5) await pause(20)
    await server.kill()
    rmSync(path.join(folder, tailName(1)))
    assert.match(await refusal(t, data, ['--shards', '1']), new RegExp('^sluice: the jobs in .* ' +
      'cannot be loaded: .*/shard-0/tail-0+1 is missing, and batch \\d+ had been written ' +
      '.missing batches: \\d+; new jobs in them: 5', 'm'))
    writeFileSync(path.join(folder, STORE_FOLDER, STORE_FILE), 'not a store')
    assert.match(await refusal(t, data, ['--shards', '1']),
      /the jobs in .* cannot be loaded: .*shard-0\/store\/data\.mdb: it ends before/)
  })
})
