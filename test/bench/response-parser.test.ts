// Model: the list of responses that were put together. Whatever pieces they arrive in, the parser
// must tell the same statuses in the same order.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ResponseParser } from '../../bench/load/response-parser.ts'
import { forEachSeed } from '../support/swarm.ts'

const RUNS = 300

function responseText(status: number, body: string, header = 'Content-Length'): string {
  return `HTTP/1.1 ${status} Some words\r\n${header}: ${body.length}\r\nX: y\r\n\r\n${body}`
}

/** Feeds the pieces through one buffer, as the load generator does. */
function parse(pieces: readonly Buffer[]): { statuses: number[]; broken: string | undefined } {
  const statuses: number[] = []
  const parser = new ResponseParser({ onResponse: (status) => statuses.push(status) })
  const shared = Buffer.alloc(64 * 1024)
  let broken: string | undefined
  for (const piece of pieces) {
    piece.copy(shared)
    broken ??= parser.take(shared, piece.length)
    shared.fill(0x21)
  }
  return { statuses, broken }
}

describe('ResponseParser', () => {
  it('tells the same statuses for any pieces', () => {
    forEachSeed(RUNS, (prng) => {
      const expected: number[] = []
      let text = ''
      for (let count = prng.between(1, 12); count > 0; count--) {
        const status = prng.pick([200, 201, 201, 201, 429, 503])
        const header = prng.pick(['Content-Length', 'content-length'])
        expected.push(status)
        text += responseText(status, 'b'.repeat(prng.pick([0, 1, 64, 300])), header)
      }
      const bytes = Buffer.from(text)
      const pieces: Buffer[] = []
      const pieceMax = prng.pick([1, 3, 40, 500, bytes.length])
      for (let at = 0; at < bytes.length;) {
        const end = Math.min(bytes.length, at + prng.between(1, pieceMax))
        pieces.push(bytes.subarray(at, end))
        at = end
      }
      assert.deepEqual(parse(pieces), { statuses: expected, broken: undefined })
    })
  })

  it('takes a body that looks like a response for a body', () => {
    const inner = responseText(500, 'x')
    const text = responseText(201, inner) + responseText(200, '')
    assert.deepEqual(parse([Buffer.from(text)]).statuses, [201, 200])
  })

  it('gives up on what it cannot follow', () => {
    const broken = (text: string): string | undefined => parse([Buffer.from(text)]).broken
    assert.match(broken('SSH-2.0-OpenSSH\r\n\r\n') ?? '', /not a response/)
    assert.match(broken('HTTP/1.1 200 OK\r\nX: y\r\n\r\n') ?? '', /no Content-Length/)
    assert.match(broken('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n') ?? '', /ends/)
    assert.match(broken(responseText(413, 'x').replace('X: y', 'Connection: close')) ?? '',
      /413 that ends the connection/)
    assert.match(broken(`HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(5000)}`) ?? '', /too long/)
  })
})
