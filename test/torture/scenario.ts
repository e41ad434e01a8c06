// What all scenarios have in common: how they are asked for, how a run begins and ends, and what is
// handed to the table.

import { type Figures, type JudgeOptions, judge } from './judge.ts'
import type { Breach } from './ledger.ts'
import { Rig, type RigPlan, until } from './rig.ts'
import { noteDisturbance } from './undisturbed.ts'

/** How a scenario is run. */
export interface Settings {
  readonly seed: number
  /** Kills, deaths, reloads or take-overs, all servers together. */
  readonly rounds: number
  /** The first server's; further ones have the next. Undefined: any that are free. */
  readonly port: number | undefined
  readonly shards: number
  /** Data directories of runs that broke a promise are kept. */
  readonly keep: boolean
  readonly say: (line: string) => void
}

/** What came of it. */
export interface Outcome {
  readonly rounds: number
  readonly seconds: number
  readonly figures: Figures
  readonly breaches: readonly Breach[]
  readonly breachCount: number
  /** Besides the figures, in words. */
  readonly notes: readonly string[]
}

const LOOKED_UP_MAX = 2000
const POLLED_MAX = 300
const POLL_MS_MAX = 2000

/** Primes a server that listens, loads it, tortures it, lets it run empty, and judges. */
export async function runRig(
  rig: Rig, memorySurvives: boolean, torture: () => Promise<number>,
): Promise<Outcome> {
  const startMs = performance.now()
  await rig.prime()
  rig.callers.start()
  const rounds = await torture()
  await rig.runEmpty()
  await lookUpFinished(rig)
  const setAside = await lookUpSetAside(rig, memorySurvives)
  const { lagUs } = rig
  rig.ledger.allowForLag(lagUs)
  const options: JudgeOptions =
    { lagUs, releasedUs: rig.far.releasedUs, setAside, memorySurvives }
  const figures = judge(rig.ledger, options)
  const { breachCount, breaches, outages, troubles } = rig.ledger
  return {
    rounds, figures, breaches, breachCount, seconds: (performance.now() - startMs) / 1000,
    notes: [`${outages.length} ends; requests refused ${troubles.refused}, cut ${troubles.cut}, ` +
      `503 ${troubles.unavailable}, 429 ${troubles.full}; ` +
      `the torture itself late by at most ${(lagUs / 1000).toFixed(0)} ms`],
  }
}

/** Opens a rig, and closes it whatever happens. */
export async function withRig(
  plan: RigPlan, keep: boolean, run: (rig: Rig) => Promise<Outcome>, folder?: string,
): Promise<Outcome> {
  const rig = await Rig.open(plan, folder)
  let keepData = keep
  try {
    const outcome = await run(rig)
    keepData &&= outcome.breachCount > 0
    return outcome
  } catch (error) {
    rig.ledger.breaches.forEach(({ promise, text }) => console.error(`${promise}: ${text}`))
    throw error
  } finally {
    await rig.close(keepData)
  }
}

/** Tortures one server with a journal, round by round. @param once a round; what it says of it. */
export function runRounds(
  { keep, port, rounds, say, seed, shards }: Settings, memorySurvives: boolean,
  once: (rig: Rig) => Promise<string>,
): Promise<Outcome> {
  return withRig({
    seed, port, shards, journal: 'interval', memory: '512MiB',
    load: { connections: 16, accountsPerConnection: 4, pauseMs: 4, jobsMax: 400_000 },
  }, keep, async (rig) => {
    await rig.start()
    return runRig(rig, memorySurvives, async () => {
      for (let round = 1; round <= rounds; round++) {
        say(`round ${round}/${rounds}: ${await once(rig)}; ${await rig.state()}`)
      }
      noteDisturbance(rig.ledger)
      return rounds
    })
  })
}

/** A sample of finished jobs: GET knows them and how they ended. */
async function lookUpFinished({ callers, ledger, prng }: Rig): Promise<void> {
  for (let polled = 0; polled < Math.min(POLLED_MAX, ledger.jobs.length); polled++) {
    const job = prng.pick(ledger.jobs)
    const { executions, jobId } = job
    if (jobId === undefined || job.cancelTried || executions.length === 0) continue
    const expected = job.failures === Infinity ? 'failed' : 'completed'
    let told = 'no answer'
    // A webhook that has just been delivered, or an answer that has just been read, may be ahead.
    await until(POLL_MS_MAX, async () => {
      const answer = await callers.show(jobId)
      told = `${answer?.status ?? ''} ${answer?.body.status ?? 'no answer'}`
      return answer?.body.status === expected || answer?.status === 404
    })
    if (!told.endsWith(expected)) {
      ledger.breach('polls know what is finished', `job ${job.number} (${jobId}): ${told}`)
    }
  }
}

/** Jobs that were not executed to their end because two threads ended with them in hand. */
async function lookUpSetAside({ callers, ledger }: Rig, isPossible: boolean):
  Promise<ReadonlySet<string>> {
  const ids = new Set<string>()
  if (!isPossible) return ids
  const unfinished = ledger.jobs.filter(({ cancelTried, executions, jobId }) =>
    jobId !== undefined && !cancelTried && !executions.some(({ status }) => status === 200))
  for (const { jobId } of unfinished.slice(0, LOOKED_UP_MAX)) {
    if (jobId === undefined) continue
    const answer = await callers.show(jobId)
    if (answer?.body.result?.reason === 'shard_crash') ids.add(jobId)
  }
  return ids
}

/** The figures of several servers as one. */
export function together(outcomes: readonly Outcome[]): Outcome {
  const sum = (pick: (figures: Figures) => number): number =>
    outcomes.reduce((total, { figures }) => total + pick(figures), 0)
  const names = Object.keys(outcomes[0]?.figures ?? {}) as (keyof Figures)[]
  const figures = Object.fromEntries(names.map((name) => [name, sum((each) => each[name])]))
  return {
    rounds: outcomes.reduce((total, { rounds }) => total + rounds, 0),
    seconds: Math.max(...outcomes.map(({ seconds }) => seconds)),
    figures: {
      ...figures as unknown as Figures,
      answeredBeforeMsMax:
        Math.max(...outcomes.map((outcome) => outcome.figures.answeredBeforeMsMax)),
    },
    breaches: outcomes.flatMap(({ breaches }) => breaches),
    breachCount: outcomes.reduce((total, { breachCount }) => total + breachCount, 0),
    notes: outcomes.flatMap(({ notes }) => notes),
  }
}
