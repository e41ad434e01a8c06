// A micro bench: operations on one data structure, run as a batch, with a sum over their results so
// that none of it can be optimized away.

import { KIB } from '../../shards/base/units.ts'
import type { Limits } from '../../shards/memory/plan.ts'

/** How large the structures are. */
export interface MicroSizes {
  /** Operations in one batch. */
  readonly operations: number
  /** Items in a structure: jobs in a log, lanes, entries of an index. */
  readonly items: number
}

/** Sizes for measurements. */
export const REAL_SIZES: MicroSizes = { operations: 1000, items: 100_000 }
/** Sizes for the test suite. */
export const SMALL_SIZES: MicroSizes = { operations: 16, items: 64 }

/** One row of the table. */
export interface MicroCase {
  readonly name: string
  /** Operations in one run. */
  readonly operations: number
  /** Returns a sum over the operations' results. */
  run(): number
}

/** Makes the cases of one structure. */
export type MicroBench = (sizes: MicroSizes) => readonly MicroCase[]

/** Limits of a shard just large enough for its bench. */
export function microLimits(parts: Partial<Limits>): Limits {
  return {
    memoryBytes: 0, shards: 1, bodyBytesMax: KIB, responseBytesMax: KIB, recordBytesMax: 8 * KIB,
    ringBytes: 64 * KIB, segmentBytes: 8 * KIB, segmentsMax: 16, jobsMax: 64, lanesMax: 64,
    templatesMax: 16, upstreamsMax: 8, ...parts,
  }
}
