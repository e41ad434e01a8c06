// A body gathered from chunks: the same bytes as joining them, cut at the limit, in little memory.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import { ResponseBody } from '../../../../shards/transport/response-body.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261)

it('copies the only chunk, in exactly its size', () => {
  const body = new ResponseBody()
  assert.equal(body.bytes.length, 0)
  assert.equal(body.heldBytes, 0)
  const lent = Buffer.from('whole')
  assert.equal(body.append(lent, 5), true)
  lent.fill('x')
  assert.equal(Buffer.from(body.bytes).toString(), 'whole')
  assert.equal(body.bytes.buffer.byteLength, 5)
})

it('never writes into a chunk that it was lent', () => {
  const body = new ResponseBody()
  const lent = Buffer.from('abcdef')
  body.append(lent.subarray(0, 3), 100)
  body.append(Buffer.from('xyz'), 100)
  assert.equal(lent.toString(), 'abcdef')
  assert.equal(Buffer.from(body.bytes).toString(), 'abcxyz')
})

it('keeps nothing when nothing may be kept', () => {
  const body = new ResponseBody()
  assert.equal(body.append(new Uint8Array(0), 0), true)
  assert.equal(body.append(Buffer.from('a'), 0), false)
  assert.equal(body.bytes.length, 0)
})

it('agrees with joined chunks, whatever their sizes', () => {
  for (let seed = SEED; seed < SEED + 300; seed++) {
    const prng = new Prng(seed)
    const bytesMax = prng.between(0, 40_000)
    const chunkBytesMax = prng.pick([1, 10, 1000, 20_000])
    const body = new ResponseBody()
    let joined = Buffer.alloc(0)
    for (let count = prng.between(0, 40); count > 0; count--) {
      const chunk = Buffer.alloc(prng.between(0, chunkBytesMax), prng.below(256))
      joined = Buffer.concat([joined, chunk])
      const whole = body.append(chunk, bytesMax)
      assert.equal(whole, joined.length <= bytesMax, `seed ${seed}`)
      joined = joined.subarray(0, bytesMax)
      assert.ok(joined.equals(body.bytes), `seed ${seed}: other bytes`)
      const heldBytesMax = Math.max(4096, 2 * joined.length)
      assert.ok(body.heldBytes <= heldBytesMax, `seed ${seed}: ${body.heldBytes} bytes held`)
      if (!whole) break
    }
  }
})
