// Idempotent keys: however often and however many at once a job is posted, it is executed once, and
// everybody is told the same id.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeValue } from '../../shards/wire/codec.ts'
import { jobOf } from '../support/api-client.ts'
import { flood } from '../support/flood.ts'
import { Gate, Scene, UNPACED, upstreamFor } from '../support/scene.ts'
import { SocketClient } from '../support/socket-client.ts'

const scene = new Scene({
  flags: [...UNPACED, '--shards', '2', '--completed-ttl', '1s', '--failed-ttl', '5s'],
})

describe('the same job', () => {
  it('posted 500 times at once is executed once, under one id', async (t) => {
    const upstream = await upstreamFor(t)
    const body = JSON.stringify(jobOf(upstream.origin))
    const ids = new Set<string>()
    let duplicates = 0
    const statuses = await flood({
      port: scene.server.port, count: 500, connections: 500, bodyOf: () => body,
      onAnswer: (_status, text) => {
        const answer = JSON.parse(text) as { job_id: string, duplicate?: boolean }
        ids.add(answer.job_id)
        if (answer.duplicate === true) duplicates += 1
      },
    })
    assert.deepEqual(Object.fromEntries(statuses), { 201: 1, 200: 499 })
    assert.equal(duplicates, 499)
    assert.equal(ids.size, 1)
    await scene.api.finished([...ids].join())
    assert.equal(upstream.requests.length, 1)
  })

  it('posted by many at once, among others, is executed once each', async (t) => {
    const upstream = await upstreamFor(t)
    const JOBS = 50
    const bodies = Array.from({ length: JOBS }, (_, at) =>
      JSON.stringify(jobOf(`${upstream.origin}/${at}`, { user_id: `user-${at % 7}` })))
    const ids = Array.from({ length: JOBS }, () => new Set<string>())
    const statuses = await flood({
      port: scene.server.port, count: JOBS * 20, connections: 200,
      bodyOf: (index) => bodies[index % JOBS] as string,
      onAnswer: (_status, text, index) => {
        ids[index % JOBS]?.add((JSON.parse(text) as { job_id: string }).job_id)
      },
    })
    assert.deepEqual(Object.fromEntries(statuses), { 201: JOBS, 200: JOBS * 19 })
    for (const known of ids) assert.equal(known.size, 1)
    await upstream.waitFor(JOBS)
    const [last] = ids.at(-1) ?? []
    await scene.api.finished(String(last))
    assert.equal(new Set(upstream.requests.map(({ path }) => path)).size, upstream.requests.length)
  })

  it('is known in each of its states, and carries its result once it has one', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end('done')))
    const job = jobOf(upstream.origin, { method: 'POST', body: 'once' })
    const jobId = await scene.api.accept(job)
    await upstream.waitFor(1)
    const flying = await scene.api.post({ ...job, headers: { 'X-Other': '1' }, max_retries: 7 })
    assert.equal(flying.status, 200)
    assert.deepEqual(flying.body, { job_id: jobId, status: 'in_flight', duplicate: true })
    gate.open()
    await scene.api.finished(jobId)
    const done = await scene.api.post(job)
    assert.equal(done.status, 200)
    assert.deepEqual(done.body, {
      job_id: jobId, status: 'completed', duplicate: true,
      result: { status: 'completed', response_status: 200, body: 'done' },
    })
    assert.equal(upstream.requests.length, 1)
  })

  it('is still known, and not sent twice, while it waits for a retry', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(503, { 'Retry-After': '60' }).end()
    })
    const job = jobOf(upstream.origin)
    const jobId = await scene.api.accept(job)
    while ((await scene.api.show(jobId)).body.retry_at === undefined) { /* not yet */ }
    const again = await scene.api.post(job)
    assert.deepEqual(again.body, { job_id: jobId, status: 'queued', duplicate: true })
    assert.equal(upstream.requests.length, 1)
  })
})

