// The settings of a run of the bench; src/cli/bench-options.ts fills them from the command line.

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
  /** Concurrent requests on each connection. */
  readonly depth: number
  readonly alternations: number
  /** `ingest` compares WebSocket with HTTP, not HTTP with a bare server. */
  readonly ws: boolean
  /** The upstream and the receiver of `drain` speak TLS. */
  readonly tls: boolean
  /** Concurrent requests to an upstream, and concurrent webhooks to the receiver. */
  readonly concurrency: number
  /** Per second; undefined: the scenario chooses. */
  readonly rate: number | undefined
  /** The paces of `pace`. */
  readonly rates: readonly number[]
  /** Accounts with a budget of their own in `pace`; undefined: whole upstreams have paces. */
  readonly budgets: number | undefined
  /** Queue depths that `drain` compares; empty: it compares with bare undici. */
  readonly queued: readonly number[]
  /** Jobs that `density` sends at the end. */
  readonly drained: number
  /** Undefined: the bench starts a server of its own. */
  readonly target: URL | undefined
  readonly serveFlags: readonly string[]
  /** The address of the bench's own upstreams and receiver, as the server reaches it. */
  readonly ownHost: string
}
