// When each shard of a server was last known to keep up: asks all of them, again and again, for
// jobs that they do not have. What an upstream had answered by the time of a question which was
// then answered itself, the shard has read; on a machine with too little time for all, that may be
// seconds later than the upstream believes.

import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { monotonicUs } from '../../shards/base/clock.ts'

const ASK_EVERY_MS = 25
const ANSWER_MS_MAX = 20_000

/** The pulse of one server, whatever process it is. */
export class Pulse {
  /** For each shard, when the last question was asked that has been answered. */
  readonly #beatsUs: Float64Array
  #stopped = false
  readonly #running: Promise<unknown>

  constructor(origin: string, shards: number) {
    this.#beatsUs = new Float64Array(shards).fill(monotonicUs())
    this.#running = Promise.all(Array.from({ length: shards },
      (_, shard) => this.#feel(origin, shard, strangerOf(shard, shards))))
  }

  /** Until when every shard has kept up. */
  get beatUs(): number {
    return Math.min(...this.#beatsUs)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #feel(origin: string, shard: number, jobId: string): Promise<void> {
    const client =
      new Client(origin, { headersTimeout: ANSWER_MS_MAX, bodyTimeout: ANSWER_MS_MAX })
    while (!this.#stopped) {
      const askedUs = monotonicUs()
      try {
        const response = await client.request({ method: 'GET', path: `/jobs/${jobId}` })
        await response.body.dump()
        if (response.statusCode === 404) this.#beatsUs[shard] = askedUs
      } catch { /* the server is being killed, or is not there yet */ }
      await sleep(ASK_EVERY_MS)
    }
    await client.destroy()
  }
}

/** The id of no job, of a shard: the first 32 bits decide, by their share of all. */
const strangerOf = (shard: number, shards: number): string =>
  Math.floor((shard + 0.5) / shards * 2 ** 32).toString(16).padStart(8, '0').padEnd(24, '0')
