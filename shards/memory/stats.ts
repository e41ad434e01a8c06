// A shard's statistics, one word each: written by the shard, read by the main thread at any time.
// Thread: shard writes, main reads. Memory: the stats block of a shard.
// Never: read by the shard to decide anything; these are for people and metrics.
// A single float64 word is never torn on the 64-bit machines that Sluice runs on.

import { assert } from '../base/assert.ts'
import { STATS_WORDS } from './layout.ts'

/** The words in their order; counters only grow, gauges are as of the last turn. */
export const STATS = [
  // gauges
  'queued', 'retrying', 'inFlight', 'webhooksWaiting', 'finished', 'jobSlotsUsed', 'lanesUsed',
  'lanesActive', 'logLiveBytes', 'logCapacityBytes', 'resultBytes', 'watched', 'heartbeatUs',
  // counters
  'accepted', 'duplicates', 'refusedMemory', 'refusedJobs', 'attempts', 'completed', 'failed',
  'cancelled', 'retries', 'webhookAttempts', 'webhooksDelivered', 'webhooksFailed',
  'resultsGivenUp', 'keysGivenUp', 'headersIgnored', 'cleanedBytes', 'turns', 'overflowJobs',
  // a gauge again: existing words keep their places
  'webhooksInFlight',
  'reusedKeys', 'undeliveredBodiesGivenUp', 'bodiesLeftOut',
  // counters since the shard's thread began or was taken over from
  'lanesRefusedByShare', 'lanesRefusedByBound',
  // a counter of all threads again
  'refusedMemoryShare',
] as const

export type StatName = (typeof STATS)[number]
export type StatValues = Record<StatName, number>

assert(STATS.length <= STATS_WORDS, 'more statistics than words')

const WORD_OF = Object.fromEntries(STATS.map((name, word) => [name, word])) as StatValues

/** The shard's side. */
export class StatsWriter {
  readonly #words: Float64Array

  constructor(words: Float64Array) {
    this.#words = words
  }

  /** Sets a gauge. */
  set(name: StatName, value: number): void {
    this.#words[WORD_OF[name]] = value
  }

  /** Adds to a counter. */
  add(name: StatName, amount = 1): void {
    const word = WORD_OF[name]
    this.#words[word] = (this.#words[word] as number) + amount
  }
}

/** The main thread's side: all words by name, as they stand now. */
export function readStats(words: Float64Array): StatValues {
  return Object.fromEntries(STATS.map((name, word) => [name, words[word] ?? 0])) as StatValues
}
