// Fetching a key set: from a real server, within the bounds, and nowhere else.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type RequestListener, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type Micros, msToUs } from '../../../../shards/base/units.ts'
import type { EgressSettings } from '../../../../shards/wire/contract.ts'
import { fetchJwks } from '../../../../src/access/fetch-jwks.ts'
import { JWKS_BYTES_MAX, JWKS_FETCH_MS_MAX } from '../../../../src/base/limits.ts'
import { VirtualTime } from '../../../support/virtual-clock.ts'

const CLOSED: EgressSettings = {
  allow: [], deny: [], named: [], isOpen: false, upstreamsOnly: false,
}

async function serverOf(t: TestContext, answer: RequestListener) {
  let requests = 0
  const server = createServer((request, response) => {
    requests++
    answer(request, response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { port, requests: () => requests, server }
}

const time = new VirtualTime()
const fetchText = fetchJwks(() => time.clock())

test('a key set is fetched from a host that is named, and from no other', async (t) => {
  const { port, requests } = await serverOf(t, (request, response) => {
    response.end(`${request.method} ${request.url} ${request.headers.accept}`)
  })
  const from = (host: string, egress: EgressSettings | undefined) =>
    fetchText({ url: `http://${host}:${port}/keys?a=1`, egress, extraCaPem: '' })
  const whole = { text: 'GET /keys?a=1 application/json' }
  assert.deepEqual(await from('127.0.0.1', { ...CLOSED, named: ['127.0.0.1'] }), whole)
  assert.deepEqual(await from('localhost', { ...CLOSED, named: ['localhost'] }), whole)
  assert.deepEqual(await from('127.0.0.1', undefined), whole)
  assert.equal(requests(), 3)
  assert.deepEqual(await from('127.0.0.1', CLOSED),
    { error: 'the rule loopback 127.0.0.0/8 refuses 127.0.0.1' })
  assert.match(JSON.stringify(await from('localhost', CLOSED)), /the rule loopback .* localhost"/)
  const denied = { ...CLOSED, named: ['localhost'], deny: ['127.0.0.0/8', '::1'] }
  assert.deepEqual(await from('localhost', denied),
    { error: 'the rule deny 127.0.0.0/8 refuses localhost' })
  for (const host of ['169.254.169.254', '[fd00:ec2::254]', '0xa9fea9fe']) {
    assert.deepEqual(await from(host, { ...CLOSED, isOpen: true, named: [host] }), { error:
      `the rule metadata refuses ${host === '0xa9fea9fe' ? '169.254.169.254'
        : host.replaceAll(/[[\]]/g, '')}` })
  }
  assert.equal(requests(), 3)
})

test('an answer that is too long, too late or not 200 is none', async (t) => {
  const { port, requests, server } = await serverOf(t, ({ url }, response) => {
    if (url === '/long') response.end('x'.repeat(JWKS_BYTES_MAX + 1))
    else if (url === '/moved') response.writeHead(302, { location: '/full' }).end()
    else if (url === '/cut') response.write('{', () => response.destroy())
    else if (url === '/full') response.end('x'.repeat(JWKS_BYTES_MAX))
    else response.write('{')
  })
  const from = (url: string) =>
    fetchText({ url: `http://127.0.0.1:${port}${url}`, egress: undefined, extraCaPem: '' })
  assert.deepEqual(await from('/full'), { text: 'x'.repeat(JWKS_BYTES_MAX) })
  assert.deepEqual(await from('/long'),
    { error: `the answer has more than ${JWKS_BYTES_MAX} bytes` })
  assert.deepEqual(await from('/moved'), { error: 'the answer has status 302' })
  assert.equal(requests(), 3)
  assert.deepEqual(await from('/cut'), { error: 'aborted' })
  const late = from('/late')
  await once(server, 'request')
  time.advanceTo(time.nowUs() + msToUs(JWKS_FETCH_MS_MAX) as Micros)
  assert.deepEqual(await late, { error: `no whole answer within ${JWKS_FETCH_MS_MAX} ms` })
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  assert.match(JSON.stringify(await from('/')), /ECONNREFUSED/)
})
