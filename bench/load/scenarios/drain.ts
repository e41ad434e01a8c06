// `drain`: how fast a queue empties, webhooks included, compared with undici alone for the same
// requests; or how much slower a deep queue empties.

import { BenchError } from '../bench-error.ts'
import {
  type Chart, type Point, type ScenarioResult, medianFigure, pairedRatio,
} from '../figures.ts'
import { type Bench, QUIET_MS, Rig, pemFileOf } from '../rig.ts'
import type { RoleProcess } from '../role-process.ts'
import { type CountPoint, ratesOverTime, steadyRate } from '../timeline.ts'

const CHART_SPANS = 40
/** The host in the bench's certificate. */
const CERTIFIED_HOST = '127.0.0.1'
const SECONDS_MAX = 3600
const WARM_UP_JOBS_MAX = 20_000

/** One drain. */
interface Drain {
  readonly perSecond: number
  readonly points: readonly CountPoint[]
  readonly lost: number
  readonly failed: number
}

/** The flags of a server with the same concurrency as the bare client. */
const drainFlags = (concurrency: number): readonly string[] => [
  '--default-max-concurrent', String(concurrency),
  '--webhook-max-concurrent', String(concurrency),
]

/** Runs the scenario. */
export async function drain(bench: Bench): Promise<ScenarioResult> {
  const { settings } = bench
  if (settings.tls && (settings.target !== undefined || settings.ownHost !== CERTIFIED_HOST)) {
    throw new BenchError(`--tls needs a server that the bench starts, and ${CERTIFIED_HOST}`)
  }
  return settings.queued.length > 0 ? compareDepths(bench) : compareWithBare(bench)
}

async function compareWithBare(bench: Bench): Promise<ScenarioResult> {
  const { alternations, concurrency, jobs, tls } = bench.settings
  const rig = await Rig.open(bench, { upstreams: 1, serverFlags: drainFlags(concurrency) })
  const sender = await bench.stage.role('bare-sender')
  const warmUp = Math.min(WARM_UP_JOBS_MAX, jobs)
  await drainOnce(rig, 'warming up', warmUp, warmUp)
  await sendBare(bench, rig, sender, 'warming up', warmUp)
  const sluice: Drain[] = []
  const bare: Drain[] = []
  for (let round = 1; round <= alternations; round++) {
    sluice.push(await drainOnce(rig, `${round}/${alternations}`, jobs, jobs))
    bare.push(await sendBare(bench, rig, sender, `${round}/${alternations}`, jobs))
  }
  rig.memory.stop()
  const rates = sluice.map(({ perSecond }) => perSecond)
  const bareRates = bare.map(({ perSecond }) => perSecond)
  return {
    scenario: 'drain',
    title: `Emptying a queue of ${jobs} jobs${tls ? ' over TLS' : ''}, webhooks included`,
    ratios: [
      pairedRatio('drain_ratio', 'jobs/s ÷ (bare undici requests/s ÷ 2)', rates, bareRates),
    ],
    figures: [
      medianFigure('drain_rate', 'Sluice sends, with webhooks', '/s', rates),
      medianFigure('drain_bare_rate', 'bare undici, two requests a job', '/s', bareRates),
    ],
    latencies: [],
    charts: [
      drainChart([['Sluice', sluice[0]], ['bare undici', bare[0]]]), ...rig.memory.charts(),
    ],
    notes: [
      `At most ${concurrency} requests at once to the upstream, and as many to the receiver. ` +
        'Rates leave out the first and the last tenth of the jobs.',
      ...lossNotes('Sluice', sluice), ...lossNotes('bare undici', bare),
    ],
  }
}

