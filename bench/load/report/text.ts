// The report on the terminal: ratios first, then the figures behind them, then latencies.

import { type Figure, type NamedLatency, type ScenarioResult, formatValue } from '../figures.ts'
import { type LatencyBucket, PERCENTILES } from '../latency.ts'
import { type RunFacts, coreNotes } from '../machine.ts'

const LABEL_WIDTH = 46
const VALUE_WIDTH = 16
const RUNS_SHOWN_MAX = 9
const BAR_WIDTH = 40
/** Eighths of a column. */
const BAR_PARTS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

/** All scenarios of a run, with a final line break. */
export function textReport(facts: RunFacts, results: readonly ScenarioResult[]): string {
  const blocks = [head(facts), ...results.map(scenarioText)]
  return `${blocks.join('\n\n')}\n`
}

function head(facts: RunFacts): string {
  return [
    `sluice ${facts.version} (${facts.commit}), ${facts.date}`,
    `${facts.cpu}, ${facts.cores} cores, ${formatValue(facts.memoryBytes, 'B')}, ` +
      `Node ${facts.node}, ${facts.platform}`,
    facts.command,
    ...coreNotes(facts),
  ].join('\n')
}

function scenarioText(result: ScenarioResult): string {
  return [
    `${result.scenario}: ${result.title}`,
    '',
    ...result.ratios.map(row),
    '',
    ...result.figures.map(row),
    ...result.latencies.flatMap((latency) => ['', ...latencyText(latency)]),
    ...(result.notes.length === 0 ? [] : ['', ...result.notes.map((note) => `  ${note}`)]),
  ].join('\n')
}

function row({ label, value, unit, runs }: Figure): string {
  const line = `  ${label.padEnd(LABEL_WIDTH)} ${formatValue(value, unit).padStart(VALUE_WIDTH)}`
  if (runs === undefined || runs.length < 2) return line
  const shown = runs.slice(0, RUNS_SHOWN_MAX)
    .map((run) => formatValue(run, unit).replace(/ \S+$/, ''))
  return `${line}   of ${shown.join('  ')}${runs.length > shown.length ? ' …' : ''}`
}

function latencyText({ label, summary }: NamedLatency): string[] {
  const percentiles = PERCENTILES.map((percentile, place) =>
    `${percentile === 100 ? 'max' : `p${percentile}`} ` +
      formatValue((summary.percentilesUs[place] ?? 0) / 1000, 'ms'))
  return [`  ${label}`, `    ${percentiles.join('   ')}`, ...histogram(summary.buckets)]
}

/** A bar for each non-empty bucket, proportional to the fullest one. */
export function histogram(buckets: readonly LatencyBucket[]): string[] {
  const all = buckets.reduce((sum, { count }) => sum + count, 0)
  const most = Math.max(0, ...buckets.map(({ count }) => count))
  return buckets.filter(({ count }) => count > 0).map(({ fromUs, toUs, count }) => {
    const eighths = Math.round((count / most) * BAR_WIDTH * 8)
    const bar = '█'.repeat(eighths >> 3) + (BAR_PARTS[eighths & 7] ?? '')
    const edge = `${duration(fromUs)} – ${duration(toUs)}`.padStart(20)
    return `    ${edge} ${bar.padEnd(BAR_WIDTH)} ${((count / all) * 100).toFixed(2).padStart(6)} %`
  })
}

/** 500 → '500 µs', 20000 → '20 ms', 2000000 → '2 s'. */
function duration(us: number): string {
  if (us < 1000) return `${us} µs`
  return us < 1_000_000 ? `${us / 1000} ms` : `${us / 1_000_000} s`
}
