// The look-ups that are under way: one for a name, shared by all who wait for it.
// Thread: shard. Memory: bounded by LOOKUPS_MAX and LOOKUP_WAITERS_MAX.
// Never: keeps an answer, or lets a name wait for others.
//
// Where all places are taken, a new look-up does not wait: one of the zone that holds the most ends
// for it, the oldest. A look-up that is answered at all is answered in milliseconds, so an old one
// most likely waits for a silent server; and whoever fills the places ends his own first. (Longest
// queue drop, as in stochastic fairness queueing, P. McKenney 1990.)

import type { Clock } from './clock.ts'
import { LOOKUPS_MAX, LOOKUP_MS_MAX, LOOKUP_WAITERS_MAX } from './name-limits.ts'
import type { NameAnswer, NameSource } from './name-source.ts'
import { type Micros, msToUs } from './units.ts'

/** Is called once, when the name's look-up has ended. */
export type Waiter = () => void

/** One that is under way. */
interface Lookup {
  readonly zone: string
  readonly waiters: Set<Waiter>
  readonly endsUs: Micros
  cancel: () => void
}

/** What Lookups is made with. */
export interface LookupsOptions {
  readonly source: NameSource
  /** One of its own, for a clock has one wake. */
  readonly clock: Clock
  /** Keeps an answer, before those who wait are called. */
  readonly keep: (name: string, answer: NameAnswer) => void
}

/** The look-ups of one shard. */
export class Lookups {
  readonly #options: LookupsOptions
  /** The oldest first. */
  readonly #running = new Map<string, Lookup>()
  /** How many of these each zone has. */
  readonly #zones = new Map<string, number>()

  constructor(options: LookupsOptions) {
    this.#options = options
  }

  /** Whether the name is being looked up. */
  has(name: string): boolean {
    return this.#running.has(name)
  }

  /** Waits for the name's look-up, and begins it if there is none; false if too many wait. */
  join(name: string, waiter: Waiter): boolean {
    const lookup = this.#running.get(name) ?? this.#begin(name)
    if (lookup.waiters.size >= LOOKUP_WAITERS_MAX) return false
    lookup.waiters.add(waiter)
    return true
  }

  /** Waits no longer; a look-up that nobody waits for is let go. */
  leave(name: string, waiter: Waiter): void {
    const lookup = this.#running.get(name)
    if (lookup?.waiters.delete(waiter) !== true || lookup.waiters.size > 0) return
    lookup.cancel()
    this.#remove(name, lookup)
  }

  /** Ends all, without a word. */
  close(): void {
    for (const [name, lookup] of this.#running) {
      lookup.cancel()
      this.#remove(name, lookup)
    }
  }

  #begin(name: string): Lookup {
    if (this.#running.size >= LOOKUPS_MAX) this.#makeRoom()
    const { source, clock } = this.#options
    const endsUs = (clock.nowUs() + msToUs(LOOKUP_MS_MAX)) as Micros
    const lookup: Lookup =
      { zone: zoneOf(name), waiters: new Set(), endsUs, cancel: () => {} }
    this.#running.set(name, lookup)
    this.#zones.set(lookup.zone, (this.#zones.get(lookup.zone) ?? 0) + 1)
    lookup.cancel = source.ask(name, (answer) => this.#end(name, lookup, answer))
    if (this.#running.size === 1) this.#arm()
    return lookup
  }

  #makeRoom(): void {
    let zone = ''
    let most = 0
    for (const [each, count] of this.#zones) {
      if (count <= most) continue
      zone = each
      most = count
    }
    for (const [name, lookup] of this.#running) {
      if (lookup.zone === zone) return this.#giveUp(name, lookup, 'given up for newer look-ups')
    }
  }

  #giveUp(name: string, lookup: Lookup, detail: string): void {
    lookup.cancel()
    this.#end(name, lookup, { kind: 'failed', detail })
  }

  #end(name: string, lookup: Lookup, answer: NameAnswer): void {
    this.#remove(name, lookup)
    this.#options.keep(name, answer)
    for (const waiter of lookup.waiters) waiter()
  }

  #remove(name: string, { zone }: Lookup): void {
    this.#running.delete(name)
    const left = (this.#zones.get(zone) ?? 0) - 1
    if (left > 0) this.#zones.set(zone, left)
    else this.#zones.delete(zone)
    if (this.#running.size === 0) this.#arm()
  }

  /** For the oldest, or for one that was: a wake too many does no harm. */
  #arm(): void {
    const [oldest] = this.#running.values()
    this.#options.clock.wakeAt(oldest?.endsUs ?? Infinity as Micros, () => this.#endOld())
  }

  #endOld(): void {
    const nowUs = this.#options.clock.nowUs()
    for (const [name, lookup] of this.#running) {
      if (lookup.endsUs > nowUs) break
      this.#giveUp(name, lookup, 'no name server answered in time')
    }
    this.#arm()
  }
}

/** The last two labels, which most often belong to one owner: 'a.b.example.com' → 'example.com'. */
function zoneOf(name: string): string {
  const end = name.endsWith('.') ? name.length - 1 : name.length
  const last = name.lastIndexOf('.', end - 1)
  return name.slice(name.lastIndexOf('.', last - 1) + 1, end)
}
