// Runs one seed, and describes a failure: seed, shards, virtual time, the checker and its message,
// the last lines of the log, and the command that repeats it.

import type { EventLog } from './event-log.ts'
import { type Trouble, drawScenario, withTroubles } from './scenario.ts'
import { type RunSummary, Simulation } from './simulation.ts'
import type { VirtualTime } from './virtual-time.ts'

/** A run that failed. */
export class FailedRun extends Error {
  readonly seed: number
  readonly shards: number
  readonly troubles: readonly Trouble[]
  readonly atUs: number
  readonly tail: readonly string[]

  constructor(
    seed: number, shards: number, troubles: readonly Trouble[], time: VirtualTime,
    log: EventLog, cause: unknown,
  ) {
    super(`seed ${seed} with ${shards} shards: ${String(cause)}`, { cause })
    this.seed = seed
    this.shards = shards
    this.troubles = troubles
    this.atUs = time.nowUs()
    this.tail = log.tail()
  }
}

/** Runs a seed with so many shards, and optional trouble. Throws FailedRun. */
export function runSeed(
  seed: number, shards: number, print?: (line: string) => void,
  troubles: readonly Trouble[] = [],
): RunSummary {
  const scenario = withTroubles(drawScenario(seed, shards), troubles)
  const simulation = new Simulation(scenario, print)
  try {
    return simulation.run()
  } catch (error) {
    throw new FailedRun(seed, shards, troubles, simulation.time, simulation.log, error)
  }
}

/** Everything that is needed to repeat and understand a failure. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof FailedRun)) {
    return error instanceof Error ? error.stack ?? error.message : String(error)
  }
  const { seed, shards, troubles, atUs, tail, cause } = error
  const options = [`--seed ${seed} --runs 1 --shards ${shards}`,
    ...troubles.map((trouble) => `--${trouble}`)].join(' ')
  return [
    ...tail, '',
    `FAILED seed ${seed}, shards ${shards}, at ${atUs} us of virtual time`,
    cause instanceof Error ? cause.stack ?? cause.message : String(cause),
    `repeat: npm run sim -- ${options} --verbose`,
  ].join('\n')
}
