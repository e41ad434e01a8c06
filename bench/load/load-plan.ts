// A load: its parameters, its progress, and its result.

import type { EncodedLatency } from './latency.ts'
import type { PayloadSettings, Profile } from './payloads.ts'

/** One load. It ends after its requests or its seconds, whichever comes first. */
export interface LoadPlan {
  readonly address: { readonly host: string; readonly port: number }
  readonly payload: PayloadSettings
  readonly profile: Profile
  readonly connections: number
  /** Concurrent requests on each connection. */
  readonly depth: number
  /** Jobs go to accounts round robin: firstAccount, … firstAccount + accounts - 1. */
  readonly accounts: number
  readonly firstAccount: number
  /** The number in the first job's key; incremented for each next one. */
  readonly firstSequence: number
  readonly requests: number
  readonly seconds: number
  /** Per second, for an open loop; undefined for a closed one. */
  readonly rate: number | undefined
  /** Latencies of jobs scheduled in the first so many seconds are not recorded. */
  readonly unrecordedSeconds: number
  /** The load ends early after so many answers with 429. */
  readonly refusalsMax: number
  /** Jobs per WebSocket message; omitted for HTTP. */
  readonly batch?: number
}

/** The progress of a load. */
export interface LoadProgress {
  readonly seconds: number
  readonly accepted: number
}

/** The result of a load. */
export interface LoadResult {
  /** From the first request until the load ended; late answers arrived after it. */
  readonly seconds: number
  readonly sent: number
  /** 201 within `seconds`. */
  readonly acceptedInTime: number
  /** Answers by status, late ones included. */
  readonly statuses: Readonly<Record<string, number>>
  readonly unanswered: number
  /** Accepted jobs per second over time, each up to its point's second. */
  readonly overTime: readonly (readonly [seconds: number, perSecond: number])[]
  /** Why connections broke; at most a few. */
  readonly failures: readonly string[]
  readonly latency: EncodedLatency
  /** Open loop: how late the generator itself was, when it did not wait for the server. */
  readonly lateness: EncodedLatency
}
