// `soak`: whether the server's main thread stays stable under half of its maximum load: a flat
// heap, and no long pauses for garbage collection.

import { type Figure, type ScenarioResult } from '../figures.ts'
import { summarizeLatency } from '../latency.ts'
import { type Bench, type Load, Rig, loadNotes } from '../rig.ts'
import type { ServerSecond } from '../server-watch.ts'

/** The closed loop before; half of its rate is the load. */
const PROBE_SECONDS_MAX = 5
const OPEN_LOOP_SHARE = 0.5
const NINETY_NINE = 2
/** The heap right after a collection is estimated by the minimum over so many seconds. */
const FLOOR_SECONDS = 10

/** Runs the scenario. */
export async function soak(bench: Bench): Promise<ScenarioResult> {
  const { settings } = bench
  const rig = await Rig.open(bench, { upstreams: 1, watched: true })
  const probe = await rig.load('finding its rate',
    { seconds: Math.min(PROBE_SECONDS_MAX, settings.seconds) })
  const rate = settings.rate ??
    Math.max(1, Math.floor(OPEN_LOOP_SHARE * probe.acceptedInTime / probe.seconds))
  await rig.server.watched()
  const load = await rig.load(`${rate}/s for ${settings.seconds} s`,
    { seconds: settings.seconds, rate, unrecordedSeconds: Math.min(1, settings.seconds / 4) })
  const seconds = await rig.server.watched()
  rig.memory.stop()
  const latency = summarizeLatency([load.latency])
  return {
    scenario: 'soak', title: `The main thread under half load, ${settings.seconds} s`,
    ratios: [{
      key: 'soak_heap_ratio', label: 'heap floor of the last tenth ÷ of the second tenth',
      unit: 'ratio', value: floorIn(seconds, 0.9, 1) / floorIn(seconds, 0.1, 0.2),
    }],
    figures: figuresOf(seconds, load, rate, latency.percentilesUs[NINETY_NINE] ?? Number.NaN),
    latencies: [{ label: `accepting at ${rate}/s`, summary: latency }],
    charts: [...chartsOf(seconds), ...rig.memory.charts()],
    notes: [
      'The queue grows by all jobs of the load; the upstream is held.',
      'Delays of the event loop include the time for which other processes had its core.',
      ...loadNotes('Sluice', [load]),
    ],
  }
}

function figuresOf(
  seconds: readonly ServerSecond[], load: Load, rate: number, p99Us: number,
): Figure[] {
  const longest = (pick: (second: ServerSecond) => number): number =>
    Math.max(...seconds.map(pick))
  const collectionMs = seconds.reduce((sum, second) => sum + second.collectionMs, 0)
  return [
    { key: 'soak_rate', label: 'jobs', unit: '/s', value: rate },
    { key: 'soak_accepted', label: 'accepted', unit: 'count', value: load.statuses['201'] ?? 0 },
    { key: 'soak_p99', label: 'accept latency, p99', unit: 'ms', value: p99Us / 1000 },
    { key: 'soak_heap_start', label: 'heap floor, second tenth', unit: 'B',
      value: floorIn(seconds, 0.1, 0.2) },
    { key: 'soak_heap_end', label: 'heap floor, last tenth', unit: 'B',
      value: floorIn(seconds, 0.9, 1) },
    { key: 'soak_gc_longest', label: 'longest pause for garbage collection', unit: 'ms',
      value: longest(({ longestCollectionMs }) => longestCollectionMs) },
    { key: 'soak_gc_over', label: 'seconds with a pause over 5 ms', unit: 'count',
      value: seconds.filter(({ longestCollectionMs }) => longestCollectionMs > 5).length },
    { key: 'soak_gc_share', label: 'time in garbage collection', unit: '%',
      value: collectionMs / (seconds.length * 1000) * 100 },
    { key: 'soak_delay_longest', label: 'longest delay of the event loop', unit: 'ms',
      value: longest(({ longestDelayMs }) => longestDelayMs) },
  ]
}

/** The mean of the heap's minima, one for each FLOOR_SECONDS seconds, in a part of the run. */
function floorIn(seconds: readonly ServerSecond[], from: number, until: number): number {
  const part = seconds.slice(
    Math.floor(seconds.length * from), Math.max(1, Math.ceil(seconds.length * until)))
  const floors: number[] = []
  for (let at = 0; at < part.length; at += FLOOR_SECONDS) {
    floors.push(Math.min(...part.slice(at, at + FLOOR_SECONDS).map((each) => each.heapUsedBytes)))
  }
  return floors.length === 0
    ? Number.NaN : floors.reduce((sum, floor) => sum + floor, 0) / floors.length
}

function chartsOf(seconds: readonly ServerSecond[]): ScenarioResult['charts'] {
  if (seconds.length < 2) return []
  const points = (pick: (second: ServerSecond) => number): (readonly [number, number])[] =>
    seconds.map((second, at) => [at, pick(second)])
  return [
    { title: 'Heap of the main thread', yLabel: 'MiB', lines: [
      { label: 'used', points: points((second) => second.heapUsedBytes / 1024 ** 2) },
      { label: 'taken', points: points((second) => second.heapTotalBytes / 1024 ** 2) }] },
    { title: 'Longest pause of each second', yLabel: 'ms', lines: [
      { label: 'garbage collection', points: points((second) => second.longestCollectionMs) }] },
  ]
}
