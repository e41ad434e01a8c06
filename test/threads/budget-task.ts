// What the spenders and the takers of shared-budget.test.ts are given, and what they report.

import type { Limits } from '../../shards/memory/plan.ts'

/** The memory of all shards, for one thread that plays shard `shard`. */
interface BudgetTask {
  readonly shard: number
  readonly limits: Limits
  readonly shared: SharedArrayBuffer
  readonly shardBuffers: readonly SharedArrayBuffer[]
  readonly seed: number
  /** An Int32: threads that are ready; they begin when all are. */
  readonly ready: SharedArrayBuffer
}

/** Threads draw their time from one counter, so that it runs as they do. */
export interface SpenderTask extends BudgetTask {
  readonly kind: 'spender'
  /** An Int32 of microseconds, added to at every look. */
  readonly clock: SharedArrayBuffer
  readonly untilUs: number
}

/** Threads take permits and give them back. */
export interface TakerTask extends BudgetTask {
  readonly kind: 'taker'
  /** An Int32: permits held by all, as the threads count them themselves. */
  readonly held: SharedArrayBuffer
  readonly concurrentMax: number
  readonly rounds: number
}

/** When this thread has sent. */
export interface SpenderReport {
  readonly sentAtUs: Float64Array
  /** Looks at which a send was due by the shared word, and another thread had it first. */
  readonly lost: number
}

export interface TakerReport {
  readonly taken: number
  readonly refused: number
  /** Times that it held nothing, was refused, and slept until it was told of a free permit. */
  readonly sleeps: number
  /** Times that more permits were out than there are. */
  readonly wrong: number
}
