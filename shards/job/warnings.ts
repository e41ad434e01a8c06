// Warnings about upstreams: invalid headers, which are all counted, and addresses that are refused.
// One per upstream and minute is logged.
// Thread: shard. Memory: a private time for each upstream.
// Never: logs a long value; pace-headers.ts has truncated it.

import { type Micros, type UpstreamSlot, msToUs } from '../base/units.ts'
import type { StatsWriter } from '../memory/stats.ts'
import type { IgnoredHeader } from '../signals/pace-headers.ts'
import type { ShardWarning } from '../wire/contract.ts'
import type { AnswerWriter } from './answer-writer.ts'

const WARN_EVERY_MS = 60_000

/** The warnings of one shard. */
export class Warnings {
  readonly #answers: AnswerWriter
  readonly #stats: StatsWriter
  /** Until when no warning is logged, by upstream. */
  readonly #silentUntilUs: Float64Array

  constructor(upstreamsMax: number, answers: AnswerWriter, stats: StatsWriter) {
    this.#answers = answers
    this.#stats = stats
    this.#silentUntilUs = new Float64Array(upstreamsMax)
  }

  /** The state that a successor starts from: until when no warning is logged, by upstream. */
  handOver(): Float64Array {
    return this.#silentUntilUs
  }

  takeOver(silentUntilUs: Float64Array): void {
    this.#silentUntilUs.set(silentUntilUs)
  }

  /** Counts ignored headers, and logs the first of them if the upstream's last warning is old. */
  ignored(upstream: UpstreamSlot, headers: readonly IgnoredHeader[], nowUs: Micros): void {
    const [first] = headers
    if (first === undefined) return
    this.#stats.add('headersIgnored', headers.length)
    this.#warn(upstream, { name: first.name, value: first.value }, nowUs)
  }

  /** No request may go to the upstream, because of this rule. */
  refused(upstream: UpstreamSlot, rule: string, nowUs: Micros): void {
    this.#warn(upstream, { rule }, nowUs)
  }

  #warn(upstream: UpstreamSlot, warning: ShardWarning, nowUs: Micros): void {
    if (nowUs < (this.#silentUntilUs[upstream] as number)) return
    this.#silentUntilUs[upstream] = nowUs + msToUs(WARN_EVERY_MS)
    this.#answers.warning(upstream, warning)
  }
}
