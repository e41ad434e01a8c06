// Counts over time, in a bounded number of points however many things are counted.

/** After `count` things, at monotonic microseconds. */
export interface CountPoint {
  readonly atUs: number
  readonly count: number
}

const POINTS_MAX = 4096

/** Records the time of every n-th thing; when points run out, every other one is dropped. */
export class CountTimeline {
  readonly #points: CountPoint[] = []
  readonly #expected: number
  #stride: number
  #count = 0

  /** @param expected about how many things there will be; more are allowed. */
  constructor(expected: number) {
    this.#expected = expected
    this.#stride = Math.max(1, Math.floor(expected / (POINTS_MAX / 2)))
  }

  get count(): number {
    return this.#count
  }

  /** @param now is called only for things that become a point. */
  add(now: () => number): void {
    this.#count += 1
    if (!this.#isKept(this.#count)) return
    this.#points.push({ atUs: now(), count: this.#count })
    if (this.#points.length < POINTS_MAX) return
    this.#stride *= 2
    const kept = this.#points.filter(({ count }) => this.#isKept(count))
    this.#points.splice(0, this.#points.length, ...kept)
  }

  /** In order of time; the first thing and the expected one are always among them. */
  points(): readonly CountPoint[] {
    return [...this.#points]
  }

  #isKept(count: number): boolean {
    return count % this.#stride === 0 || count === 1 || count === this.#expected
  }
}

/**
 * When a count was reached, by linear interpolation: with {0 us, 10}, {100 us, 20} it was 15 at
 * 50 us. NaN for a count outside of the points.
 */
export function reachedAtUs(points: readonly CountPoint[], count: number): number {
  const after = points.findIndex((point) => point.count >= count)
  const right = points[after]
  if (right === undefined) return Number.NaN
  if (right.count === count) return right.atUs
  const left = points[after - 1]
  if (left === undefined) return Number.NaN
  const share = (count - left.count) / (right.count - left.count)
  return left.atUs + share * (right.atUs - left.atUs)
}

/**
 * Rate per second over the middle of a count, without the first and the last tenth, where start and
 * end have an effect: NaN if there are too few points.
 */
export function steadyRate(points: readonly CountPoint[], count: number): number {
  const from = Math.max(1, Math.floor(count * 0.1))
  const until = Math.floor(count * 0.9)
  const seconds = (reachedAtUs(points, until) - reachedAtUs(points, from)) / 1e6
  return (until - from) / seconds
}

/** Rates between points in so many spans of equal length, by seconds since `fromUs`. */
export function ratesOverTime(points: readonly CountPoint[], fromUs: number, spans: number):
  readonly (readonly [seconds: number, perSecond: number])[] {
  const last = points.at(-1)
  const first = points[0]
  if (first === undefined || last === undefined || last.atUs <= fromUs) return []
  const spanUs = (last.atUs - fromUs) / spans
  const rates: [number, number][] = []
  let place = 0
  let before = 0
  for (let span = 1; span <= spans; span++) {
    const untilUs = fromUs + span * spanUs
    let count = before
    while (place < points.length && (points[place] as CountPoint).atUs <= untilUs + 0.5) {
      count = (points[place] as CountPoint).count
      place += 1
    }
    rates.push([(span * spanUs) / 1e6, ((count - before) / spanUs) * 1e6])
    before = count
  }
  return rates
}
