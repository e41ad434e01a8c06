// Threads of shards end at random places of their code, hang, or end again while they take over,
// in several servers at once: in each of them pauses keep clear of the rule that more than three
// deaths in five seconds end the process.

import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SHARD_DEATHS_MAX, SHARD_DEATHS_WITHIN_MS } from '../../../src/base/limits.ts'
import type { DeathOrder } from '../../support/random-deaths.ts'
import { type Rig, makeFolder, until } from '../rig.ts'
import { type Outcome, type Settings, runRig, together, withRig } from '../scenario.ts'

const SERVERS_MAX = 4
/** For fewer deaths than this a server more is not worth its start. */
const DEATHS_PER_SERVER_MIN = 10
/** What a death may take to show, beyond the time in which deaths are counted. */
const MARGIN_MS = 400
const PAUSE_MS_MAX = 1200
/** The silence of 5 s that a hang needs, and as much again. */
const RECOVERY_MS_MAX = 30_000
/** Calls of a shard's methods, of which it makes some hundreds for a job. */
const CALLS_MAX = 3000
const PROBE_EVERY_DEATHS = 10
const PROBES = 10
const SAY_EVERY_DEATHS = 20
const STDERR_SHOWN_CHARS = 3000
const PRELOAD = new URL('../../support/random-deaths.ts', import.meta.url).href

/** Runs as many deaths as the settings say, shared among servers. */
export async function runDeaths(settings: Settings): Promise<Outcome> {
  const { rounds, seed } = settings
  const servers = Math.min(SERVERS_MAX, Math.ceil(rounds / DEATHS_PER_SERVER_MIN))
  const outcomes = await Promise.all(Array.from({ length: servers }, (_, at) => runServer({
    ...settings, seed: seed + at,
    port: settings.port === undefined ? undefined : settings.port + at,
    rounds: Math.floor((at + 1) * rounds / servers) - Math.floor(at * rounds / servers),
    say: (line) => settings.say(`server ${at + 1}: ${line}`),
  }, servers, at % 2 === 0)))
  return together(outcomes)
}

/** @param withJournal where there is one: what is written down must not get in the way. */
function runServer(
  settings: Settings, servers: number, withJournal: boolean,
): Promise<Outcome> {
  const { port, rounds, seed, shards } = settings
  const folder = makeFolder()
  const ordersFile = path.join(folder, 'order.json')
  const plan = {
    seed, port, shards, memory: '256MiB', preload: PRELOAD,
    journal: withJournal ? 'interval' as const : 'off' as const,
    env: { TORTURE_ORDERS: ordersFile },
    load: {
      connections: 8, accountsPerConnection: 8, pauseMs: servers > 1 ? 24 : 6,
      jobsMax: Math.floor(1_000_000 / servers),
    },
  }
  return withRig(plan, settings.keep, async (rig) => {
    await rig.start()
    return runRig(rig, true, async () => {
      const deaths = new Deaths(rig, ordersFile)
      for (let death = 1; death <= rounds; death++) {
        await deaths.bringAbout()
        if (death % PROBE_EVERY_DEATHS === 0) await rig.probe(PROBES)
        if (death % SAY_EVERY_DEATHS === 0 || death === rounds) {
          settings.say(`death ${death}/${rounds}: ${await rig.state()}`)
        }
      }
      return rounds
    })
  }, folder)
}

/** Brings about one server's deaths. */
class Deaths {
  readonly #rig: Rig
  readonly #ordersFile: string
  /** When each death was over, twice where a successor was to die too. */
  #atMs: number[] = []
  #orders = 0

  constructor(rig: Rig, ordersFile: string) {
    this.#rig = rig
    this.#ordersFile = ordersFile
  }

  /** Lets one thread end; resolves when its shard is back. Throws when it does not come back. */
  async bringAbout(): Promise<void> {
    const { prng, server } = this.#rig
    const dice = prng.below(100)
    const how: DeathOrder['how'] = dice < 60 ? 'exit' : dice < 75 ? 'throw'
      : dice < 88 ? 'uncaught' : dice < 98 ? 'exit-twice' : 'hang'
    await this.#awaitTurn(how === 'exit-twice' ? 2 : 1)
    const before = await this.#restarts()
    const order: DeathOrder = {
      number: ++this.#orders, how, which: prng.uint32(), calls: prng.between(1, CALLS_MAX),
      successorCalls: prng.between(1, CALLS_MAX),
    }
    writeFileSync(this.#ordersFile, JSON.stringify(order))
    const isBack = await this.#rig.outage(() => {
      server.signal('SIGUSR2')
      return until(RECOVERY_MS_MAX, async () => await this.#restarts() > before)
    })
    if (!isBack) {
      throw new Error(`after ${JSON.stringify(order)} no shard came back:\n` +
        server.stderr.slice(-STDERR_SHOWN_CHARS))
    }
    const nowMs = performance.now()
    this.#atMs.push(nowMs, ...(how === 'exit-twice' ? [nowMs] : []))
    await sleep(prng.below(PAUSE_MS_MAX))
  }

  /** Waits until so many deaths more are none too many. */
  async #awaitTurn(deaths: number): Promise<void> {
    const countedMs = SHARD_DEATHS_WITHIN_MS + MARGIN_MS
    for (;;) {
      const nowMs = performance.now()
      this.#atMs = this.#atMs.filter((atMs) => nowMs - atMs < countedMs)
      if (this.#atMs.length + deaths <= SHARD_DEATHS_MAX) return
      await sleep((this.#atMs[0] as number) + countedMs - nowMs)
    }
  }

  /** Of all shards since the start. Throws when the server does not answer any more. */
  async #restarts(): Promise<number> {
    const health = await this.#rig.health()
    if (health !== undefined) {
      return health.shards.reduce((sum, shard) => sum + shard.restarts, 0)
    }
    throw new Error(`the server is gone:\n${this.#rig.server.stderr.slice(-STDERR_SHOWN_CHARS)}`)
  }
}
