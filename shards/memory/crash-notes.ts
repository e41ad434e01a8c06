// A shard's current activity, recorded for its successor: the suspect if it crashes, which request
// has been answered, how many fresh slots were allocated.
// Thread: shard. Memory: views.progress; facts, each a single word or decided by its last one.
// Never: read by the shard itself while it runs, only when it takes over from a predecessor.
// One word says which shared budget is being changed. Other shards read it to know whether what
// they read of that budget is a consistent snapshot (shared-budget.ts).

import { assert } from '../base/assert.ts'
import { type JobSlot, NONE } from '../base/units.ts'
import { PROGRESS_WORDS, type ShardViews } from './layout.ts'
import { SUSPECTS_MAX } from './limits.ts'

const RUN = 0
/** Number of job slots that were ever allocated. */
export const JOBS_FRESH = 1
/** Number of lanes, without overflow lanes, that were ever allocated. */
export const LANES_FRESH = 2
/** The current change of a shared budget: a count of changes, and the upstream + 1, or 0. */
export const BUDGET_OPERATION = 3
/** The crash suspect: a job slot + 1, A_REQUEST, or 0 for none. */
const SUSPECT = 4
const ANSWER_TAIL = 5
/** The answered request's position, a multiple of 8, plus DONE or PROMISED. */
const ANSWERED = 6
const DONE = 1
const PROMISED = 2
const REQUEST_AT = 7
const REQUEST_CRASHES = 8
const REQUEST_RUN = 9
const ENTRY_NEXT = 10

// The suspects: slot + 1, two words of the id, crashes, and the run that was counted last.
const ENTRIES = 16
const ENTRY_WORDS = 5
const A_REQUEST = NONE

assert(ENTRIES + SUSPECTS_MAX * ENTRY_WORDS <= PROGRESS_WORDS, 'more suspects than words')

/** What a thread was working on when it ended, and how many threads have ended that way. */
export type CrashSuspect =
  | { readonly kind: 'nobody' }
  | { readonly kind: 'request'; readonly deaths: number }
  | { readonly kind: 'job'; readonly slot: JobSlot; readonly deaths: number }

/** Marks memory that was restored from a journal as used by a thread that has ended. */
export function markUsed(progress: Uint32Array): void {
  progress[RUN] = 1
}

/** One shard's progress words. */
export class CrashNotes {
  readonly #words: Uint32Array
  readonly #jobs: ShardViews['jobs']

  constructor(views: ShardViews) {
    this.#words = views.progress
    this.#jobs = views.jobs
  }

  /** Number of threads that have used this memory. */
  get run(): number {
    return this.#words[RUN] as number
  }

  /** Makes this job the suspect for the work that follows. */
  serve(slot: JobSlot): void {
    this.#words[SUSPECT] = slot + 1
  }

  /** Makes the next request of the ingress ring the suspect. */
  serveRequest(): void {
    this.#words[SUSPECT] = A_REQUEST
  }

  /** The work that follows has no suspect. */
  serveNone(): void {
    this.#words[SUSPECT] = 0
  }

  /**
   * To be called before an answer is committed. @param tail the answer ring's tail after it.
   * @param isPromise whether the work that the answer reports is still to be done.
   */
  answering(position: number, tail: number, isPromise: boolean): void {
    this.#words[ANSWER_TAIL] = tail
    this.#words[ANSWERED] = position + (isPromise ? PROMISED : DONE)
  }

  /** Discards the note of an answer that was not committed. @param tail the predecessor's last. */
  checkAnswer(tail: number): void {
    if (((tail - (this.#words[ANSWER_TAIL] as number)) | 0) < 0) this.#words[ANSWERED] = 0
  }

  /** Whether the request at this position has been answered; valid after checkAnswer(). */
  hasAnswered(position: number): boolean {
    return this.#words[ANSWERED] === (position + DONE) >>> 0 || this.hasPromised(position)
  }

  /** Whether it was answered with a promise, whose work may not have been done. */
  hasPromised(position: number): boolean {
    return this.#words[ANSWERED] === (position + PROMISED) >>> 0
  }

  /**
   * After a thread's end: counts a crash against the suspect, once, even if this is called again
   * before begin(). @param requestAt the position of the next request.
   */
  crashSuspect(requestAt: number): CrashSuspect {
    const suspect = this.#words[SUSPECT] as number
    if (suspect === 0) return { kind: 'nobody' }
    if (suspect === A_REQUEST) {
      return { kind: 'request', deaths: this.#countCrashOfRequest(requestAt) }
    }
    const slot = (suspect - 1) as JobSlot
    return { kind: 'job', slot, deaths: this.#countCrashOfJob(slot) }
  }

  /** To be called once the memory has been taken over. */
  begin(): void {
    this.#words[SUSPECT] = 0
    this.#words[RUN] = this.run + 1
  }

  #countCrashOfRequest(position: number): number {
    const words = this.#words
    if (words[REQUEST_AT] !== position >>> 0) {
      words[REQUEST_CRASHES] = 0
      words[REQUEST_RUN] = NONE
      words[REQUEST_AT] = position
    }
    this.#count(REQUEST_CRASHES)
    return words[REQUEST_CRASHES] as number
  }

  #countCrashOfJob(slot: JobSlot): number {
    const words = this.#words
    const { idHigh, idLow } = this.#jobs
    for (let entry = 0; entry < SUSPECTS_MAX; entry++) {
      const at = ENTRIES + entry * ENTRY_WORDS
      if (words[at] !== slot + 1) continue
      if (words[at + 1] !== idHigh[slot] || words[at + 2] !== idLow[slot]) continue
      this.#count(at + 3)
      return words[at + 3] as number
    }
    const at = ENTRIES + (words[ENTRY_NEXT] as number) * ENTRY_WORDS
    words[at] = 0
    words[at + 1] = idHigh[slot] as number
    words[at + 2] = idLow[slot] as number
    words[at + 3] = 0
    words[at + 4] = NONE
    words[at] = slot + 1
    words[ENTRY_NEXT] = ((words[ENTRY_NEXT] as number) + 1) % SUSPECTS_MAX
    this.#count(at + 3)
    return words[at + 3] as number
  }

  /** If the thread ends between the two stores, this crash is not counted. */
  #count(crashesAt: number): void {
    const words = this.#words
    if (words[crashesAt + 1] === this.run) return
    words[crashesAt + 1] = this.run
    words[crashesAt] = (words[crashesAt] as number) + 1
  }
}
