// The results of a scenario as plain data: the text report, the JSON file and the HTML page are
// made from it.

import type { LatencySummary } from './latency.ts'

/** The unit that a figure is shown in. */
export type Unit = 'ratio' | '/s' | 's' | 'ms' | 'us' | 'B' | '%' | 'count'

/** One number. */
export interface Figure {
  /** A stable name for programs: `ingest_ratio`. */
  readonly key: string
  readonly label: string
  readonly value: number
  readonly unit: Unit
  /** The single runs behind a median. */
  readonly runs?: readonly number[]
}

/** One histogram. */
export interface NamedLatency {
  readonly label: string
  readonly summary: LatencySummary
}

export type Point = readonly [x: number, y: number]

/** One chart; x is in seconds. */
export interface Chart {
  readonly title: string
  readonly yLabel: string
  readonly lines: readonly Line[]
}

/** One line of a chart. */
export interface Line {
  readonly label: string
  readonly points: readonly Point[]
  /** Not measured: a reference for the others. */
  readonly isReference?: boolean
}

/** All results of one scenario. */
export interface ScenarioResult {
  readonly scenario: string
  readonly title: string
  /** Relative to a baseline of the same run; shown first. */
  readonly ratios: readonly Figure[]
  readonly figures: readonly Figure[]
  readonly latencies: readonly NamedLatency[]
  readonly charts: readonly Chart[]
  /** Sentences that the reader needs with the figures. */
  readonly notes: readonly string[]
}

/** The median; NaN for no values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle] as number
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

/** A figure that is the median of several runs. */
export const medianFigure = (
  key: string, label: string, unit: Unit, runs: readonly number[],
): Figure => ({ key, label, unit, value: median(runs), runs })

/**
 * What is measured ÷ its baseline, as the median of the ratios of each pair of runs: a machine that
 * becomes slower or faster during the run affects both sides of a pair, but not their ratio.
 */
export const pairedRatio = (
  key: string, label: string, runs: readonly number[], baselines: readonly number[],
): Figure => medianFigure(key, label, 'ratio',
  runs.map((run, round) => run / (baselines[round] ?? Number.NaN)))

/**
 * Jain's fairness index: 1 when all shares are equal, 1/n when one has everything.
 * [5, 5] → 1, [1, 0] → 0.5, [3, 1] → 0.8.
 */
export function jainIndex(shares: readonly number[]): number {
  const sum = shares.reduce((left, right) => left + right, 0)
  const squares = shares.reduce((left, right) => left + right * right, 0)
  return squares === 0 ? Number.NaN : (sum * sum) / (shares.length * squares)
}

const GROUPED = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** 0.8125, ratio → '0.813'; 71234, /s → '71,234 /s'; 10240, B → '10.00 KiB'. */
export function formatValue(value: number, unit: Unit): string {
  if (!Number.isFinite(value)) return 'n/a'
  switch (unit) {
    case 'ratio': return value.toFixed(3)
    case '/s': return `${Math.abs(value) < 100 ? value.toFixed(2) : GROUPED.format(value)} /s`
    case 's': return `${value.toFixed(value < 10 ? 2 : 1)} s`
    case 'ms': return `${value.toFixed(Math.abs(value) < 10 ? 3 : 1)} ms`
    case 'us': return `${value.toFixed(Math.abs(value) < 100 ? 1 : 0)} µs`
    case '%': return `${value.toFixed(3)} %`
    case 'count': return GROUPED.format(value)
    case 'B': return formatSize(value)
    default: return unit satisfies never
  }
}

function formatSize(bytes: number): string {
  let value = bytes
  let size = 0
  // A few hundred bytes of a job are shown in bytes.
  while (Math.abs(value) >= 10_000 && size < SIZES.length - 1) {
    value /= 1024
    size += 1
  }
  return `${size === 0 ? GROUPED.format(value) : value.toFixed(2)} ${SIZES[size]}`
}
