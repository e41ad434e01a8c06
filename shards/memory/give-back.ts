// Requests that a shard has taken and gives back unanswered, since its journal cannot be written:
// the shared words that say so. Nothing of them is in the journal, and nothing of them is kept.
// Thread: shard writes, its successor and main read; main writes the word that says what it has
// seen. Memory: views.givenBack.
// Never: decides anything about a job; arrivals.ts forgets the jobs.
//
// Behind the published answers the answer ring may hold unpublished ones to requests that are given
// back. They are published later and must then be ignored. So main reads the ring up to the
// position in these words, answers the remaining given-back requests itself, and only then
// continues. A shard gives back again only after main has seen the last time.

import type { ShardViews } from './layout.ts'

/** Number of times that requests were given back: stored last, so that it decides. */
const TIMES = 0
/** Of these, the times whose jobs are forgotten; a successor forgets what is left of the last. */
const FORGOTTEN = 1
/** Ring positions: the requests before REQUESTS without an answer before ANSWERS are given back. */
const REQUESTS = 2
const ANSWERS = 3
/** Of the times, those that main has seen. */
const SEEN = 4

/** The positions of a give-back. */
export interface GivenBack {
  /** A position of the ingress ring. */
  readonly requests: number
  /** A position of the answer ring. */
  readonly answers: number
}

/** Whether one ring position comes before another; positions wrap. */
export const isBefore = (position: number, other: number): boolean =>
  ((position - other) | 0) < 0

/** The shard's side. */
export class GiveBack {
  readonly #words: Int32Array

  constructor({ givenBack }: ShardViews) {
    this.#words = givenBack
  }

  /** Whether main has seen the last time, so that requests may be given back again. */
  get isSeen(): boolean {
    return Atomics.load(this.#words, SEEN) === this.#words[TIMES]
  }

  /** Whether the jobs of the last time are not all forgotten yet; their slots say which. */
  get isUnderWay(): boolean {
    return this.#words[FORGOTTEN] !== this.#words[TIMES]
  }

  /** Gives the requests back: decided by the last store. */
  begin({ requests, answers }: GivenBack): void {
    const words = this.#words
    words[REQUESTS] = requests
    words[ANSWERS] = answers
    Atomics.store(words, TIMES, ((words[TIMES] as number) + 1) | 0)
  }

  /** Their jobs are forgotten. */
  end(): void {
    this.#words[FORGOTTEN] = this.#words[TIMES] as number
  }
}

/** The give-back that main has not seen yet; usually undefined. */
export function givenBackBy({ givenBack: words }: ShardViews): GivenBack | undefined {
  if (Atomics.load(words, TIMES) === words[SEEN]) return undefined
  return { requests: words[REQUESTS] as number, answers: words[ANSWERS] as number }
}

/** Called by main once it has answered all requests that were given back. */
export function seeGivenBack({ givenBack: words }: ShardViews): void {
  Atomics.store(words, SEEN, words[TIMES] as number)
}
