// Latencies as histograms: how they are made, sent between processes, put together and read. In
// whole microseconds, with three digits.

import { type Histogram, build, decodeFromCompressedBase64, encodeIntoCompressedBase64 } from
  'hdr-histogram-js'

/** What is longer counts as this. */
const LATENCY_US_MAX = 120_000_000
const DIGITS = 3

/** Records latencies. */
export class LatencyRecorder {
  readonly #histogram: Histogram = build({
    lowestDiscernibleValue: 1, highestTrackableValue: LATENCY_US_MAX, bitBucketSize: 32,
    numberOfSignificantValueDigits: DIGITS, autoResize: false,
  })

  /** Negative durations count as none. */
  record(us: number): void {
    this.#histogram.recordValue(us <= 0 ? 0 : Math.min(LATENCY_US_MAX, Math.round(us)))
  }

  get count(): number {
    return this.#histogram.totalCount
  }

  /** As text, for another process. */
  encode(): string {
    return encodeIntoCompressedBase64(this.#histogram)
  }
}

/** The percentiles that reports show, in microseconds. */
export const PERCENTILES = [50, 90, 99, 99.9, 100] as const

/** A bar of a histogram's picture. */
export interface LatencyBucket {
  /** Microseconds; the first bucket begins at 0. */
  readonly fromUs: number
  readonly toUs: number
  readonly count: number
}

/** What is shown of a histogram. */
export interface LatencySummary {
  readonly count: number
  readonly meanUs: number
  /** By PERCENTILES; the last is the longest. */
  readonly percentilesUs: readonly number[]
  readonly buckets: readonly LatencyBucket[]
}

/** Edges of the picture's bars per power of ten. */
const EDGES = [1, 2, 5] as const

/** Puts encoded histograms together. */
export function summarizeLatency(encoded: readonly string[]): LatencySummary {
  const whole = build({
    lowestDiscernibleValue: 1, highestTrackableValue: LATENCY_US_MAX, bitBucketSize: 32,
    numberOfSignificantValueDigits: DIGITS, autoResize: false,
  })
  for (const text of encoded) whole.add(decodeFromCompressedBase64(text, 32))
  const count = whole.totalCount
  return {
    count,
    meanUs: count === 0 ? 0 : whole.mean,
    percentilesUs: PERCENTILES.map((percentile) =>
      (count === 0 ? 0 : whole.getValueAtPercentile(percentile))),
    buckets: count === 0 ? [] : bucketsOf(whole),
  }
}

function bucketsOf(histogram: Histogram): LatencyBucket[] {
  const buckets: LatencyBucket[] = []
  let fromUs = 0
  let before = 0
  for (let power = 1; before < histogram.totalCount && power <= LATENCY_US_MAX; power *= 10) {
    for (const edge of EDGES) {
      const toUs = edge * power
      // Up to and with the edge: its percentile's count is what lies at or below it.
      const share = histogram.getPercentileAtOrBelowValue?.(toUs) ?? 0
      const below = Math.round((share / 100) * histogram.totalCount)
      if (below > before || buckets.length > 0) buckets.push({ fromUs, toUs, count: below - before })
      before = below
      fromUs = toUs
      if (before >= histogram.totalCount) break
    }
  }
  return buckets
}
