// Clients that make the server hold as much as they can, in all ways at once: its resident memory
// stays below the sum of the named limits that docs/OPERATIONS.md states. Then with as many
// connections as they can.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { MIB } from '../../shards/base/units.ts'
import { residentBytesAtMost } from '../../src/base/client-bytes.ts'
import { jobOf } from '../support/api-client.ts'
import { RawClient } from '../support/raw-client.ts'
import { Scene, UNPACED, upstreamFor } from '../support/scene.ts'

const MEMORY_MIB = 64
const CLIENT_MEMORY_MIB = 32
const CONNECTIONS_MAX = 300
const RESULT_BYTES = 900 * 1024
const FRAME_BYTES = 1_100_000
const BATCH_LINES = 1500

const scene = new Scene({
  flags: [...UNPACED, '--shards', '1', '--memory', `${MEMORY_MIB}MiB`,
    '--client-memory', `${CLIENT_MEMORY_MIB}MiB`, '--client-connections', String(CONNECTIONS_MAX)],
})

const head = (path: string, type: string): string =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\n`
const CHUNKED = 'Transfer-Encoding: chunked\r\n\r\n'
const NDJSON = 'application/x-ndjson'
const TINY_CHUNKS = '1\r\na\r\n'.repeat(10_000)

interface ShownClients {
  readonly at_bound: readonly string[]
  readonly connections: number
  readonly connections_refused: number
  readonly memory_bytes: number
}

const health = async (): Promise<ShownClients> =>
  (await scene.api.health() as unknown as { clients: ShownClients }).clients

async function clients(t: TestContext, count: number): Promise<RawClient[]> {
  const opened = await Promise.all(Array.from({ length: count },
    () => RawClient.connect(scene.server.port)))
  t.after(() => { for (const client of opened) client.destroy() })
  return opened
}

/** Writes until the server has taken all of it, or has had enough. */
async function pour(client: RawClient, bytes: string | Buffer, times = 1): Promise<void> {
  for (let left = times; left > 0 && !client.closed; left--) {
    if (client.socket.write(bytes)) continue
    const drained = new Promise<void>((resolve) => { client.socket.once('drain', resolve) })
    await Promise.race([drained, client.waitForClose()])
  }
}

/** Bodies in chunks of one byte, which never end. */
const bodies = async (all: readonly RawClient[]): Promise<void> => {
  await Promise.all(all.map(async (client) => {
    client.write(head('/jobs', 'application/json') + CHUNKED)
    await pour(client, TINY_CHUNKS, 30)
  }))
}

/** Batches that begin with a long line, which goes on a byte at a time. */
const lines = async (all: readonly RawClient[]): Promise<void> => {
  const start = Buffer.alloc(900 * 1024, 'a')
  await Promise.all(all.map(async (client) => {
    client.write(`${head('/jobs/batch', NDJSON)}${CHUNKED}${start.length.toString(16)}\r\n`)
    await pour(client, start)
    await pour(client, '\r\n')
    await pour(client, TINY_CHUNKS, 2)
  }))
}

/** Sockets with a frame that lacks its last byte. */
const frames = async (all: readonly RawClient[]): Promise<void> => {
  const start = Buffer.alloc(14)
  start[0] = 0x81
  start[1] = 0xff
  start.writeBigUInt64BE(BigInt(FRAME_BYTES), 2)
  const payload = Buffer.alloc(FRAME_BYTES - 1, ' ')
  for (const client of all) {
    client.write('GET /ws HTTP/1.1\r\nHost: localhost\r\n' +
      'Upgrade: websocket\r\nConnection: Upgrade\r\n' +
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Protocol: sluice.v1\r\n\r\n')
    await client.waitForAnswers(1)
    client.write(start)
    await pour(client, payload)
  }
}

test('what clients can make the server hold is what the limits say', async (t) => {
  const upstream = await upstreamFor(t,
    (_request, response) => response.end('b'.repeat(RESULT_BYTES)))
  const job = jobOf(upstream.origin, { delivery: 'poll' })
  await scene.api.run(job)

  /** Batches that repeat a key with a large result, whose answers are read slowly or not at all. */
  const repeats = async (all: readonly RawClient[], isSlow: boolean): Promise<void> => {
    const body = `${JSON.stringify(job)}\n`.repeat(BATCH_LINES)
    for (const client of all) {
      client.socket.pause()
      client.write(`${head('/jobs/batch', NDJSON)}Content-Length: ${body.length}\r\n\r\n`)
      await pour(client, body.slice(0, 200_000))
      if (isSlow) client.socket.read(100_000)
    }
  }
  const attacks = new AbortController()
  let mostBytes = 0
  const watch = async (): Promise<void> => {
    for (let left = 10; left > 0 || !attacks.signal.aborted; left--) {
      const { rss_bytes: bytes } = (await scene.api.health()).process
      mostBytes = Math.max(mostBytes, bytes)
    }
  }
  // So many that without a bound they would hold more than all limits together.
  const attack = async (): Promise<void> => {
    await Promise.all([
      clients(t, 8).then(bodies), clients(t, 12).then(lines), clients(t, 250).then(frames),
      clients(t, 6).then((all) => repeats(all, false)),
      clients(t, 4).then((all) => repeats(all, true)),
    ])
    attacks.abort()
  }
  await Promise.all([attack(), watch()])

  const bound = residentBytesAtMost({
    shards: 1, memoryBytes: MEMORY_MIB * MIB, clientBytesMax: CLIENT_MEMORY_MIB * MIB,
    clientConnectionsMax: CONNECTIONS_MAX,
  })
  assert.ok((await health()).memory_bytes > MIB, 'the attacks have had an effect')
  assert.ok(mostBytes < bound, `${mostBytes} bytes are resident, of ${bound}`)
  const answer = await scene.api.post(jobOf(upstream.origin))
  assert.equal(answer.status, 201)
})

test('connections beyond the bound are closed, and near it none is kept', async (t) => {
  while ((await health()).connections > 10) { /* those of before are being closed */ }
  const all = await clients(t, CONNECTIONS_MAX + 30)
  await Promise.all(all.slice(-20).map((client) => client.waitForClose()))
  const { at_bound: atBound, connections, connections_refused: refused } = await health()
  assert.ok(connections <= CONNECTIONS_MAX, String(connections))
  assert.ok(refused >= 20, String(refused))
  assert.deepEqual(atBound, ['client_connections'])
  const [first] = all
  assert.ok(first)
  first.write('GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await first.waitForClose()
  assert.deepEqual(first.statuses, [200])
  assert.match(first.received, /connection: close/i)
  for (const client of all) client.destroy()
  while ((await health()).connections > 10) { /* not yet */ }
  const last = (await clients(t, 1))[0]
  last?.write('GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(2))
  assert.deepEqual(await last?.waitForAnswers(2), [200, 200])
})
