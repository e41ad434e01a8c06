// Why a running server ends: a signal, a drain, a take-over by another process, shards that crash
// repeatedly, or an uncaught error. The first reason decides; a second signal ends the process
// immediately.

import os from 'node:os'
import type { ProcessLog } from './log.ts'

/** A shard's thread that ended without having been stopped. */
export interface ShardLoss {
  readonly shard: number
  readonly reason: string
  /** Threads that ended within SHARD_DEATHS_WITHIN_MS, this one included. */
  readonly deaths: number
}

/** Why the server ends. */
export type EndReason =
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals }
  | { readonly kind: 'drained' }
  | { readonly kind: 'handedOver' }
  | { readonly kind: 'lost'; readonly loss: ShardLoss }

const SIGNALS = ['SIGTERM', 'SIGINT'] as const
/** A process ended by a signal has 128 plus the signal's number as its exit code. */
const EXIT_SIGNAL_BASE = 128
const EXIT_CRASHED = 1

/** Handles signals and uncaught errors from its construction on; one per process. */
export class ProcessEnd {
  /** Resolves with the first reason. */
  readonly reason: Promise<EndReason>
  readonly #log: ProcessLog
  readonly #decide: (reason: EndReason) => void
  #decided = false

  constructor(log: ProcessLog) {
    this.#log = log
    const { promise, resolve } = Promise.withResolvers<EndReason>()
    this.reason = promise
    this.#decide = resolve
    for (const signal of SIGNALS) process.on(signal, this.#onSignal)
    process.on('uncaughtException', this.#onUncaught)
  }

  /** Whether the end has begun. */
  get decided(): boolean {
    return this.#decided
  }

  /** A shard ended unexpectedly, and is not replaced any more. */
  lost(loss: ShardLoss): void {
    this.#decided = true
    this.#decide({ kind: 'lost', loss })
  }

  /** A drain is complete. */
  drained(): void {
    this.#decided = true
    this.#decide({ kind: 'drained' })
  }

  /** Another process has taken over. */
  handOver(): void {
    this.#decided = true
    this.#decide({ kind: 'handedOver' })
  }

  /** Stops listening. */
  forget(): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal)
    process.off('uncaughtException', this.#onUncaught)
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    if (this.#decided) {
      this.#log.warn({ signal }, 'ended at once by a second signal')
      this.#log.flush()
      process.exit(EXIT_SIGNAL_BASE + os.constants.signals[signal])
    }
    this.#decided = true
    this.#decide({ kind: 'signal', signal })
  }

  /** Unhandled rejections come here too. The state is unknown: end now, without a shutdown. */
  readonly #onUncaught = (error: unknown): void => {
    this.#log.error({ err: error }, 'an uncaught error; the process ends')
    this.#log.flush()
    process.exit(EXIT_CRASHED)
  }
}
