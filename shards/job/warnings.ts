// Headers that made no sense: counted always, told to the log once per upstream and minute.
// Thread: shard. Memory: a time for each upstream, its own.
// Never: repeats a value that could be long; pace-headers.ts has cut it.

import { type Micros, type UpstreamSlot, msToUs } from '../base/units.ts'
import type { StatsWriter } from '../memory/stats.ts'
import type { IgnoredHeader } from '../signals/pace-headers.ts'
import type { AnswerWriter } from './answer-writer.ts'

const WARN_EVERY_MS = 60_000

/** The warnings of one shard. */
export class Warnings {
  readonly #answers: AnswerWriter
  readonly #stats: StatsWriter
  /** When to be silent until, per upstream. */
  readonly #silentUntilUs: Float64Array

  constructor(upstreamsMax: number, answers: AnswerWriter, stats: StatsWriter) {
    this.#answers = answers
    this.#stats = stats
    this.#silentUntilUs = new Float64Array(upstreamsMax)
  }

  /** What a successor begins with: until when to be silent, per upstream. */
  handOver(): Float64Array {
    return this.#silentUntilUs
  }

  takeOver(silentUntilUs: Float64Array): void {
    this.#silentUntilUs.set(silentUntilUs)
  }

  /** Counts ignored headers, and warns of the first of them if this upstream's minute is over. */
  ignored(upstream: UpstreamSlot, headers: readonly IgnoredHeader[], nowUs: Micros): void {
    const [first] = headers
    if (first === undefined) return
    this.#stats.add('headersIgnored', headers.length)
    if (nowUs < (this.#silentUntilUs[upstream] as number)) return
    this.#silentUntilUs[upstream] = nowUs + msToUs(WARN_EVERY_MS)
    this.#answers.warning(upstream, { name: first.name, value: first.value })
  }
}
