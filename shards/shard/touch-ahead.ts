// Touches the pages that a shard is about to use, so that the system allocates them before: a page
// is cleared at its first use, and one of 2 MiB, which takes a millisecond on some machines, would
// delay all answers meanwhile.
// Thread: toucher. Memory: reads how far a shard's job slots and log are used; touches a word by an
// atomic OR with 0, which other threads cannot observe, so no write of theirs can be lost.
// Never: touches for an idle shard, or further ahead than a limit. The indexes are not touched:
// they are used in random order from the beginning.

import { JOBS_FRESH } from '../memory/crash-notes.ts'
import type { ShardViews } from '../memory/layout.ts'
import {
  TOUCH_AHEAD_BYTES_MAX, TOUCH_AHEAD_BYTES_MIN, TOUCH_AHEAD_LOOKS,
} from '../memory/limits.ts'
import type { Limits } from '../memory/plan.ts'
import { SEGMENT_FREE } from '../store/segments.ts'

/** At most the size of any system's page, so that every page is touched. */
const PAGE_BYTES = 4096
const WORD_BYTES = 4

/** The input of the toucher's thread. */
export interface TouchTask {
  readonly limits: Limits
  readonly shardBuffers: readonly SharedArrayBuffer[]
}

/** Touches every page of a range of bytes. */
export function touchPages(words: Int32Array, fromByte: number, toByte: number): void {
  for (let byte = fromByte; byte < toByte; byte += PAGE_BYTES) {
    Atomics.or(words, byte / WORD_BYTES, 0)
  }
}

/** Memory that is used sequentially from its beginning to its end, once. */
interface Strip {
  readonly words: Int32Array
  /** Bytes used so far. */
  readonly used: () => number
  usedBefore: number
  /** Where touching continues; a multiple of a page's size. */
  touchedTo: number
}

/** Touches ahead in one shard's memory. */
export class TouchAhead {
  readonly #strips: readonly Strip[]

  constructor(views: ShardViews) {
    const jobs = Object.values(views.jobs) as readonly (Uint32Array | Float64Array)[]
    const fresh = (): number => views.progress[JOBS_FRESH] as number
    this.#strips = [
      ...jobs.map(({ byteOffset, byteLength, BYTES_PER_ELEMENT }) =>
        stripOf(views, byteOffset, byteLength, () => fresh() * BYTES_PER_ELEMENT)),
      logStrip(views),
    ]
  }

  /**
   * Touches what will be used soon at the rate since the last call.
   * @returns the bytes between the first and the last page touched, summed over all arrays.
   */
  look(): number {
    let touched = 0
    for (const strip of this.#strips) touched += lookAt(strip)
    return touched
  }
}

function lookAt(strip: Strip): number {
  const used = strip.used()
  const pace = used - strip.usedBefore
  strip.usedBefore = used
  if (pace <= 0) return 0
  const ahead = Math.min(Math.max(pace * TOUCH_AHEAD_LOOKS, TOUCH_AHEAD_BYTES_MIN),
    TOUCH_AHEAD_BYTES_MAX)
  const from = Math.max(strip.touchedTo, used - used % PAGE_BYTES)
  const to = Math.min(used + ahead, strip.words.byteLength)
  if (to <= from) return 0
  touchPages(strip.words, from, to)
  strip.touchedTo = Math.ceil(to / PAGE_BYTES) * PAGE_BYTES
  return to - from
}

function stripOf(
  { buffer }: ShardViews, offset: number, bytes: number, used: () => number,
): Strip {
  const words = new Int32Array(buffer, offset, bytes / WORD_BYTES)
  return { words, used, usedBefore: used(), touchedTo: 0 }
}

/** The log as one strip: segments are adjacent, and used in order before any is reused. */
function logStrip(views: ShardViews): Strip {
  const { segments, segmentState, segmentUsedBytes } = views
  const offsetOf = (segment: number): number => segments[segment]?.bytes.byteOffset ?? 0
  const start = offsetOf(0)
  let last = 0
  const used = (): number => {
    for (let segment = segments.length - 1; segment > last; segment--) {
      if (segmentState[segment] !== SEGMENT_FREE) last = segment
    }
    return offsetOf(last) - start + (segmentUsedBytes[last] as number)
  }
  const end = offsetOf(segments.length - 1) + views.limits.segmentBytes
  return stripOf(views, start, end - start, used)
}
