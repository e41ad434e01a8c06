// The memory of a single ring or bell, laid out as in shards/memory/layout.ts, of any size.

import { BELL_BYTES, RING_CONTROL_BYTES, type RingViews } from '../../shards/memory/layout.ts'

const TAIL_WORD = 0
const HEAD_WORD = RING_CONTROL_BYTES / 2 / 4
const TAKEN_WORD = HEAD_WORD + 1

/** Memory for ringViews(). */
export const allocateRing = (capacityBytes: number): SharedArrayBuffer =>
  new SharedArrayBuffer(RING_CONTROL_BYTES + capacityBytes)

/** The typed arrays of a ring that fills a buffer of allocateRing(). */
export function ringViews(buffer: SharedArrayBuffer): RingViews {
  const capacityBytes = buffer.byteLength - RING_CONTROL_BYTES
  const bytes = Buffer.from(
    buffer as unknown as ArrayBuffer, RING_CONTROL_BYTES, capacityBytes)
  return {
    control: new Int32Array(buffer, 0, RING_CONTROL_BYTES / 4),
    bytes,
    u32: new Uint32Array(buffer, RING_CONTROL_BYTES, capacityBytes / 4),
    f64: new Float64Array(buffer, RING_CONTROL_BYTES, capacityBytes / 8),
  }
}

/** Sets the position of an empty ring, as if so many bytes had passed through it. */
export function startRingAt(views: RingViews, position: number): void {
  views.control[TAIL_WORD] = position
  views.control[HEAD_WORD] = position
  views.control[TAKEN_WORD] = position
}

/** The word of a bell that is 0 while its owner is awake, and 1 while it sleeps. */
export const STATE_WORD = BELL_BYTES / 2 / 4

/** A bell's words. */
export const bellWords = (buffer: SharedArrayBuffer): Int32Array =>
  new Int32Array(buffer, 0, BELL_BYTES / 4)

/** Memory for bellWords(). */
export const allocateBell = (): SharedArrayBuffer => new SharedArrayBuffer(BELL_BYTES)
