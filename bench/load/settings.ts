// What a run of the bench was asked to do; filled from the command line by
// src/cli/bench-options.ts.

import type { Profile } from './payloads.ts'

/** The scenarios, in the order of `all`. */
export const SCENARIOS =
  ['ingest', 'drain', 'pace', 'fairness', 'density', 'lanes', 'journal', 'soak'] as const
export type ScenarioName = (typeof SCENARIOS)[number]

/** One run of one scenario. */
export interface BenchSettings {
  readonly profile: Profile
  readonly accounts: number
  readonly upstreams: number
  readonly seconds: number
  readonly jobs: number
  readonly connections: number
  /** Requests at once on each connection. */
  readonly depth: number
  readonly alternations: number
  /** `ingest` compares WebSocket with HTTP, not HTTP with a bare server. */
  readonly ws: boolean
  /** The upstream and the receiver of `drain` speak TLS. */
  readonly tls: boolean
  /** Requests at once to an upstream, and webhooks at once to the receiver. */
  readonly concurrency: number
  /** Per second; undefined for what the scenario chooses. */
  readonly rate: number | undefined
  /** Paces of `pace`. */
  readonly rates: readonly number[]
  /** Accounts with a pace of their own in `pace`; undefined for paces of whole upstreams. */
  readonly budgets: number | undefined
  /** Depths of the queue that `drain` compares; empty for the comparison with bare undici. */
  readonly queued: readonly number[]
  /** Jobs that `density` sends on at the end. */
  readonly drained: number
  /** Undefined: the bench starts a server of its own. */
  readonly target: URL | undefined
  readonly serveFlags: readonly string[]
  /** Where the bench's own upstreams and receiver listen, as the server reaches them. */
  readonly ownHost: string
}
