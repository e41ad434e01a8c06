// `density`: how much of the process's memory a queued job takes. So many jobs are actually queued;
// then some of them are sent, and all are counted, to prove that they are there.

import type { Figure, ScenarioResult } from '../figures.ts'
import type { LoadResult } from '../load-plan.ts'
import { type Bench, type Load, Rig, describeLoad } from '../rig.ts'
import type { Health, MeasuredServer } from '../server-process.ts'
import { steadyRate } from '../timeline.ts'

/** Queued before the first measurement, so that the process's own growth is not counted. */
const WARM_UP_JOBS_MAX = 20_000
/** Time for collecting the garbage of the filling. */
const CALM_MS = 1000

/** Runs the scenario. */
export async function density(bench: Bench): Promise<ScenarioResult> {
  const { settings } = bench
  const rig = await Rig.open(bench, { upstreams: 1 })
  await rig.settle()
  const warmUp = Math.min(WARM_UP_JOBS_MAX, Math.ceil(settings.jobs / 10))
  const first = await rig.load('warming up', { requests: warmUp })
  const before = await stand(rig.server)
  const load = await rig.load(`queueing ${settings.jobs} jobs`, { requests: settings.jobs })
  const full = await stand(rig.server)
  const drained = Math.min(settings.drained, acceptedOf(load))
  await rig.receiver.call('reset', { expected: drained })
  await rig.release()
  const webhooks = await rig.webhooks(`sending ${drained} of them`, drained)
  await rig.hold()
  const end = await stand(rig.server)
  rig.memory.stop()
  const accepted = acceptedOf(load)
  const growth = full.residentBytes - before.residentBytes
  const lost = end.health.admission.accepted - accountedFor(end.health)
  return {
    scenario: 'density', title: `${settings.jobs} ${settings.profile} jobs queued at once`,
    ratios: [{
      key: 'density_bytes_per_job', label: 'resident bytes per queued job', unit: 'B',
      value: growth / accepted,
    }],
    figures: [
      ...countFigures(load, end.health, lost),
      { key: 'density_log_bytes', label: 'of those in the job log, per job', unit: 'B',
        value: (full.health.admission.job_log_live_bytes -
          before.health.admission.job_log_live_bytes) / accepted },
      { key: 'density_growth', label: 'growth of the process', unit: 'B', value: growth },
      { key: 'density_resident', label: 'process with all of them queued', unit: 'B',
        value: full.residentBytes },
      { key: 'density_fill_rate', label: 'accepted', unit: '/s', value: accepted / load.seconds },
      { key: 'density_drain_rate', label: 'sent afterwards, with webhooks', unit: '/s',
        value: steadyRate(webhooks.points, drained) },
    ],
    latencies: [],
    charts: [
      { title: 'Throughput while queueing', yLabel: 'jobs/s',
        lines: [{ label: 'accepted', points: load.overTime }] },
      ...rig.memory.charts(),
    ],
    notes: notesOf(bench, { first, load, lost, missing: drained - webhooks.count }),
  }
}

function countFigures(load: Load, health: Health, lost: number): Figure[] {
  return [
    { key: 'density_accepted', label: 'accepted', unit: 'count', value: acceptedOf(load) },
    { key: 'density_finished', label: 'sent and answered by the end', unit: 'count',
      value: sum(health, 'completed') },
    { key: 'density_lost', label: 'lost', unit: 'count', value: lost },
  ]
}

function notesOf(bench: Bench, found: {
  readonly first: LoadResult; readonly load: LoadResult; readonly lost: number
  readonly missing: number
}): string[] {
  const notes = [`${bench.settings.accounts} accounts. The first ${found.first.sent} jobs ` +
    'were queued before the first look at the memory.']
  const refused = describeLoad(found.load)
  if (refused !== '') notes.push(`Not all were accepted: ${refused}.`)
  if (found.lost !== 0) notes.push(`${found.lost} jobs are not accounted for.`)
  if (found.missing > 0) notes.push(`${found.missing} webhooks did not come.`)
  if (bench.settings.target !== undefined) {
    notes.push('The memory of a server that runs elsewhere is not known.')
  }
  return notes
}

const acceptedOf = (load: LoadResult): number => load.statuses['201'] ?? 0

/** A server's memory and figures, once it is calm. */
async function stand(server: MeasuredServer):
  Promise<{ readonly residentBytes: number; readonly health: Health }> {
  await new Promise((resolve) => { setTimeout(resolve, CALM_MS) })
  return {
    residentBytes: server.memory()?.residentBytes ?? Number.NaN,
    health: await server.health(),
  }
}

const sum = (health: Health, name: 'queued' | 'in_flight' | 'completed' | 'failed'): number =>
  health.shards.reduce((total, shard) => total + shard[name], 0)

const accountedFor = (health: Health): number =>
  sum(health, 'queued') + sum(health, 'in_flight') + sum(health, 'completed') +
    sum(health, 'failed')
