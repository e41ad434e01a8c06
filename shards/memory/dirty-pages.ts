// What has changed since the journal last heard of it: pages of slots, upstreams, segments.
// Thread: shard. Memory: owns views.marks and views.segmentJournalledBytes.
// Never: reads what has changed; journal.ts does, at the end of a turn.
// A mark is set before the change that it speaks of. It stays until a batch with the change has
// been written: whoever takes over from a thread that has died finds all that is missing.

import { type Bytes, NONE } from '../base/units.ts'
import type { ShardViews } from './layout.ts'
import { JOBS_PER_PAGE, LANES_PER_PAGE, TEMPLATES_PER_PAGE } from './limits.ts'

const CLEAN = 0
const CHANGED = 1
/** In the batch that is being written, and not changed since. */
const WRITING = 2

/** One kind of things that can change. */
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

  /** After another thread's death: what it had not seen written is to be written. */
  recover(): void {
    const marks = this.#marks
    for (let item = 0; item < marks.length; item++) {
      if (marks[item] === CLEAN) continue
      marks[item] = CHANGED
      this.#changed.push(item)
    }
  }

  /** What has changed; it counts as being written from now on. */
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

  /** The batch has not been written: all that it held is to be written again. */
  failed(): void {
    for (const item of this.#writing) {
      if (this.#marks[item] !== WRITING) continue
      this.#marks[item] = CHANGED
      this.#changed.push(item)
    }
    this.#writing.length = 0
  }
}

/** All marks of a shard; without a journal, each costs one look at a field. */
export class Marks {
  readonly jobs: MarkSet
  readonly lanes: MarkSet
  readonly templates: MarkSet
  readonly upstreams: MarkSet
  readonly segments: MarkSet
  readonly isOn: boolean
  readonly #journalledBytes: Uint32Array
  /** Of the segments in the batch that is being written: how much of them it has. */
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

  /** Bytes of the log that no batch has yet. */
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

  /** A segment is about to be used anew: what the journal has of it holds no more. */
  segmentTaken(segment: number): void {
    if (!this.isOn) return
    this.segments.set(segment)
    this.#writingUntil.delete(segment)
    this.#journalledBytes[segment] = NONE
  }

  /** And got so many bytes more. */
  segmentGrew(segment: number, bytes: number): void {
    if (!this.isOn) return
    this.segments.set(segment)
    this.#newBytes += bytes
  }

  /** After another thread's death: the segment's records end here, and what follows is anew. */
  segmentCut(segment: number, usedBytes: number): void {
    if (!this.isOn) return
    const journalled = this.#journalledBytes[segment] as number
    if (journalled === NONE || journalled <= usedBytes) return
    this.segments.set(segment)
    this.#journalledBytes[segment] = usedBytes
  }

  /** What the journal has of a segment's present use; NONE for nothing, not even that it began. */
  journalledBytesOf(segment: number): number {
    return this.#journalledBytes[segment] as number
  }

  /** The batch that is being made has a segment's bytes until here. */
  writes(segment: number, untilBytes: number): void {
    this.#writingUntil.set(segment, untilBytes)
  }

  /** Before anything is changed: a thread may have died on this memory, even before it was used. */
  recover(): void {
    if (!this.isOn) return
    for (const set of this.#all()) set.recover()
  }

  /** A batch of all that is marked has been made. */
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
