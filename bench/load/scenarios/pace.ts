// `pace`: whether upstreams get the pace that they ask for, on their own clock, while more jobs
// wait than may be sent; with a pace for each of several upstreams, or for each of many accounts.

import {
  type Chart, type Figure, type NamedLatency, type Point, type ScenarioResult, formatValue,
} from '../figures.ts'
import { summarizeLatency } from '../latency.ts'
import type { PaceFindings } from '../pace-check.ts'
import { type Bench, Rig, loadNotes } from '../rig.ts'

/** More jobs than can be sent in time, so that the queue never becomes empty. */
const BACKLOG_SHARE = 1.25
const BACKLOG_JOBS_MIN = 20
/** Pace of each account, unless a rate is given. */
const BUDGET_RPS_DEFAULT = 0.5
/** Jobs arrive faster than they are sent by this factor, the first of each account in turn. */
const ARRIVAL_SHARE = 1.2
/** A concurrency limit that no pace here reaches. */
const CONCURRENCY = 10_000
const WARM_UP_JOBS = 2000
/** Jobs of other accounts, which warm up the code of budgets and of idle connections, too. */
const WARM_UP_SECONDS = 10
const NINETY_NINE = 2

/** Runs the scenario. */
export async function pace(bench: Bench): Promise<ScenarioResult> {
  const { budgets } = bench.settings
  return budgets === undefined ? paceOfUpstreams(bench) : paceOfAccounts(bench, budgets)
}

async function paceOfUpstreams(bench: Bench): Promise<ScenarioResult> {
  const { rates, seconds } = bench.settings
  const rig = await Rig.open(bench, { upstreams: rates.length, poll: true })
  await rig.warmUp(WARM_UP_JOBS)
  const loads = []
  await rig.hold()
  for (const [index, rate] of rates.entries()) {
    const jobs = Math.ceil(rate * seconds * BACKLOG_SHARE) + BACKLOG_JOBS_MIN
    loads.push(await rig.fill(`queueing for ${rate}/s`, jobs, { upstreams: [index] }))
  }
  const before = await Promise.all(rates.map((_rate, upstream) =>
    rig.upstream.call('count', { upstream })))
  for (const [index, rate] of rates.entries()) {
    await rig.conduct(index, { rps: rate, maxConcurrent: CONCURRENCY, note: true })
  }
  // On hold, each got a request every 2 s; its own pace applies from its next answer on.
  for (const [index, { sends }] of before.entries()) await rig.waitForSends(sends + 1, index)
  await wait(bench, `sending at ${rates.join(', ')} per second`, seconds)
  const findings = await Promise.all(rates.map((rps, upstream) =>
    rig.upstream.call('pace', { upstream, question: { rps, perAccount: false } })))
  rig.memory.stop()
  return {
    scenario: 'pace', title: `Pace under backlog, for ${seconds} s`,
    ratios: rates.map((rate, index) => ({
      key: `pace_error_${rate}`, label: `rate error at ${rate}/s`, unit: '%',
      value: (findings[index]?.rateErrorMax ?? Number.NaN) * 100,
    })),
    figures: rates.flatMap((rate, index) => figuresOf(`${rate}/s`, `${rate}`, findings[index])),
    latencies: latenciesOf(rates.map((rate) => `${rate}/s`), findings),
    charts: rates.map((rate, index) => paceChart(rate, findings[index], rate)),
    notes: [...observerNotes(findings), ...loadNotes('Queueing', loads)],
  }
}

async function paceOfAccounts(bench: Bench, budgets: number): Promise<ScenarioResult> {
  const { seconds } = bench.settings
  const rps = bench.settings.rate ?? BUDGET_RPS_DEFAULT
  const total = rps * budgets
  const rig = await Rig.open(bench, { upstreams: 1, poll: true })
  await rig.warmUp(WARM_UP_JOBS)
  // The server must know about account queues before the accounts' jobs arrive.
  const conduct = { rps, maxConcurrent: CONCURRENCY, accountQueue: true }
  await rig.conduct(0, conduct)
  const { sends } = await rig.upstream.call('count', { upstream: 0 })
  const other = { requests: 1, firstAccount: budgets, accounts: 1 }
  await rig.fill('telling the server about accounts', 1, other)
  await rig.waitForSends(sends + 1)
    // Cold code delays the first sends, and sends that are then made together stay together, since
    // each is one interval before its account's next.
  const arrivals = { seconds, rate: total * ARRIVAL_SHARE, accounts: budgets }
  await warmUpBudgets(rig, sends + 1, budgets, arrivals.rate)
  await rig.conduct(0, { ...conduct, note: true })
  const load = await rig.load(`${budgets} accounts at ${rps}/s each`, arrivals)
  const findings = await rig.upstream.call('pace',
    { upstream: 0, question: { rps, perAccount: true } })
  rig.memory.stop()
  const lateness = summarizeLatency([findings.lateness])
  return {
    scenario: 'pace', title: `Pace of ${budgets} accounts at ${rps}/s each, for ${seconds} s`,
    ratios: [{
      key: 'budgets_p99_late', label: `p99 lateness with ${findings.budgets} budgets`, unit: 'ms',
      value: (lateness.percentilesUs[NINETY_NINE] ?? 0) / 1000,
    }],
    figures: figuresOf('accounts', 'budgets', findings),
    latencies: latenciesOf(['accounts'], [findings]),
    charts: [paceChart(total, findings, rps), ...rig.memory.charts()],
    notes: [
      `Jobs arrived at ${formatValue(total * ARRIVAL_SHARE, '/s')}, each account's in its turn.`,
      ...observerNotes([findings]), ...loadNotes('Arrivals', [load]),
    ],
  }
}

