// Room in the log, at the price of results that are there already: for a new job, and for the body
// of a response.
// Thread: shard. Memory: none; undelivered-results.ts and kept-results.ts know whose result gives
// way.
// Never: takes more from anybody than they hold in excess: who holds most gives way, the oldest
// first. A body that would make its holder that one costs that holder's own oldest, or is left out.

import { type JobSlot, type Micros, NONE, type UpstreamSlot } from '../base/units.ts'
import {
  BODY_GIVEN_UP_BYTES_MIN, KEPT_RESULT_WEIGHT, RESULTS_GIVEN_UP_PER_STORE_MAX,
} from '../memory/result-limits.ts'
import type { StatsWriter } from '../memory/stats.ts'
import type { DecodedTemplate } from '../store/decoded-templates.ts'
import type { JobRecords } from '../store/job-records.ts'
import { type StoredResult, resultBytes } from '../store/stored-result.ts'
import type { UndeliveredResults } from '../store/undelivered-results.ts'
import type { Finished } from './finished.ts'

/** Makes room for one shard's jobs and results. */
export class ResultRoom {
  readonly #records: JobRecords
  readonly #finished: Finished
  readonly #undelivered: UndeliveredResults
  readonly #stats: StatsWriter

  constructor(
    records: JobRecords, finished: Finished, undelivered: UndeliveredResults, stats: StatsWriter,
  ) {
    this.#records = records
    this.#finished = finished
    this.#undelivered = undelivered
    this.#stats = stats
  }

  /** Whether the log takes a new job of `bytes`, if need be for the results of who holds most. */
  admitJob(bytes: number, nowUs: Micros): boolean {
    for (let left = RESULTS_GIVEN_UP_PER_STORE_MAX; !this.#records.admits(bytes); left--) {
      if (left === 0 || !this.#giveUp(0, nowUs)) return false
    }
    return true
  }

  /**
   * Stores a job's result as JobRecords.storeResult() does, and gives up for its body what others
   * hold in excess, or its own holder has held longest. @param template the job's.
   */
  store(
    slot: JobSlot, template: DecodedTemplate, result: StoredResult, nowUs: Micros,
  ): boolean {
    const isWhole = result.body === null || result.body.length < BODY_GIVEN_UP_BYTES_MIN ||
      this.#admitBody(slot, template.receiver, result, nowUs)
    if (isWhole) return this.#records.storeResult(slot, template, result)
    this.#stats.add('bodiesLeftOut')
    return this.#records.storeResult(slot, template, { ...result, body: null, truncated: true })
  }

  #admitBody(slot: JobSlot, receiver: number, result: StoredResult, nowUs: Micros): boolean {
    const bytes = resultBytes(result)
    const isUndelivered = receiver !== NONE && result.status !== 'cancelled'
    for (let left = RESULTS_GIVEN_UP_PER_STORE_MAX; left > 0; left--) {
      if (this.#records.admitsBody(slot, bytes)) return true
      const weight = bytes + (isUndelivered ? this.#undelivered.bytesOf(receiver as UpstreamSlot)
        : this.#finished.resultBytesOfUser(slot))
      const isRoomMade = this.#giveUp(weight, nowUs) ||
        (isUndelivered && this.#giveUpOwn(receiver as UpstreamSlot, bytes))
      if (!isRoomMade) return false
    }
    return false
  }

  /** The oldest body of a receiver that holds enough to make room for so many bytes. */
  #giveUpOwn(receiver: UpstreamSlot, bytes: number): boolean {
    return this.#undelivered.bytesOf(receiver) >= bytes && this.#undelivered.giveUpBodyOf(receiver)
  }

  /** One result, or its body, of whoever holds most, if that weighs more than this. */
  #giveUp(weight: number, nowUs: Micros): boolean {
    const kept = KEPT_RESULT_WEIGHT * this.#finished.resultBytesMost
    const undelivered = this.#undelivered.bytesMost
    if (Math.max(kept, undelivered) <= weight) return false
    return (undelivered > kept && this.#undelivered.giveUpBody()) ||
      this.#finished.giveUpResult(nowUs)
  }
}
