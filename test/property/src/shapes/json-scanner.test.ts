// The scanner, which looks at sixteen bytes at a time, against a plain one that looks at one: for
// texts of every length and alignment, put together from what means something to it and what does
// not, with what is left of longer texts behind them and whatever guesses come of the texts before.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { JobHoles } from '../../../../src/shapes/job-holes.ts'
import { JobText } from '../../../../src/shapes/scan/job-text.ts'
import { JsonScanner } from '../../../../src/shapes/scan/json-scanner.ts'
import { forEachSeed } from '../../../support/swarm.ts'

const RUNS = 300
const TEXTS = 100
/** Of the longest text. */
const LONG_BYTES = 1_500_000
const KEY_NAME = 'idempotent_key":'
const BODY_NAME = 'body":'
const ESCAPES: Readonly<Record<string, string>> =
  { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

interface Content {
  readonly from: number
  readonly to: number
  readonly meant: string
}

/** What is found in a text whose characters are bytes. */
interface Found {
  readonly key: Content
  readonly body: Content | undefined
  /** The places of the names. */
  readonly keyName: number
  readonly bodyName: number
}

function contentBehind(text: string, at: number, name: string): Content | 'none' | 'odd' {
  if (at < 1 || text[at - 1] !== '"') return 'none'
  let from = at + name.length
  while (text[from] === ' ') from++
  if (text[from] !== '"') return 'none'
  from++
  let meant = ''
  for (let to = from; to < text.length; to++) {
    const char = text[to] as string
    if (char === '"') return { from, to, meant }
    if (char < ' ') return 'odd'
    if (char !== '\\') {
      meant += char
      continue
    }
    to++
    const escaped = ESCAPES[text[to] ?? '']
    if (escaped === undefined) return 'odd'
    meant += escaped
  }
  return 'odd'
}

const isAscii = (text: string): boolean => !/[\x80-\xff]/.test(text)

interface Guess {
  key: number
  /** Counted from the key's end. */
  body: number
}

/** @param guess where the names stood before. */
function scanPlainly(text: string, guess: Guess): Found | undefined {
  const find = (name: string, at: number): number =>
    at > 0 && at + 16 < text.length && text.startsWith(name, at) ? at : text.indexOf(name)
  const keyName = find(KEY_NAME, guess.key)
  const key = contentBehind(text, keyName, KEY_NAME)
  if (typeof key === 'string' || key.meant.length !== key.to - key.from || !isAscii(key.meant)) {
    return undefined
  }
  const bodyName = find(BODY_NAME, key.to + guess.body)
  const body = contentBehind(text, bodyName, BODY_NAME)
  if (body === 'odd') return undefined
  if (body === 'none') return { key, body: undefined, keyName, bodyName }
  if (body.from < key.to && body.to > key.from) return undefined
  return { key, body, keyName, bodyName }
}

const PIECES = ['"', '\\', '\\"', '\\\\', '\\n', '\\/', '\\u0041', '\n', '\x1f', '\x7f', '\xff',
  ' ', '{', '}', ',', 'i', 'id', 'b', 'bo', 'idempotent_ke', 'abcdefghijklm', `"${KEY_NAME}"`,
  `"${BODY_NAME} "`, KEY_NAME, BODY_NAME, '"', '"', '0123456789abcdef0123456789abcdef']

function drawText(prng: Prng): string {
  const run = (length: number): string =>
    Array.from({ length: prng.below(length) }, () => prng.pick(PIECES)).join('')
  if (prng.chance(0.3)) return run(30)
  const plain = (): string => 'x'.repeat(prng.below(40))
  const key = `"${KEY_NAME}${prng.pick(['', ' '])}"${prng.chance(0.8) ? plain() : run(4)}"`
  const body = `"${BODY_NAME}"${plain()}${run(prng.chance(0.7) ? 3 : 12)}${plain()}"`
  const parts = [plain(), key, plain(), body, run(3)]
  if (prng.chance(0.3)) parts.reverse()
  return parts.join(prng.pick([',', '', ' ']))
}

function compare(found: Found | undefined, isFound: boolean, holes: JobHoles, text: string): void {
  assert.equal(isFound, found !== undefined, JSON.stringify(text))
  if (found === undefined) return
  const { body, key } = found
  assert.deepEqual([holes.keyStart, holes.keyEnd], [key.from, key.to], JSON.stringify(text))
  assert.equal(holes.hasBody, body !== undefined, JSON.stringify(text))
  if (body === undefined) return
  assert.deepEqual([holes.bodyFrom, holes.bodyTo], [body.from, body.to], JSON.stringify(text))
  assert.equal(holes.body.toString('latin1', holes.bodyStart, holes.bodyEnd), body.meant)
  assert.equal(holes.isAscii, isAscii(body.meant), JSON.stringify(text))
}

test('sixteen bytes at a time find what one at a time finds', () => {
  let bodies = 0
  forEachSeed(RUNS, (prng) => {
    const text = new JobText(4096)
    const scanner = new JsonScanner(text, prng.uint32())
    const holes = new JobHoles()
    const guess: Guess = { key: 0, body: 0 }
    for (let count = 0; count < TEXTS; count++) {
      const drawn = drawText(prng)
      text.take(Buffer.from(drawn, 'latin1'))
      const found = scanPlainly(drawn, guess)
      compare(found, scanner.scan(holes), holes, drawn)
      if (found?.body !== undefined) bodies++
      if (found === undefined || !prng.chance(0.5)) continue
      scanner.expectTheSame()
      guess.key = found.keyName
      guess.body = found.bodyName < 0 ? 0 : found.bodyName - found.key.to
    }
  })
  assert.ok(bodies > RUNS * TEXTS / 4, `only ${bodies} texts had both`)
})

test('the hash is that of what is around the holes, whatever is in them', () => {
  const hashes = new Set<number>()
  let texts = 0
  forEachSeed(RUNS, (prng) => {
    const text = new JobText(4096)
    const scanner = new JsonScanner(text, 7)
    const holes = new JobHoles()
    const fill = (length: number): string => String.fromCharCode(
      ...Array.from({ length: prng.below(length) }, () => prng.between(0x61, 0x7a)))
    const hash = (around: readonly string[]): number => {
      const [first, second, third] = around
      const key = `"${KEY_NAME}"${fill(40)}"`
      const body = `"${BODY_NAME}"${fill(90)}"`
      text.take(Buffer.from(`${first}${key}${second}${body}${third}`))
      assert.ok(scanner.scan(holes))
      return holes.hash
    }
    const around = [fill(70), fill(70), fill(70)]
    const before = hash(around)
    assert.equal(hash(around), before)
    const other = [...around]
    const at = prng.below(3)
    const changed = other[at] as string
    other[at] = prng.chance(0.5) || changed === '' ? `${changed}z`
      : `${changed.slice(0, -1)}${String.fromCharCode(changed.charCodeAt(changed.length - 1) ^ 1)}`
    assert.notEqual(hash(other), before)
    hashes.add(before)
    texts++
  })
  assert.ok(hashes.size > texts - 4, `${texts - hashes.size} hashes came twice`)
})

test('texts of any length are scanned', () => {
  const text = new JobText(LONG_BYTES)
  const scanner = new JsonScanner(text, 7)
  const holes = new JobHoles()
  const empty = JSON.stringify({ idempotent_key: 'k', body: '' }).length
  for (const length of [0, 16_000, 16_384, 70_000, 5, LONG_BYTES - empty]) {
    // Each character but the first is written as two.
    const body = `${'y'.repeat(length % 2)}${'"'.repeat(length / 2)}`
    text.take(Buffer.from(JSON.stringify({ idempotent_key: 'k', body })))
    assert.equal(text.length, empty + length)
    assert.ok(scanner.scan(holes))
    assert.ok(holes.body.toString('latin1', holes.bodyStart, holes.bodyEnd) === body, `${length}`)
  }
})
