// The shard's hand on its journal: batches of what has changed, and answers held until theirs is
// written.
// Thread: shard. Memory: views.journal, the marks, and the batch being written, beside --memory.
// Never: waits. A batch is what has changed since the last, at the end of a turn; one is written at
// a time, and what changes meanwhile goes into the next, so that a slow disk makes larger batches.
// All that the front door and receivers of webhooks are told waits for the batch with the facts
// behind it: nothing that was promised can be lost, and nothing that was told comes about again, by
// the end of the process. A new job is sent once the journal has it, and its later attempts do not
// wait. When nothing can be written for too long, what was taken meanwhile is given back.

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
   * Appends a batch behind the one before it; one at a time. `bytes` stay as they are until `done`
   * is called, later, with what went wrong: then nothing counts as appended.
   */
  append(bytes: Buffer, done: (error: Error | null) => void): void
  /** To be called now and then: what has been appended may have to be put on the disk. */
  tick(nowUs: Micros): void
  /** All that was appended before this time is on the disk; Infinity while nothing is not. */
  readonly syncedUs: number
  /** What has been appended is gone, so nothing counts as appended, and may never do again. */
  readonly isLost: boolean
  /** Resolves when nothing is being written, and everything is on the disk. */
  close(): Promise<void>
}

/** What a journal is made of. */
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
  /** A batch has ended, one way or the other: a turn may have more to do. */
  readonly wantTurn: () => void
}

/** How far what may be told goes. */
interface Told {
  /** A position of the answer ring. */
  readonly answers: number
  /** How many of the webhooks that have not been told. */
  readonly webhooks: number
  /** How many of the new jobs that stand in no line. */
  readonly jobs: number
}

/** The end mark behind a segment's records, written anew each time: they may have been cut off. */
const END_MARK_BYTES = 8
const SEGMENT_ROW_BYTES = 4

const dateAfter = (nowUs: Micros): Micros => (nowUs + msToUs(JOURNAL_DATE_MS)) as Micros

/** One shard's journal. */
export class Journal {
  readonly #parts: JournalParts
  readonly #facts: Facts
  readonly #batch = new BatchWriter()
  #isWriting = false
  /** When a batch that failed is tried again; Infinity while none is. */
  #retryUs: Micros = Infinity as Micros
  /**
   * When a batch is written even without changes: by its time it is known, after a reboot, how long
   * keys had been kept.
   */
  #dateUs: Micros
  #onWritten: () => void = () => {}
  #isOver = false
  /** The process ends: what cannot be written now will never be. */
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
   * Whether new jobs have to wait, because what has come is not written. What a thread before this
   * one has taken cannot be given back, since that one's last batch may still be written.
   */
  get isBehind(): boolean {
    return !this.#hasPredecessors || this.#retryUs !== Infinity || this.#parts.sink.isLost ||
      this.#parts.marks.newBytes > JOURNAL_BEHIND_BYTES_MAX
  }

  /** Whether all that has happened is written. */
  get isIdle(): boolean {
    return !this.#isWriting && this.#parts.marks.isEmpty
  }

  /** Whether it has all that threads before this one had done, answers included. */
  get hasPredecessors(): boolean {
    return this.#hasPredecessors
  }

  /**
   * Another thread goes on from the marks: a batch that is under way is no longer this one's. The
   * other sends nothing before all that is marked now is written.
   */
  stop(nowUs: Micros): void {
    const { arrivals, settlement } = this.#parts
    this.#isOver = true
    settlement.releaseWebhooks(settlement.unjournalled, nowUs)
    arrivals.enter(arrivals.count, nowUs)
  }

  /** When a turn should end at the latest, for the journal's sake. */
  nextUs(): Micros {
    return this.#isWriting ? Infinity as Micros : this.#retryUs
  }

  /** Writes what has changed, or lets the answers out if nothing has. */
  turnEnded(nowUs: Micros): void {
    const { sink, views: { journal } } = this.#parts
    sink.tick(nowUs)
    journal[JOURNAL_LOST] = sink.isLost ? 1 : 0
    journal[JOURNAL_SYNCED_US] = Math.min(nowUs, sink.syncedUs)
    if (this.#isWriting || nowUs < this.#retryAt()) return
    if (this.#parts.marks.isEmpty && nowUs < this.#dateUs) {
      journal[JOURNAL_WRITTEN_US] = nowUs
      return this.#tell(this.#told(), nowUs)
    }
    this.#write(nowUs)
  }

  /** Calls back once all that has happened until now is written, or the last try has failed. */
  settle(onWritten: () => void): void {
    this.#onWritten = onWritten
    this.#isEnding = true
    this.#retryUs = Infinity as Micros
    if (!this.#isWriting) this.turnEnded(this.#parts.clock.nowUs())
    this.#tellIdle()
  }

  #retryAt(): number {
    return this.#retryUs === Infinity ? 0 : this.#retryUs
  }

  #write(nowUs: Micros): void {
    const { marks, sink, views } = this.#parts
    const batch = this.#batch
    const sequence = (views.journal[JOURNAL_SEQUENCE] as number) + 1
    const until = this.#told()
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

  #written(sequence: number, bytes: number, until: Told, atUs: Micros): void {
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
    this.#tell(until, nowUs)
    this.turnEnded(nowUs)
    this.#tellIdle()
  }

  #told(): Told {
    const { arrivals, answers, settlement } = this.#parts
    return { answers: answers.position, webhooks: settlement.unjournalled, jobs: arrivals.count }
  }

  /** All that the journal has by now may be told. */
  #tell(until: Told, nowUs: Micros): void {
    const { arrivals, answers, settlement } = this.#parts
    this.#hasPredecessors = true
    answers.publish(until.answers)
    settlement.releaseWebhooks(until.webhooks, nowUs)
    arrivals.enter(until.jobs, nowUs)
  }

  /** Nothing is lost yet: all of it stays marked, and nobody is told of it. */
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
    const tell = this.#onWritten
    this.#onWritten = () => {}
    tell()
  }

  /**
   * Whoever waits for an answer is answered by the front door: his request has not been taken. At
   * this moment nothing is being written, so the journal has nothing of it and will get nothing.
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

  #tellIdle(): void {
    if (!this.isIdle) return
    const tell = this.#onWritten
    this.#onWritten = () => {}
    tell()
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
