// A load, before and after: what is to be sent, how far it is, and how it went.

import type { EncodedLatency } from './latency.ts'
import type { PayloadSettings, Profile } from './payloads.ts'

/** One load. It ends with its requests or its seconds, whichever come first. */
export interface LoadPlan {
  readonly address: { readonly host: string; readonly port: number }
  readonly payload: PayloadSettings
  readonly profile: Profile
  readonly connections: number
  /** Requests at once on each connection. */
  readonly depth: number
  /** Jobs go to accounts in turn: firstAccount, … firstAccount + accounts - 1, and again. */
  readonly accounts: number
  readonly firstAccount: number
  /** The number in the first job's key; each next one is one more. */
  readonly firstSequence: number
  readonly requests: number
  readonly seconds: number
  /** Per second, for an open loop; undefined for a closed one. */
  readonly rate: number | undefined
  /** Jobs that should leave in the first so many seconds are sent; their latency is not kept. */
  readonly unrecordedSeconds: number
  /** The load ends early with so many answers of 429. */
  readonly refusalsMax: number
  /** Jobs in a message over WebSocket; left out for HTTP. */
  readonly batch?: number
}

/** How the load went so far. */
export interface LoadProgress {
  readonly seconds: number
  readonly accepted: number
}

/** How the load went. */
export interface LoadResult {
  /** From the first request until the load ended; stragglers came in later. */
  readonly seconds: number
  readonly sent: number
  /** 201 within `seconds`. */
  readonly acceptedInTime: number
  /** Answers by status, stragglers included. */
  readonly statuses: Readonly<Record<string, number>>
  readonly unanswered: number
  /** Accepted jobs per second over time, up to each point's second. */
  readonly overTime: readonly (readonly [seconds: number, perSecond: number])[]
  /** What broke connections, in words; at most a few. */
  readonly failures: readonly string[]
  readonly latency: EncodedLatency
  /** Open loop: how late the generator itself was, where it did not wait for the server. */
  readonly lateness: EncodedLatency
}
