// Spans by words against the same bytes one by one, at every alignment and length.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import {
  copySpan, hashSpan, isAsciiSpan, isSameSpan, wordsFor,
} from '../../../../src/base/spans.ts'
import { JobText } from '../../../../src/shapes/scan/job-text.ts'
import { forEachSeed } from '../../../support/swarm.ts'

const RUNS = 400
const BYTES_MAX = 70

/** A buffer with random bytes before, in and behind the span. */
function drawSpan(prng: Prng, span: Uint8Array): { buffer: JobText; start: number } {
  const start = prng.below(9)
  const bytes = Uint8Array.from({ length: start + span.length + prng.below(9) },
    () => prng.below(256))
  bytes.set(span, start)
  const buffer = new JobText(1024)
  // What is left of a longer text must not matter.
  buffer.take(Uint8Array.from({ length: 128 }, () => prng.below(256)))
  buffer.take(bytes)
  return { buffer, start }
}

test('a span is what its bytes are, wherever it lies', () => {
  forEachSeed(RUNS, (prng) => {
    const length = prng.below(BYTES_MAX)
    const span = Uint8Array.from({ length }, () => prng.below(prng.chance(0.8) ? 128 : 256))
    const one = drawSpan(prng, span)
    const two = drawSpan(prng, span)
    const hash = hashSpan(5, one.buffer.view, one.start, one.start + length)
    assert.equal(hashSpan(5, two.buffer.view, two.start, two.start + length), hash)
    assert.equal(isAsciiSpan(one.buffer.view, one.start, one.start + length),
      span.every((byte) => byte < 128))

    const pieces = new Uint32Array(wordsFor(length) + 2).fill(7)
    copySpan(one.buffer.view, one.start, one.start + length, pieces, 1)
    const copied = new Uint8Array(pieces.buffer, 4, 4 * wordsFor(length))
    assert.deepEqual([...copied.subarray(0, length)], [...span])
    assert.ok(copied.subarray(length).every((byte) => byte === 0))
    assert.deepEqual([pieces[0], pieces.at(-1)], [7, 7])
    assert.ok(isSameSpan(pieces, 1, two.buffer.view, two.start, two.start + length))
  })
})

test('one other bit makes another span', () => {
  const hashes = new Set<number>()
  let spans = 0
  forEachSeed(RUNS, (prng) => {
    const length = 1 + prng.below(BYTES_MAX)
    const span = Uint8Array.from({ length }, () => prng.below(256))
    const { buffer, start } = drawSpan(prng, span)
    const pieces = new Uint32Array(wordsFor(length))
    copySpan(buffer.view, start, start + length, pieces, 0)
    const at = prng.below(length)
    const before = hashSpan(5, buffer.view, start, start + length)
    buffer.bytes[start + at] = (span[at] as number) ^ (1 << prng.below(8))
    assert.ok(!isSameSpan(pieces, 0, buffer.view, start, start + length))
    const after = hashSpan(5, buffer.view, start, start + length)
    assert.notEqual(after, before)
    hashes.add(before).add(after)
    spans += 2
  })
  assert.ok(hashes.size > spans - 4, `${spans - hashes.size} hashes came twice`)
})
