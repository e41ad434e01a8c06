// The binary that is imported is the source beside it, assembled.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { moduleSource } from '../../scripts/wasm-module.ts'

const MODULE = path.resolve(import.meta.dirname, '../../src/scan/module.ts')

test('module.ts is what scan.wat comes to', async () => {
  assert.equal(readFileSync(MODULE, 'utf8'), await moduleSource(),
    'scan.wat was changed: npm run wasm')
})
