// The public id of a job: 96 bits as 24 lower-case hex digits (shards/wire/job-id.ts writes them).
// The first 32 bits are the user's route, so that an id alone identifies its shard; the rest is
// random and cannot be guessed.

import { randomFillSync } from 'node:crypto'

/** The three words of an id. */
export interface JobIdWords {
  readonly route: number
  readonly idHigh: number
  readonly idLow: number
}

/** Fills all of `words` with randomness. */
export type FillRandom = (words: Uint32Array) => void

/** Words drawn per call, since a call costs more than the bytes it returns. */
const BATCH_WORDS = 2048

const ROUTE_DIGITS = 8
const ID_TEXT = /^[0-9a-f]{24}$/

/** Supplies the random words of new ids. */
export class JobIdSource {
  readonly #words = new Uint32Array(BATCH_WORDS)
  readonly #fill: FillRandom
  #next = BATCH_WORDS

  constructor(fill: FillRandom = (words) => { randomFillSync(words) }) {
    this.#fill = fill
  }

  /** 32 random bits. */
  nextWord(): number {
    if (this.#next === BATCH_WORDS) {
      this.#fill(this.#words)
      this.#next = 0
    }
    return this.#words[this.#next++] as number
  }
}

/** The route in an id's text; 0 where it has none. */
export const routeOf = (jobId: string): number => parseInt(jobId.slice(0, ROUTE_DIGITS), 16) >>> 0

/** The words of an id's text, or undefined where it is not an id. */
export function parseJobId(text: string): JobIdWords | undefined {
  if (!ID_TEXT.test(text)) return undefined
  return {
    route: routeOf(text),
    idHigh: parseInt(text.slice(ROUTE_DIGITS, 16), 16),
    idLow: parseInt(text.slice(16), 16),
  }
}
