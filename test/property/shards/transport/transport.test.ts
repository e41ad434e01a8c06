// Model: whatever bytes an upstream sends, an attempt hears at most one head and exactly one end,
// the process lives, and a good response gets through. Responses are cut, doubled, flipped and
// split as the seed says; the order of events is checked by the recorder.

import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { it } from 'node:test'
import { SystemClock } from '../../../../shards/base/clock.ts'
import { Prng } from '../../../../shards/base/prng.ts'
import { UndiciTransport } from '../../../../shards/transport/undici-transport.ts'
import { TransportRecorder, outgoing } from '../../../support/transport-recorder.ts'
import { RawUpstream } from '../../../support/upstream.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261)
const SEEDS = 400
const GOOD = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood'
const RESPONSES = [
  GOOD,
  'HTTP/1.1 429 Slow\r\nRetry-After: 2\r\nX-Aqueduct-Rps: 3\r\nContent-Length: 4\r\n\r\nslow',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' +
    '3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: t\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n',
  'HTTP/1.0 200 OK\r\n\r\nuntil the end',
  'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
] as const
const MUTATIONS = ['cut', 'double', 'flip', 'insert', 'join', 'flood'] as const

/** One response as the seed spoils it. */
function mangled(prng: Prng): Buffer {
  let bytes = Buffer.from(prng.pick(RESPONSES), 'latin1')
  const on = MUTATIONS.filter(() => prng.chance(0.4))
  for (const mutation of on) {
    const at = prng.below(bytes.length + 1)
    if (mutation === 'cut') bytes = bytes.subarray(0, at)
    else if (mutation === 'double') bytes = Buffer.concat([bytes.subarray(0, at), bytes])
    else if (mutation === 'flip' && at < bytes.length) bytes[at] = prng.below(256)
    else if (mutation === 'join') bytes = Buffer.concat([bytes, Buffer.from(prng.pick(RESPONSES))])
    else if (mutation === 'insert' || mutation === 'flood') {
      const length = mutation === 'flood' ? 100_000 : prng.between(1, 20)
      const filler = Buffer.alloc(length, prng.pick(['\r\n', 'a', '0', '\0', 'X: y\r\n', ' ', ':']))
      bytes = Buffer.concat([bytes.subarray(0, at), filler, bytes.subarray(at)])
    }
  }
  return bytes
}

/** Sends the bytes in pieces, and then ends the connection in one of two ways. */
function deliver(socket: Socket, bytes: Buffer, prng: Prng): void {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const length = prng.chance(0.5) ? bytes.length - at : prng.between(1, 30)
    pieces.push(bytes.subarray(at, at + length))
    at += length
    if (pieces.length > 20) break
  }
  const how = prng.pick(['end', 'reset'])
  const next = (): void => {
    const piece = pieces.shift()
    if (piece !== undefined) socket.write(piece, () => setImmediate(next))
    else if (how === 'end') socket.end()
    else socket.resetAndDestroy()
  }
  next()
}

it('survives any response', async (t) => {
  const upstream = await RawUpstream.start((socket, chunk) => {
    const seed = /^\w+ \/(\d+) /.exec(chunk.toString('latin1'))?.[1]
    if (seed === undefined) {
      socket.write(GOOD)
    } else {
      const prng = new Prng(Number(seed))
      deliver(socket, mangled(prng), prng)
    }
  })
  t.after(() => upstream.close())
  const transport = new UndiciTransport({
    clock: new SystemClock(), connectionsMax: 1000,
    connectionsPerOriginMax: 4, responseBytesMax: 1000, extraCaPem: '',
    connectTimeoutMs: 60_000,
  })
  t.after(() => transport.close())
  const heard = new TransportRecorder(transport)
  for (let seed = SEED; seed < SEED + SEEDS; seed += 4) {
    const attemptIds = [seed, seed + 1, seed + 2, seed + 3]
    for (const attemptId of attemptIds) {
      const method = new Prng(attemptId).pick(['GET', 'HEAD', 'POST'])
      heard.send(attemptId, outgoing(upstream.origin, { path: `/${attemptId}`, method }))
    }
    for (const attemptId of attemptIds) {
      const { events, reason, detail } = await heard.waitFor(attemptId)
      assert.notEqual(reason, 'request_refused', `seed ${attemptId}: ${detail}`)
      assert.ok(events.length <= 2, `seed ${attemptId}: ${events}`)
    }
    heard.closeIdle(upstream.origin) // the end of an idle connection may be on its way
    heard.send(0, outgoing(upstream.origin, { path: '/good' }))
    const good = await new Promise<string | undefined>((resolve) => {
      heard.onEvent = (attemptId, event) => {
        if (attemptId === 0 && event !== 'head') resolve(heard.of(0).body)
      }
    })
    assert.equal(good, 'good', `after seeds ${attemptIds}: ${JSON.stringify(heard.of(0))}`)
    heard.forget(0)
  }
  assert.equal(transport.bufferedBytes, 0)
  heard.closeIdle(upstream.origin)
  await upstream.connections.waitForOpen(0)
})
