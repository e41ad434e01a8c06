// What is around the holes of a text is known again byte for byte, as long as it has not been
// overwritten, and nothing else is taken for it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { SHAPE_BYTES_MAX, SHAPES_BYTES } from '../../../../src/base/limits.ts'
import { JobHoles } from '../../../../src/shapes/job-holes.ts'
import { JobText } from '../../../../src/shapes/scan/job-text.ts'
import { ShapeTexts } from '../../../../src/shapes/scan/shape-texts.ts'
import { forEachSeed } from '../../../support/swarm.ts'

const RUNS = 5
const TEXT_BYTES_MAX = 2 * SHAPE_BYTES_MAX

/** A text in three pieces, with holes between them. */
interface Drawn {
  readonly pieces: readonly Buffer[]
  /** Bytes around the holes. */
  readonly bytes: number
}

/** @param random bytes to cut pieces from. */
function draw(prng: Prng, random: Buffer): Drawn {
  const each = Math.floor(SHAPE_BYTES_MAX / 3)
  const pieces = [0, 1, 2].map(() => {
    const length = prng.chance(0.2) ? prng.below(20) : prng.below(each)
    const from = prng.below(random.length - length)
    return random.subarray(from, from + length)
  })
  return { pieces, bytes: pieces.reduce((sum, piece) => sum + piece.length, 0) }
}

/** Puts the text together with fresh bytes in its holes. */
function take(text: JobText, holes: JobHoles, prng: Prng, pieces: readonly Buffer[]): void {
  const hole = (): Buffer => Buffer.alloc(prng.below(50), prng.below(256))
  const [first, second, third] = pieces as [Buffer, Buffer, Buffer]
  const [one, two] = [hole(), hole()]
  text.take(Buffer.concat([first, one, second, two, third]))
  const secondFrom = first.length + one.length
  const thirdFrom = secondFrom + second.length + two.length
  holes.setKey(first.length, first.length, secondFrom, secondFrom)
  holes.setBody(thirdFrom - two.length, thirdFrom)
  assert.ok(holes.setAround(text.length))
}

/** Another bit in one of them. */
function change(prng: Prng, { bytes, pieces }: Drawn): Buffer[] {
  let at = prng.below(bytes)
  return pieces.map((piece) => {
    const copy = Buffer.from(piece)
    if (at >= 0 && at < copy.length) copy[at] = (copy[at] as number) ^ (1 << prng.below(8))
    at -= piece.length
    return copy
  })
}

test('what is kept is known again until it is overwritten', () => {
  let overwritten = 0
  forEachSeed(RUNS, (prng) => {
    const text = new JobText(TEXT_BYTES_MAX)
    const texts = new ShapeTexts(text)
    const holes = new JobHoles()
    const random = Buffer.from(Uint8Array.from({ length: 65_536 }, () => prng.below(256)))
    const known: { readonly drawn: Drawn; readonly position: number; readonly end: number }[] = []
    let end = 0
    while (end < 2.5 * SHAPES_BYTES) {
      const drawn = draw(prng, random)
      take(text, holes, prng, drawn.pieces)
      const position = texts.keep(holes)
      assert.ok(position >= end && position % SHAPES_BYTES + drawn.bytes <= SHAPES_BYTES)
      end = position + drawn.bytes
      known.push({ drawn, position, end })
      const { drawn: one, position: at } = prng.chance(0.5) ? prng.pick(known)
        : known[Math.max(0, known.length - 1 - prng.below(5000))] as typeof known[number]
      take(text, holes, prng, one.pieces)
      const isOverwritten = end > at + SHAPES_BYTES
      if (isOverwritten) overwritten++
      assert.equal(texts.isSame(at, holes), !isOverwritten)
      if (one.bytes === 0) continue
      take(text, holes, prng, change(prng, one))
      assert.ok(!texts.isSame(at, holes))
    }
  })
  assert.ok(overwritten > RUNS * 100, `only ${overwritten} were overwritten`)
})
