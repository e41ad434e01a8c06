// A paused request whose connection is reset does not stay open.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import type { Micros } from '../../../../shards/base/units.ts'
import { PausedRequests } from '../../../../src/http/paused-requests.ts'
import { loadHttpLibrary, type StreamedResponse } from '../../../../src/http/uws.ts'

const NOW_US = 1 as Micros

/** A request of which one byte of the body has come, and its client. */
async function request(t: TestContext) {
  const library = await loadHttpLibrary()
  const app = library.App()
  const came = Promise.withResolvers<StreamedResponse>()
  const aborted = Promise.withResolvers<void>()
  const data: string[] = []
  const arrived = Promise.withResolvers<void>()
  app.post('/', (response) => {
    response.onAborted(() => aborted.resolve())
    response.onData((chunk) => {
      data.push(Buffer.from(chunk).toString())
      if (data.length === 1) came.resolve(response)
      else arrived.resolve()
    })
  })
  const port = await new Promise<number>((resolve) => {
    app.listen('127.0.0.1', 0, 0, (socket) => {
      assert.ok(socket !== false)
      resolve(library.us_socket_local_port(socket))
    })
  })
  t.after(() => app.close())
  const client = net.connect(port, '127.0.0.1')
  client.on('error', () => {})
  t.after(() => client.destroy())
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na')
  return { aborted: aborted.promise, arrived: arrived.promise, client, data,
    response: await came.promise }
}

test('a reset is noticed at the next check', async (t) => {
  const { aborted, client, response } = await request(t)
  const paused = new PausedRequests()
  let checks = 0
  paused.pause(response, () => { checks++ })
  paused.check(NOW_US)
  assert.deepEqual([checks, paused.count], [1, 1])
  client.resetAndDestroy()
  await once(client, 'close')
  void aborted.then(() => paused.forget(response))
  while (paused.count > 0) {
    paused.check(NOW_US)
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  await aborted
})

test('a resumed request is read on, and not checked', async (t) => {
  const { arrived, client, data, response } = await request(t)
  const paused = new PausedRequests()
  paused.pause(response, () => assert.fail('it is not paused any more'))
  client.write('b')
  paused.resume(response)
  paused.check(NOW_US)
  await arrived
  assert.deepEqual(data, ['a', 'b'])
})
