// A second process takes over the port and the data while the first still has requests in flight,
// under load; the first then ends by itself.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Rig, within } from '../rig.ts'
import { type Outcome, type Settings, runRounds } from '../scenario.ts'

const UP_MS_MIN = 300
const UP_MS_MAX = 2000
const HAND_OVER_MS_MAX = 60_000
const PROBES_A_ROUND = 20
const STDERR_SHOWN_CHARS = 3000

/** Runs as many take-overs as the settings say. */
export const runTakeOvers = (settings: Settings): Promise<Outcome> =>
  runRounds(settings, false, async (rig) => {
    await sleep(rig.prng.between(UP_MS_MIN, UP_MS_MAX))
    const state = await takeOver(rig)
    await rig.probe(PROBES_A_ROUND)
    return state
  })

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
