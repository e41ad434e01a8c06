// A shard's journal: writes batches of changes, and holds answers back until theirs is written.
// Thread: shard. Memory: views.journal, the marks, and the batch being written, in addition to
// --memory.
// Never: waits. A batch is made at the end of a turn from the changes since the last one. One is
// written at a time, and later changes go into the next, so a slow disk gets larger batches.
// Everything that is reported to the front door and to webhook receivers waits for the batch with
// its facts: if the process ends, nothing promised is lost, and nothing reported happens again. A
// new job is sent once the journal has it; its later attempts do not wait. If writes fail for too
// long, the requests taken meanwhile are given back.

import type { Clock } from '../base/clock.ts'
import { type Micros, NONE, msToUs } from '../base/units.ts'
import type { AnswerWriter } from '../job/answer-writer.ts'
import type { Arrivals } from '../job/arrivals.ts'
import type { Settlement } from '../job/settlement.ts'
import type { MarkSet, Marks } from '../memory/dirty-pages.ts'
import type { GiveBack } from '../memory/give-back.ts'
import {
  JOURNAL_ACCEPTED, JOURNAL_LOST, JOURNAL_SEQUENCE, JOURNAL_STALLED_US, JOURNAL_SYNCED_US,
  JOURNAL_WRITTEN_BYTES, JOURNAL_WRITTEN_US,
} from '../memory/journal-words.ts'
import type { SegmentViews, SharedViews, ShardViews } from '../memory/layout.ts'
import {
  JOURNAL_BEHIND_BYTES_MAX, JOURNAL_DATE_MS, JOURNAL_RETRY_MS, JOURNAL_STALLED_MS,
} from '../memory/limits.ts'
import type { RingReader } from '../memory/ring.ts'
import { SEGMENT_FREE } from '../store/segments.ts'
import { BatchWriter, TABLE_CLEARED, TABLE_JOBS, TABLE_LANES, TABLE_LOG, TABLE_SEGMENTS,
  TABLE_TEMPLATES } from './journal-format.ts'
import { type FactPages, type Facts, factsOf, writeCounts, writeUpstream } from './journal-image.ts'

/** Where batches go: a file, or a test's memory. */
export interface JournalSink {
  /**
   * Appends a batch after the previous one; one at a time. `bytes` must not change until `done` is
   * called, asynchronously. After an error nothing counts as appended.
   */
  append(bytes: Buffer, done: (error: Error | null) => void): void
  /** To be called regularly: appended batches may have to be synced. */
  tick(nowUs: Micros): void
  /** Everything appended before this time is synced to disk; Infinity if all of it is. */
  readonly syncedUs: number
  /** The appended batches are gone: nothing counts as appended, perhaps never again. */
  readonly isLost: boolean
  /** Resolves when nothing is being written and everything is synced. */
  close(): Promise<void>
}

/** The parts that a journal uses. */
export interface JournalParts {
  readonly views: ShardViews
  readonly shared: SharedViews
  readonly marks: Marks
  readonly ingress: RingReader
  readonly answers: AnswerWriter
  readonly arrivals: Arrivals
  readonly giveBack: GiveBack
  readonly settlement: Settlement
  readonly clock: Clock
  readonly sink: JournalSink
  /** Called when a batch was written or has failed: a turn may have more to do. */
  readonly wantTurn: () => void
}

/** How much may be reported and released once a batch is written. */
interface Releasable {
  /** A position of the answer ring. */
  readonly answers: number
  /** The number of webhooks that wait for their batch. */
  readonly webhooks: number
  /** The number of new jobs that are not yet in their lanes. */
  readonly jobs: number
}

/** The end mark after a segment's records, written each time, since they may have been cut off. */
const END_MARK_BYTES = 8
const SEGMENT_ROW_BYTES = 4

const dateAfter = (nowUs: Micros): Micros => (nowUs + msToUs(JOURNAL_DATE_MS)) as Micros

/** One shard's journal. */
export class Journal {
  readonly #parts: JournalParts
  readonly #facts: Facts
  readonly #batch = new BatchWriter()
  #isWriting = false
  /** When a failed batch is retried; Infinity if none has failed. */
  #retryUs: Micros = Infinity as Micros
  /**
   * When a batch is written even without changes: after a reboot its time shows the age of keys.
   */
  #dateUs: Micros
  #onWritten: () => void = () => {}
  #isOver = false
  /** The process ends: a batch that fails now is never written. */
  #isEnding = false
  #hasPredecessors: boolean
  /** The requests before this position have been given back; NaN before the first time. */
  #givenBackAt = NaN

