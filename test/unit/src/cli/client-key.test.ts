// The key that commands present, and where it comes from.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { test } from 'node:test'
import { makeKey } from '../../../../src/access/api-key.ts'
import { readClientKey } from '../../../../src/cli/client-key.ts'
import { runProgram } from '../../../../src/cli/program.ts'
import { temporaryFolder } from '../../../support/temporary-folder.ts'

const KEY = makeKey(randomBytes).text
const OTHER = makeKey(randomBytes).text

test('the key is that of the file, else that of the variable', (t) => {
  const cwd = temporaryFolder(t)
  writeFileSync(path.join(cwd, 'key'), `${KEY}\n`)
  writeFileSync(path.join(cwd, 'wrong'), `${KEY}\n${OTHER}\n`)
  const read = (file?: string, key?: string): unknown =>
    readClientKey(file, { cwd, env: { SLUICE_KEY: key } })
  assert.deepEqual(read(), { key: undefined })
  assert.deepEqual(read(undefined, ''), { key: undefined })
  assert.deepEqual(read(undefined, OTHER), { key: OTHER })
  assert.deepEqual(read('key', OTHER), { key: KEY })
  assert.deepEqual(read('wrong'),
    { problem: 'wrong has no API key, which is like slk_<id>_<secret>' })
  assert.deepEqual(read(undefined, `${KEY.slice(0, -1)}\n`),
    { problem: 'SLUICE_KEY has no API key, which is like slk_<id>_<secret>' })
  assert.match(JSON.stringify(read('none')), /--key-file none cannot be read: ENOENT/)
})

test('commands present the key, over HTTP and as they open a socket, and show the refusal',
  async (t) => {
    const seen: unknown[] = []
    let refusal: readonly [status: number, body: string] = [401, '']
    const server = createServer(({ headers, url }, response) => {
      seen.push([url, headers['x-sluice-key']])
      response.writeHead(401).end('{"error":"no such key","code":"unauthorized"}')
    })
    server.on('upgrade', ({ headers, url }, socket) => {
      seen.push([url, headers['x-sluice-key']])
      socket.end(`HTTP/1.1 ${refusal[0]} No\r\nContent-Length: ${refusal[1].length}\r\n\r\n` +
        refusal[1])
    })
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
    t.after(() => {
      server.closeAllConnections()
      server.close()
    })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const run = async (args: string[], key = KEY): Promise<[number, string]> => {
      let text = ''
      const code = await runProgram([...args, '--server', url], {
        env: { SLUICE_KEY: key }, cwd: '/', stdout: (more) => { text += more },
        stderr: (more) => { text += more },
      })
      return [code, text]
    }
    assert.match((await run(['status', 'a'])).join(' '), /^1 .*no such key/)
    assert.deepEqual(seen.splice(0), [['/jobs/a', KEY]])
    for (const [status, body, shown] of [
      [401, '{"error":"no such key","code":"invalid_key"}', 'no such key (invalid_key)'],
      [429, '{"error":"full","code":"limit_reached","limit_reason":"key_sockets"}',
        'full (key_sockets)'],
      [421, '{"error":"another name","code":"foreign_host"}', 'another name (foreign_host)'],
      [401, '', 'it refuses the key (401)'],
      [404, '<html>', 'it is no Sluice, or a proxy before it passes no WebSockets on (404)'],
    ] as const) {
      refusal = [status, body]
      assert.deepEqual(await run(['watch', 'a']),
        [1, `sluice: cannot connect to ${url}: ${shown}\n`])
      // A WebSocket of Node tries twice by itself after a 421.
      const requests = seen.splice(0)
      assert.equal(requests.length, status === 421 ? 3 : 2)
      for (const request of requests) assert.deepEqual(request, ['/ws', KEY])
    }
    const [code, text] = await run(['status', 'a'], 'slk_wrong')
    assert.deepEqual([code, text],
      [2, 'sluice: SLUICE_KEY has no API key, which is like slk_<id>_<secret>\n'])
    assert.deepEqual(seen, [])
  })
