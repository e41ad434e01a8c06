// What the main thread holds of one shard: the writing end of its ingress ring, the reading end of
// its outcome ring, and its bell. Bells are rung once per turn of the event loop, not per record.

import { WORD_ID_HIGH, WORD_ID_LOW, WORD_REQUEST, WORD_ROUTE, REQUEST_WORDS }
  from '../shards/contract.ts'
import { Bell } from '../shards/doorbell.ts'
import type { ShardViews } from '../shards/layout.ts'
import { RING_FULL, RingReader, RingWriter } from '../shards/ring.ts'

/** One shard, as the main thread sees it. */
export interface ShardLink {
  readonly shard: number
  readonly views: ShardViews
  readonly ingress: RingWriter
  readonly bell: Bell
  readonly outcomes: RingReader
  /** Set by the supervisor while the shard's thread is not running. */
  down: boolean
}

/** The link to a shard; there must be one only, since the rings have one writer and one reader. */
export function openShardLink(shard: number, views: ShardViews): ShardLink {
  return {
    shard,
    views,
    ingress: new RingWriter(views.ingress),
    bell: new Bell(views.bell),
    outcomes: new RingReader(views.outcomes),
    down: false,
  }
}

/** Rings the shards that got records, at the end of this turn of the event loop. */
export class BatchBells {
  readonly #links: readonly ShardLink[]
  readonly #due: Uint8Array
  #scheduled = false

  constructor(links: readonly ShardLink[]) {
    this.#links = links
    this.#due = new Uint8Array(links.length)
  }

  /** Something was committed to the shard's ingress ring. */
  ringSoon(shard: number): void {
    this.#due[shard] = 1
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#ring)
  }

  readonly #ring = (): void => {
    this.#scheduled = false
    for (const link of this.#links) {
      if (this.#due[link.shard] === 0) continue
      this.#due[link.shard] = 0
      link.bell.ring()
    }
  }
}

/**
 * Sends a record of REQUEST_WORDS words: every kind but an enqueue. False when the ring is full.
 * The bell is the caller's to ring.
 */
export function sendRequest(
  link: ShardLink, kind: number, request: number, route: number, idHigh: number, idLow: number,
): boolean {
  const { ingress } = link
  const at = ingress.claim(kind, REQUEST_WORDS * 4)
  if (at === RING_FULL) return false
  const word = at >>> 2
  ingress.u32[word + WORD_REQUEST] = request
  ingress.u32[word + WORD_ROUTE] = route
  ingress.u32[word + WORD_ID_HIGH] = idHigh
  ingress.u32[word + WORD_ID_LOW] = idLow
  ingress.commit()
  return true
}
