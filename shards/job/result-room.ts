// Makes room in the log for a new job, or for the body of a response, by evicting older results.
// Thread: shard. Memory: none; undelivered-results.ts and kept-results.ts choose what is evicted.
// Never: evicts from another holder unless that is the largest. The oldest result goes first. A
// body that would make its own holder the largest evicts that holder's own oldest, or is omitted.

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

/** Makes room in one shard's log. */
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

  /** Whether the log admits a new job of `bytes`; evicts the largest holders' results if needed. */
  admitJob(bytes: number, nowUs: Micros): boolean {
    for (let left = RESULTS_GIVEN_UP_PER_STORE_MAX; !this.#records.admits(bytes); left--) {
      if (left === 0 || !this.#evict(0, nowUs)) return false
    }
    return true
  }

  /**
   * Stores a job's result as JobRecords.storeResult() does. For its body it evicts from larger
   * holders, or else the oldest body of its own receiver. @param template the job's.
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
      const isRoomMade = this.#evict(weight, nowUs) ||
        (isUndelivered && this.#evictOwn(receiver as UpstreamSlot, bytes))
      if (!isRoomMade) return false
    }
    return false
  }

  /** Evicts the oldest body of a receiver that holds enough to make room for so many bytes. */
  #evictOwn(receiver: UpstreamSlot, bytes: number): boolean {
    return this.#undelivered.bytesOf(receiver) >= bytes && this.#undelivered.giveUpBodyOf(receiver)
  }

  /** Evicts one result, or its body, of the largest holder, if its weight is above this one. */
  #evict(weight: number, nowUs: Micros): boolean {
    const kept = KEPT_RESULT_WEIGHT * this.#finished.resultBytesMost
    const undelivered = this.#undelivered.bytesMost
    if (Math.max(kept, undelivered) <= weight) return false
    return (undelivered > kept && this.#undelivered.giveUpBody()) ||
      this.#finished.giveUpResult(nowUs)
  }
}
