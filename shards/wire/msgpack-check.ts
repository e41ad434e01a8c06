// Validates that untrusted bytes are one plain MessagePack value.
// Thread: any. Memory: none; it scans the bytes.
// Never: builds a value, throws, or recurses deeper than allowed.
// Source: the MessagePack specification (github.com/msgpack/msgpack, spec.md).
//
// Plain means: nil, booleans, numbers, strings, binary, arrays, and maps with string keys. No
// extension type is accepted: decoders give some of them special meaning (records, references,
// regular expressions) that a request body does not need. A string must be UTF-8, as specified:
// decoders replace invalid bytes by the same character, and two keys would become one.

import { isUtf8 } from 'node:buffer'

const NIL = 0xc0
const FALSE = 0xc2
const TRUE = 0xc3
const BIN_8 = 0xc4
const BIN_16 = 0xc5
const BIN_32 = 0xc6
const FLOAT_32 = 0xca
const FLOAT_64 = 0xcb
const UINT_8 = 0xcc
const UINT_16 = 0xcd
const UINT_32 = 0xce
const UINT_64 = 0xcf
const INT_8 = 0xd0
const INT_16 = 0xd1
const INT_32 = 0xd2
const INT_64 = 0xd3
const STR_8 = 0xd9
const STR_16 = 0xda
const STR_32 = 0xdb
const ARRAY_16 = 0xdc
const ARRAY_32 = 0xdd
const MAP_16 = 0xde
const MAP_32 = 0xdf
const FIX_MAP = 0x80
const FIX_ARRAY = 0x90
const FIX_STR = 0xa0
const NEGATIVE_FIX_INT = 0xe0

/** The bit that is not set in ASCII bytes. */
const NOT_ASCII = 0x80

/** Up to this length a loop over the bytes is faster than a call of isUtf8(). */
const SHORT_STRING_BYTES_MAX = 48

/** Not plain, or incomplete. */
export const REFUSED = -1

/**
 * True when `bytes` are exactly one plain value, nested at most `depthMax` arrays and maps deep.
 * Takes time linear in the number of bytes.
 */
export function isPlainMsgpack(bytes: Uint8Array, depthMax: number): boolean {
  return skipPlain(bytes, 0, depthMax, true) === bytes.length
}

/**
 * The offset after the plain value at `at`, or REFUSED; never beyond the end of `bytes`. It may
 * nest at most `depth` arrays and maps deep.
 * @param isUtf8Due whether strings must be UTF-8; otherwise the caller checks those that matter.
 */
export function skipPlain(
  bytes: Uint8Array, at: number, depth: number, isUtf8Due: boolean,
): number {
  if (at >= bytes.length) return REFUSED
  const head = bytes[at] as number
  const next = at + 1
  if (head < FIX_MAP || head >= NEGATIVE_FIX_INT) return next
  if (head < FIX_ARRAY) return skipMap(bytes, next, head - FIX_MAP, depth, isUtf8Due)
  if (head < FIX_STR) return skipArray(bytes, next, head - FIX_ARRAY, depth, isUtf8Due)
  if (head < NIL) return skipString(bytes, next, head - FIX_STR, isUtf8Due)
  switch (head) {
    case NIL: case FALSE: case TRUE: return next
    case UINT_8: case INT_8: return skipBytes(bytes, next, 1)
    case UINT_16: case INT_16: return skipBytes(bytes, next, 2)
    case UINT_32: case INT_32: case FLOAT_32: return skipBytes(bytes, next, 4)
    case UINT_64: case INT_64: case FLOAT_64: return skipBytes(bytes, next, 8)
    case BIN_8: return skipBytes(bytes, next + 1, readCount(bytes, next, 1))
    case BIN_16: return skipBytes(bytes, next + 2, readCount(bytes, next, 2))
    case BIN_32: return skipBytes(bytes, next + 4, readCount(bytes, next, 4))
    case STR_8: return skipString(bytes, next + 1, readCount(bytes, next, 1), isUtf8Due)
    case STR_16: return skipString(bytes, next + 2, readCount(bytes, next, 2), isUtf8Due)
    case STR_32: return skipString(bytes, next + 4, readCount(bytes, next, 4), isUtf8Due)
    case ARRAY_16: return skipArray(bytes, next + 2, readCount(bytes, next, 2), depth, isUtf8Due)
    case ARRAY_32: return skipArray(bytes, next + 4, readCount(bytes, next, 4), depth, isUtf8Due)
    case MAP_16: return skipMap(bytes, next + 2, readCount(bytes, next, 2), depth, isUtf8Due)
    case MAP_32: return skipMap(bytes, next + 4, readCount(bytes, next, 4), depth, isUtf8Due)
    default: return REFUSED // extensions, and 0xc1, which is never used
  }
}

/** A big-endian count of `width` bytes; REFUSED if incomplete, which skip…() propagate. */
function readCount(bytes: Uint8Array, at: number, width: number): number {
  if (at + width > bytes.length) return REFUSED
  let count = 0
  for (let byte = 0; byte < width; byte++) count = count * 256 + (bytes[at + byte] as number)
  return count
}

function skipBytes(bytes: Uint8Array, at: number, count: number): number {
  return count === REFUSED || count > bytes.length - at ? REFUSED : at + count
}

function skipString(
  bytes: Uint8Array, at: number, count: number, isUtf8Due: boolean,
): number {
  const end = skipBytes(bytes, at, count)
  return end === REFUSED || !isUtf8Due || isText(bytes, at, end) ? end : REFUSED
}

function isText(bytes: Uint8Array, start: number, end: number): boolean {
  let beyondAscii = end - start > SHORT_STRING_BYTES_MAX ? NOT_ASCII : 0
  for (let at = start; at < end && beyondAscii < NOT_ASCII; at++) {
    beyondAscii |= bytes[at] as number
  }
  return beyondAscii < NOT_ASCII || isUtf8(bytes.subarray(start, end))
}

function skipArray(
  bytes: Uint8Array, at: number, count: number, depth: number, isUtf8Due: boolean,
): number {
  // Every item takes at least a byte, so a count above the bytes left is refused before the scan.
  if (count === REFUSED || depth === 0 || count > bytes.length - at) return REFUSED
  let end = at
  for (let item = 0; item < count && end !== REFUSED; item++) {
    end = skipPlain(bytes, end, depth - 1, isUtf8Due)
  }
  return end
}

function skipMap(
  bytes: Uint8Array, at: number, count: number, depth: number, isUtf8Due: boolean,
): number {
  if (count === REFUSED || depth === 0 || 2 * count > bytes.length - at) return REFUSED
  let end = at
  for (let item = 0; item < count && end !== REFUSED; item++) {
    if (!isString(bytes[end])) return REFUSED
    end = skipPlain(bytes, end, 0, isUtf8Due)
    if (end !== REFUSED) end = skipPlain(bytes, end, depth - 1, isUtf8Due)
  }
  return end
}

/** Whether a string begins with this head. */
function isString(head: number | undefined): boolean {
  if (head === undefined) return false
  return (head >= FIX_STR && head < NIL) || (head >= STR_8 && head <= STR_32)
}
