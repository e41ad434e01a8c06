// The messages between the main thread and the compactors, and a compactor's start parameters.

import type { Limits } from '../../shards/memory/plan.ts'
import type { UpstreamFacts } from '../../shards/wire/contract.ts'
import type { Dropped } from './dropped.ts'

/** The start parameters of a compactor. */
export interface CompactorTask {
  readonly shard: number
  /** The folder of the shard's journal. */
  readonly directory: string
  readonly limits: Limits
  /** The shard's memory, to be loaded first; null to continue with merging only. */
  readonly memory: SharedArrayBuffer | null
  /** Whether the store may be missing. */
  readonly mayMake: boolean
  /** The present boot of the machine; empty where it is not known. */
  readonly boot: string
}

/** Main → compactor: close the store and end. */
export type CompactorControl = { readonly kind: 'stop' }

/** Compactor → main. */
export type CompactorReport =
  /** The bytes to be read until the shard is loaded. */
  | { readonly kind: 'began'; readonly bytes: number }
  /** By slot; before the jobs are read. */
  | { readonly kind: 'known'; readonly upstreams: ReadonlyMap<number, UpstreamFacts> }
  /** Bytes and jobs read so far, in total. */
  | { readonly kind: 'progress'; readonly bytes: number; readonly jobs: number }
  /** The memory is loaded; sequence 0: the journal is empty. */
  | { readonly kind: 'loaded'; readonly sequence: number; readonly jobs: number }
  /** The end of the journal was incomplete. */
  | { readonly kind: 'dropped'; readonly dropped: Dropped }
  /** The shard cannot be loaded; a message for the operator. The compactor ends. */
  | { readonly kind: 'refused'; readonly problem: string }
  /** Once a second. Trouble: why tails cannot be merged at the moment. */
  | ({ readonly kind: 'sizes'; readonly trouble: string | null } & Sizes)

/** The sizes of a journal on disk. */
export interface Sizes {
  readonly storeBytes: number
  readonly tailBytes: number
  readonly tails: number
}
