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

it('takes no more than was announced, unless more comes', () => {
  const body = new ResponseBody()
  body.announce(9000)
  body.append(Buffer.alloc(8000), 100_000)
  assert.equal(body.heldBytes, 8000)
  body.append(Buffer.alloc(1000), 100_000)
  assert.equal(body.heldBytes, 9000)
  body.append(Buffer.from('and more'), 100_000)
  assert.equal(body.bytes.length, 9008)
  const dripping = new ResponseBody()
  dripping.announce(1_000_000)
  for (let left = 10; left > 0; left--) dripping.append(Buffer.alloc(1), 1_000_000)
  assert.equal(dripping.heldBytes, 4096, 'what is announced may never come')
  const odd = new ResponseBody()
  odd.announce(Number.NaN)
  for (let left = 2; left > 0; left--) odd.append(Buffer.alloc(10_000), 100_000)
  assert.equal(odd.bytes.length, 20_000)
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
