// `lanes`: whether one core keeps up with the sends of very many account queues.

import type { ScenarioResult } from '../figures.ts'
import { FILL_ROUNDS, stormPlan } from '../lane-storm.ts'
import { summarizeLatency } from '../latency.ts'
import type { Bench } from '../rig.ts'

const NINETY_NINE = 2

/** Runs the scenario. */
export async function lanes({ settings, stage, progress }: Bench): Promise<ScenarioResult> {
  const { accounts } = settings
  const role = await stage.role('lane-engine')
  const plan = stormPlan(accounts, settings.seconds)
  const { roundSeconds, rounds } = plan
  const seconds = (rounds + FILL_ROUNDS) * roundSeconds
  const task = progress.begin(`${accounts} lanes`, seconds)
  const storm = await role.call('run', plan, (so) => task.update(so, ''))
  task.end()
  const lateness = summarizeLatency([storm.lateness])
  return {
    scenario: 'lanes', title: `${accounts} account queues with a job each`,
    ratios: [{
      key: 'lanes_ratio', label: 'sends ÷ sends that came due', unit: 'ratio',
      value: storm.sends / (storm.duePerSecond * storm.seconds),
    }],
    figures: [
      { key: 'lanes_active', label: 'lanes with jobs', unit: 'count', value: storm.lanesActive },
      { key: 'lanes_due', label: 'lanes due', unit: '/s', value: storm.duePerSecond },
      { key: 'lanes_rate', label: 'sent', unit: '/s', value: storm.sends / storm.seconds },
      { key: 'lanes_core', label: 'of one core', unit: '%', value: storm.coreShare * 100 },
      { key: 'lanes_p99', label: 'later than due, p99', unit: 'ms',
        value: (lateness.percentilesUs[NINETY_NINE] ?? 0) / 1000 },
    ],
    latencies: [{ label: 'later than due', summary: lateness }],
    charts: [],
    notes: ['One engine on one thread with a transport that answers at once. Each answer asks ' +
      `for ${roundSeconds} s of patience, after which the lane is due again; ${rounds} rounds.`],
  }
}
