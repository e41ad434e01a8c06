// Latency histograms: recording, encoding for other processes, merging and reading. In whole
// microseconds, with three significant digits; for charts, counts between edges of 1, 2, 5.

import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64 } from 'hdr-histogram-js'

/** Longer latencies are recorded as this. */
const LATENCY_US_MAX = 200_000_000

/** The edges of a chart's bars: 1, 2, 5, 10 … 200,000,000 us. */
const EDGES_US: readonly number[] = [1, 2, 5].flatMap((digit) =>
  Array.from({ length: 9 }, (_, power) => digit * 10 ** power))
  .filter((edge) => edge <= LATENCY_US_MAX)
  .sort((left, right) => left - right)

/** The percentiles in reports; the last is the maximum. */
export const PERCENTILES = [50, 90, 99, 99.9, 100] as const

/** A recorder's content, for another process. */
export interface EncodedLatency {
  readonly histogram: string
  /** By the indexes of the edges. */
  readonly counts: readonly number[]
}

/** A bar of a histogram: latencies above `fromUs`, up to and including `toUs`. */
export interface LatencyBucket {
  readonly fromUs: number
  readonly toUs: number
  readonly count: number
}

/** The shown figures of a histogram. */
export interface LatencySummary {
  readonly count: number
  readonly meanUs: number
  /** By PERCENTILES. */
  readonly percentilesUs: readonly number[]
  readonly buckets: readonly LatencyBucket[]
}

const newHistogram = (): ReturnType<typeof build> => build({
  lowestDiscernibleValue: 1, highestTrackableValue: LATENCY_US_MAX, bitBucketSize: 32,
  numberOfSignificantValueDigits: 3, autoResize: false,
})

/** Records latencies. */
export class LatencyRecorder {
  readonly #histogram = newHistogram()
  readonly #counts = new Float64Array(EDGES_US.length)

  /** A negative duration counts as 0. */
  record(us: number): void {
    const whole = us <= 0 ? 0 : Math.min(LATENCY_US_MAX, Math.round(us))
    this.#histogram.recordValue(whole)
    let low = 0
    let high = EDGES_US.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((EDGES_US[middle] as number) < whole) low = middle + 1
      else high = middle
    }
    this.#counts[low] = (this.#counts[low] as number) + 1
  }

  encode(): EncodedLatency {
    return {
      histogram: encodeIntoCompressedBase64(this.#histogram), counts: [...this.#counts],
    }
  }
}

/** Merges the content of several recorders. */
export function summarizeLatency(parts: readonly EncodedLatency[]): LatencySummary {
  const whole = newHistogram()
  for (const { histogram } of parts) whole.add(decodeFromCompressedBase64(histogram, 32))
  const buckets = EDGES_US.map((toUs, place): LatencyBucket => ({
    fromUs: place === 0 ? 0 : EDGES_US[place - 1] as number, toUs,
    count: parts.reduce((sum, { counts }) => sum + (counts[place] ?? 0), 0),
  }))
  const first = buckets.findIndex(({ count }) => count > 0)
  const last = buckets.findLastIndex(({ count }) => count > 0)
  const isEmpty = whole.totalCount === 0
  return {
    count: whole.totalCount,
    meanUs: isEmpty ? 0 : whole.mean,
    percentilesUs: PERCENTILES.map((percentile) =>
      isEmpty ? 0 : whole.getValueAtPercentile(percentile)),
    buckets: isEmpty ? [] : buckets.slice(first, last + 1),
  }
}
