// The changes that a run of batches makes to the store: of rows with the same key only the last is
// put, and appends to a segment of the log are combined into a few rows.

import {
  type Frame, TABLE_CLEARED, TABLE_LOG, TABLE_SEGMENTS, forEachRow,
} from '../../shards/journal/journal-format.ts'
import { SEGMENT_FREE } from '../../shards/store/segments.ts'
import type { JournalStore } from './store.ts'

/** A row of the log fills this many lmdb pages, less their one header. */
export const LOG_ROW_BYTES = 16 * 4096 - 64

/** The position of a row's data in the piece. */
interface Place {
  readonly table: number
  readonly key1: number
  readonly start: number
  readonly end: number
}

/** Bytes at `offset` of a segment, which are start … end of the piece. */
interface Extent {
  readonly offset: number
  readonly start: number
  end: number
}

/** The changes of a piece to a segment's bytes. */
interface SegmentChange {
  /** The store's rows from this offset on are invalid. */
  removedFrom: number
  /** In order; each may start within the end mark of its predecessor. */
  extents: Extent[]
}

/** The changes in the frames of one piece; valid only as long as the piece's bytes. */
export class RowChanges {
  readonly #bytes: Buffer
  readonly #rows = new Map<number, Place>()
  readonly #segments = new Map<number, SegmentChange>()
  #joined = Buffer.alloc(0)

  constructor(bytes: Buffer, frames: readonly Frame[]) {
    this.#bytes = bytes
    for (const frame of frames) {
      forEachRow(bytes, frame, (table, key1, key2, _bytes, start, end) => {
        this.#add(table, key1, key2, start, end)
      })
    }
  }

  /** Applies the changes; only within commit() of the store. */
  putInto(store: JournalStore): void {
    for (const { table, key1, start, end } of this.#rows.values()) {
      store.put(table, key1, 0, this.#bytes, start, end)
    }
    for (const [segment, { extents, removedFrom }] of this.#segments) {
      store.removeFrom(TABLE_LOG, segment, removedFrom)
      this.#putLog(store, segment, extents)
    }
  }

  #add(table: number, key1: number, key2: number, start: number, end: number): void {
    if (table === TABLE_LOG) return this.#addLog(key1, key2, start, end)
    if (table === TABLE_CLEARED) return this.#clear(key1)
    const isFree = table === TABLE_SEGMENTS && this.#bytes.readUInt32LE(start) === SEGMENT_FREE
    if (isFree) this.#clear(key1)
    this.#rows.set(table * 2 ** 32 + key1, { table, key1, start, end })
  }

  #clear(segment: number): void {
    this.#segments.set(segment, { removedFrom: 0, extents: [] })
  }

  /** A log grows only at its end: earlier bytes from this offset on are invalid. */
  #addLog(segment: number, offset: number, start: number, end: number): void {
    const change = this.#segments.get(segment)
    if (change === undefined) {
      this.#segments.set(segment, { removedFrom: offset, extents: [{ offset, start, end }] })
      return
    }
    const { extents } = change
    change.removedFrom = Math.min(change.removedFrom, offset)
    while ((extents.at(-1)?.offset ?? -1) >= offset) extents.pop()
    const last = extents.at(-1)
    if (last !== undefined) {
      last.end = Math.min(last.end, last.start + offset - last.offset)
    }
    extents.push({ offset, start, end })
  }

  #putLog(store: JournalStore, segment: number, extents: readonly Extent[]): void {
    for (let first = 0; first < extents.length;) {
      let next = first + 1
      while (next < extents.length && touch(extents[next - 1], extents[next])) next++
      this.#putJoined(store, segment, extents.slice(first, next))
      first = next
    }
  }

  /** Writes adjacent extents as rows of LOG_ROW_BYTES. */
  #putJoined(store: JournalStore, segment: number, extents: readonly Extent[]): void {
    const [head] = extents
    if (head === undefined) return
    let length = 0
    for (const { end, start } of extents) length += end - start
    if (this.#joined.length < length) this.#joined = Buffer.allocUnsafeSlow(length)
    let at = 0
    for (const { end, start } of extents) at += this.#bytes.copy(this.#joined, at, start, end)
    for (let start = 0; start < length; start += LOG_ROW_BYTES) {
      const end = Math.min(length, start + LOG_ROW_BYTES)
      store.put(TABLE_LOG, segment, head.offset + start, this.#joined, start, end)
    }
  }
}

const touch = (one: Extent | undefined, other: Extent | undefined): boolean =>
  one !== undefined && other !== undefined && one.offset + one.end - one.start === other.offset
