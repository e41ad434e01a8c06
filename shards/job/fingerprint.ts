// A 32-bit hash of a job's request: if it differs, a known idempotency key was reused for another.
// Thread: shard. Memory: reads a job's record in the ring.
// Never: covers more than method, URL and body: headers, webhook and times may differ. It is stored
// in journals, so its input and algorithm must not change.
// Source: MurmurHash3, x86_32 (Austin Appleby, public domain). Not keyed: a collision of two
// requests affects only the user who sent both, and a collision of 32 bits can be found anyway.

import { bodyStart, requestEnd, requestStart } from '../wire/codec.ts'

const C1 = 0xcc9e2d51
const C2 = 0x1b873593

/** A record's memory, as bytes and as words. */
export interface RecordViews {
  readonly bytes: Uint8Array
  readonly u32: Uint32Array
}

/**
 * The fingerprint of a job whose template is at `start`, and whose own part is at `jobStart … end`.
 * URL and method are hashed with their lengths; an empty body counts as none.
 */
export function fingerprintOf(
  views: RecordViews, start: number, jobStart: number, end: number,
): number {
  const { bytes } = views
  const from = requestStart(bytes, start)
  const hash = hashSpan(views, 0, from, requestEnd(bytes, from))
  return hashSpan(views, hash, bodyStart(bytes, jobStart), end)
}

/** MurmurHash3 of bytes that need not be word-aligned. */
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
