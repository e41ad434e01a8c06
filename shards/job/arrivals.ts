// New jobs between acceptance and their lane: with a journal, they wait until it has them.
// Thread: shard. Memory: the links of the jobs that wait here; a flag of their slots.
// Never: sends, answers, or keeps an entry per job.
// A job that the journal does not have is not sent, so that it can be given back: if the journal
// cannot be written, the submitter is answered that it was refused, and nothing of it may remain.
// The jobs are in a list in order of arrival, which is also their order in the lanes.

import { type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot } from '../base/units.ts'
import { JOBS_FRESH } from '../memory/crash-notes.ts'
import type { GiveBack } from '../memory/give-back.ts'
import type { KeyCounts } from '../memory/key-counts.ts'
import type { ShardViews } from '../memory/layout.ts'
import type { StatsWriter } from '../memory/stats.ts'
import type { Lanes } from '../pace/lanes.ts'
import type { Pacer } from '../pace/pacer.ts'
import type { JobRecords } from '../store/job-records.ts'
import { JOB_FREE, JOB_QUEUED, JOB_UNWRITTEN, type JobSlots } from '../store/job-slots.ts'
import type { LogShares } from '../store/log-shares.ts'
import type { Overdue } from './overdue.ts'
import type { Watchers } from './watchers.ts'

/** The parts that a new job passes through. */
export interface ArrivalsParts {
  readonly jobs: JobSlots
  readonly lanes: Lanes
  readonly logShares: LogShares
  readonly keyCounts: KeyCounts
  readonly records: JobRecords
  readonly pacer: Pacer
  readonly overdue: Overdue
  readonly watchers: Watchers
  readonly stats: StatsWriter
}

/** New jobs of one shard. */
export class Arrivals {
  readonly #parts: ArrivalsParts
  readonly #references: Uint32Array
  readonly #next: Uint32Array
  #head: number = NONE
  #tail: number = NONE
  #count = 0

  constructor(views: ShardViews, parts: ArrivalsParts) {
    this.#parts = parts
    this.#references = views.upstreams.references
    this.#next = views.jobs.next
  }

  /** Jobs that wait for their journal batch. */
  get count(): number {
    return this.#count
  }

  /** Adds a stored job that refers to its lane and upstreams. */
  add(slot: JobSlot, nowUs: Micros): void {
    if (!this.#parts.jobs.hasFlag(slot, JOB_UNWRITTEN)) return this.#enter(slot, nowUs)
    this.#next[slot] = NONE
    if (this.#head === NONE) this.#head = slot
    else this.#next[this.#tail] = slot
    this.#tail = slot
    this.#count++
  }

  /** The journal has the first so many: they enter their lanes. */
  enter(count: number, nowUs: Micros): void {
    for (let left = count; left > 0; left--) {
      const slot = this.#takeFirst()
      this.#parts.jobs.noteWritten(slot)
      this.#enter(slot, nowUs)
    }
  }

  /** Forgets all jobs that the journal does not have, after GiveBack.begin(). */
  forget(): void {
    while (this.#count > 0) this.#forget(this.#takeFirst())
  }

  #enter(slot: JobSlot, nowUs: Micros): void {
    const { jobs, overdue, pacer, stats } = this.#parts
    if (jobs.at.timeUs[slot] !== Infinity) overdue.expect(nowUs)
    stats.add('accepted')
    pacer.enqueue(jobs.at.lane[slot] as LaneSlot, slot, false, nowUs)
  }

  #takeFirst(): JobSlot {
    const slot = this.#head
    this.#head = this.#next[slot] as number
    this.#count--
    return slot as JobSlot
  }

  /** The state decides; the rest is derived, and a recovery would find the same. */
  #forget(slot: JobSlot): void {
    const { jobs, keyCounts, lanes, logShares, records, watchers } = this.#parts
    const lane = jobs.at.lane[slot] as LaneSlot
    const receiver = jobs.receiver(slot)
    watchers.unwatch(slot)
    jobs.beginState(slot, JOB_FREE)
    lanes.dropReference(lane)
    this.#dropReference(lanes.at.upstream[lane] as UpstreamSlot)
    if (receiver !== NONE) this.#dropReference(receiver)
    logShares.drop(slot, logShares.unitsOf(slot))
    keyCounts.drop(slot)
    records.free(slot)
    jobs.abandon(slot)
  }

  #dropReference(upstream: number): void {
    this.#references[upstream] = (this.#references[upstream] as number) - 1
  }
}

/**
 * After a crash, before anything else is read: frees the slots of jobs that the thread had given
 * back but not forgotten.
 */
export function finishGivingBack(views: ShardViews, jobs: JobSlots, giveBack: GiveBack): void {
  if (!giveBack.isUnderWay) return
  const fresh = views.progress[JOBS_FRESH] as number
  for (let slot = 0 as JobSlot; slot < fresh; slot++) {
    if (jobs.state(slot) !== JOB_QUEUED || !jobs.hasFlag(slot, JOB_UNWRITTEN)) continue
    jobs.beginState(slot, JOB_FREE)
  }
  giveBack.end()
}
