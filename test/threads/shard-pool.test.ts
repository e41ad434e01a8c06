// How a thread gets the file that it runs: imported. A thread that is ended while it requires a
// module of this kind takes the process with it, which is too rare to be waited for in a test.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import type { ShardTask } from '../../shards/wire/contract.ts'
import { ShardPool } from '../../src/engine/shard-pool.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** Says 1 when it was required. */
const BUILD = `
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
const isRequired = fileURLToPath(import.meta.url) in createRequire(import.meta.url).cache
export default () => ({ queued: isRequired ? 1 : 0 })
`

test('threads import the file that they run, and may be ended while they do', async (t) => {
  const file = path.join(temporaryFolder(t), 'build.mjs')
  writeFileSync(file, BUILD)
  const errors: unknown[] = []
  const makePool = (): ShardPool => new ShardPool({
    file: pathToFileURL(file), shards: 1, heapMibMax: undefined,
    onIdleError: (error) => { errors.push(error) },
  })
  const pool = makePool()
  assert.deepEqual(
    await pool.run({} as ShardTask, [], new AbortController().signal), { queued: 0 })
  await pool.destroy()
  await makePool().destroy()
  assert.deepEqual(errors, [])
})
