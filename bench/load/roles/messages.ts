// What the bench and its processes say to each other: for each role the commands that it takes,
// with what each is given and what it answers.

import type { StormPlan, StormResult } from '../lane-storm.ts'
import type { LoadPlan, LoadProgress, LoadResult } from '../load-plan.ts'
import type { PaceFindings, PaceQuestion } from '../pace-check.ts'
import type { ServerSecond } from '../server-watch.ts'
import type { CountPoint } from '../timeline.ts'
import type { Place } from './native-server.ts'

/** One command: its argument, its result, and what it tells meanwhile. */
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

/** What the upstream says in its answers, and whether it notes every send. */
export interface UpstreamConduct {
  /** For the X-Aqueduct-Rps header; undefined says nothing. */
  readonly rps: number | undefined
  readonly maxConcurrent: number | undefined
  readonly accountQueue: boolean | undefined
  /** Note the time and account of each send from now on; what was noted is forgotten. */
  readonly note: boolean
}

/** Sends by account. */
export interface AccountSends {
  readonly account: number
  readonly sends: number
  /** Monotonic, microseconds; from when on the account was first sent for. */
  readonly firstUs: number
}

/** The upstreams: as many ports as are asked for, each with a pace of its own. */
export interface UpstreamCommands {
  readonly listen: Command<Place & { readonly count: number },
    { readonly ports: readonly number[] }>
  readonly conduct: Command<{ readonly upstream: number; readonly conduct: UpstreamConduct },
    CpuTime>
  readonly count: Command<{ readonly upstream: number }, { readonly sends: number }>
  readonly pace: Command<{ readonly upstream: number; readonly question: PaceQuestion },
    PaceFindings>
  /** Sends by account within a span of monotonic microseconds. */
  readonly accounts: Command<{ readonly upstream: number; readonly fromUs: number;
    readonly untilUs: number }, { readonly accounts: readonly AccountSends[] }>
}

/** The receiver of webhooks. */
export interface ReceiverCommands {
  readonly listen: Command<Place, { readonly port: number }>
  /** Counts from zero; the answer comes at once. */
  readonly reset: Command<{ readonly expected: number }, CpuTime>
  /** Answers when so many have come, or none has for `quietMs`. */
  readonly wait: Command<{ readonly count: number; readonly quietMs: number },
    WebhookCount & CpuTime, { readonly count: number }>
}

/** Webhooks since the last reset. */
export interface WebhookCount {
  readonly count: number
  /** Those that say that their job failed. */
  readonly failed: number
  /** Monotonic microseconds, evenly spread over the counts. */
  readonly points: readonly CountPoint[]
}

/** The bare front door that `ingest` is compared with. */
export interface BareServerCommands {
  readonly listen: Command<Place, { readonly port: number }>
  readonly stand: Command<null,
    { readonly requests: number; readonly bodyBytes: number } & CpuTime>
}

/** What the bare sender does. */
export interface BareSendPlan {
  readonly upstream: string
  readonly receiver: string
  /** Whom to trust over TLS. */
  readonly pemFile?: string | undefined
  readonly jobs: number
  /** Requests at once to the upstream, and as many to the receiver. */
  readonly concurrency: number
  readonly secondsMax: number
}

/** The bare client that `drain` is compared with. */
export interface BareSenderCommands {
  readonly send: Command<BareSendPlan,
    { readonly jobs: number; readonly seconds: number; readonly failures: number } & CpuTime,
    { readonly jobs: number }>
}

/** An engine with a faked transport. */
export interface LaneEngineCommands {
  /** Tells the seconds so far. */
  readonly run: Command<StormPlan, StormResult, number>
}

/** How a server is started. */
export interface ServerStart {
  readonly flags: readonly string[]
  /** It tells of its main thread, for `seconds`. */
  readonly watched: boolean
  /** For its files, removed when the bench is gone. */
  readonly folder: string
}

/** A server that listens, or why there is none. */
export type StartedServer =
  | { readonly ok: true; readonly host: string; readonly port: number; readonly pid: number }
  | { readonly ok: false; readonly reason: string }

/** The one who starts the measured server and ends it with itself. */
export interface RunnerCommands {
  readonly start: Command<ServerStart, StartedServer>
  /** What a watched server has told since this was asked last. */
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

