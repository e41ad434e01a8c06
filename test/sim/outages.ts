// Outages, during which no connection to a place can be opened: idle ones are lost, and new ones
// are refused, or hang until the place is back, all at once, or until they time out.

import type { Prng } from '../../shards/base/prng.ts'
import type { VirtualTime } from './virtual-time.ts'

/** An outage lasts 10^low … 10^high microseconds. */
const LASTS_LOW = 4
const LASTS_HIGH = 7.3
/** The part of outages that refuse connections; the others do not respond. */
const REFUSES = 0.4

/** Connections to a place. */
export interface Losable {
  loseIdle(): void
}

interface Outage {
  readonly untilUs: number
  readonly isRefusing: boolean
}

/** The present outages. */
export class Outages {
  readonly #time: VirtualTime
  readonly #prng: Prng
  readonly #outages = new Map<number, Outage>()
  readonly #connections = new Map<number, Set<Losable>>()

  constructor(time: VirtualTime, prng: Prng) {
    this.#time = time
    this.#prng = prng
  }

  add(place: number, connections: Losable): void {
    const known = this.#connections.get(place)
    if (known === undefined) this.#connections.set(place, new Set([connections]))
    else known.add(connections)
  }

  remove(place: number, connections: Losable): void {
    this.#connections.get(place)?.delete(connections)
  }

  begin(place: number): void {
    if (this.isOut(place)) return
    const lastsUs = 10 ** (LASTS_LOW + this.#prng.unit() * (LASTS_HIGH - LASTS_LOW))
    const untilUs = this.#time.nowUs() + Math.round(lastsUs)
    this.#outages.set(place, { untilUs, isRefusing: this.#prng.chance(REFUSES) })
    for (const connections of this.#connections.get(place) ?? []) connections.loseIdle()
  }

  isOut(place: number): boolean {
    return this.#time.nowUs() < this.untilUs(place)
  }

  isRefusing(place: number): boolean {
    return this.#outages.get(place)?.isRefusing === true
  }

  untilUs(place: number): number {
    return this.#outages.get(place)?.untilUs ?? 0
  }

  /** Ends all outages. */
  end(): void {
    this.#outages.clear()
  }
}
