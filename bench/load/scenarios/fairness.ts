// `fairness`: one account floods an upstream, the others have a few jobs each. Whether they get the
// same share of its pace, and how long each waits for its first send.

import { monotonicUs } from '../../../shards/base/clock.ts'
import { type ScenarioResult, jainIndex } from '../figures.ts'
import { type Bench, Rig, loadNotes } from '../rig.ts'

const RATE_DEFAULT = 200
/** More jobs than each account's share, so that none runs out while shares are counted. */
const BACKLOG_SHARE = 1.5
const BACKLOG_JOBS_MIN = 10
/** The flooding account has so many times the jobs of all others together. */
const FLOOD_TIMES = 4
const LOOK_EVERY_MS = 20

/** Runs the scenario. */
export async function fairness(bench: Bench): Promise<ScenarioResult> {
  const { progress, settings } = bench
  const { accounts, concurrency, seconds, rate = RATE_DEFAULT } = settings
  const rig = await Rig.open(bench, { upstreams: 1, poll: true })
  const small = accounts - 1
  const smallJobs = Math.ceil((rate * seconds * BACKLOG_SHARE) / accounts) + BACKLOG_JOBS_MIN
  const floodJobs = smallJobs * small * FLOOD_TIMES
  const loads = [
    await rig.fill('the flood', floodJobs, { accounts: 1 }),
    await rig.fill(`${small} others`, smallJobs * small, { accounts: small, firstAccount: 1 }),
  ]
  const { sends: before } = await rig.upstream.call('count', { upstream: 0 })
  await rig.conduct(0, { rps: rate, maxConcurrent: concurrency, note: true })
  // On hold, the upstream gets a request every 2 s; its pace applies from its next answer on.
  await rig.waitForSends(before + 1)
  const fromUs = monotonicUs()
  const untilUs = fromUs + seconds * 1e6
  const task = progress.begin(`sending at ${rate}/s`, seconds)
  while (monotonicUs() < untilUs) {
    await new Promise((resolve) => { setTimeout(resolve, LOOK_EVERY_MS) })
    task.update((monotonicUs() - fromUs) / 1e6)
  }
  task.end()
  const { accounts: sends } = await rig.upstream.call('accounts', { upstream: 0, fromUs, untilUs })
  rig.memory.stop()
  const byAccount = new Map(sends.map((each) => [each.account, each]))
  const shares = Array.from({ length: accounts },
    (_, account) => byAccount.get(account)?.sends ?? 0)
  const waits = sends.filter(({ account }) => account > 0)
    .map(({ firstUs }) => Math.max(0, firstUs - fromUs) / 1000)
  return {
    scenario: 'fairness', title: `One account floods, ${small} others have few jobs`,
    ratios: [{
      key: 'fairness_jain', label: 'Jain\'s index of the shares', unit: 'ratio',
      value: jainIndex(shares),
    }],
    figures: [
      { key: 'fairness_single_line', label: 'the index if all stood in one line', unit: 'ratio',
        value: 1 / accounts },
      { key: 'fairness_flood_share', label: 'sends of the account that floods', unit: 'count',
        value: shares[0] ?? 0 },
      { key: 'fairness_least_share', label: 'sends of the other with the fewest', unit: 'count',
        value: Math.min(...shares.slice(1)) },
      { key: 'fairness_most_share', label: 'sends of the other with the most', unit: 'count',
        value: Math.max(...shares.slice(1)) },
      { key: 'fairness_first_turn', label: 'longest wait for a first turn', unit: 'ms',
        value: waits.length < small ? Number.NaN : Math.max(...waits) },
      { key: 'fairness_flood_wait', label: 'the flood alone would take', unit: 's',
        value: floodJobs / rate },
    ],
    latencies: [],
    charts: [],
    notes: [
      `${floodJobs} jobs of one account were queued before ${smallJobs} of each other one. ` +
        `Shares are of the first ${seconds} s at ${rate}/s, in which every account had jobs.`,
      ...loadNotes('Queueing', loads),
    ],
  }
}
