// What is kept of a finished job: it comes back as it went in, from shared memory and whatever lies
// around it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import {
  type StoredResult, readCreatedAt, readResult, resultBytes, writeResult,
} from '../../../../shards/store/stored-result.ts'
import type { Reason } from '../../../../shards/wire/reasons.ts'
import { forEachSeed } from '../../../support/swarm.ts'

const RUNS = 300
const GUARD_BYTE = 0xa5
const RESULT: StoredResult = {
  createdAtMs: 1_795_363_433_123, status: 'completed', responseStatus: 200, reason: null,
  body: Buffer.from('ok'), truncated: false,
}

const drawResult = (prng: Prng): StoredResult => ({
  createdAtMs: prng.pick([0, 1, 2 ** 32, 2 ** 53, prng.below(2 ** 32) * 997]),
  status: prng.pick(['completed', 'failed', 'cancelled']),
  responseStatus: prng.pick([0, 200, 599, 65_535]),
  // The form has room for any text.
  reason: prng.pick([null, '', 'timeout', 'größer als 😀', 'x'.repeat(prng.below(400))]) as
    Reason | null,
  body: prng.chance(0.2) ? null : Buffer.alloc(prng.below(3000), prng.below(256)),
  truncated: prng.chance(0.5),
  ...(prng.chance(0.5) ? {} : { rule: prng.pick(['metadata', 'deny *.größe', 'x'.repeat(200)]) }),
})

/** Writes a result at `start`, with guard bytes around it, and looks that they are still there. */
function written(result: StoredResult, start: number): { bytes: Buffer; end: number } {
  const end = start + resultBytes(result)
  const bytes = Buffer.from(new SharedArrayBuffer(end + 9) as unknown as ArrayBuffer)
  bytes.fill(GUARD_BYTE)
  writeResult(bytes, start, result)
  const around = [...bytes.subarray(0, start), ...bytes.subarray(end)]
  assert.ok(around.every((byte) => byte === GUARD_BYTE), 'bytes around the result were changed')
  return { bytes, end }
}

test('a result comes back as it was, wherever it lies', () => {
  forEachSeed(RUNS, (prng) => {
    const result = drawResult(prng)
    const start = prng.below(20)
    const { bytes, end } = written(result, start)
    assert.deepEqual(readResult(bytes, start, end), result)
    assert.equal(readCreatedAt(bytes, start), result.createdAtMs)
  })
})

test('a body is a copy, and an empty one is not none', () => {
  const { bytes, end } = written(RESULT, 8)
  const { body } = readResult(bytes, 8, end)
  bytes.fill(0)
  assert.equal(Buffer.from(body ?? []).toString(), 'ok')
  assert.ok(!(body?.buffer instanceof SharedArrayBuffer))
  const empty = written({ ...RESULT, body: new Uint8Array(0) }, 0)
  assert.equal(readResult(empty.bytes, 0, empty.end).body?.length, 0)
  const none = written({ ...RESULT, body: null }, 0)
  assert.equal(readResult(none.bytes, 0, none.end).body, null)
})

test('a small result takes little', () => {
  assert.equal(resultBytes({ ...RESULT, body: null }), 16)
  assert.equal(resultBytes(RESULT), 18)
})

test('bytes that are something else are asserted', () => {
  const { bytes, end } = written(RESULT, 0)
  assert.throws(() => readResult(bytes, 0, end - 3), /outside its record/)
  assert.throws(() => readResult(bytes, 0, bytes.length + 1), /outside its record/)
  bytes.fill(9)
  assert.throws(() => readResult(bytes, 0, end), /status/)
})