/** An account's next job is due one interval after its last; skipped where that is too long. */
async function warmUpBudgets(
  rig: Rig, sendsBefore: number, budgets: number, rate: number,
): Promise<void> {
  const jobsMax = Math.ceil(rate * WARM_UP_SECONDS)
  const accounts = Math.min(budgets, jobsMax)
  const isSlow = jobsMax < budgets * 2
  const jobs = isSlow ? accounts : jobsMax
  await rig.fill('warming up budgets', jobs,
    { rate, accounts, firstAccount: budgets + 1 })
  await rig.waitForSends(sendsBefore + jobs)
}

const STEP_MS = 250

async function wait({ progress }: Bench, title: string, seconds: number): Promise<void> {
  const task = progress.begin(title, seconds)
  const startMs = performance.now()
  for (let passed = 0; passed < seconds; passed = (performance.now() - startMs) / 1000) {
    const leftMs = (seconds - passed) * 1000
    await new Promise((resolve) => { setTimeout(resolve, Math.min(STEP_MS, leftMs)) })
    task.update((performance.now() - startMs) / 1000)
  }
  task.end()
}

function figuresOf(label: string, key: string, findings: PaceFindings | undefined): Figure[] {
  if (findings === undefined) return []
  const waiting = summarizeLatency([findings.waiting])
  const lateness = summarizeLatency([findings.lateness])
  return [
    { key: `pace_sends_${key}`, label: `${label}: sends`, unit: 'count', value: findings.sends },
    { key: `pace_violations_${key}`, label: `${label}: windows over the promise`, unit: 'count',
      value: findings.violations },
    { key: `pace_unexplained_${key}`, unit: 'count',
      label: `${label}: of those beyond the upstream's hold-up`, value: findings.unexplained },
    { key: `pace_room_${key}`, label: `${label}: room left in the tightest window`, unit: 'ms',
      value: -findings.worstWindowUs / 1000 },
    { key: `pace_late_${key}`, label: `${label}: behind the grid, p99`, unit: 'ms',
      value: (lateness.percentilesUs[NINETY_NINE] ?? 0) / 1000 },
    { key: `pace_waiting_${key}`, label: `${label}: behind the first moment allowed, p99`,
      unit: 'ms', value: (waiting.percentilesUs[NINETY_NINE] ?? 0) / 1000 },
    ...(findings.budgets === 1 ? [] : [{
      key: `pace_error_median_${key}`, label: `${label}: rate error, median of the accounts`,
      unit: '%', value: findings.rateErrorMedian * 100,
    }, {
      key: `pace_error_max_${key}`, label: `${label}: rate error, worst account`,
      unit: '%', value: findings.rateErrorMax * 100,
    }] satisfies Figure[]),
  ]
}

const latenciesOf = (labels: readonly string[], findings: readonly PaceFindings[]):
  NamedLatency[] => findings.map((each, index) => ({
  label: `${labels[index]}: behind the first moment allowed`,
  summary: summarizeLatency([each.waiting]),
}))

function paceChart(asked: number, findings: PaceFindings | undefined, rps: number): Chart {
  const seen: Point[] = (findings?.overTime ?? []).map(([seconds, rate]) => [seconds, rate])
  const last = seen.at(-1)?.[0] ?? 1
  return {
    title: `Pace at the upstream, ${rps}/s asked for${asked === rps ? '' : ' by each account'}`,
    yLabel: 'sends/s',
    lines: [
      { label: 'asked', points: [[0, asked], [last, asked]], isReference: true },
      { label: 'seen', points: seen },
    ],
  }
}

function observerNotes(findings: readonly PaceFindings[]): string[] {
  const lagUs = Math.max(0, ...findings.map(({ observerLagUs }) => observerLagUs))
  return [
    'Windows and lateness are as the upstream noted them, network and its own event loop ' +
      `included; it was itself held up by at most ${formatValue(lagUs / 1000, 'ms')}. ` +
      'One send that was noted late makes every window that begins with it too short.',
  ]
}
