// Spans of bytes hashed and compared four bytes at a time.

/** FNV-1a's prime (Fowler, Noll and Vo), 32 bits; here a word at a time, folded after each. */
const PRIME = 0x01000193

/**
 * Goes on with a hash over bytes start … end; the length is part of it. Every other word goes into
 * a second hash, so that one multiplication need not wait for the one before.
 */
export function hashSpan(before: number, view: DataView, start: number, end: number): number {
  let hash = Math.imul(before ^ (end - start), PRIME)
  let other = ~hash
  let at = start
  for (; at + 8 <= end; at += 8) {
    hash = Math.imul(hash ^ view.getInt32(at, true), PRIME)
    hash ^= hash >>> 15
    other = Math.imul(other ^ view.getInt32(at + 4, true), PRIME)
    other ^= other >>> 15
  }
  for (; at < end; at++) hash = Math.imul(hash ^ view.getUint8(at), PRIME)
  hash = Math.imul(hash ^ other, PRIME)
  return hash ^ (hash >>> 15)
}

/** Whether bytes start … end of the view are the pieces from `at` on; these are long enough. */
export function isSameSpan(
  pieces: DataView, at: number, view: DataView, start: number, end: number,
): boolean {
  for (; start + 4 <= end; start += 4, at += 4) {
    if (pieces.getInt32(at, true) !== view.getInt32(start, true)) return false
  }
  for (; start < end; start++, at++) {
    if (pieces.getUint8(at) !== view.getUint8(start)) return false
  }
  return true
}

/** Whether bytes start … end are all ASCII. */
export function isAsciiSpan(view: DataView, start: number, end: number): boolean {
  let bits = 0
  let at = start
  for (; at + 4 <= end; at += 4) bits |= view.getInt32(at, true)
  for (; at < end; at++) bits |= view.getUint8(at)
  return (bits & 0x80808080) === 0
}
