// Results of pending webhooks that have a body worth evicting.
// Thread: shard. Memory: lists through the slots' result links, one for each receiver.
// Never: ends a webhook: only a body is evicted, and the result is delivered as truncated.
// A receiver that hangs holds all its results, so the largest receiver is evicted from, its oldest
// first.

import { type JobSlot, NONE, type UpstreamSlot } from '../base/units.ts'
import { Heaviest, type HeaviestBaton } from '../memory/heaviest.ts'
import { JobLists } from '../memory/job-list.ts'
import { BODY_GIVEN_UP_BYTES_MIN } from '../memory/result-limits.ts'
import type { StatsWriter } from '../memory/stats.ts'
import type { JobRecords } from './job-records.ts'
import type { JobSlots } from './job-slots.ts'

/** Ends of the lists, and the bytes that each receiver's bodies take. */
export interface UndeliveredResultsBaton {
  readonly heads: Uint32Array
  readonly tails: Uint32Array
  readonly bytes: HeaviestBaton
}

/** The bodies of one shard's pending webhooks, by receiver. */
export class UndeliveredResults {
  readonly #records: JobRecords
  readonly #stats: StatsWriter
  readonly #heads: Uint32Array
  readonly #tails: Uint32Array
  readonly #lists: JobLists
  readonly #bytes: Heaviest

  constructor(jobs: JobSlots, records: JobRecords, stats: StatsWriter, receivers: number) {
    this.#records = records
    this.#stats = stats
    this.#heads = new Uint32Array(receivers).fill(NONE)
    this.#tails = new Uint32Array(receivers).fill(NONE)
    const links = { next: jobs.at.resultNext, prev: jobs.at.resultPrev }
    this.#lists = new JobLists(links, this.#heads, this.#tails)
    this.#bytes = new Heaviest(receivers, BODY_GIVEN_UP_BYTES_MIN)
  }

  /** The state that a successor on the same memory starts from. */
  handOver(): UndeliveredResultsBaton {
    return { heads: this.#heads, tails: this.#tails, bytes: this.#bytes.handOver() }
  }

  takeOver(baton: UndeliveredResultsBaton): void {
    this.#heads.set(baton.heads)
    this.#tails.set(baton.tails)
    this.#bytes.takeOver(baton.bytes)
  }

  /** Bytes of a receiver's undelivered bodies. */
  bytesOf(receiver: UpstreamSlot): number {
    return this.#bytes.weightOf(receiver)
  }

  /** Bytes of about the largest receiver. */
  get bytesMost(): number {
    return this.#bytes.most
  }

  /** Adds a stored result that is to be delivered to the receiver. */
  add(slot: JobSlot, receiver: UpstreamSlot): void {
    const bytes = this.#evictableBytesOf(slot)
    if (bytes === 0) return
    this.#lists.pushBack(receiver, slot)
    this.#bytes.add(receiver, bytes)
  }

  /** Removes a result that was delivered, or will not be; its record must be unchanged. */
  remove(slot: JobSlot, receiver: UpstreamSlot): void {
    const bytes = this.#evictableBytesOf(slot)
    if (bytes === 0) return
    this.#lists.remove(receiver, slot)
    this.#bytes.add(receiver, -bytes)
  }

  /** Evicts the oldest body of the largest receiver; false when there is none. */
  giveUpBody(): boolean {
    const receiver = this.#bytes.first
    return receiver !== NONE && this.giveUpBodyOf(receiver as UpstreamSlot)
  }

  /** Evicts the oldest body of one receiver; false if there is none, or no space to rewrite it. */
  giveUpBodyOf(receiver: UpstreamSlot): boolean {
    const slot = this.#lists.first(receiver) as JobSlot
    if (slot === NONE) return false
    this.remove(slot, receiver)
    const isDropped = this.#records.dropBody(slot)
    if (isDropped) this.#stats.add('undeliveredBodiesGivenUp')
    else this.add(slot, receiver)
    return isDropped
  }

  #evictableBytesOf(slot: JobSlot): number {
    const bytes = this.#records.bodyBytesOf(slot)
    return bytes < BODY_GIVEN_UP_BYTES_MIN ? 0 : bytes
  }
}
