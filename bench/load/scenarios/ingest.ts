// `ingest`: how many jobs a second the front door accepts, and how long a caller waits, each
// compared with a bare uWebSockets.js server in the same run.

import {
  type Chart, type Figure, type ScenarioResult, median, medianFigure, pairedRatio,
} from '../figures.ts'
import { summarizeLatency } from '../latency.ts'
import { type Bench, type Load, Rig, loadNotes } from '../rig.ts'
import { ingestSockets } from './ingest-sockets.ts'

const SIDES = ['sluice', 'bare'] as const
type Side = (typeof SIDES)[number]
type Loads = Readonly<Record<Side, Load[]>>

const TITLES = { sluice: 'Sluice', bare: 'bare uWebSockets.js' } as const
/** Per side; the first jobs meet code that is not compiled and memory that is not touched. */
const WARM_UP_SECONDS_MAX = 5
/** With short measurements, a warm-up takes at most so many of them. */
const WARM_UP_MEASUREMENTS = 4
/** At the start of each open loop, since new code and connections put the generator behind. */
const UNRECORDED_SECONDS_MAX = 1
/** The rate of the open loop, as a part of Sluice's rate in the closed loop. */
const OPEN_LOOP_SHARE = 0.5

const unrecordedOf = (seconds: number): number => Math.min(UNRECORDED_SECONDS_MAX, seconds / 4)

/** Runs a load on one of the two servers. */
type Run = (side: Side, title: string, seconds: number, rate?: number) => Promise<Load>

/** Runs the scenario. */
export async function ingest(bench: Bench): Promise<ScenarioResult> {
  const { settings, stage } = bench
  if (settings.ws) return ingestSockets(bench)
  const rig = await Rig.open(bench, { upstreams: settings.upstreams })
  const bare = await stage.role('bare-server')
  const bareAddress = { host: '127.0.0.1', ...await bare.call('listen', { host: '127.0.0.1' }) }
  let serverCpuUs = 0
  let serverJobs = 0
  const run: Run = async (side, title, seconds, rate) => {
    const before = rig.server.cpuUs() ?? 0
    const load = await rig.load(`${TITLES[side]}: ${title}`, {
      seconds, rate, unrecordedSeconds: rate === undefined ? 0 : unrecordedOf(seconds),
      ...(side === 'bare' ? { address: bareAddress } : {}),
    })
    if (side === 'sluice' && rate === undefined) {
      serverCpuUs += (rig.server.cpuUs() ?? 0) - before
      serverJobs += load.statuses['201'] ?? 0
    }
    return load
  }
  for (const side of SIDES) {
    await run(side, 'warming up', Math.min(WARM_UP_SECONDS_MAX,
      WARM_UP_MEASUREMENTS * settings.seconds))
  }
  const closed = await alternate(settings.alternations, (side, round) =>
    run(side, `closed loop ${round}`, settings.seconds))
  const rates = ratesOf(closed)
  const rate = settings.rate ?? Math.max(1, Math.floor(median(rates.sluice) * OPEN_LOOP_SHARE))
  const open = await alternate(settings.alternations, (side, round) =>
    run(side, `${rate}/s open loop ${round}`, settings.seconds, rate))
  rig.memory.stop()
  return {
    scenario: 'ingest', title: `Accepting jobs over HTTP, ${settings.profile} profile`,
    ...figuresOf(rates, open, rate, serverJobs === 0 ? 0 : serverCpuUs / serverJobs),
    charts: [throughputChart(closed), ...rig.memory.charts()],
    notes: [
      `Closed loop: ${settings.connections} connections, ${settings.depth} at once on each. ` +
        `Open loop: ${rate} jobs/s; latencies count from when a job should have left, and ` +
        `those of the first ${unrecordedOf(settings.seconds)} s are not kept.`,
      ...SIDES.flatMap((side) =>
        loadNotes(TITLES[side], [...closed.loads[side], ...open.loads[side]])),
    ],
  }
}

interface Rounds {
  readonly loads: Loads
}

/** A B A B …, so that changes on the machine affect both. */
async function alternate(
  rounds: number, run: (side: Side, round: string) => Promise<Load>,
): Promise<Rounds> {
  const loads = { sluice: [] as Load[], bare: [] as Load[] }
  for (let round = 1; round <= rounds; round++) {
    for (const side of SIDES) loads[side].push(await run(side, `${round}/${rounds}`))
  }
  return { loads }
}

type Rates = Readonly<Record<Side, readonly number[]>>

const ratesOf = ({ loads }: Rounds): Rates => {
  const rate = (load: Load): number => load.acceptedInTime / load.seconds
  return { sluice: loads.sluice.map(rate), bare: loads.bare.map(rate) }
}

const NINETY_NINE = 2

function figuresOf(rates: Rates, open: Rounds, rate: number, cpuUsPerJob: number):
  Pick<ScenarioResult, 'ratios' | 'figures' | 'latencies'> {
  const p99s = (side: Side): number[] => open.loads[side].map((load) =>
    (summarizeLatency([load.latency]).percentilesUs[NINETY_NINE] ?? 0) / 1000)
  const p99 = { sluice: p99s('sluice'), bare: p99s('bare') }
  const lateness = summarizeLatency(SIDES.flatMap((side) =>
    open.loads[side].map((load) => load.lateness)))
  const figures: Figure[] = [
    medianFigure('ingest_rate', 'Sluice accepts', '/s', rates.sluice),
    medianFigure('ingest_bare_rate', 'bare uWebSockets.js answers', '/s', rates.bare),
    medianFigure('ingest_p99', `Sluice's p99 at ${rate}/s`, 'ms', p99.sluice),
    medianFigure('ingest_bare_p99', `bare p99 at ${rate}/s`, 'ms', p99.bare),
    { key: 'ingest_cpu', label: 'processor time of the server per job', unit: 'us',
      value: cpuUsPerJob === 0 ? Number.NaN : cpuUsPerJob },
    { key: 'ingest_generator_late', label: 'the generator\'s own lateness, p99', unit: 'ms',
      value: (lateness.percentilesUs[NINETY_NINE] ?? 0) / 1000 },
  ]
  return {
    ratios: [
      pairedRatio('ingest_ratio', 'accepted jobs/s ÷ bare uWebSockets.js',
        rates.sluice, rates.bare),
      medianFigure('ingest_p99_added', 'p99 at half rate, Sluice − bare', 'ms',
        p99.sluice.map((value, round) => value - (p99.bare[round] ?? Number.NaN))),
    ],
    figures,
    latencies: SIDES.map((side) => ({
      label: `${TITLES[side]}, open loop at ${rate}/s`,
      summary: summarizeLatency(open.loads[side].map((load) => load.latency)),
    })),
  }
}

/** The loads with the median rate; with an even number, the slower one in the middle. */
function throughputChart({ loads }: Rounds): Chart {
  return {
    title: 'Throughput over time, closed loop, median alternation', yLabel: 'jobs/s',
    lines: SIDES.map((side) => {
      const byRate = loads[side].toSorted((left, right) =>
        left.acceptedInTime / left.seconds - right.acceptedInTime / right.seconds)
      return { label: TITLES[side], points: byRate[(byRate.length - 1) >> 1]?.overTime ?? [] }
    }),
  }
}
