// The main thread's side of one shard: the writer of its ingress ring, the reader of its answer
// ring, and its bell. Bells are rung once per batch of records.

import { type Micros, msToUs } from '../../shards/base/units.ts'
import { Bell } from '../../shards/memory/doorbell.ts'
import { readJournalWords } from '../../shards/memory/journal-words.ts'
import type { ShardViews } from '../../shards/memory/layout.ts'
import { JOURNAL_STALLED_MS } from '../../shards/memory/limits.ts'
import { RING_FULL, RingReader, RingWriter } from '../../shards/memory/ring.ts'
import {
  WORD_ID_HIGH, WORD_ID_LOW, WORD_REQUEST, WORD_ROUTE, WORD_TENANT, REQUEST_WORDS,
} from '../../shards/wire/contract.ts'
import type { ErrorCode } from '../base/errors.ts'
import { RECORDS_PER_RING_MAX, TURNS_PER_RING_MAX } from '../base/limits.ts'

/** A shard's thread was replaced. */
export interface ShardRestart {
  /** Unix ms. */
  readonly atMs: number
  /** Why the predecessor ended. */
  readonly reason: string
  /** Between the end of the predecessor and the moment when the successor is ready. */
  readonly downMs: number
}

/** One shard, as the main thread sees it. */
export interface ShardLink {
  readonly shard: number
  readonly views: ShardViews
  readonly ingress: RingWriter
  readonly bell: Bell
  readonly answers: RingReader
  /** Set by the supervisor while the shard's thread is not running and will not be soon. */
  down: boolean
  /** While true, the shard's journal cannot be written, so it does not answer. */
  stalled: boolean
  /** While true, the files of its journal are gone, and no job is accepted. */
  lost: boolean
  /** How often the shard's thread was replaced by a successor on the same memory. */
  restarts: number
  lastRestart: ShardRestart | null
}

/** Opens the link to a shard; only once, since each ring has one writer and one reader. */
export function openShardLink(shard: number, views: ShardViews): ShardLink {
  return {
    shard,
    views,
    ingress: new RingWriter(views.ingress),
    bell: new Bell(views.bell),
    answers: new RingReader(views.answers),
    down: false,
    stalled: false,
    lost: false,
    restarts: 0,
    lastRestart: null,
  }
}

/** Why a shard does not answer for now; undefined when it does. */
export const absenceOf = ({ down, lost, stalled }: ShardLink): ErrorCode | undefined =>
  down ? 'shard_down' : lost ? 'journal_lost' : stalled ? 'journal_stalled' : undefined

/** Checks whether a shard's journal is gone, or has not been written for too long. */
export function noteStall(link: ShardLink, nowUs: Micros): void {
  const { isLost, stalledUs } = readJournalWords(link.views)
  link.lost = isLost
  link.stalled = stalledUs !== 0 && nowUs - stalledUs > msToUs(JOURNAL_STALLED_MS)
}

/**
 * Rings the shards that got records. Waking a thread costs more than handing it a job, so ringing
 * is delayed while more records arrive: until an iteration of the event loop brings none, or
 * RECORDS_PER_RING_MAX records or TURNS_PER_RING_MAX iterations have passed. For a single record
 * this costs one more poll of the sockets, a few microseconds.
 */
export class BatchBells {
  readonly #links: readonly ShardLink[]
  readonly #onLull: () => void
  readonly #due: Uint8Array
  /** Records committed since the bells were rung, and as of the previous iteration. */
  #records = 0
  #recordsBefore = 0
  #turns = 0
  #scheduled = false
  /** Counts the iterations in which bells were delayed; changes when one of them ends. */
  turn = 0

  /** @param onLull called after bells were rung because no more records arrived. */
  constructor(links: readonly ShardLink[], onLull: () => void) {
    this.#links = links
    this.#onLull = onLull
    this.#due = new Uint8Array(links.length)
  }

  /** Whether ringing is delayed, so that `turn` will change at the end of this iteration. */
  get isWaiting(): boolean {
    return this.#scheduled
  }

  /** A record was committed to the shard's ingress ring. */
  ringSoon(shard: number): void {
    this.#due[shard] = 1
    this.#records++
    if (!this.#scheduled) this.#schedule()
  }

  #schedule(): void {
    this.#scheduled = true
    setImmediate(this.#look)
  }

  readonly #look = (): void => {
    this.turn++
    this.#turns++
    if (this.#records > this.#recordsBefore && this.#records < RECORDS_PER_RING_MAX &&
      this.#turns < TURNS_PER_RING_MAX) {
      this.#recordsBefore = this.#records
      return this.#schedule()
    }
    const isLull = this.#records < RECORDS_PER_RING_MAX
    this.#scheduled = false
    this.#records = this.#recordsBefore = this.#turns = 0
    for (const link of this.#links) {
      if (this.#due[link.shard] === 0) continue
      this.#due[link.shard] = 0
      link.bell.ring()
    }
    if (isLull) this.#onLull()
  }
}

/**
 * Sends a record of REQUEST_WORDS words: every kind but an enqueue. Returns its position in the
 * ring, or RING_FULL. The caller rings the bell.
 */
export function sendRequest(
  link: ShardLink, kind: number, request: number, route: number, idHigh: number, idLow: number,
  tenant: number,
): number {
  const { ingress } = link
  const at = ingress.claim(kind, REQUEST_WORDS * 4)
  if (at === RING_FULL) return RING_FULL
  const word = at >>> 2
  ingress.u32[word + WORD_REQUEST] = request
  ingress.u32[word + WORD_ROUTE] = route
  ingress.u32[word + WORD_ID_HIGH] = idHigh
  ingress.u32[word + WORD_ID_LOW] = idLow
  ingress.u32[word + WORD_TENANT] = tenant
  return ingress.commit()
}
