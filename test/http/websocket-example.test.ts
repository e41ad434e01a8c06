// The worked example of docs/WEBSOCKET.md, run as it stands there.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { Scene, upstreamFor } from '../support/scene.ts'
import { socketUrl } from '../support/socket-client.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const DOCUMENT = path.resolve(import.meta.dirname, '../../docs/WEBSOCKET.md')

// One at a time, so that the results come in the order of the jobs.
const scene = new Scene({ flags: ['--default-rps', '100', '--default-max-concurrent', '1'] })

test('the example prints what the document says', async (t) => {
  const text = readFileSync(DOCUMENT, 'utf8')
  const program = /```js\n([\s\S]*?)```/.exec(text)?.[1]
  const expected = /```text\n([\s\S]*?)```/.exec(text)?.[1]
  assert.ok(program !== undefined && expected !== undefined, 'the document has an example')
  const upstream = await upstreamFor(t, (_request, response, { body }) => response.end(body))
  const file = path.join(temporaryFolder(t), 'example.mjs')
  writeFileSync(file, program)
  const child = spawn(process.execPath, [file, socketUrl(scene.server.url), upstream.origin],
    { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  let printed = ''
  for await (const chunk of child.stdout) printed += String(chunk)
  assert.equal(printed, expected)
})