  constructor(parts: JournalParts) {
    this.#parts = parts
    this.#hasPredecessors = parts.marks.isEmpty
    this.#facts = factsOf(parts.views)
    this.#dateUs = dateAfter(parts.clock.nowUs())
    parts.views.journal[JOURNAL_STALLED_US] = 0
  }

  /**
   * Whether new jobs must wait because earlier ones are not written. Requests that a predecessor
   * has taken cannot be given back, since its last batch may still be written.
   */
  get isBehind(): boolean {
    return !this.#hasPredecessors || this.#retryUs !== Infinity || this.#parts.sink.isLost ||
      this.#parts.marks.newBytes > JOURNAL_BEHIND_BYTES_MAX
  }

  /** Whether every change is written. */
  get isIdle(): boolean {
    return !this.#isWriting && this.#parts.marks.isEmpty
  }

  /** Whether the journal has all changes of predecessors, answers included. */
  get hasPredecessors(): boolean {
    return this.#hasPredecessors
  }

  /**
   * Stops this journal: a successor continues from the marks, and the batch being written is no
   * longer this one's. The successor sends nothing before everything marked now is written.
   */
  stop(nowUs: Micros): void {
    const { arrivals, settlement } = this.#parts
    this.#isOver = true
    settlement.releaseWebhooks(settlement.unjournalled, nowUs)
    arrivals.enter(arrivals.count, nowUs)
  }

  /** When the journal needs a turn at the latest. */
  nextUs(): Micros {
    return this.#isWriting ? Infinity as Micros : this.#retryUs
  }

  /** Writes what has changed; if nothing has, releases the answers. */
  turnEnded(nowUs: Micros): void {
    const { sink, views: { journal } } = this.#parts
    sink.tick(nowUs)
    journal[JOURNAL_LOST] = sink.isLost ? 1 : 0
    journal[JOURNAL_SYNCED_US] = Math.min(nowUs, sink.syncedUs)
    if (this.#isWriting || nowUs < this.#retryAt()) return
    if (this.#parts.marks.isEmpty && nowUs < this.#dateUs) {
      journal[JOURNAL_WRITTEN_US] = nowUs
      return this.#release(this.#releasable(), nowUs)
    }
    this.#write(nowUs)
  }

  /** Calls back once every change until now is written, or the last attempt has failed. */
  settle(onWritten: () => void): void {
    this.#onWritten = onWritten
    this.#isEnding = true
    this.#retryUs = Infinity as Micros
    if (!this.#isWriting) this.turnEnded(this.#parts.clock.nowUs())
    this.#notifyIfIdle()
  }

  #retryAt(): number {
    return this.#retryUs === Infinity ? 0 : this.#retryUs
  }

  #write(nowUs: Micros): void {
    const { marks, sink, views } = this.#parts
    const batch = this.#batch
    const sequence = (views.journal[JOURNAL_SEQUENCE] as number) + 1
    const until = this.#releasable()
    batch.begin(sequence, (views.journal[JOURNAL_ACCEPTED] as number) + until.jobs)
    this.#addSegments()
    this.#addPages(TABLE_TEMPLATES, this.#facts.templates, marks.templates)
    this.#addPages(TABLE_LANES, this.#facts.lanes, marks.lanes)
    this.#addPages(TABLE_JOBS, this.#facts.jobs, marks.jobs)
    for (const upstream of marks.upstreams.begin()) {
      writeUpstream(batch, views, this.#parts.shared, upstream, nowUs)
    }
    writeCounts(batch, views, nowUs, sequence)
    marks.begun()
    const bytes = batch.finish()
    this.#isWriting = true
    sink.append(bytes, (error) => {
      this.#isWriting = false
      if (this.#isOver) return
      if (error === null) this.#written(sequence, bytes.length, until, nowUs)
      else this.#failed()
      this.#parts.wantTurn()
    })
  }

  #written(sequence: number, bytes: number, until: Releasable, atUs: Micros): void {
    const { clock, marks, views: { journal } } = this.#parts
    marks.written()
    this.#dateUs = dateAfter(atUs)
    journal[JOURNAL_SEQUENCE] = sequence
    journal[JOURNAL_ACCEPTED] = (journal[JOURNAL_ACCEPTED] as number) + until.jobs
    journal[JOURNAL_WRITTEN_BYTES] = (journal[JOURNAL_WRITTEN_BYTES] as number) + bytes
    journal[JOURNAL_WRITTEN_US] = atUs
    journal[JOURNAL_STALLED_US] = 0
    this.#retryUs = Infinity as Micros
    const nowUs = clock.nowUs()
    this.#release(until, nowUs)
    this.turnEnded(nowUs)
    this.#notifyIfIdle()
  }

  #releasable(): Releasable {
    const { arrivals, answers, settlement } = this.#parts
    return { answers: answers.position, webhooks: settlement.unjournalled, jobs: arrivals.count }
  }

