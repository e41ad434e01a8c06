// npm run sim -- --seed N --runs M [--shards k] [trouble …] [--verbose]: simulates M seeds from N
// on, by default each with one shard and with three, and stops at the first broken guarantee. With
// --deaths, the shards' threads crash repeatedly; with --reloads, they hand over to others; with
// --journal, a journal is kept, and with --kills the process is killed, and restarted from it. With
// --victim, for each seed, an attacker fills one pool after another beside a victim.

import { Tool } from '../support/tool-options.ts'
import { runFairness } from './fairness.ts'
import { describeFailure, runSeed } from './run-seed.ts'
import './verify-on.ts'
import { SIM_ATTACKS } from './victim-attacks.ts'
import { DOOR_ATTACKS, runDoorAttack } from './victim-door.ts'
import { runSimAttack } from './victim.ts'

const SHARD_COUNTS = [1, 3]
const PROGRESS_EVERY_RUNS = 100
/** Fairness has few variants, so it is checked less often. */
const FAIRNESS_EVERY_RUNS = 100

const tool = new Tool(`npm run sim -- [--seed N] [--runs M] [--shards K] [trouble …] [--verbose]
npm run sim -- --victim [--seed N] [--runs M]

Simulates M seeds from N on in virtual time, each with one shard and with three unless told, and
stops at the first that breaks a promise. Troubles: --deaths, --reloads, --journal, --kills.
With --victim, an attacker fills one pool after the other beside a victim.`)
const { values } = tool.read({
  seed: { type: 'string', default: '1' },
  runs: { type: 'string', default: '1' },
  shards: { type: 'string' },
  deaths: { type: 'boolean', default: false },
  journal: { type: 'boolean', default: false },
  kills: { type: 'boolean', default: false },
  reloads: { type: 'boolean', default: false },
  verbose: { type: 'boolean', default: false },
  victim: { type: 'boolean', default: false },
})
const firstSeed = tool.count('--seed', values.seed)
const runs = tool.count('--runs', values.runs)
const shardCounts = values.shards === undefined
  ? SHARD_COUNTS
  : [tool.count('--shards', values.shards)]
const TROUBLES = ['deaths', 'journal', 'kills', 'reloads'] as const
const troubles = TROUBLES.filter((trouble) => values[trouble])
const print = values.verbose ? (line: string): void => console.log(line) : undefined

try {
  if (values.victim) runVictims()
  else runSeeds()
} catch (error) {
  console.error(describeFailure(error))
  process.exitCode = 1
}

function runSeeds(): void {
  let jobs = 0
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    for (const shards of shardCounts) {
      const summary = runSeed(seed, shards, print, troubles)
      jobs += summary.jobs
      if (runs === 1) console.log(JSON.stringify({ seed, shards, ...summary }))
    }
    const done = seed - firstSeed + 1
    if (done % FAIRNESS_EVERY_RUNS === 0) runFairness(seed)
    if (done % PROGRESS_EVERY_RUNS === 0) console.log(`${done} seeds, ${jobs} jobs`)
  }
  console.log(`ok: ${runs} seeds from ${firstSeed}, ${jobs} jobs`)
}

function runVictims(): void {
  for (const attack of DOOR_ATTACKS) {
    console.log(`${attack.pool}, ${attack.what}: ${JSON.stringify(runDoorAttack(attack))}`)
  }
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    for (const attack of SIM_ATTACKS) {
      const report = JSON.stringify(runSimAttack(attack, seed))
      console.log(`${attack.pool}, ${attack.what} (seed ${seed}): ${report}`)
    }
  }
}
