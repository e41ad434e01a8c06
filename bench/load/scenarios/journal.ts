// `journal`: the cost of the journal. Three servers, which differ only in --journal, get the same
// load alternately; their folders are on the same disk.

import path from 'node:path'
import { BenchError } from '../bench-error.ts'
import { type Figure, type ScenarioResult, medianFigure, pairedRatio } from '../figures.ts'
import { summarizeLatency } from '../latency.ts'
import { type Bench, type Load, Rig, loadNotes } from '../rig.ts'

const MODES = ['off', 'interval', 'always'] as const
type Mode = (typeof MODES)[number]

const WARM_UP_SECONDS_MAX = 4
const NINETY_NINE = 2

/** Runs the scenario. */
export async function journal(bench: Bench): Promise<ScenarioResult> {
  if (bench.settings.target !== undefined) {
    throw new BenchError('journal compares servers of its own; leave out --target')
  }
  const { alternations, profile, seconds, upstreams } = bench.settings
  const flags = (mode: Mode): string[] =>
    mode === 'off' ? [] : ['--journal', mode, '--data', path.join(bench.stage.folder, mode)]
  const off = await Rig.open(bench, { upstreams })
  const rigs: Readonly<Record<Mode, Rig>> = {
    off, interval: await off.withServer(flags('interval')),
    always: await off.withServer(flags('always')),
  }
  for (const mode of MODES) {
    await rigs[mode].load(`${mode}: warming up`,
      { seconds: Math.min(WARM_UP_SECONDS_MAX, 2 * seconds) })
  }
  const loads: Readonly<Record<Mode, Load[]>> = { off: [], interval: [], always: [] }
  const cpuUs = { off: 0, interval: 0, always: 0 }
  for (let round = 1; round <= alternations; round++) {
    for (const mode of MODES) {
      const { server } = rigs[mode]
      const before = server.cpuUs() ?? 0
      loads[mode].push(await rigs[mode].load(`${mode}: ${round}/${alternations}`, { seconds }))
      cpuUs[mode] += (server.cpuUs() ?? 0) - before
    }
  }
  for (const mode of MODES) rigs[mode].memory.stop()
  return {
    scenario: 'journal', title: `Accepting jobs with a journal, ${profile} profile`,
    ...figuresOf(loads, cpuUs),
    charts: [{
      title: 'Throughput over time, last alternation', yLabel: 'jobs/s',
      lines: MODES.map((mode) => ({ label: mode, points: loads[mode].at(-1)?.overTime ?? [] })),
    }],
    notes: MODES.flatMap((mode) => loadNotes(mode, loads[mode])),
  }
}

function figuresOf(
  loads: Readonly<Record<Mode, Load[]>>, cpuUs: Readonly<Record<Mode, number>>,
): Pick<ScenarioResult, 'ratios' | 'figures' | 'latencies'> {
  const ratesOf = (mode: Mode): number[] =>
    loads[mode].map((load) => load.acceptedInTime / load.seconds)
  const rates = { off: ratesOf('off'), interval: ratesOf('interval'), always: ratesOf('always') }
  const ratio = (mode: Mode): Figure => pairedRatio(
    `journal_${mode}_ratio`, `accepted jobs/s with ${mode} ÷ with off`, rates[mode], rates.off)
  const summaries = MODES.map((mode) => summarizeLatency(loads[mode].map((load) => load.latency)))
  return {
    ratios: [ratio('interval'), ratio('always')],
    figures: MODES.flatMap((mode, at) => [
      medianFigure(`journal_${mode}_rate`, `accepted with ${mode}`, '/s', rates[mode]),
      {
        key: `journal_${mode}_cpu`, label: `processor time per job with ${mode}`, unit: 'us',
        value: cpuUs[mode] / loads[mode].reduce((sum, { sent }) => sum + sent, 0),
      },
      {
        key: `journal_${mode}_p99`, label: `p99 of the closed loop with ${mode}`, unit: 'ms',
        value: (summaries[at]?.percentilesUs[NINETY_NINE] ?? 0) / 1000,
      },
    ]),
    latencies: MODES.map((mode, at) => ({
      label: `${mode}, closed loop`, summary: summaries[at] as (typeof summaries)[number],
    })),
  }
}
