// One seed's run, and what is said of it when it fails: seed, shards, virtual time, the checker
// and its message, the last lines of the log, and the command that repeats it.

import { drawScenario, withDeaths } from './scenario.ts'
import { type RunSummary, Simulation } from './simulation.ts'
import type { VirtualTime } from './virtual-time.ts'
import type { EventLog } from './event-log.ts'

/** A run that ended before its time. */
export class FailedRun extends Error {
  readonly seed: number
  readonly shards: number
  readonly deaths: boolean
  readonly atUs: number
  readonly tail: readonly string[]

  constructor(
    seed: number, shards: number, deaths: boolean, time: VirtualTime, log: EventLog,
    cause: unknown,
  ) {
    super(`seed ${seed} with ${shards} shards: ${String(cause)}`, { cause })
    this.seed = seed
    this.shards = shards
    this.deaths = deaths
    this.atUs = time.nowUs()
    this.tail = log.tail()
  }
}

/** Runs a seed with so many shards, whose threads die if so told. Throws FailedRun. */
export function runSeed(
  seed: number, shards: number, print?: (line: string) => void, deaths = false,
): RunSummary {
  const scenario = drawScenario(seed, shards)
  const simulation = new Simulation(deaths ? withDeaths(scenario) : scenario, print)
  try {
    return simulation.run()
  } catch (error) {
    throw new FailedRun(seed, shards, deaths, simulation.time, simulation.log, error)
  }
}

/** Everything that one needs to repeat and understand a failure. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof FailedRun)) {
    return error instanceof Error ? error.stack ?? error.message : String(error)
  }
  const { seed, shards, deaths, atUs, tail, cause } = error
  const options = `--seed ${seed} --runs 1 --shards ${shards}${deaths ? ' --deaths' : ''}`
  return [
    ...tail, '',
    `FAILED seed ${seed}, shards ${shards}, at ${atUs} us of virtual time`,
    cause instanceof Error ? cause.stack ?? cause.message : String(cause),
    `repeat: npm run sim -- ${options} --verbose`,
  ].join('\n')
}
