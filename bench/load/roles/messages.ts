// The messages between the bench and its processes: the commands of each role, with their arguments
// and answers.

import type { StormPlan, StormResult } from '../lane-storm.ts'
import type { LoadPlan, LoadProgress, LoadResult } from '../load-plan.ts'
import type { PaceFindings, PaceQuestion } from '../pace-check.ts'
import type { ServerSecond } from '../server-watch.ts'
import type { CountPoint } from '../timeline.ts'
import type { Place } from './native-server.ts'

/** One command: its argument, its result, and its progress reports. */
export interface Command<Argument, Result, Progress = never> {
  readonly argument: Argument
  readonly result: Result
  readonly progress: Progress
}

/** A role's commands by name. */
export type CommandMap<Commands> = {
  readonly [Name in keyof Commands]: Command<unknown, unknown, unknown>
}

/** Microseconds of processor time, all threads. */
export interface CpuTime {
  readonly cpuUs: number
}

/** The load generator. */
export interface GeneratorCommands {
  readonly run: Command<LoadPlan, LoadResult & CpuTime, LoadProgress>
}

/** What the upstream announces in its answers, and whether it records every send. */
export interface UpstreamConduct {
  /** The X-Aqueduct-Rps header; undefined: none. */
  readonly rps: number | undefined
  readonly maxConcurrent: number | undefined
  readonly accountQueue: boolean | undefined
  /** Record the time and account of each send from now on; older records are dropped. */
  readonly note: boolean
}

/** Sends by account. */
export interface AccountSends {
  readonly account: number
  readonly sends: number
  /** Monotonic time of the account's first send, in microseconds. */
  readonly firstUs: number
}

/** The upstreams: as many ports as requested, each with its own pace. */
export interface UpstreamCommands {
  readonly listen: Command<Place & { readonly count: number },
    { readonly ports: readonly number[] }>
  readonly conduct: Command<{ readonly upstream: number; readonly conduct: UpstreamConduct },
    CpuTime>
  readonly count: Command<{ readonly upstream: number }, { readonly sends: number }>
  readonly pace: Command<{ readonly upstream: number; readonly question: PaceQuestion },
    PaceFindings>
  /** Sends by account within a span of monotonic time, in microseconds. */
  readonly accounts: Command<{ readonly upstream: number; readonly fromUs: number;
    readonly untilUs: number }, { readonly accounts: readonly AccountSends[] }>
}

/** The receiver of webhooks. */
export interface ReceiverCommands {
  readonly listen: Command<Place, { readonly port: number }>
  /** Resets the count; answered at once. */
  readonly reset: Command<{ readonly expected: number }, CpuTime>
  /** Answered when so many have arrived, or none has for `quietMs`. */
  readonly wait: Command<{ readonly count: number; readonly quietMs: number },
    WebhookCount & CpuTime, { readonly count: number }>
}

/** Webhooks since the last reset. */
export interface WebhookCount {
  readonly count: number
  /** Webhooks of failed jobs. */
  readonly failed: number
  /** Monotonic microseconds, at evenly spaced counts. */
  readonly points: readonly CountPoint[]
}

/** The bare server that `ingest` is compared with. */
export interface BareServerCommands {
  readonly listen: Command<Place, { readonly port: number }>
  readonly stand: Command<null,
    { readonly requests: number; readonly bodyBytes: number } & CpuTime>
}

/** The parameters of the bare sender. */
export interface BareSendPlan {
  readonly upstream: string
  readonly receiver: string
  /** The certificate to trust, with TLS. */
  readonly pemFile?: string | undefined
  readonly jobs: number
  /** Concurrent requests to the upstream, and to the receiver. */
  readonly concurrency: number
  readonly secondsMax: number
}

/** The bare sender that `drain` is compared with. */
export interface BareSenderCommands {
  readonly send: Command<BareSendPlan,
    { readonly jobs: number; readonly seconds: number; readonly failures: number } & CpuTime,
    { readonly jobs: number }>
}

/** An engine with a fake transport. */
export interface LaneEngineCommands {
  /** Reports the elapsed seconds. */
  readonly run: Command<StormPlan, StormResult, number>
}

/** How to start a server. */
export interface ServerStart {
  readonly flags: readonly string[]
  /** It reports on its main thread, for `seconds`. */
  readonly watched: boolean
  /** For its files; removed when the bench ends. */
  readonly folder: string
}

/** A listening server, or why there is none. */
export type StartedServer =
  | { readonly ok: true; readonly host: string; readonly port: number; readonly pid: number }
  | { readonly ok: false; readonly reason: string }

/** Starts the measured server, and stops it when it ends itself. */
export interface RunnerCommands {
  readonly start: Command<ServerStart, StartedServer>
  /** The reports of a watched server since the last call. */
  readonly seconds: Command<null, { readonly seconds: readonly ServerSecond[] }>
}

/** Files in this folder by role. */
export interface Roles {
  readonly 'runner': RunnerCommands
  readonly 'generator': GeneratorCommands
  readonly 'upstream': UpstreamCommands
  readonly 'receiver': ReceiverCommands
  readonly 'bare-server': BareServerCommands
  readonly 'bare-sender': BareSenderCommands
  readonly 'lane-engine': LaneEngineCommands
}

/** From the bench to a role. */
export interface Call {
  readonly id: number
  readonly name: string
  readonly argument: unknown
}

/** From a role to the bench. */
export type Reply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'progress'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string }

