// SIGHUP under load: new code takes over in every shard and in the front door, and nobody notices.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Rig, until } from '../rig.ts'
import { type Outcome, type Settings, runRounds } from '../scenario.ts'

const PAUSE_MS_MAX = 700
const RELOAD_MS_MAX = 30_000
const PROBES_A_ROUND = 5
const STDERR_SHOWN_CHARS = 3000

/** Runs as many reloads as the settings say. */
export const runReloads = (settings: Settings): Promise<Outcome> =>
  runRounds(settings, true, async (rig) => {
    await sleep(rig.prng.below(PAUSE_MS_MAX))
    const tookMs = await reloadOnce(rig)
    await rig.probe(PROBES_A_ROUND)
    return `reloaded in ${tookMs.toFixed(0)} ms`
  })

/** @returns how long it took, in ms. Throws when the reload does not show. */
async function reloadOnce(rig: Rig): Promise<number> {
  const before = (await rig.health())?.reloads ?? 0
  const startMs = performance.now()
  rig.server.signal('SIGHUP')
  const isDone = await until(RELOAD_MS_MAX,
    async () => ((await rig.health())?.reloads ?? before) > before)
  if (!isDone) {
    throw new Error(`no reload showed in /health within ${RELOAD_MS_MAX / 1000} s:\n` +
      rig.server.stderr.slice(-STDERR_SHOWN_CHARS))
  }
  return performance.now() - startMs
}
