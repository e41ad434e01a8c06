// What a shard is doing just now, written down for its successor: the suspect if it crashes, which
// request has been answered, how far fresh slots were given out.
// Thread: shard. Memory: views.progress; facts, each a single word or decided by its last one.
// Never: read by the shard itself while it runs, but when it takes over from another.
// One word says which shared budget is being changed; other shards read it to tell whether what
// they see of that budget is a whole picture (shared-budget.ts).

import { assert } from '../base/assert.ts'
import { type JobSlot, NONE } from '../base/units.ts'
import { PROGRESS_WORDS, type ShardViews } from './layout.ts'
import { SUSPECTS_MAX } from './limits.ts'

const RUN = 0
/** Job slots that were ever given out. */
export const JOBS_FRESH = 1
/** Lanes, besides overflow lanes, that were ever given out. */
export const LANES_FRESH = 2
/** The change of a shared budget that is under way: a count, and the upstream + 1 or 0. */
export const BUDGET_OPERATION = 3
/** A job slot + 1, A_REQUEST, or 0 for nobody. */
const SUSPECT = 4
const ANSWER_TAIL = 5
/** The position of the request that was answered, which is a multiple of 8, plus one of these. */
const ANSWERED = 6
const DONE = 1
const PROMISED = 2
const REQUEST_AT = 7
const REQUEST_DEATHS = 8
const REQUEST_RUN = 9
const ENTRY_NEXT = 10

// The suspects: slot + 1, two words of the id, deaths, and the run that was counted last.
const ENTRIES = 16
const ENTRY_WORDS = 5
const A_REQUEST = NONE

assert(ENTRIES + SUSPECTS_MAX * ENTRY_WORDS <= PROGRESS_WORDS, 'more suspects than words')

/** Who was being served when a thread ended, and how many threads have ended so. */
export type CrashSuspect =
  | { readonly kind: 'nobody' }
  | { readonly kind: 'request'; readonly deaths: number }
  | { readonly kind: 'job'; readonly slot: JobSlot; readonly deaths: number }

/** Memory that has come back from a journal looks as if a thread had used it and ended. */
export function markUsed(progress: Uint32Array): void {
  progress[RUN] = 1
}

/** One shard's words about itself. */
export class Progress {
  readonly #words: Uint32Array
  readonly #jobs: ShardViews['jobs']

  constructor(views: ShardViews) {
    this.#words = views.progress
    this.#jobs = views.jobs
  }

  /** Threads that have begun to use this memory. */
  get run(): number {
    return this.#words[RUN] as number
  }

  /** What is done from now on is done for this job. */
  serve(slot: JobSlot): void {
    this.#words[SUSPECT] = slot + 1
  }

  /** Or for the request that is next in the ingress ring. */
  serveRequest(): void {
    this.#words[SUSPECT] = A_REQUEST
  }

  /** Or for nobody in particular. */
  serveNobody(): void {
    this.#words[SUSPECT] = 0
  }

  /**
   * To be called before an answer is committed. @param tail the answer ring's, after it.
   * @param isPromise what the answer says is yet to be done.
   */
  answering(position: number, tail: number, isPromise: boolean): void {
    this.#words[ANSWER_TAIL] = tail
    this.#words[ANSWERED] = position + (isPromise ? PROMISED : DONE)
  }

  /** Strikes out an answer that was not committed. @param tail as the dead thread left it. */
  checkAnswer(tail: number): void {
    if (((tail - (this.#words[ANSWER_TAIL] as number)) | 0) < 0) this.#words[ANSWERED] = 0
  }

  /** Whether the request at this position has been answered; for after checkAnswer(). */
  hasAnswered(position: number): boolean {
    return this.#words[ANSWERED] === (position + DONE) >>> 0 || this.hasPromised(position)
  }

  /** And whether the answer said what may not have been done. */
  hasPromised(position: number): boolean {
    return this.#words[ANSWERED] === (position + PROMISED) >>> 0
  }

  /**
   * After a thread's end: counts it against the one whom it served, once, however often this is
   * asked before begin(). @param requestAt the position of the request that is next.
   */
  crashSuspect(requestAt: number): CrashSuspect {
    const suspect = this.#words[SUSPECT] as number
    if (suspect === 0) return { kind: 'nobody' }
    if (suspect === A_REQUEST) {
      return { kind: 'request', deaths: this.#countDeathOfRequest(requestAt) }
    }
    const slot = (suspect - 1) as JobSlot
    return { kind: 'job', slot, deaths: this.#countDeathOfJob(slot) }
  }

  /** The memory has been taken over. */
  begin(): void {
    this.#words[SUSPECT] = 0
    this.#words[RUN] = this.run + 1
  }

  #countDeathOfRequest(position: number): number {
    const words = this.#words
    if (words[REQUEST_AT] !== position >>> 0) {
      words[REQUEST_DEATHS] = 0
      words[REQUEST_RUN] = NONE
      words[REQUEST_AT] = position
    }
    this.#count(REQUEST_DEATHS)
    return words[REQUEST_DEATHS] as number
  }

  #countDeathOfJob(slot: JobSlot): number {
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

  /** A thread that ends between the two stores is not counted: in doubt for the accused. */
  #count(deathsAt: number): void {
    const words = this.#words
    if (words[deathsAt + 1] === this.run) return
    words[deathsAt + 1] = this.run
    words[deathsAt] = (words[deathsAt] as number) + 1
  }
}
