// A system that has nothing left for a connection: the request waits, and is nobody's failure.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import path from 'node:path'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { upstreamFor } from '../support/scene.ts'

const PROGRAM = path.resolve(import.meta.dirname, '../support/transport-shortage.ts')

it('a request waits while there is no file descriptor, and goes out once there is', async (t) => {
  const upstream = await upstreamFor(t)
  const { stdout } = await promisify(execFile)('sh', ['-c',
    `ulimit -n 128; exec "${process.execPath}" --disable-warning=ExperimentalWarning "$0" "$1"`,
    PROGRAM, upstream.origin])
  const { taken, meanwhile, body } = JSON.parse(stdout) as {
    readonly taken: number, readonly meanwhile: string[], readonly body: string
  }
  assert.ok(taken > 0, 'the system has more descriptors than it may')
  assert.deepEqual([meanwhile, body], [[], 'ok'])
  assert.equal(upstream.connections.opened, 1)
})
