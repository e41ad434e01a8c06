// Lines cut from chunks of any size, beside a twin that sees the whole text at once.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import { LineCutter } from '../../../../src/control/line-cutter.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_262)
const BYTES_MAX = 12

test('the cuts of the chunks make no difference', () => {
  for (let seed = SEED; seed < SEED + 300; seed++) {
    const prng = new Prng(seed)
    const drawn = (below: number): number => prng.below(below)
    const text = Array.from({ length: drawn(60) }, () => 'ab\n\né'[drawn(5)]).join('')
    const bytes = Buffer.from(text)
    const wanted = text.split('\n').slice(0, -1)
    const isTooLong = text.split('\n').some((line) => Buffer.byteLength(line) > BYTES_MAX)
    const cutter = new LineCutter(BYTES_MAX)
    let lines: string[] | undefined = []
    for (let at = 0; at < bytes.length && lines !== undefined;) {
      const end = Math.min(bytes.length, at + 1 + drawn(9))
      const cut = cutter.push(bytes.subarray(at, end))
      lines = cut === undefined ? undefined : [...lines, ...cut]
      at = end
    }
    assert.deepEqual(lines, isTooLong ? undefined : wanted, `seed ${seed}: ${JSON.stringify(text)}`)
  }
})
