// Finds the key and the body in a JSON request body without parsing it. What it finds is a guess
// about the JSON's structure, and only shapes.ts may rely on it: that checks the guess once for
// each shape against a real parse. A text that is unusual in any way (escapes in the key, \u in
// the body, a control character) is left to the parser.

import type { JobHoles } from '../job-holes.ts'
import { hashAround } from '../shapes.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const BLANK = 0x20
const ASCII_END = 0x80

// Looked for without their first quote: a search goes by the first byte, and quotes are frequent.
const KEY_NAME = Buffer.from('idempotent_key":')
const BODY_NAME = Buffer.from('body":')

/** What stands behind a backslash, and the byte that is meant; 0 for what is not handled here. */
const ESCAPED = new Uint8Array(256)
for (const pair of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t']) {
  ESCAPED[pair.charCodeAt(0)] = pair.charCodeAt(1)
}

/** 1 for the bytes of a JSON string that end it, escape something, or must not be there. */
const SPECIAL = new Uint8Array(256).fill(1, 0, BLANK)
SPECIAL[QUOTE] = 1
SPECIAL[BACKSLASH] = 1

const UNESCAPED_BYTES_MIN = 16 * 1024
/** Grows to the largest body with escapes so far; request bodies are bounded. */
let unescaped = Buffer.allocUnsafeSlow(UNESCAPED_BYTES_MIN)

/**
 * Fills `holes` with where `idempotent_key` and `body` lie, the body unescaped, and a hash of all
 * the rest. False when this is no text that could be told apart by its rest alone.
 * @param view of the same bytes.
 */
export function scanJson(bytes: Buffer, view: DataView, seed: number, holes: JobHoles): boolean {
  const keyAt = textAfter(bytes, KEY_NAME)
  if (keyAt < 0 || !scanKey(bytes, keyAt, holes)) return false
  const bodyAt = textAfter(bytes, BODY_NAME)
  if (bodyAt < 0) holes.setNoBody()
  else if (!scanBody(bytes, bodyAt, holes)) return false
  return hashAround(view, seed, holes)
}

/** Where the content of the string begins that follows a name; -1 when there is none such. */
function textAfter(bytes: Buffer, name: Buffer): number {
  let at = bytes.indexOf(name)
  if (at < 1 || bytes[at - 1] !== QUOTE) return -1
  at += name.length
  while (bytes[at] === BLANK) at++
  return bytes[at] === QUOTE ? at + 1 : -1
}

function scanKey(bytes: Buffer, start: number, holes: JobHoles): boolean {
  const { length } = bytes
  for (let at = start; at < length; at++) {
    const byte = bytes[at] as number
    if (byte === QUOTE) {
      holes.setKey(start, start, at, at)
      return true
    }
    if (byte === BACKSLASH || byte < BLANK || byte >= ASCII_END) return false
  }
  return false
}

/** Looks for the end of the body's string, and writes what it means once there is an escape. */
function scanBody(bytes: Buffer, start: number, holes: JobHoles): boolean {
  const { length } = bytes
  let allBits = 0
  for (let at = start; at < length; at++) {
    const byte = bytes[at] as number
    if (byte === QUOTE) {
      holes.setBody(start, at)
      holes.setText(bytes, start, at, allBits < ASCII_END)
      return true
    }
    if (byte === BACKSLASH) return unescapeBody(bytes, start, at, allBits, holes)
    if (byte < BLANK) return false
    allBits |= byte
  }
  return false
}

/** Goes on from the first escape. */
function unescapeBody(
  bytes: Buffer, start: number, firstEscape: number, bitsBefore: number, holes: JobHoles,
): boolean {
  const { length } = bytes
  if (unescaped.length < length) unescaped = Buffer.allocUnsafeSlow(2 * length)
  const target = unescaped
  let to = bytes.copy(target, 0, start, firstEscape)
  let allBits = bitsBefore
  for (let at = firstEscape; at < length; at++) {
    let byte = bytes[at] as number
    if (SPECIAL[byte] === 1) {
      if (byte === QUOTE) {
        holes.setBody(start, at)
        holes.setText(target, 0, to, allBits < ASCII_END)
        return true
      }
      if (byte !== BACKSLASH || ++at === length) return false
      byte = ESCAPED[bytes[at] as number] as number
      if (byte === 0) return false
    }
    allBits |= byte
    target[to++] = byte
  }
  return false
}