async function compareDepths(bench: Bench): Promise<ScenarioResult> {
  const { alternations, concurrency, jobs, queued } = bench.settings
  const first = await Rig.open(bench,
    { upstreams: queued.length, serverFlags: drainFlags(concurrency) })
  const rigs = await Promise.all(queued.map((_depth, index) =>
    index === 0 ? first : first.withServer(drainFlags(concurrency))))
  const drains = queued.map((): Drain[] => [])
  for (const [index, rig] of rigs.entries()) {
    const warmUp = Math.min(WARM_UP_JOBS_MAX, jobs)
    await drainOnce(rig, 'warming up', warmUp, warmUp, index)
  }
  for (let round = 1; round <= alternations; round++) {
    for (const [index, rig] of rigs.entries()) {
      const depth = queued[index] as number
      const title = `${depth} deep, ${round}/${alternations}`
      drains[index]?.push(await drainOnce(rig, title, depth, Math.min(jobs, depth), index))
    }
  }
  for (const rig of rigs) rig.memory.stop()
  const rates = drains.map((each) => each.map(({ perSecond }) => perSecond))
  return {
    scenario: 'drain', title: `Emptying queues of ${queued.join(' and ')} jobs`,
    ratios: queued.slice(1).map((depth, index) => pairedRatio(`drain_depth_ratio_${depth}`,
      `jobs/s with ${depth} queued ÷ with ${queued[0]}`, rates[index + 1] ?? [], rates[0] ?? [])),
    figures: queued.map((depth, index) =>
      medianFigure(`drain_rate_${depth}`, `with ${depth} queued`, '/s', rates[index] ?? [])),
    latencies: [],
    charts: [
      drainChart(queued.map((depth, index) => [`${depth} queued`, drains[index]?.[0]] as const)),
      ...rigs.at(-1)?.memory.charts() ?? [],
    ],
    notes: [
      `Each figure is over at most ${jobs} jobs, the first and the last tenth left out. ` +
        'Each depth has a server of its own; both run throughout.',
      ...queued.flatMap((depth, index) => lossNotes(`${depth} queued`, drains[index] ?? [])),
    ],
  }
}

/**
 * Fills the queue to a depth while the upstream is on hold, releases it, and holds it again after
 * so many webhooks; the rest stays queued.
 */
async function drainOnce(rig: Rig, title: string, depth: number, count: number, upstream = 0):
  Promise<Drain> {
  await rig.settle(upstream)
  const { queues } = await rig.server.health()
  const missing = depth - queues.backlog
  if (missing > 0) await rig.fill(`Sluice: queueing, ${title}`, missing, { upstreams: [upstream] })
  await rig.receiver.call('reset', { expected: count })
  const { queues: { backlog } } = await rig.server.health()
  const expected = Math.min(count, backlog)
  await rig.release(upstream)
  const webhooks = await rig.webhooks(`Sluice: sending, ${title}`, expected)
  await rig.hold(upstream)
  return {
    perSecond: steadyRate(webhooks.points, expected), points: webhooks.points,
    lost: Math.max(0, expected - webhooks.count), failed: webhooks.failed,
  }
}

async function sendBare(
  bench: Bench, rig: Rig, sender: RoleProcess<'bare-sender'>, title: string, jobs: number,
): Promise<Drain> {
  await rig.receiver.call('reset', { expected: jobs })
  const task = bench.progress.begin(`bare undici: sending, ${title}`, jobs)
  const sent = await sender.call('send', {
    upstream: rig.upstreams[0] ?? '', receiver: rig.receiverOrigin, jobs,
    pemFile: pemFileOf(bench.settings),
    concurrency: bench.settings.concurrency, secondsMax: SECONDS_MAX,
  }, (progress) => task.update(progress.jobs))
  task.end()
  const webhooks = await rig.waitForWebhooks(jobs, QUIET_MS)
  return {
    perSecond: steadyRate(webhooks.points, jobs), points: webhooks.points,
    lost: Math.max(0, jobs - webhooks.count), failed: sent.failures,
  }
}

function drainChart(drains: readonly (readonly [string, Drain | undefined])[]): Chart {
  return {
    title: 'Jobs finished over time, first alternation', yLabel: 'jobs/s',
    lines: drains.map(([label, each]) => ({
      label,
      points: ratesOverTime(each?.points ?? [], each?.points[0]?.atUs ?? 0, CHART_SPANS) as Point[],
    })),
  }
}

function lossNotes(label: string, drains: readonly Drain[]): string[] {
  const lost = drains.reduce((sum, each) => sum + each.lost, 0)
  const failed = drains.reduce((sum, each) => sum + each.failed, 0)
  return lost + failed === 0 ? []
    : [`${label}: ${lost} webhooks did not come, ${failed} told of a failure.`]
}
