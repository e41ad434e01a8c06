// A thousand sockets, of which a hundred never read: the others see no delay, and memory is
// bounded.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MIB } from '../../shards/base/units.ts'
import { jobOf } from '../support/api-client.ts'
import { Scene, UNPACED, upstreamFor } from '../support/scene.ts'
import { SocketClient } from '../support/socket-client.ts'

const SOCKETS = 1000
const DEAF = 100
const RESULT_BYTES = 900_000
/** Together more than the kernel's buffers of a socket hold. */
const RESULTS = 16
/** Buffers of the kernel and of the allocator, besides what is counted. */
const RSS_SLACK_BYTES = 384 * MIB

const CLIENT_BYTES_MAX = 64 * MIB

const scene = new Scene({ flags: [...UNPACED, '--memory', '512MiB', '--client-memory', '64MiB'] })

test('1,000 sockets, 100 of them deaf', async (t) => {
  const upstream = await upstreamFor(t,
    (_request, response) => response.end('z'.repeat(RESULT_BYTES)))
  const clients: SocketClient[] = []
  t.after(() => { for (const { ws } of clients) ws.terminate() })
  for (let at = 0; at < SOCKETS; at += 100) {
    clients.push(...await Promise.all(Array.from({ length: 100 },
      () => SocketClient.open(scene.server.url, 'msgpack'))))
  }
  const deaf = clients.slice(0, DEAF)
  const others = clients.slice(DEAF)
  for (const { ws } of deaf) ws.pause()
  const before = (await scene.api.health()).process.rss_bytes

  // One job whose result the deaf watch, many times over: 900 kB to each socket, each time.
  const send = async (): Promise<void> => {
    const [first] = others
    assert.ok(first)
    for (let round = 0; round < RESULTS; round++) {
      const job = { ...jobOf(upstream.origin, { user_id: `user-${round}` }) }
      const jobId = await first.accept({ ref: round, ...job })
      for (const client of deaf) client.send({ type: 'watch', job_id: jobId })
      await first.sync()
    }
  }
  const pings = async (client: SocketClient): Promise<number> => {
    let longestMs = 0
    for (let round = 0; round < 5; round++) {
      const startMs = performance.now()
      await client.sync()
      longestMs = Math.max(longestMs, performance.now() - startMs)
    }
    return longestMs
  }
  const [, ...longests] = await Promise.all([send(), ...others.map(pings)])
  longests.sort((left, right) => left - right)
  const median = longests[longests.length >> 1] ?? 0
  // All clients and the upstream share this process's thread, so the bound is a wide one.
  assert.ok(median < 3000, `the median of the longest waits is ${median} ms`)

  const entries = await Promise.all(others.slice(0, 50).map((client, at) =>
    client.enqueue([{ ref: at, ...jobOf(upstream.origin) }])))
  assert.ok(entries.every(([entry]) => entry?.job_id !== undefined))
  const { admission, process: { rss_bytes: rss } } = await scene.api.health()
  const { sockets } = admission as unknown as { readonly sockets: number }
  assert.equal(sockets, others.length, 'the deaf are cut, and nobody else')
  const grown = rss - before
  // Without a bound it would be 1.4 GB.
  assert.ok(grown < CLIENT_BYTES_MAX + RSS_SLACK_BYTES, `grown by ${grown} bytes`)
})
