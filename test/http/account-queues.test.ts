// Account queues: a pace for every account where the upstream asks for it, or whoever submits a job
// where a setting allows that.

import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { type JobFields, jobOf } from '../support/api-client.ts'
import { Scene, upstreamFor } from '../support/scene.ts'
import {
  LagProbe, assertKeepsUp, assertSentInOrder, assertWithinPace,
} from '../support/send-times.ts'
import type { RecordedRequest } from '../support/upstream.ts'

const lag = new LagProbe()
const scene = new Scene({
  flags: ['--shards', '2', '--upstreams', '{127.0.0.1: {account_queue_by_caller: on}}'],
}, () => lag.watch(scene.server.url))
after(() => lag.stop())

const accountOf = ({ headers }: RecordedRequest): string => String(headers.authorization)

const of = (requests: readonly RecordedRequest[], account: string): RecordedRequest[] =>
  requests.filter((request) => accountOf(request) === account)

/** Posts `count` jobs of an account, in order, with their number as path. */
async function submit(
  origin: string, account: string, count: number, fields: JobFields = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  for (let at = 0; at < count; at++) {
    await scene.api.accept(
      jobOf(`${origin}/${at}`, { headers: { Authorization: account }, ...fields }), headers)
  }
}

/** The order inside an account. */
const assertInOrder = (requests: readonly RecordedRequest[]): void =>
  assertSentInOrder(requests, ({ path }) => Number(path.slice(1)), lag)

describe('account queues that the upstream enables', { concurrency: true }, () => {
  it('let a premium account run at 50 per second next to a free one at 2', async (t) => {
    const upstream = await upstreamFor(t, (_request, response, record) => {
      response.setHeader('X-Aqueduct-Account-Queue', 'enabled')
        .setHeader('X-Aqueduct-Rps', accountOf(record) === 'premium' ? '50' : '2')
        .end()
    })
    // All of both wait for the first answers: what these say holds for those that wait already.
    await submit(upstream.origin, 'free', 20, { user_id: 'user-2' })
    await submit(upstream.origin, 'premium', 120)
    while (of(upstream.requests, 'premium').length < 120) {
      await upstream.waitFor(upstream.requests.length + 1)
    }
    const premium = of(upstream.requests, 'premium')
    const free = of(upstream.requests, 'free')
    // The first answers of both were needed to learn their paces.
    assertWithinPace(premium.slice(1), 50, lag)
    assertWithinPace(free, 2, lag)
    assertKeepsUp(premium.slice(2), 118, 2.6, lag)
    const seconds = (Number(premium.at(-1)?.atUs) - Number(premium[0]?.atUs)) / 1e6
    assert.ok(free.length >= Math.floor(2 * (seconds - 1)), `free was sent ${free.length} times`)
    assertInOrder(premium)
    assertInOrder(free)
  })

  it('end when the upstream disables them, and the pace is shared again', async (t) => {
    let answer = 'enabled'
    const upstream = await upstreamFor(t, (_request, response) => {
      response.setHeader('X-EZTHROTTLE-ACCOUNT-QUEUE', answer)
        .setHeader('X-EZTHROTTLE-RPS', '20')
        .end()
    })
    await submit(upstream.origin, 'a', 60)
    await submit(upstream.origin, 'b', 60, { user_id: 'user-2' })
    await upstream.waitFor(40)
    answer = 'DISABLED'
    await upstream.waitFor(60)
    const from = upstream.requests.length
    await upstream.waitFor(from + 30)
    assertWithinPace(upstream.requests.slice(from), 20, lag)
    assertInOrder(of(upstream.requests, 'a'))
    assertInOrder(of(upstream.requests, 'b'))
    const before = upstream.requests.slice(4, 40)
    const seconds = (Number(before.at(-1)?.atUs) - Number(before[0]?.atUs)) / 1e6
    assert.ok(seconds < 1.6, `two accounts at 20 each took ${seconds} s for 36 requests`)
  })

  it('tell accounts apart by user and by the first of three API key headers', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.setHeader('X-Aquifer-Account-Queue', 'enabled').setHeader('X-Aquifer-Rps', '0.5')
        .end()
    })
    const accounts: readonly JobFields[] = [
      { user_id: 'u' }, { user_id: 'v' },
      { user_id: 'u', headers: { authorization: 'one' } },
      { user_id: 'u', headers: { Authorization: 'two', 'X-Api-Key': 'one' } },
      { user_id: 'u', headers: { 'X-Api-Key': 'three' } },
      { user_id: 'u', headers: { 'aPi-kEy': 'four' } },
    ]
    await scene.api.run(jobOf(`${upstream.origin}/warm`, { user_id: 'warm' }))
    for (const [at, account] of accounts.entries()) {
      await scene.api.accept(jobOf(`${upstream.origin}/${at}`, account))
    }
    // The same accounts as the third and the fifth, whatever else is in their headers.
    await scene.api.accept(jobOf(`${upstream.origin}/behind-2`, {
      user_id: 'u', headers: { 'X-Api-Key': 'x', AUTHORIZATION: 'one' },
    }))
    await scene.api.accept(jobOf(`${upstream.origin}/behind-4`, {
      user_id: 'u', headers: { 'x-api-key': 'three', 'Api-Key': 'y' },
    }))
    const requests = (await upstream.waitFor(7)).slice(1, 7)
    assert.deepEqual(requests.map(({ path }) => path).toSorted(),
      ['/0', '/1', '/2', '/3', '/4', '/5'])
    const spreadMs = (Number(requests.at(-1)?.atUs) - Number(requests[0]?.atUs)) / 1000
    assert.ok(spreadMs < 1000, `six accounts are sent side by side, not over ${spreadMs} ms`)
  })
})

