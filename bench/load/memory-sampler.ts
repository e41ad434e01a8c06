// The server's memory over time, sampled from /proc while a scenario runs.

import type { Chart, Point } from './figures.ts'
import type { MeasuredServer } from './server-process.ts'

const SAMPLE_EVERY_MS = 250
const SAMPLES_MAX = 2048

/** Samples the resident size of a server that the bench started; not possible for others. */
export class MemorySampler {
  readonly #server: MeasuredServer
  readonly #startMs = performance.now()
  #samples: Point[] = []
  #everyMs = SAMPLE_EVERY_MS
  #lastMs = -Infinity
  readonly #timer: NodeJS.Timeout

  constructor(server: MeasuredServer) {
    this.#server = server
    this.#timer = setInterval(() => this.#sample(), SAMPLE_EVERY_MS)
    this.#timer.unref()
  }

  /** Bytes over seconds; empty without /proc. */
  get points(): readonly Point[] {
    return this.#samples
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** The chart of it, or none. */
  charts(): readonly Chart[] {
    if (this.#samples.length < 2) return []
    const points = this.#samples.map(([seconds, bytes]): Point => [seconds, bytes / 1024 ** 2])
    return [{
      title: 'Memory of the server', yLabel: 'MiB resident', lines: [{ label: 'resident', points }],
    }]
  }

  #sample(): void {
    const nowMs = performance.now()
    if (nowMs - this.#lastMs < this.#everyMs) return
    const bytes = this.#server.memory()?.residentBytes
    if (bytes === undefined || bytes === 0) return
    this.#lastMs = nowMs
    this.#samples.push([(nowMs - this.#startMs) / 1000, bytes])
    if (this.#samples.length < SAMPLES_MAX) return
    this.#samples = this.#samples.filter((_sample, index) => index % 2 === 0)
    this.#everyMs *= 2
  }
}
