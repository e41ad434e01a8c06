// Spans of bytes hashed, compared and copied four bytes at a time, at any alignment. The loops have
// one counter and no early exit: the code that V8 compiles from that takes about half the time.

/** FNV-1a's prime (Fowler, Noll and Vo), 32 bits; applied to words here, folded after each. */
const PRIME = 0x01000193

/** The bits that are 0 in every ASCII byte. */
export const NOT_ASCII = 0x80808080

/** The words that so many bytes take: 0 → 0, 1 → 1, 4 → 1, 5 → 2. */
export const wordsFor = (bytes: number): number => (bytes + 3) >>> 2

/** The last one to three bytes before `end` that are not a whole word, as one word; 0 for none. */
function rest(view: DataView, start: number, end: number): number {
  let word = 0
  for (let at = end - 1; at >= end - ((end - start) & 3); at--) word = word << 8 | view.getUint8(at)
  return word
}

/**
 * Continues a hash over bytes start … end; the length is part of it. Every other word goes into a
 * second hash, so that one multiplication need not wait for its predecessor.
 */
export function hashSpan(before: number, view: DataView, start: number, end: number): number {
  const words = (end - start) >>> 2
  let hash = Math.imul(before ^ (end - start), PRIME)
  let other = ~hash
  for (let word = 0; word + 2 <= words; word += 2) {
    const at = start + 4 * word
    hash = Math.imul(hash ^ view.getInt32(at, true), PRIME)
    hash ^= hash >>> 15
    other = Math.imul(other ^ view.getInt32(at + 4, true), PRIME)
    other ^= other >>> 15
  }
  if ((words & 1) === 1) {
    hash = Math.imul(hash ^ view.getInt32(start + 4 * words - 4, true), PRIME)
    hash ^= hash >>> 15
  }
  hash = Math.imul(hash ^ rest(view, start, end), PRIME)
  hash = Math.imul(hash ^ (hash >>> 15) ^ other, PRIME)
  return hash ^ (hash >>> 15)
}

/** Copies bytes start … end to word `to` and following, zero-padded to a whole word. */
export function copySpan(
  view: DataView, start: number, end: number, target: Uint32Array, to: number,
): void {
  const words = (end - start) >>> 2
  for (let word = 0; word < words; word++) {
    target[to + word] = view.getInt32(start + 4 * word, true)
  }
  if (((end - start) & 3) !== 0) target[to + words] = rest(view, start, end)
}

/** Whether bytes start … end equal what copySpan() stored at word `at`. */
export function isSameSpan(
  pieces: Uint32Array, at: number, view: DataView, start: number, end: number,
): boolean {
  const words = (end - start) >>> 2
  let different = 0
  for (let word = 0; word < words; word++) {
    different |= view.getInt32(start + 4 * word, true) ^ (pieces[at + word] as number)
  }
  if (((end - start) & 3) !== 0) {
    different |= rest(view, start, end) ^ (pieces[at + words] as number)
  }
  return different === 0
}

/** Whether bytes start … end are all ASCII. */
export function isAsciiSpan(view: DataView, start: number, end: number): boolean {
  const words = (end - start) >>> 2
  let bits = rest(view, start, end)
  for (let word = 0; word < words; word++) bits |= view.getInt32(start + 4 * word, true)
  return (bits & NOT_ASCII) === 0
}
