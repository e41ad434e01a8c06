// What the main thread and the compactors of the journals tell each other, and what a compactor is
// started with.

import type { Limits } from '../../shards/memory/plan.ts'
import type { UpstreamFacts } from '../../shards/wire/contract.ts'
import type { Dropped } from './dropped.ts'

/** What a compactor is started with. */
export interface CompactorTask {
  readonly shard: number
  /** Of the shard's journal alone. */
  readonly directory: string
  readonly limits: Limits
  /** The shard's memory, to be loaded before anything else; null to go on keeping only. */
  readonly memory: SharedArrayBuffer | null
  /** Whether there may be no store yet. */
  readonly mayMake: boolean
  /** The present boot of the machine; empty where it is not known. */
  readonly boot: string
}

/** Main → compactor: close the store and end. */
export type CompactorControl = { readonly kind: 'stop' }

/** Compactor → main. */
export type CompactorReport =
  /** So much is to be read until the shard is loaded. */
  | { readonly kind: 'began'; readonly bytes: number }
  /** By slot; before the jobs are read. */
  | { readonly kind: 'known'; readonly upstreams: ReadonlyMap<number, UpstreamFacts> }
  /** So much has been read, and so many jobs, in all. */
  | { readonly kind: 'progress'; readonly bytes: number; readonly jobs: number }
  /** The memory is as the journal says; sequence 0 when that says nothing. */
  | { readonly kind: 'loaded'; readonly sequence: number; readonly jobs: number }
  /** The end of the journal was not whole. */
  | { readonly kind: 'dropped'; readonly dropped: Dropped }
  /** The shard cannot be loaded; a sentence for people. The compactor ends. */
  | { readonly kind: 'refused'; readonly problem: string }
  /** Once a second. Trouble: why tails cannot be taken at the moment. */
  | ({ readonly kind: 'sizes'; readonly trouble: string | null } & Sizes)

/** What a journal has on the disk. */
export interface Sizes {
  readonly storeBytes: number
  readonly tailBytes: number
  readonly tails: number
}