describe('account queues that a caller asks for', { concurrency: true }, () => {
  it('are not switched on where no setting allows it', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.setHeader('X-Aqueduct-Rps', '2').end()
    })
    const other = upstream.origin.replace('127.0.0.1', 'localhost')
    for (let at = 0; at < 8; at++) {
      await submit(other, `invented-${at}`, 1, { user_id: `invented-${at}` },
        { 'X-Aqueduct-Account-Queue': 'enabled' })
    }
    assertWithinPace(await upstream.waitFor(6), 2, lag)
  })

  it('give each account the present pace, and never make one faster', async (t) => {
    const upstream = await upstreamFor(t)
    const asks = {
      'X-Aqueduct-Account-Queue': 'enabled', 'X-Aqueduct-Rps': '1000',
      'X-Aqueduct-Max-Concurrent': '1000',
    }
    await submit(upstream.origin, 'a', 8, {}, asks)
    await submit(upstream.origin, 'b', 8, { user_id: 'user-2' })
    await upstream.waitFor(14)
    const a = of(upstream.requests, 'a')
    const b = of(upstream.requests, 'b')
    assertWithinPace(a, 2, lag)
    assertWithinPace(b, 2, lag)
    assertKeepsUp(upstream.requests, 14, 4, lag)
    assert.ok(Math.abs(a.length - b.length) <= 2, `${a.length} of one and ${b.length} of the other`)
  })

  it('are not ended by a caller, nor begun by nonsense', async (t) => {
    const upstream = await upstreamFor(t, (_request, response) => {
      response.setHeader('X-Aqueduct-Rps', '10').end()
    })
    await scene.api.run(jobOf(upstream.origin, { headers: { Authorization: 'warm' } }))
    await submit(upstream.origin, 'a', 15, {}, { 'X-Aqueduct-Account-Queue': 'yes please' })
    await submit(upstream.origin, 'b', 15, { user_id: 'user-2' },
      { 'X-Aqueduct-Account-Queue': 'disabled' })
    await upstream.waitFor(31)
    assertWithinPace(upstream.requests, 10, lag)
  })
})
