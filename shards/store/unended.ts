// A shard's unfinished work: the oldest job or webhook of each kind, and when the next one that
// waits for a time is due.
// Thread: main, while a drain waits. Memory: reads the job slots that another thread writes, so
// its results are approximate.
// Never: writes; examines more than a bounded number of slots per call.

import { type JobSlot, type Micros, US_PER_SECOND } from '../base/units.ts'
import { JOBS_FRESH } from '../memory/crash-notes.ts'
import type { ShardViews } from '../memory/layout.ts'
import { jobIdText } from '../wire/job-id.ts'
import {
  JOB_COMPLETED, JOB_FREE, JOB_IN_FLIGHT, JOB_WEBHOOK_PENDING, JOB_RETRYING,
} from './job-slots.ts'

/** The kinds of unfinished work. */
export const UNENDED = ['queued', 'inFlight', 'webhooks'] as const
export type UnendedKind = (typeof UNENDED)[number]

/** The oldest and the next of one kind. */
export interface Unended {
  /** The job accepted first; undefined when there is none. */
  oldest: { readonly jobId: string, readonly ageS: number } | undefined
  /** When the next one that waits for a time is due; Infinity for none. */
  nextUs: number
}

export type UnendedByKind = Readonly<Record<UnendedKind, Unended>>

export const makeUnended = (): UnendedByKind => ({
  queued: { oldest: undefined, nextUs: Infinity },
  inFlight: { oldest: undefined, nextUs: Infinity },
  webhooks: { oldest: undefined, nextUs: Infinity },
})

/** Merges another shard's unfinished work into `all`. */
export function joinUnended(all: UnendedByKind, one: UnendedByKind): void {
  for (const kind of UNENDED) {
    const { nextUs, oldest } = one[kind]
    const into = all[kind]
    into.nextUs = Math.min(into.nextUs, nextUs)
    if (oldest !== undefined && oldest.ageS >= (into.oldest?.ageS ?? 0)) into.oldest = oldest
  }
}

/** Sweeps the slots of one shard repeatedly, in bounded steps. */
export class UnendedSweep {
  readonly #views: ShardViews
  #next = 0
  #sweep = makeUnended()
  #found = this.#sweep

  constructor(views: ShardViews) {
    this.#views = views
  }

  /** The result of the last complete sweep; before that, of the first one so far. */
  get found(): UnendedByKind {
    return this.#found
  }

  /** Examines so many more slots. */
  advance(slotsMax: number, nowUs: Micros): void {
    const { progress } = this.#views
    const end = Math.min(progress[JOBS_FRESH] as number, this.#next + slotsMax)
    for (; this.#next < end; this.#next++) this.#look(this.#next as JobSlot, nowUs)
    if (end < (progress[JOBS_FRESH] as number)) return
    this.#found = this.#sweep
    this.#sweep = makeUnended()
    this.#next = 0
  }

  #look(slot: JobSlot, nowUs: Micros): void {
    const { jobs } = this.#views
    const state = (jobs.state[slot] as number) & 0xff
    const kind = kindOf(state, jobs.resultWord[slot] as number)
    if (kind === undefined) return
    const unended = this.#sweep[kind]
    const isTimed = state === JOB_RETRYING || kind === 'webhooks'
    const dueUs = jobs.timeUs[slot] as number
    if (isTimed) unended.nextUs = Math.min(unended.nextUs, dueUs)
    const acceptedS = jobs.acceptedS[slot] as number
    const ageS = Math.max(0, (Math.floor(nowUs / US_PER_SECOND) - acceptedS) | 0)
    if (unended.oldest !== undefined && ageS <= unended.oldest.ageS) return
    unended.oldest = { jobId: jobIdText(jobs, slot), ageS }
  }
}

function kindOf(state: number, result: number): UnendedKind | undefined {
  if (state === JOB_FREE) return undefined
  if (state === JOB_IN_FLIGHT) return 'inFlight'
  if (state < JOB_COMPLETED) return 'queued'
  return (result & (JOB_WEBHOOK_PENDING << 16)) === 0 ? undefined : 'webhooks'
}
