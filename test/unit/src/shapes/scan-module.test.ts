// The binary that is imported is the source beside it, assembled.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { MODULE, moduleSource } from '../../../../scripts/wasm-module.ts'

test('module.ts is what scan.wat comes to', async () => {
  assert.equal(readFileSync(MODULE, 'utf8'), await moduleSource(),
    'scan.wat was changed: npm run wasm')
})
