// Job ids as text and as words.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import { formatJobId, JOB_ID_DIGITS, writeJobId } from '../../../../shards/wire/job-id.ts'
import { JobIdSource, parseJobId } from '../../../../src/base/job-id.ts'

test('an id is its three words in hex, and back', () => {
  assert.equal(formatJobId(1, 2, 0xabcdef01), '0000000100000002abcdef01')
  const prng = new Prng(5)
  for (let round = 0; round < 1000; round++) {
    const words = { route: prng.uint32(), idHigh: prng.uint32(), idLow: prng.uint32() }
    const text = formatJobId(words.route, words.idHigh, words.idLow)
    assert.match(text, /^[0-9a-f]{24}$/)
    assert.deepEqual(parseJobId(text), words)
    const bytes = Buffer.alloc(JOB_ID_DIGITS + 2, '-')
    writeJobId(bytes, 1, words.route, words.idHigh, words.idLow)
    assert.equal(bytes.toString(), `-${text}-`)
  }
})

test('what is no id is not parsed', () => {
  const good = '0123456789abcdef01234567'
  const wrong = [
    '', 'x', good.slice(1), `${good}0`, good.toUpperCase(), ` ${good.slice(1)}`, `${good}\n`,
    `-${good.slice(1)}`, `0x${good.slice(2)}`, '../../../../etc/passwd/.',
    '%30123456789abcdef012345',
  ]
  for (const text of wrong) assert.equal(parseJobId(text), undefined, JSON.stringify(text))
})

test('words are taken from the source in order, a batch at a time', () => {
  let fills = 0
  const ids = new JobIdSource((words) => {
    fills++
    for (let at = 0; at < words.length; at++) words[at] = fills * 1_000_000 + at
  })
  assert.equal(ids.nextWord(), 1_000_000)
  assert.equal(ids.nextWord(), 1_000_001)
  let word = 0
  while (word < 2_000_000) word = ids.nextWord()
  assert.equal(word, 2_000_000)
})

test('the machine draws no word twice in a short while', () => {
  const ids = new JobIdSource()
  const seen = new Set<string>()
  for (let round = 0; round < 5000; round++) seen.add(`${ids.nextWord()} ${ids.nextWord()}`)
  assert.equal(seen.size, 5000)
})
