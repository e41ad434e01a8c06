// Results that receivers have still to be told of, as far as they have a body that could be spared.
// Thread: shard. Memory: lists through the slots' result links, one for each receiver.
// Never: ends a webhook: what gives way is a body, and the result is told as truncated.
// A receiver that hangs holds all its results; so who holds most gives way, its oldest first.

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

/** The bodies that one shard's receivers hold. */
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

  /** What a successor on the same memory begins with. */
  handOver(): UndeliveredResultsBaton {
    return { heads: this.#heads, tails: this.#tails, bytes: this.#bytes.handOver() }
  }

  takeOver(baton: UndeliveredResultsBaton): void {
    this.#heads.set(baton.heads)
    this.#tails.set(baton.tails)
    this.#bytes.takeOver(baton.bytes)
  }

  /** Bytes of the bodies that a receiver holds. */
  bytesOf(receiver: UpstreamSlot): number {
    return this.#bytes.weightOf(receiver)
  }

  /** And of about the most that any one does. */
  get bytesMost(): number {
    return this.#bytes.most
  }

  /** The job's result is stored, and the receiver has to be told of it. */
  add(slot: JobSlot, receiver: UpstreamSlot): void {
    const bytes = this.#sparedBytesOf(slot)
    if (bytes === 0) return
    this.#lists.pushBack(receiver, slot)
    this.#bytes.add(receiver, bytes)
  }

  /** It has been told, or will not be; the record is as it was. */
  remove(slot: JobSlot, receiver: UpstreamSlot): void {
    const bytes = this.#sparedBytesOf(slot)
    if (bytes === 0) return
    this.#lists.remove(receiver, slot)
    this.#bytes.add(receiver, -bytes)
  }

  /** Who holds most loses the body that it has held longest; false when nobody has any. */
  giveUpBody(): boolean {
    const receiver = this.#bytes.first
    return receiver !== NONE && this.giveUpBodyOf(receiver as UpstreamSlot)
  }

  /** The same of one receiver. */
  giveUpBodyOf(receiver: UpstreamSlot): boolean {
    const slot = this.#lists.first(receiver) as JobSlot
    if (slot === NONE) return false
    this.remove(slot, receiver)
    const isDropped = this.#records.dropBody(slot)
    if (isDropped) this.#stats.add('undeliveredBodiesGivenUp')
    else this.add(slot, receiver)
    return isDropped
  }

  #sparedBytesOf(slot: JobSlot): number {
    const bytes = this.#records.bodyBytesOf(slot)
    return bytes < BODY_GIVEN_UP_BYTES_MIN ? 0 : bytes
  }
}
