// The scenarios by name, with the rounds of a full run.

import { runDeaths } from './scenarios/deaths.ts'
import { runKills } from './scenarios/kills.ts'
import { runReloads } from './scenarios/reloads.ts'
import { runTakeOvers } from './scenarios/take-overs.ts'
import type { Outcome, Settings } from './scenario.ts'

/** One of them. */
export interface Scenario {
  readonly rounds: number
  readonly run: (settings: Settings) => Promise<Outcome>
  /** Left out of a run of all: it breaks promises by design. */
  readonly onlyByName?: boolean
}

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'kill-always': { rounds: 100, run: (settings) => runKills(settings, 'always') },
  'kill-interval': { rounds: 100, run: (settings) => runKills(settings, 'interval') },
  /** Shows that the torture finds what is lost: without a journal everything that waits is. */
  'kill-off': { rounds: 3, run: (settings) => runKills(settings, 'off'), onlyByName: true },
  deaths: { rounds: 1000, run: runDeaths },
  reloads: { rounds: 50, run: runReloads },
  'take-overs': { rounds: 10, run: runTakeOvers },
}
