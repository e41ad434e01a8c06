// kill -9 at random moments, of a server that runs or of one that has only begun to start, and a
// new process on the same data each time. With no journal this is how the torture shows that it
// can find loss.

import { setTimeout as sleep } from 'node:timers/promises'
import type { JournalMode, Rig, RigPlan } from '../rig.ts'
import { type Outcome, type Settings, runRig, withRig } from '../scenario.ts'

const UP_MS_MIN = 30
const UP_MS_MAX = 900
/** One round in so many ends before the server listens. */
const KILLED_WHILE_STARTING_EVERY = 6
const STARTING_MS_MAX = 700
const PROBES_A_ROUND = 10

const planOf = ({ port, seed, shards }: Settings, journal: JournalMode): RigPlan => ({
  seed, port, shards, journal, memory: '512MiB',
  load: { connections: 16, accountsPerConnection: 4, pauseMs: 2, jobsMax: 400_000 },
})

/** Runs as many rounds as the settings say, with the journal in one of its modes. */
export function runKills(settings: Settings, journal: JournalMode): Promise<Outcome> {
  return withRig(planOf(settings, journal), settings.keep, async (rig) => {
    await rig.start()
    return runRig(rig, false, async () => {
      for (let round = 1; round <= settings.rounds; round++) {
        settings.say(`round ${round}/${settings.rounds}: ${await killOnce(rig)}`)
      }
      return settings.rounds
    })
  })
}

/** @returns the round's state in words. */
async function killOnce(rig: Rig): Promise<string> {
  const { prng } = rig
  const upMs = prng.between(UP_MS_MIN, UP_MS_MAX)
  await sleep(upMs)
  await rig.kill()
  let killed = `killed after ${upMs} ms`
  if (prng.below(KILLED_WHILE_STARTING_EVERY) === 0) {
    const startingMs = prng.below(STARTING_MS_MAX)
    rig.spawn()
    await sleep(startingMs)
    await rig.kill()
    killed += `, again ${startingMs} ms into its start`
  }
  const startMs = await rig.start()
  await rig.probe(PROBES_A_ROUND)
  return `${killed}, up again in ${startMs.toFixed(0)} ms; ${await rig.state()}`
}
