// Requests that a shard has taken and gives back unanswered, since its journal cannot be written:
// the words in which it says so. Nothing of them is in the journal, and nothing of them is kept.
// Thread: shard writes, its successor and main read; main writes the word that says what it has
// seen. Memory: views.givenBack.
// Never: decides anything about a job; arrivals.ts forgets the jobs.
//
// Behind the answers that were published before there may be others, held back in the answer ring,
// to requests that are given back. They are published one day, and mean nothing then: so main reads
// the ring up to the place that the words name, answers those whose requests are left itself, and
// only then goes on. While it has not seen the last time, there is no next one.

import type { ShardViews } from './layout.ts'

/** How often that has happened: stored last, so that it decides. */
const TIMES = 0
/** The times whose jobs are forgotten: a thread that ends in between leaves that to the next. */
const FORGOTTEN = 1
/** Positions: requests before the one are given back, if no answer before the other does. */
const REQUESTS = 2
const ANSWERS = 3
/** The times that main has seen. */
const SEEN = 4

/** What main has not seen yet. */
export interface GivenBack {
  /** A position of the ingress ring. */
  readonly requests: number
  /** A position of the answer ring. */
  readonly answers: number
}

/** Whether one position of a ring comes before another; they wrap. */
export const isBefore = (position: number, other: number): boolean =>
  ((position - other) | 0) < 0

/** The shard's side. */
export class GiveBack {
  readonly #words: Int32Array

  constructor({ givenBack }: ShardViews) {
    this.#words = givenBack
  }

  /** Whether the front door has seen the last time, so that there may be a next. */
  get isSeen(): boolean {
    return Atomics.load(this.#words, SEEN) === this.#words[TIMES]
  }

  /** Whether the jobs of the last time are not all forgotten: their slots say which. */
  get isUnderWay(): boolean {
    return this.#words[FORGOTTEN] !== this.#words[TIMES]
  }

  /** From here on the requests are given back. */
  begin({ requests, answers }: GivenBack): void {
    const words = this.#words
    words[REQUESTS] = requests
    words[ANSWERS] = answers
    Atomics.store(words, TIMES, ((words[TIMES] as number) + 1) | 0)
  }

  /** And their jobs are forgotten. */
  end(): void {
    this.#words[FORGOTTEN] = this.#words[TIMES] as number
  }
}

/** What main has still to see; undefined mostly. */
export function givenBackBy({ givenBack: words }: ShardViews): GivenBack | undefined {
  if (Atomics.load(words, TIMES) === words[SEEN]) return undefined
  return { requests: words[REQUESTS] as number, answers: words[ANSWERS] as number }
}

/** Main has answered all whose requests were given back. */
export function seeGivenBack({ givenBack: words }: ShardViews): void {
  Atomics.store(words, SEEN, words[TIMES] as number)
}
