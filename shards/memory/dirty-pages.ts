// Dirty marks: which pages of slots, upstreams and segments the journal does not have yet.
// Thread: shard. Memory: owns views.marks and views.segmentJournalledBytes.
// Never: reads what has changed; journal.ts does, at the end of a turn.
// A mark is set before its change and stays until a batch with the change has been written, so the
// successor of a crashed thread finds everything that is missing.

import { type Bytes, NONE } from '../base/units.ts'
import type { ShardViews } from './layout.ts'
import { JOBS_PER_PAGE, LANES_PER_PAGE, TEMPLATES_PER_PAGE } from './limits.ts'

const CLEAN = 0
const CHANGED = 1
/** In the batch being written, and not changed since. */
const WRITING = 2

/** The marks of one kind of item. */
export class MarkSet {
  readonly #marks: Uint8Array
  #changed: number[] = []
  #writing: number[] = []

  constructor(marks: Uint8Array) {
    this.#marks = marks
  }

  get isEmpty(): boolean {
    return this.#changed.length === 0
  }

  set(item: number): void {
    if (this.#marks[item] === CHANGED) return
    this.#marks[item] = CHANGED
    this.#changed.push(item)
  }

  /** After a crash: everything that the thread did not see written is to be written. */
  recover(): void {
    const marks = this.#marks
    for (let item = 0; item < marks.length; item++) {
      if (marks[item] === CLEAN) continue
      marks[item] = CHANGED
      this.#changed.push(item)
    }
  }

  /** The changed items, which count as being written from now on. */
  begin(): readonly number[] {
    const items = this.#changed
    this.#changed = this.#writing
    this.#changed.length = 0
    this.#writing = items
    for (const item of items) this.#marks[item] = WRITING
    return items
  }

  /** The batch has been written. */
  written(): void {
    for (const item of this.#writing) {
      if (this.#marks[item] === WRITING) this.#marks[item] = CLEAN
    }
    this.#writing.length = 0
  }

  /** The batch could not be written: its items are to be written again. */
  failed(): void {
    for (const item of this.#writing) {
      if (this.#marks[item] !== WRITING) continue
      this.#marks[item] = CHANGED
      this.#changed.push(item)
    }
    this.#writing.length = 0
  }
}

/** All marks of a shard; without a journal, setting one costs a check of a field. */
export class Marks {
  readonly jobs: MarkSet
  readonly lanes: MarkSet
  readonly templates: MarkSet
  readonly upstreams: MarkSet
  readonly segments: MarkSet
  readonly isOn: boolean
  readonly #journalledBytes: Uint32Array
  /** By segment in the batch being written: the end of its bytes there. */
  readonly #writingUntil = new Map<number, number>()
  #newBytes = 0

  /** @param isOn whether there is a journal. */
  constructor(views: ShardViews, isOn: boolean) {
    const { marks } = views
    this.isOn = isOn
    this.#journalledBytes = views.segmentJournalledBytes
    this.jobs = new MarkSet(marks.jobs)
    this.lanes = new MarkSet(marks.lanes)
    this.templates = new MarkSet(marks.templates)
    this.upstreams = new MarkSet(marks.upstreams)
    this.segments = new MarkSet(marks.segments)
  }

  /** Bytes of the log that are in no batch yet. */
  get newBytes(): Bytes {
    return this.#newBytes as Bytes
  }

  /** Whether there is nothing to write. */
  get isEmpty(): boolean {
    return this.jobs.isEmpty && this.lanes.isEmpty && this.templates.isEmpty &&
      this.upstreams.isEmpty && this.segments.isEmpty
  }

  job(slot: number): void {
    if (this.isOn) this.jobs.set(Math.floor(slot / JOBS_PER_PAGE))
  }

  lane(lane: number): void {
    if (this.isOn) this.lanes.set(Math.floor(lane / LANES_PER_PAGE))
  }

  template(slot: number): void {
    if (this.isOn) this.templates.set(Math.floor(slot / TEMPLATES_PER_PAGE))
  }

  upstream(upstream: number): void {
    if (this.isOn) this.upstreams.set(upstream)
  }

  segment(segment: number): void {
    if (this.isOn) this.segments.set(segment)
  }

  /** A segment is about to be reused: what the journal has of it is no longer valid. */
  segmentTaken(segment: number): void {
    if (!this.isOn) return
    this.segments.set(segment)
    this.#writingUntil.delete(segment)
    this.#journalledBytes[segment] = NONE
  }

  /** Bytes were appended to a segment. */
  segmentGrew(segment: number, bytes: number): void {
    if (!this.isOn) return
    this.segments.set(segment)
    this.#newBytes += bytes
  }

  /** After a crash: the segment's records end here; later bytes will be overwritten. */
  segmentCut(segment: number, usedBytes: number): void {
    if (!this.isOn) return
    const journalled = this.#journalledBytes[segment] as number
    if (journalled === NONE || journalled <= usedBytes) return
    this.segments.set(segment)
    this.#journalledBytes[segment] = usedBytes
  }

  /** Journalled bytes of a segment's current use; NONE if even its start is not journalled. */
  journalledBytesOf(segment: number): number {
    return this.#journalledBytes[segment] as number
  }

  /** The batch being made has a segment's bytes up to here. */
  writes(segment: number, untilBytes: number): void {
    this.#writingUntil.set(segment, untilBytes)
  }

  /** To be called before any change: a thread may have crashed on this memory, even at start. */
  recover(): void {
    if (!this.isOn) return
    for (const set of this.#all()) set.recover()
  }

  /** A batch of everything marked has been made. */
  begun(): void {
    this.#newBytes = 0
  }

  written(): void {
    for (const set of this.#all()) set.written()
    for (const [segment, until] of this.#writingUntil) this.#journalledBytes[segment] = until
    this.#writingUntil.clear()
  }

  failed(): void {
    for (const set of this.#all()) set.failed()
    this.#writingUntil.clear()
  }

  #all(): readonly MarkSet[] {
    return [this.jobs, this.lanes, this.templates, this.upstreams, this.segments]
  }
}
