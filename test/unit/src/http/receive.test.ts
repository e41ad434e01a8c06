// Request bodies as they arrive, against a response that only records what is done with it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KIB, MIB } from '../../../../shards/base/units.ts'
import { ClientBytes } from '../../../../src/base/client-bytes.ts'
import { Exchange } from '../../../../src/http/exchange.ts'
import { BodyReceiver } from '../../../../src/http/receive.ts'
import type { HttpResponse } from '../../../../src/http/uws.ts'
import { VirtualTime } from '../../../support/virtual-clock.ts'

/** One request; `data` and `abort` are what the library would call. */
class FakeResponse implements HttpResponse {
  status = ''
  body = ''
  closed = false
  data: (chunk: ArrayBuffer, isLast: boolean) => void = () => {}
  abort: () => void = () => {}

  writeStatus(status: string): this {
    this.status = status
    return this
  }

  writeHeader(): this {
    return this
  }

  write(): boolean {
    return true
  }

  end(body = '', closeConnection = false): this {
    this.body = String(body)
    this.closed = closeConnection
    return this
  }

  endWithoutBody(): this {
    return this
  }

  close(): this {
    return this
  }

  tryEnd(): [boolean, boolean] {
    return [true, true]
  }

  onWritable(): this {
    return this
  }

  onAborted(handler: () => void): this {
    this.abort = handler
    return this
  }

  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): this {
    this.data = handler
    return this
  }

  cork(write: () => void): this {
    write()
    return this
  }

  /** Delivers a chunk and takes it back, as the library does. */
  deliver(text: string, isLast: boolean): void {
    const chunk = new TextEncoder().encode(text).buffer
    this.data(chunk, isLast)
    new Uint8Array(chunk).fill(0)
  }
}

interface Counts {
  invalid: number
  unavailable: number
  pool: ClientBytes
  receiver: BodyReceiver
}

function make(bodyBytesMax: number, poolBytesMax: number): Counts {
  const counts = { invalid: 0, unavailable: 0 }
  const pool = new ClientBytes(poolBytesMax, new VirtualTime().clock(), { warn: () => {} })
  const receiver = new BodyReceiver(bodyBytesMax, {
    countInvalid: () => { counts.invalid++ }, countUnavailable: () => { counts.unavailable++ },
  }, pool)
  return Object.assign(counts, { pool, receiver })
}

function begin(receiver: BodyReceiver, announced = ''): { response: FakeResponse, got: string[] } {
  const response = new FakeResponse()
  const exchange = new Exchange(response, false)
  const got: string[] = []
  receiver.receive(response, exchange, announced, got, (asking, bytes, texts) => {
    texts.push(Buffer.from(bytes).toString())
    asking.send(200, {})
  })
  return { response, got }
}

test('whole bodies, in one piece or many, and nothing held afterwards', () => {
  const { pool, receiver } = make(10, MIB)
  const one = begin(receiver, '5')
  one.response.deliver('hello', true)
  assert.deepEqual(one.got, ['hello'])
  const many = begin(receiver)
  for (const part of ['ab', '', 'cd', 'efghi']) many.response.deliver(part, false)
  assert.ok(pool.used >= 9)
  many.response.deliver('j', true)
  assert.deepEqual(many.got, ['abcdefghij'])
  assert.equal(pool.used, 0)
  const empty = begin(receiver, '0')
  empty.response.deliver('', true)
  assert.deepEqual(empty.got, [''])
})

test('a body of pieces of a byte each is held in little more than its bytes', () => {
  const { pool, receiver } = make(MIB, 16 * MIB)
  const { got, response } = begin(receiver)
  const sent = 100_000
  for (let at = 0; at < sent; at++) response.deliver(String(at % 10), false)
  assert.ok(pool.used <= 2 * sent, `${pool.used} bytes are held`)
  response.deliver('', true)
  assert.equal(got[0]?.length, sent)
  assert.equal(got[0]?.slice(0, 12), '012345678901')
  assert.equal(pool.used, 0)
})

test('a body beyond the limit is refused at once, and what follows it is dropped', () => {
  const counts = make(10, MIB)
  const announced = begin(counts.receiver, '11')
  assert.match(announced.response.status, /^413/)
  assert.ok(announced.response.closed)
  const found = begin(counts.receiver)
  found.response.deliver('123456', false)
  found.response.deliver('78901', false)
  assert.match(found.response.status, /^413/)
  found.response.deliver('x', true)
  assert.deepEqual([announced.got, found.got], [[], []])
  assert.equal(counts.pool.used, 0)
  assert.equal(counts.invalid, 2)
})

test('one has a share of what is free, small ones get through, and all is freed', () => {
  const counts = make(MIB, 256 * KIB)
  const { pool, receiver } = counts
  const piece = 'x'.repeat(60 * KIB)
  const first = begin(receiver)
  first.response.deliver(piece, false)
  const second = begin(receiver)
  for (let left = 3; left > 0; left--) second.response.deliver(piece, false)
  assert.match(second.response.status, /^503/)
  assert.match(second.response.body, /"code":"overloaded"/)
  assert.equal(counts.unavailable, 1)
  assert.equal(pool.counts.refusedByBound, 1)
  // A body in one piece holds nothing; one of few bytes finds room.
  const third = begin(receiver)
  third.response.deliver(piece, true)
  assert.deepEqual(third.got, [piece])
  const small = begin(receiver)
  small.response.deliver('small', false)
  small.response.deliver(' one', true)
  assert.deepEqual(small.got, ['small one'])
  first.response.abort()
  assert.equal(pool.used, 0)
  const fourth = begin(receiver)
  fourth.response.deliver('1234567890', false)
  assert.equal(fourth.response.status, '')
  fourth.response.abort()
  fourth.response.deliver('', true)
  assert.deepEqual(fourth.got, [])
  assert.equal(pool.used, 0)
})
