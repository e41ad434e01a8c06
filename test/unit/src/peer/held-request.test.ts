// A request on hold keeps its headers as they came, and so does one that is passed on to a peer.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { it } from 'node:test'
import { SystemClock } from '../../../../shards/base/clock.ts'
import { ClientBytes } from '../../../../src/base/client-bytes.ts'
import type { StreamedResponse } from '../../../../src/http/uws.ts'
import { HeldRequest } from '../../../../src/peer/held-request.ts'
import { begin } from '../../../../src/peer/peer-request.ts'
import { fakeRequest } from '../../../support/fake-request.ts'

it('keeps a header that is given twice', async (t) => {
  const log = { info: () => {}, warn: () => {}, error: () => {} }
  const pool = new ClientBytes(1024, new SystemClock(), log)
  const response = { onAborted: () => response, onData: () => response } as
    unknown as StreamedResponse
  const headers = [
    ['host', 's'], ['x-forwarded-for', '6.6.6.6'], ['accept', 'a'],
    ['x-forwarded-for', '203.0.113.9'],
  ] as const
  const held = HeldRequest.hold({ kind: 'callers', name: 'postJob' }, response,
    fakeRequest(headers), { pool, gone: () => {} })
  const told: [string, string][] = []
  held.forEach((name, value) => told.push([name, value]))
  assert.deepEqual(told, headers)
  assert.equal(held.getHeader('x-forwarded-for'), '6.6.6.6')
  assert.equal(held.getHeader('absent'), '')

  const peer = createServer((_request, answer) => answer.end()).listen(0, '127.0.0.1')
  t.after(() => peer.close())
  await once(peer, 'listening')
  const { port } = peer.address() as AddressInfo
  const arrived = once(peer, 'request') as Promise<[IncomingMessage]>
  const sent = begin({ host: '127.0.0.1', port }, {
    method: 'post', target: '/jobs', headers: held.headers,
  }, { answered: (answer) => answer.resume(), failed: () => {} })
  sent.end()
  const [{ rawHeaders }] = await arrived
  const odd = once(peer, 'request') as Promise<[IncomingMessage]>
  begin({ host: '127.0.0.1', port }, {
    method: 'g\u0001t', target: '/jobs/\ufffd a?b=\u{1f600}',
    headers: [['x-a', 'b\ufffd\u0001'], ['x b', 'c'], ['content-length', '0']],
  }, { answered: (answer) => answer.resume(), failed: () => {} }).end()
  const [{ headers: oddHeaders, method, url }] = await odd
  assert.deepEqual([method, url, oddHeaders['x-a'], oddHeaders['x b']],
    ['OPTIONS', '/jobs/%EF%BF%BD%20a?b=%F0%9F%98%80', 'b??', undefined])
  assert.deepEqual(rawHeaders.slice(0, 8), [
    'host', 's', 'x-forwarded-for', '6.6.6.6', 'x-forwarded-for', '203.0.113.9', 'accept', 'a',
  ])
})
