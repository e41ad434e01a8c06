// Model: the whole body at once. However a batch's body is cut into chunks, the jobs in it are the
// same, and only what is needed is kept.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { MIB } from '../../../../shards/base/units.ts'
import { ClientBytes } from '../../../../src/base/client-bytes.ts'
import { BatchSplitter } from '../../../../src/http/batch-splitter.ts'
import { forEachSeed } from '../../../support/swarm.ts'
import { VirtualTime } from '../../../support/virtual-clock.ts'

const JOB_BYTES_MAX = 40
const SEEDS = 500
const CHUNK_BYTES_MAX = 100
/** A part of a job and a chunk. */
const KEPT_BYTES_MAX = JOB_BYTES_MAX + CHUNK_BYTES_MAX
const POOL = new ClientBytes(16 * MIB, new VirtualTime().clock(), { warn: () => {} })

const TEXTS = [
  '{}', '7', '"a"', '{"a":"]"}', '{"b":"\\"],["}', '[1,[2]]', '{"c":{"d":[]}}', '"\\\\"', 'null',
  `"${'x'.repeat(60)}"`, `{"long":"${'y'.repeat(50)}"}`,
  `"${'z'.repeat(400)}"`,
]

const pick = <T>(prng: Prng, values: readonly T[]): T => values[prng.below(values.length)] as T
const blanks = (prng: Prng, kinds: readonly string[]): string =>
  Array.from({ length: prng.below(3) }, () => pick(prng, kinds)).join('')

/** What a splitter gives, its body cut at random. */
function split(prng: Prng, body: string): string[] {
  const splitter = new BatchSplitter(JOB_BYTES_MAX, POOL)
  const bytes = Buffer.from(body)
  const found: string[] = []
  const takeAll = (): void => {
    for (;;) {
      const piece = splitter.next()
      if (piece === undefined) return
      found.push(piece.kind === 'job' ? piece.bytes.toString() : `<${piece.kind}>`)
    }
  }
  for (let at = 0; at < bytes.length;) {
    const length = 1 + prng.below(prng.chance(0.5) ? 4 : CHUNK_BYTES_MAX)
    assert.ok(splitter.push(bytes.subarray(at, at + length)))
    at += length
    if (prng.chance(0.8)) {
      takeAll()
      assert.ok(splitter.keptBytes <= KEPT_BYTES_MAX, `${splitter.keptBytes} bytes are kept`)
      if (prng.chance(0.5)) splitter.shrink()
    }
  }
  takeAll()
  assert.ok(splitter.keptBytes <= KEPT_BYTES_MAX, `${splitter.keptBytes} bytes are kept`)
  splitter.end()
  takeAll()
  assert.ok(splitter.isDone)
  return found
}

const expectedOf = (texts: readonly string[]): string[] =>
  texts.map((text) => text.length > JOB_BYTES_MAX ? '<too long>' : text)

test('lines', () => {
  forEachSeed(SEEDS, (prng) => {
    const texts = Array.from({ length: prng.below(8) }, () => pick(prng, TEXTS.slice(0, 5)))
      .filter((text) => !text.startsWith('['))
    const any = texts.map((text) => prng.chance(0.2) ? pick(prng, TEXTS.slice(9)) : text)
    const body = any.map((text) => blanks(prng, [' ', '\r', '\t']).slice(0, 2) + text +
      '\n'.repeat(1 + prng.below(3))).join('')
    const ended = prng.chance(0.5) ? body.trimEnd() : body
    const found = split(prng, ended)
    // Blanks around a job count towards its length; none of these is near the limit but the long.
    assert.deepEqual(found, expectedOf(any), JSON.stringify(ended))
  })
})

test('an array', () => {
  forEachSeed(SEEDS, (prng) => {
    const texts = Array.from({ length: prng.below(8) }, () => pick(prng, TEXTS))
    const all = [' ', '\n', '\r', '\t']
    const inside = texts.map((text) => blanks(prng, all) + text + blanks(prng, all)).join(',')
    const open = `${blanks(prng, all)}[${inside}`
    assert.deepEqual(split(prng, `${open}]${blanks(prng, all)}`), expectedOf(texts), open)
    assert.deepEqual(split(prng, `${open}] x`), [...expectedOf(texts), '<broken>'], open)
    assert.equal(split(prng, open).at(-1), '<broken>', open)
  })
})

test('empty elements are jobs that say nothing', () => {
  forEachSeed(20, (prng) => {
    assert.deepEqual(split(prng, '[,]'), ['', ''])
    assert.deepEqual(split(prng, '[{},]'), ['{}', ''])
    assert.deepEqual(split(prng, '[ ]'), [])
  })
})
