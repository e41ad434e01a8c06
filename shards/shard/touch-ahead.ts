// Takes from the system the pages that a shard is about to use, so that the shard need not wait for
// them: a page is cleared when it is used first, and one of 2 MiB, which takes a millisecond on
// some machines, would hold up all answers meanwhile.
// Thread: toucher. Memory: reads how far a shard's job slots and log are used; writes every word
// that it touches as it is, in one step, so that nothing of another thread's can be lost.
// Never: goes ahead of a shard that is at rest, or by more than a limit. The indexes are used all
// over from the beginning; nobody can be ahead of that.

import { JOBS_FRESH } from '../memory/crash-notes.ts'
import type { ShardViews } from '../memory/layout.ts'
import {
  TOUCH_AHEAD_BYTES_MAX, TOUCH_AHEAD_BYTES_MIN, TOUCH_AHEAD_LOOKS,
} from '../memory/limits.ts'
import type { Limits } from '../memory/plan.ts'
import { SEGMENT_FREE } from '../store/segments.ts'

/** Smaller than any page that a system uses, so that every page is touched. */
const PAGE_BYTES = 4096
const WORD_BYTES = 4

/** What the toucher's thread is given. */
export interface TouchTask {
  readonly limits: Limits
  readonly shardBuffers: readonly SharedArrayBuffer[]
}

/** Touches every page of some of these words' bytes. */
export function touchPages(words: Int32Array, fromByte: number, toByte: number): void {
  for (let byte = fromByte; byte < toByte; byte += PAGE_BYTES) {
    Atomics.or(words, byte / WORD_BYTES, 0)
  }
}

/** Memory that is used from its beginning to its end, one time after the start. */
interface Strip {
  readonly words: Int32Array
  /** Bytes that have been used. */
  readonly used: () => number
  usedBefore: number
  /** Where touching goes on; a multiple of a page's size. */
  touchedTo: number
}

/** What of one shard's memory has been taken. */
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
   * Touches what will be used before long at the pace since the last look.
   * @returns how many bytes lie between the first and the last page touched, over all arrays.
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

/** Segments lie one behind the other, and are used in that order before any is used again. */
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
