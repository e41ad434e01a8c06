// What a run of batches comes to in the store: of rows with one key only the last is put, and what
// was appended to a segment of the log bit by bit becomes a few rows.

import {
  type Frame, TABLE_CLEARED, TABLE_LOG, TABLE_SEGMENTS, forEachRow,
} from '../../shards/journal/journal-format.ts'
import { SEGMENT_FREE } from '../../shards/store/segments.ts'
import type { JournalStore } from './store.ts'

/** A row of a log fills so many pages of lmdb, but for their one header. */
export const LOG_ROW_BYTES = 16 * 4096 - 64

/** Data of a row, where the piece has it. */
interface Place {
  readonly table: number
  readonly key1: number
  readonly start: number
  readonly end: number
}

/** Bytes that belong at `offset` of a segment, and are at start … end of the piece. */
interface Extent {
  readonly offset: number
  readonly start: number
  end: number
}

/** What a piece says of a segment's bytes. */
interface SegmentChange {
  /** Rows that the store has from this offset on hold no more. */
  removedFrom: number
  /** One behind the other, though each may begin within the end mark of the one before. */
  extents: Extent[]
}

/** The changes that the frames of one piece ask for; only valid as long as the piece's bytes. */
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

  /** Within commit() of the store. */
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

  /** A log only grows at its end: what it had from here on holds no more. */
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

  /** Extents without a gap between them, as rows of a good size. */
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