  /** Releases everything that the journal has: answers, webhooks and new jobs. */
  #release(until: Releasable, nowUs: Micros): void {
    const { arrivals, answers, settlement } = this.#parts
    this.#hasPredecessors = true
    answers.publish(until.answers)
    settlement.releaseWebhooks(until.webhooks, nowUs)
    arrivals.enter(until.jobs, nowUs)
  }

  /** Nothing is lost: the changes stay marked, and nothing of them is reported. */
  #failed(): void {
    const { clock, marks, sink, views: { journal } } = this.#parts
    const nowUs = clock.nowUs()
    marks.failed()
    journal[JOURNAL_LOST] = sink.isLost ? 1 : 0
    if (journal[JOURNAL_STALLED_US] === 0) journal[JOURNAL_STALLED_US] = nowUs
    this.#retryUs = (nowUs + msToUs(JOURNAL_RETRY_MS)) as Micros
    const stalledUs = nowUs - (journal[JOURNAL_STALLED_US] as number)
    const isHopeless = this.#isEnding || sink.isLost
    if (isHopeless || stalledUs >= msToUs(JOURNAL_STALLED_MS)) this.#giveBackTaken()
    const notify = this.#onWritten
    this.#onWritten = () => {}
    notify()
  }

  /**
   * Gives the taken requests back: the front door answers their callers that they were not taken.
   * Nothing is being written at this moment, so the journal has nothing of them and never will.
   */
  #giveBackTaken(): void {
    const { arrivals, giveBack, ingress, answers } = this.#parts
    const requests = ingress.position
    if (!this.#hasPredecessors || requests === this.#givenBackAt) return
    if (!giveBack.isSeen || !answers.mayGiveBack) return
    this.#givenBackAt = requests
    giveBack.begin({ requests, answers: answers.published })
    arrivals.forget()
    giveBack.end()
    answers.ring()
  }

  #notifyIfIdle(): void {
    if (!this.isIdle) return
    const notify = this.#onWritten
    this.#onWritten = () => {}
    notify()
  }

  #addPages(table: number, pages: FactPages, changed: MarkSet): void {
    const batch = this.#batch
    for (const page of changed.begin()) {
      const at = batch.row(table, page, 0, pages.bytesPerPage)
      pages.copyOut(page, batch.u32, batch.f64, at)
    }
  }

  #addSegments(): void {
    const { marks, views } = this.#parts
    const batch = this.#batch
    for (const segment of marks.segments.begin()) {
      const state = views.segmentState[segment] as number
      const stateAt = batch.row(TABLE_SEGMENTS, segment, 0, SEGMENT_ROW_BYTES)
      batch.u32[stateAt / 4] = state
      if (state === SEGMENT_FREE) continue
      const journalled = marks.journalledBytesOf(segment)
      if (journalled === NONE) batch.row(TABLE_CLEARED, segment, 0, 0)
      const { bytes } = views.segments[segment] as SegmentViews
      const used = views.segmentUsedBytes[segment] as number
      const start = journalled === NONE ? 0 : journalled
      const end = Math.min(used + END_MARK_BYTES, bytes.length)
      marks.writes(segment, used)
      if (start === end) continue
      const at = batch.row(TABLE_LOG, segment, start, end - start)
      bytes.copy(batch.bytes, at, start, end)
    }
  }
}
