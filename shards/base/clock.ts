// The only place where time is read and timers are set.
// Thread: any; an instance belongs to one. Memory: none shared.
// Never: imported by the pure files, which take `nowUs` as an argument.
// Why hrtime: it is the machine's monotonic clock, one origin for all threads and processes,
// where performance.now() counts from each thread's own start.

import type { Micros, Millis } from './units.ts'

/**
 * Time and a wake-up timer. Internally monotonic microseconds: intervals, paces and ages do not
 * depend on the wall clock. Unix milliseconds only where they are reported to the outside.
 */
export interface Clock {
  /** Monotonic now. */
  nowUs(): Micros
  /**
   * Calls `wake` once, at `atUs` or shortly after; a later call replaces the earlier one.
   * `Infinity` disarms. A system clock may be a millisecond or two late, never early.
   */
  wakeAt(atUs: Micros, wake: () => void): void
  /** Converts a monotonic time to Unix time by the wall clock as it is now, which may jump. */
  wallMs(atUs: Micros): Millis
}

const US_PER_HR_SECOND = 1_000_000
const NS_PER_US = 1000
/** setTimeout takes at most 2^31-1 ms; a longer sleep has spurious wake-ups. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1

/** Monotonic microseconds since the machine's start, as every thread and process here reads it. */
export function monotonicUs(): Micros {
  const time = process.hrtime()
  return (time[0] * US_PER_HR_SECOND + Math.floor(time[1] / NS_PER_US)) as Micros
}

/**
 * Calls `look` every `periodMs` milliseconds and keeps the thread alive, until the returned
 * function is called.
 */
export function lookEvery(periodMs: number, look: () => void): () => void {
  const timer = setInterval(look, periodMs)
  return () => clearInterval(timer)
}

/** The machine's clock. */
export class SystemClock implements Clock {
  #timer: NodeJS.Timeout | undefined
  /** The time for which the timer is set. */
  #atUs = Infinity
  #wake: () => void = () => {}

  nowUs(): Micros {
    return monotonicUs()
  }

  wakeAt(atUs: Micros, wake: () => void): void {
    this.#wake = wake
    // Callers ask for the same time repeatedly; a new timer each time costs a microsecond.
    if (this.#timer !== undefined && atUs === this.#atUs) return
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    this.#timer = undefined
    this.#atUs = atUs
    if (atUs === Infinity) return
    const delayMs = Math.max(0, Math.ceil((atUs - monotonicUs()) / 1000))
    this.#timer = setTimeout(this.#ring, Math.min(delayMs, TIMEOUT_MS_MAX))
  }

  readonly #ring = (): void => {
    this.#timer = undefined
    this.#wake()
  }

  wallMs(atUs: Micros): Millis {
    return Math.ceil(Date.now() + (atUs - monotonicUs()) / 1000) as Millis
  }
}
