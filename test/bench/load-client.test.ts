// The load generator against servers of bare sockets: it sends what it was told to, counts what
// came back, and in the open loop does not let a stalling server hide its stalls.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { summarizeLatency } from '../../bench/load/latency.ts'
import { LoadClient } from '../../bench/load/load-client.ts'
import type { LoadPlan, LoadResult } from '../../bench/load/load-plan.ts'
import { RawUpstream } from '../support/upstream.ts'

const ACCEPTED = 'HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok'
const REFUSED = 'HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n'
const REQUEST_END = '"webhook_url":"http://127.0.0.1:2/hook"}'

/** A server that answers each whole request, by its number from 1. */
async function answering(
  answer: (request: number, text: string) => string | undefined, latencyMs = 0,
): Promise<RawUpstream> {
  let requests = 0
  const pending = new Map<number, string>()
  return RawUpstream.start((socket, chunk, connection) => {
    const parts = ((pending.get(connection) ?? '') + chunk.toString('latin1')).split(REQUEST_END)
    pending.set(connection, parts.pop() ?? '')
    for (const text of parts) {
      const reply = answer(++requests, text)
      if (reply === undefined) socket.destroy()
      else if (latencyMs === 0) socket.write(reply)
      else setTimeout(() => socket.write(reply), latencyMs)
    }
  })
}

/** Runs a load against a server and ends it. */
async function run(server: RawUpstream, parts: Partial<LoadPlan>): Promise<LoadResult> {
  try {
    return await new LoadClient({
      address: { host: '127.0.0.1', port: Number(new URL(server.origin).port) },
      payload: {
        runId: 'abcdef01', upstreams: ['http://127.0.0.1:1'], receiver: 'http://127.0.0.1:2',
        host: '127.0.0.1',
      },
      profile: 'typical', connections: 4, depth: 1, accounts: 3, firstAccount: 5,
      firstSequence: 100, requests: 1000, seconds: 60, rate: undefined, refusalsMax: 1000,
      unrecordedSeconds: 0, ...parts,
    }).run(() => {})
  } finally {
    await server.close()
  }
}

describe('LoadClient, closed loop', () => {
  it('sends each job once, to the accounts in turn', async () => {
    const keys = new Set<string>()
    const users = new Map<string, number>()
    const result = await run(await answering((_request, text) => {
      keys.add(/"idempotent_key":"abcdef01-(\d+)"/.exec(text)?.[1] ?? '')
      const user = /"user_id":"user-(\d+)"/.exec(text)?.[1] ?? ''
      users.set(user, (users.get(user) ?? 0) + 1)
      return ACCEPTED
    }), { requests: 300, depth: 3 })
    assert.deepEqual(result.statuses, { 201: 300 })
    assert.equal(result.acceptedInTime, 300)
    assert.equal(result.unanswered, 0)
    assert.deepEqual([...users].sort(),
      [['00000005', 100], ['00000006', 100], ['00000007', 100]])
    const numbers = Array.from({ length: 300 }, (_key, index) => String(100 + index))
    assert.deepEqual([...keys].map((key) => key.replace(/^0+/, '')).sort(), numbers)
    assert.equal(summarizeLatency([result.latency]).count, 300)
  })

  it('ends when it is refused again and again', async () => {
    const result = await run(
      await answering((request) => (request > 50 ? REFUSED : ACCEPTED)), { refusalsMax: 10 })
    assert.equal(result.acceptedInTime, 50)
    assert.ok((result.statuses['429'] ?? 0) >= 10)
    assert.ok(result.sent < 100, `${result.sent} were sent`)
  })

  it('goes on over a new connection when one is closed, and says what was lost', async () => {
    const result = await run(
      await answering((request) => (request === 20 ? undefined : ACCEPTED)), { requests: 100 })
    assert.deepEqual(result.statuses, { 201: 99 })
    assert.equal(result.unanswered, 1)
    assert.equal(result.failures.length, 1)
  })

  it('ends by itself with a server that closes every connection', async () => {
    const result = await run(await answering(() => undefined), {})
    assert.deepEqual(result.statuses, {})
    assert.ok(result.failures.length > 0)
  })

  it('rejects when nobody listens', async () => {
    const server = await answering(() => ACCEPTED)
    await server.close()
    const closed = { ...server, origin: server.origin, close: () => Promise.resolve() }
    await assert.rejects(run(closed as unknown as RawUpstream, {}), /ECONNREFUSED/)
  })
})

describe('LoadClient, open loop', () => {
  it('sends at its rate', async () => {
    const result = await run(await answering(() => ACCEPTED), { rate: 400, requests: 200 })
    assert.deepEqual(result.statuses, { 201: 200 })
    // The last of 200 is due after 199 / 400 s; a busy machine makes it later, never earlier.
    assert.ok(result.seconds >= 0.4975, `${result.seconds} s`)
    assert.equal(summarizeLatency([result.lateness]).count > 0, true)
  })

  it('counts latencies from when jobs should have left, whatever the server does', async () => {
    // One connection and 20 ms each is 50 a second at most, where 200 are asked for: the last of
    // 40 is due after 0.195 s and answered after 0.8 s. Each answer by itself took 20 ms.
    const result = await run(await answering(() => ACCEPTED, 20),
      { rate: 200, requests: 40, connections: 1 })
    const longestUs = summarizeLatency([result.latency]).percentilesUs.at(-1) ?? 0
    assert.deepEqual(result.statuses, { 201: 40 })
    assert.ok(longestUs > 500_000, `${longestUs} us`)
  })
})
