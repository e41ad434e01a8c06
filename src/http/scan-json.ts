// Finds the key and the body in a JSON request body without parsing it. What it finds is a guess
// about the JSON's structure, and only shapes.ts may rely on it: that checks the guess once for
// each shape against a real parse. A text that is unusual in any way (escapes in the key, \u in
// the body, a control character) is left to the parser.

import type { JobHoles } from '../job-holes.ts'
import { JobText } from '../job-text.ts'
import { hashAround } from '../shapes.ts'
import { NOT_ASCII } from '../spans.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const BLANK = 0x20

// Looked for without their first quote: a search goes by the first byte, and quotes are frequent.
const KEY_NAME = Buffer.from('idempotent_key":')
const BODY_NAME = Buffer.from('body":')

/** What stands behind a backslash, and the byte that is meant; 0 for what is not handled here. */
const ESCAPED = new Uint8Array(256)
for (const pair of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t']) {
  ESCAPED[pair.charCodeAt(0)] = pair.charCodeAt(1)
}

/** The same byte in each place of a word. */
const EVERY_QUOTE = 0x22222222
const EVERY_BACKSLASH = 0x5c5c5c5c
const EVERY_BLANK = 0x20202020
const EVERY_ONE = 0x01010101
const WORD_BYTES = 4
/** The last body with escapes, as what it means. */
const unescaped = new JobText()

/** Where the names stand; the body's is counted from the key's end, 0 for none. */
interface NamePlaces {
  keyAt: number
  bodyFrom: number
}

/** In the last text, and in the last that was what it seemed: often they stand there again. */
const found: NamePlaces = { keyAt: 0, bodyFrom: 0 }
const expected: NamePlaces = { keyAt: 0, bodyFrom: 0 }

/** The text that was scanned last has been borne out: the next may well be like it. */
export function expectTheSame(): void {
  expected.keyAt = found.keyAt
  expected.bodyFrom = found.bodyFrom
}

/**
 * Fills `holes` with where `idempotent_key` and `body` lie, the body unescaped, and a hash of all
 * the rest. False when this is no text that could be told apart by its rest alone.
 */
export function scanJson(text: JobText, seed: number, holes: JobHoles): boolean {
  // Ends every search for a string's end.
  text.bytes[text.length] = QUOTE
  const keyAt = find(text, KEY_NAME, expected.keyAt)
  const keyTextAt = textBehind(text, keyAt, KEY_NAME)
  if (keyTextAt < 0 || !scanKey(text, keyTextAt, holes)) return false
  found.keyAt = keyAt
  const bodyAt = find(text, BODY_NAME, holes.keyEnd + expected.bodyFrom)
  found.bodyFrom = bodyAt < 0 ? 0 : bodyAt - holes.keyEnd
  const bodyTextAt = textBehind(text, bodyAt, BODY_NAME)
  if (bodyTextAt < 0) holes.setNoBody()
  else if (!scanBody(text, bodyTextAt, holes)) return false
  return hashAround(text, seed, holes)
}

/** A place of the name: `guess`, or else the first; -1 when there is none. */
function find(text: JobText, name: Buffer, guess: number): number {
  const { bytes } = text
  if (guess > 0 && guess + name.length < text.length) {
    let same = 0
    while (same < name.length && bytes[guess + same] === name[same]) same++
    if (same === name.length) return guess
  }
  return text.whole().indexOf(name)
}

/** Where the content of the string begins that follows the name at `at`; -1 when none does. */
function textBehind({ bytes, length }: JobText, at: number, name: Buffer): number {
  if (at < 1 || bytes[at - 1] !== QUOTE) return -1
  let behind = at + name.length
  while (bytes[behind] === BLANK) behind++
  return behind < length && bytes[behind] === QUOTE ? behind + 1 : -1
}

function scanKey({ bytes, length, view }: JobText, start: number, holes: JobHoles): boolean {
  let at = start
  // The quote behind the text ends this at the latest.
  for (;; at += WORD_BYTES) {
    const word = view.getInt32(at, true)
    const special = specialBits(word) | (word & NOT_ASCII)
    if (special === 0) continue
    at += lowestBit(special) >>> 3
    break
  }
  if (at >= length || bytes[at] !== QUOTE) return false
  holes.setKey(start, start, at, at)
  return true
}

/** Looks for the end of the body's string; one with an escape is written as what it means. */
function scanBody(text: JobText, start: number, holes: JobHoles): boolean {
  const { bytes, length, view } = text
  let allBits = 0
  let at = start
  for (;; at += WORD_BYTES) {
    const word = view.getInt32(at, true)
    const special = specialBits(word)
    if (special === 0) {
      allBits |= word
      continue
    }
    const plainBits = lowestBit(special) & ~7
    allBits |= word & ((1 << plainBits) - 1)
    at += plainBits >>> 3
    break
  }
  if (bytes[at] === BACKSLASH) return unescapeBody(text, start, holes)
  if (at >= length || bytes[at] !== QUOTE) return false
  holes.setBody(start, at)
  holes.setText(bytes, start, at, (allBits & NOT_ASCII) === 0)
  return true
}

/** The same with escapes. Words are written whole, and cut where a special byte stands. */
function unescapeBody(text: JobText, start: number, holes: JobHoles): boolean {
  const { bytes, length, view } = text
  unescaped.reserve(length)
  const { bytes: target, view: targetView } = unescaped
  let allBits = 0
  let at = start
  let to = 0
  for (;;) {
    const word = view.getInt32(at, true)
    targetView.setInt32(to, word, true)
    const special = specialBits(word)
    if (special === 0) {
      allBits |= word
      at += WORD_BYTES
      to += WORD_BYTES
      continue
    }
    const plainBits = lowestBit(special) & ~7
    allBits |= word & ((1 << plainBits) - 1)
    at += plainBits >>> 3
    to += plainBits >>> 3
    if (at >= length) return false
    const byte = bytes[at] as number
    if (byte === QUOTE) {
      holes.setBody(start, at)
      holes.setText(target, 0, to, (allBits & NOT_ASCII) === 0)
      return true
    }
    if (byte !== BACKSLASH || at + 1 >= length) return false
    const meant = ESCAPED[bytes[at + 1] as number] as number
    if (meant === 0) return false
    target[to++] = meant
    at += 2
  }
}

/** The high bit of each byte that ends a string, escapes something, or must not be there. */
function specialBits(word: number): number {
  const quote = word ^ EVERY_QUOTE
  const backslash = word ^ EVERY_BACKSLASH
  // The classic test for a zero byte: what it says of bytes above the lowest hit is not certain.
  return (((quote - EVERY_ONE) & ~quote) | ((backslash - EVERY_ONE) & ~backslash) |
    ((word - EVERY_BLANK) & ~word)) & NOT_ASCII
}

const lowestBit = (bits: number): number => 31 - Math.clz32(bits & -bits)
