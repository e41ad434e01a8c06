// What a job asks for, in 32 bits: a key that is known is another request's when these differ.
// Thread: shard. Memory: reads a job's record where it lies in the ring.
// Never: tells more than method, URL and body: headers, webhook and times may differ. It is kept in
// journals, so what goes into it, and how, stays as it is.
// Source: MurmurHash3, x86_32 (Austin Appleby, public domain). No key: two requests of one user
// that run into each other harm nobody but him, and whoever has one of 32 bits may have his way.

import { bodyStart, requestEnd, requestStart } from '../wire/codec.ts'

const C1 = 0xcc9e2d51
const C2 = 0x1b873593

/** A record's memory, as bytes and as words of the same place. */
export interface RecordViews {
  readonly bytes: Uint8Array
  readonly u32: Uint32Array
}

/**
 * The fingerprint of a job whose template lies at `start`, and whose own part at `jobStart … end`.
 * URL and method stand with their lengths before them; a body that is empty is none.
 */
export function fingerprintOf(
  views: RecordViews, start: number, jobStart: number, end: number,
): number {
  const { bytes } = views
  const from = requestStart(bytes, start)
  const hash = hashSpan(views, 0, from, requestEnd(bytes, from))
  return hashSpan(views, hash, bodyStart(bytes, jobStart), end)
}

/** MurmurHash3 of bytes that need not begin on a word. */
export function hashSpan(
  { bytes, u32 }: RecordViews, seed: number, start: number, end: number,
): number {
  const words = (end - start) >>> 2
  const first = start >>> 2
  const shift = (start & 3) << 3
  let hash = seed
  if (shift === 0) {
    for (let at = first; at < first + words; at++) hash = mixed(hash, u32[at] as number)
  } else {
    let low = u32[first] as number
    for (let at = first + 1; at <= first + words; at++) {
      const high = u32[at] as number
      hash = mixed(hash, (low >>> shift) | (high << (32 - shift)))
      low = high
    }
  }
  let rest = 0
  for (let at = start + 4 * words, up = 0; at < end; at++, up += 8) {
    rest |= (bytes[at] as number) << up
  }
  return finished((hash ^ scrambled(rest)) ^ (end - start))
}

function scrambled(word: number): number {
  const product = Math.imul(word, C1)
  return Math.imul((product << 15) | (product >>> 17), C2)
}

function mixed(hash: number, word: number): number {
  const sum = hash ^ scrambled(word)
  return (Math.imul((sum << 13) | (sum >>> 19), 5) + 0xe6546b64) | 0
}

function finished(hash: number): number {
  let last = hash ^ (hash >>> 16)
  last = Math.imul(last, 0x85ebca6b)
  last ^= last >>> 13
  last = Math.imul(last, 0xc2b2ae35)
  return (last ^ (last >>> 16)) >>> 0
}
