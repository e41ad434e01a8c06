// The running look-ups: one per name, shared by all who wait for it.
// Thread: shard. Memory: bounded by LOOKUPS_MAX and LOOKUP_WAITERS_MAX.
// Never: caches an answer, or makes a name wait for others.
//
// Look-ups are a pool with a share for each account (share.ts). If the account has used up its
// share or the pool is full, a new look-up does not wait but evicts an old one: of the same account
// in the first case; in the second, of the account that holds the most, or of the zone that does if
// accounts hold equally many. A look-up is usually answered in milliseconds, so the oldest most
// likely waits for a silent server; and an account that fills the pool evicts its own first.
// (Longest queue drop, as in stochastic fairness queueing, P. McKenney 1990.)

import type { Clock } from '../base/clock.ts'
import { type Micros, msToUs } from '../base/units.ts'
import { LOOKUPS_MAX, LOOKUP_MS_MAX, LOOKUP_WAITERS_MAX } from '../memory/name-limits.ts'
import { SHARD_POOLS } from '../memory/pools.ts'
import { Share } from '../memory/share.ts'
import type { NameAnswer, NameSource } from './name-source.ts'

/** The account of look-ups that no account's attempt waits for. */
export const NO_ACCOUNT = 0

/** Called once, when the name's look-up has ended. */
export type Waiter = () => void

/** A running look-up. */
interface Lookup {
  readonly account: number
  readonly zone: string
  readonly waiters: Set<Waiter>
  readonly endsUs: Micros
  cancel: () => void
}

/** Options of Lookups. */
export interface LookupsOptions {
  readonly source: NameSource
  /** Not shared, since a clock has only one wake-up. */
  readonly clock: Clock
  /** Caches an answer, before the waiters are called. */
  readonly keep: (name: string, answer: NameAnswer) => void
}

/** The look-ups of one shard. */
export class Lookups {
  readonly #options: LookupsOptions
  /** By name, the oldest first. */
  readonly #running = new Map<string, Lookup>()
  /** Number of running look-ups of each account and each zone. */
  readonly #accounts = new Map<number, number>()
  readonly #zones = new Map<string, number>()
  readonly #share = new Share(
    { name: SHARD_POOLS.lookups.name, bound: LOOKUPS_MAX, alpha: SHARD_POOLS.lookups.alpha })

  constructor(options: LookupsOptions) {
    this.#options = options
  }

  /** Whether the name is being looked up. */
  has(name: string): boolean {
    return this.#running.has(name)
  }

  /**
   * Waits for the name's look-up, and starts it if there is none; false if too many wait.
   * @param account the look-up's account, if it is started.
   */
  join(name: string, waiter: Waiter, account = NO_ACCOUNT): boolean {
    const lookup = this.#running.get(name) ?? this.#begin(name, account)
    if (lookup.waiters.size >= LOOKUP_WAITERS_MAX) return false
    lookup.waiters.add(waiter)
    return true
  }

  /** Removes a waiter; a look-up without waiters is cancelled. */
  leave(name: string, waiter: Waiter): void {
    const lookup = this.#running.get(name)
    if (lookup?.waiters.delete(waiter) !== true || lookup.waiters.size > 0) return
    lookup.cancel()
    this.#remove(name, lookup)
  }

  /** Cancels all look-ups, without calling the waiters. */
  close(): void {
    for (const [name, lookup] of this.#running) {
      lookup.cancel()
      this.#remove(name, lookup)
    }
  }

  #begin(name: string, account: number): Lookup {
    const { source, clock } = this.#options
    this.#makeRoom(account)
    this.#share.adopt(1)
    const endsUs = (clock.nowUs() + msToUs(LOOKUP_MS_MAX)) as Micros
    const lookup: Lookup =
      { account, zone: zoneOf(name), waiters: new Set(), endsUs, cancel: () => {} }
    this.#running.set(name, lookup)
    count(this.#accounts, account, 1)
    count(this.#zones, lookup.zone, 1)
    lookup.cancel = source.ask(name, (answer) => this.#end(name, lookup, answer))
    if (this.#running.size === 1) this.#arm()
    return lookup
  }

  /** Evicts an old look-up, if the pool does not admit another one of the account. */
  #makeRoom(account: number): void {
    const refusal = this.#share.refusal(this.#accounts.get(account) ?? 0, 1)
    if (refusal === undefined) return
    this.#share.refuse(refusal, this.#options.clock.nowUs())
    let name = ''
    let found: Lookup | undefined
    for (const [each, lookup] of this.#running) {
      if (refusal === 'share' && lookup.account !== account) continue
      if (found !== undefined && !this.#holdsMore(lookup, found)) continue
      name = each
      found = lookup
    }
    if (found !== undefined) this.#fail(name, found, 'given up for newer look-ups')
  }

  /** Whether the account of `one` holds more look-ups; if equal, whether its zone does. */
  #holdsMore(one: Lookup, other: Lookup): boolean {
    const accounts = (this.#accounts.get(one.account) ?? 0) -
      (this.#accounts.get(other.account) ?? 0)
    if (accounts !== 0) return accounts > 0
    return (this.#zones.get(one.zone) ?? 0) > (this.#zones.get(other.zone) ?? 0)
  }

  #fail(name: string, lookup: Lookup, detail: string): void {
    lookup.cancel()
    this.#end(name, lookup, { kind: 'failed', detail })
  }

  #end(name: string, lookup: Lookup, answer: NameAnswer): void {
    this.#remove(name, lookup)
    this.#options.keep(name, answer)
    for (const waiter of lookup.waiters) waiter()
  }

  #remove(name: string, { account, zone }: Lookup): void {
    this.#running.delete(name)
    this.#share.give(1)
    count(this.#accounts, account, -1)
    count(this.#zones, zone, -1)
    if (this.#running.size === 0) this.#arm()
  }

  /** Sets the wake-up for the oldest, or one that was the oldest: a spurious one is harmless. */
  #arm(): void {
    const [oldest] = this.#running.values()
    this.#options.clock.wakeAt(oldest?.endsUs ?? Infinity as Micros, () => this.#endOld())
  }

  #endOld(): void {
    const nowUs = this.#options.clock.nowUs()
    for (const [name, lookup] of this.#running) {
      if (lookup.endsUs > nowUs) break
      this.#fail(name, lookup, 'no name server answered in time')
    }
    this.#arm()
  }
}

function count<Key>(counts: Map<Key, number>, key: Key, change: number): void {
  const left = (counts.get(key) ?? 0) + change
  if (left > 0) counts.set(key, left)
  else counts.delete(key)
}

/** The last two labels, which usually have one owner: 'a.b.example.com' → 'example.com'. */
function zoneOf(name: string): string {
  const end = name.endsWith('.') ? name.length - 1 : name.length
  const last = name.lastIndexOf('.', end - 1)
  return name.slice(name.lastIndexOf('.', last - 1) + 1, end)
}