describe('a key of another request', () => {
  /** The code and the job that an answer names, whatever way it has come. */
  const said = (answer: object): unknown[] => {
    const { code, duplicate, job_id: jobId } = answer as Record<string, unknown>
    return [code ?? duplicate, jobId]
  }

  it('is refused, whatever way it comes, and known for the same', async (t) => {
    const upstream = await upstreamFor(t)
    const { api, server } = scene
    const job = jobOf(`${upstream.origin}/path`, { method: 'POST', body: 'é"1' })
    const jobId = await api.accept(job)
    const others = [
      { ...job, body: 'é"2' }, { ...job, method: 'PUT' }, { ...job, url: `${upstream.origin}/b` },
      { ...job, body: '' }, { ...job, body: null },
    ]
    // Of one shape by now, so that these are copied without being parsed.
    const warm = Array.from({ length: 5 }, (_, at) => ({ ...job, idempotent_key: `warm ${at}` }))
    for (const other of warm) await api.accept(other)
    for (const other of others) {
      const { body, status } = await api.post(other)
      assert.deepEqual([status, ...said(body)], [422, 'idempotent_key_reused', jobId])
    }
    const base64 = (text: string): object =>
      ({ ...job, body: null, body_base64: Buffer.from(text).toString('base64') })
    const url = (job['url'] as string).replace('http:', 'HTTP:')
    const alike = [job, base64('é"1'), { ...job, method: 'post' }, { ...job, url }]
    for (const same of alike) assert.equal((await api.post(same)).status, 200)
    assert.equal((await api.post(base64('é"2'))).status, 422)
    const packed = { 'content-type': 'application/msgpack' }
    const pack = (value: object): Promise<{ status: number }> => api.send('POST', '/jobs', {
      headers: packed, body: Buffer.from(encodeValue(value)),
    })
    assert.equal((await pack(job)).status, 200)
    assert.equal((await pack({ ...job, body: Buffer.from('é"1') })).status, 200)
    assert.equal((await pack({ ...job, body: 'é"2' })).status, 422)
    const batch = await api.send('POST', '/jobs/batch', {
      headers: { 'content-type': 'application/x-ndjson' },
      body: [job, others[0]].map((line) => JSON.stringify(line)).join('\n'),
    })
    const lines = batch.bytes.toString().trim().split('\n')
    assert.deepEqual(lines.map((line) => said(JSON.parse(line) as object)),
      [[true, jobId], ['idempotent_key_reused', jobId]])
    for (const format of ['json', 'msgpack'] as const) {
      const client = await SocketClient.open(server.url, format)
      for (const other of warm) await client.enqueue([{ ref: 0, ...other }])
      const entries = await client.enqueue(
        [job, ...others].map((other, ref) => ({ ref, ...other })))
      assert.deepEqual(entries.map(said),
        [[true, jobId], ...others.map(() => ['idempotent_key_reused', jobId])])
      await client.close()
    }
    assert.equal((await api.health()).admission.reused_keys, 18)
  })
})

describe('a key', () => {
  it('belongs to its user, and is not run together with the user\'s name', async (t) => {
    const upstream = await upstreamFor(t)
    const owners = [
      ['a', 'b'], ['a', 'b\u0000'], ['a\u0000', 'b'], ['a\u0000b', '\u0000'], ['ab', '\u0000'],
      ['a', '\u0000b'], ['A', 'b'], ['a', 'B'], ['a ', 'b'], ['b', 'a'],
    ]
    for (const [userId, key] of owners) {
      await scene.api.accept(jobOf(upstream.origin, { user_id: userId, idempotent_key: key }))
    }
    await upstream.waitFor(owners.length)
  })

  it('of a failed job is free again', async (t) => {
    let status = 500
    const upstream = await upstreamFor(t, (_request, response) => {
      response.writeHead(status).end()
    })
    const job = jobOf(upstream.origin, { max_retries: 0 })
    const failed = await scene.api.run(job)
    assert.equal(failed.status, 'failed')
    status = 200
    const anew = await scene.api.run(job)
    assert.equal(anew.status, 'completed')
    assert.notEqual(anew.job_id, failed.job_id)
    assert.equal((await scene.api.show(String(failed.job_id))).body.status, 'failed')
  })

  it('of a completed job is free when its result is forgotten, not before', async (t) => {
    const upstream = await upstreamFor(t)
    const job = jobOf(upstream.origin)
    const done = await scene.api.run(job)
    let answer = await scene.api.post(job)
    while (answer.status === 200) {
      assert.equal(answer.body.job_id, done.job_id)
      assert.equal(upstream.requests.length, 1)
      answer = await scene.api.post(job)
    }
    assert.equal(answer.status, 201)
    assert.notEqual(answer.body.job_id, done.job_id)
    await upstream.waitFor(2)
  })
})
