// A second process takes over the port and the data while the first still has requests in flight,
// under load; the first then ends by itself.

import { setTimeout as sleep } from 'node:timers/promises'
import { abilities } from '../abilities.ts'
import { type Rig, within } from '../rig.ts'
import { type Result, type Settings, runRig, withRig } from '../scenario.ts'
import { noteDisturbance } from '../undisturbed.ts'

const UP_MS_MIN = 300
const UP_MS_MAX = 2000
const HAND_OVER_MS_MAX = 60_000
const PROBES_A_ROUND = 20
const STDERR_SHOWN_CHARS = 3000

/** Runs as many take-overs as the settings say. */
export async function runTakeOvers(settings: Settings): Promise<Result> {
  const able = await abilities()
  if (!able.takeOver) return { notAvailable: 'serve has no --take-over' }
  if (!able.journal) return { notAvailable: 'serve has no --journal' }
  const { keep, port, rounds, say, seed, shards } = settings
  return withRig({
    seed, port, shards, journal: 'interval', memory: '512MiB',
    load: { connections: 16, accountsPerConnection: 4, pauseMs: 4, jobsMax: 400_000 },
  }, keep, async (rig) => {
    await rig.start()
    return runRig(rig, false, async () => {
      for (let round = 1; round <= rounds; round++) {
        await sleep(rig.prng.between(UP_MS_MIN, UP_MS_MAX))
        const state = await takeOver(rig)
        await rig.probe(PROBES_A_ROUND)
        say(`take-over ${round}/${rounds}: ${state}; ${await rig.state()}`)
      }
      noteDisturbance(rig.ledger)
      return rounds
    })
  })
}

/** @returns what happened, in words. */
async function takeOver(rig: Rig): Promise<string> {
  const first = rig.server
  const upMs = await rig.start(['--take-over'])
  const startMs = performance.now()
  const ended = await within(HAND_OVER_MS_MAX, first.ended())
  const endMs = performance.now() - startMs
  if (ended === undefined) {
    await first.kill()
    rig.ledger.breach('the first process ends',
      `it still ran ${HAND_OVER_MS_MAX / 1000} s after the second had listened`)
  } else if (ended.code !== 0) {
    rig.ledger.breach('the first process ends', `with ${ended.code ?? ended.signal}:\n` +
      first.stderr.slice(-STDERR_SHOWN_CHARS))
  }
  return `the second listened after ${upMs.toFixed(0)} ms, the first ended ` +
    `${endMs.toFixed(0)} ms later`
}
