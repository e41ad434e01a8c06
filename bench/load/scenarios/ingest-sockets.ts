// `ingest --ws`: how many jobs a second the front door accepts over WebSocket, in batches of
// MessagePack, compared with HTTP in the same run.

import { type Chart, type ScenarioResult, medianFigure, pairedRatio } from '../figures.ts'
import { summarizeLatency } from '../latency.ts'
import { type Bench, type Load, Rig, loadNotes } from '../rig.ts'

const SIDES = ['ws', 'http'] as const
type Side = (typeof SIDES)[number]
type Loads = Readonly<Record<Side, Load[]>>

const TITLES = { ws: 'WebSocket', http: 'HTTP' } as const
const BATCH_JOBS = 256
const SOCKETS = 4
const WARM_UP_SECONDS_MAX = 3

/** Runs the scenario. */
export async function ingestSockets(bench: Bench): Promise<ScenarioResult> {
  const { settings } = bench
  const rig = await Rig.open(bench, { upstreams: settings.upstreams })
  let serverCpuUs = 0
  let generatorCpuUs = 0
  let jobs = 0
  const run = async (side: Side, title: string, seconds: number): Promise<Load> => {
    const before = rig.server.cpuUs() ?? 0
    const load = await rig.load(`${TITLES[side]}: ${title}`, {
      seconds, ...(side === 'ws' ? { batch: BATCH_JOBS, connections: SOCKETS } : {}),
    })
    if (side === 'ws') {
      serverCpuUs += (rig.server.cpuUs() ?? 0) - before
      generatorCpuUs += load.cpuUs
      jobs += load.sent
    }
    return load
  }
  for (const side of SIDES) {
    await run(side, 'warming up', Math.min(WARM_UP_SECONDS_MAX, settings.seconds))
  }
  const loads: Loads = { ws: [], http: [] }
  for (let round = 1; round <= settings.alternations; round++) {
    for (const side of SIDES) {
      loads[side].push(
        await run(side, `closed loop ${round}/${settings.alternations}`, settings.seconds))
    }
  }
  rig.memory.stop()
  const ratesOf = (side: Side): number[] =>
    loads[side].map((load) => load.acceptedInTime / load.seconds)
  const rates = { ws: ratesOf('ws'), http: ratesOf('http') }
  return {
    scenario: 'ingest', title: `Accepting jobs over WebSocket, ${settings.profile} profile`,
    ratios: [
      pairedRatio('ingest_ws_ratio', 'accepted jobs/s over WebSocket ÷ over HTTP',
        rates.ws, rates.http),
    ],
    figures: [
      medianFigure('ingest_ws_rate', 'Sluice accepts over WebSocket', '/s', rates.ws),
      medianFigure('ingest_http_rate', 'Sluice accepts over HTTP', '/s', rates.http),
      { key: 'ingest_ws_cpu', label: 'processor time of the server per job over WebSocket',
        unit: 'us', value: jobs === 0 ? Number.NaN : serverCpuUs / jobs },
      { key: 'ingest_ws_generator_cpu', label: 'processor time of the generator per job',
        unit: 'us', value: jobs === 0 ? Number.NaN : generatorCpuUs / jobs },
    ],
    latencies: [{
      label: `a batch of ${BATCH_JOBS} over WebSocket, windows full`,
      summary: summarizeLatency(loads.ws.map((load) => load.latency)),
    }],
    charts: [throughputChart(loads), ...rig.memory.charts()],
    notes: [
      `WebSocket: ${SOCKETS} sockets with full windows, batches of ${BATCH_JOBS} in MessagePack. ` +
        `HTTP: ${settings.connections} connections, ${settings.depth} at once on each.`,
      ...SIDES.flatMap((side) => loadNotes(TITLES[side], loads[side])),
    ],
  }
}

/** The last load of each side. */
function throughputChart(loads: Loads): Chart {
  return {
    title: 'Throughput over time, last alternation', yLabel: 'jobs/s',
    lines: SIDES.map((side) => ({
      label: TITLES[side], points: loads[side].at(-1)?.overTime ?? [],
    })),
  }
}
