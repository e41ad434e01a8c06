// Resolves host names for sockets that are about to connect.
// Thread: shard. Memory: cached names and running look-ups; both are bounded.
// Never: blocks the thread or uses one of the pool, so that a name with a silent server delays only
// those who need that name.
//
// An address is used for its TTL. If it then cannot be refreshed because no name server answers, it
// is used for a while longer (RFC 8767) and refreshed in the background; if a name server answers
// that there is none, it is not used any more.

import type { LookupAddress } from 'node:dns'
import { type LookupFunction, isIPv6 } from 'node:net'
import { unreachable } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { type Families, ordered } from './families.ts'
import { type KeptName, KeptNames } from './kept-names.ts'
import { Lookups, NO_ACCOUNT } from './lookups.ts'
import { NameError, noAddress, noAnswer } from './name-error.ts'
import type { NameAnswer, NameSource } from './name-source.ts'

/** Options of a Resolver. */
export interface ResolverOptions {
  readonly source: NameSource
  /** Not shared, since a clock has only one wake-up. */
  readonly clock: Clock
  readonly families: () => Families
}

/** Receives the addresses, at least one, or why there are none. */
type Found = (found: readonly string[] | NameError) => void

const CROWDED = noAnswer('too many connections wait for the name')
/** Other names evicted it immediately. */
const NOT_KEPT = noAnswer('too many names are looked up')
const IN_BACKGROUND = (): void => {}

/** The resolver of one shard. */
export class Resolver {
  readonly #options: ResolverOptions
  readonly #kept = new KeptNames()
  readonly #lookups: Lookups
  /** The account for whose attempt `lookup` is called next. */
  #account = NO_ACCOUNT
  /** Cancels the last call of `lookup`. */
  #cancel: (() => void) | undefined
  /** Sockets to one host start with its addresses round robin. */
  #rotation = 0

  constructor(options: ResolverOptions) {
    this.#options = options
    const { source, clock } = options
    this.#lookups = new Lookups({ source, clock, keep: this.#keep })
  }

  /** The `lookup` option of a socket. */
  readonly lookup: LookupFunction = (name, { all }, callback) => {
    this.#cancel = this.find(name, (found) => {
      if (found instanceof NameError) return callback(found, [])
      const addresses = this.#rotated(found)
      const [first] = addresses
      if (all === true || first === undefined) callback(null, addresses)
      else callback(null, first.address, first.family)
    }, this.#account)
  }

  /** To be called before `connect`, since a socket calls `lookup` before that returns. */
  expectFor(account: number): void {
    this.#account = account
  }

  /**
   * Returns the function that cancels the last call of `lookup`, if there is anything to cancel. A
   * socket calls `lookup` before `connect` returns, and cannot cancel it otherwise.
   */
  takeGiveUp(): (() => void) | undefined {
    const cancel = this.#cancel
    this.#cancel = undefined
    return cancel
  }

  /**
   * Finds the name's addresses; calls `done` after this has returned.
   * @param account the look-up's account, if one has to be started.
   * @returns a function that cancels the wait; undefined when there is nothing to wait for.
   */
  find(name: string, done: Found, account = NO_ACCOUNT): (() => void) | undefined {
    const { source, clock, families } = this.#options
    const known = source.known(name)
    if (known !== undefined) return soon(() => done(ordered(known, families())))
    const nowUs = clock.nowUs()
    const kept = this.#kept.use(name)
    if (kept !== undefined && nowUs < kept.freshUntilUs) return soon(() => done(kept.addresses))
    const isFailed = kept !== undefined && nowUs < kept.failedUntilUs
    if (kept?.error !== undefined && nowUs < kept.usableUntilUs) {
      if (!isFailed && !this.#lookups.has(name)) this.#lookups.join(name, IN_BACKGROUND)
      return soon(() => done(kept.addresses))
    }
    if (isFailed) return soon(() => done(kept.error ?? NOT_KEPT))
    const waiter = (): void => done(this.#resultOf(name))
    if (!this.#lookups.join(name, waiter, account)) return soon(() => done(CROWDED))
    return () => this.#lookups.leave(name, waiter)
  }

  /** The name's entry while it is fresh; undefined also for names known without a query. */
  fresh(name: string): KeptName | undefined {
    const kept = this.#kept.get(name)
    return kept !== undefined && this.#options.clock.nowUs() < kept.freshUntilUs ? kept : undefined
  }

  /** Whether the name is resolved by queries, so that its addresses can change. */
  isAsked(name: string): boolean {
    return this.#options.source.known(name) === undefined
  }

  /** Cancels all look-ups, without calling their waiters. */
  close(): void {
    this.#lookups.close()
  }

  #resultOf(name: string): readonly string[] | NameError {
    const kept = this.#kept.get(name)
    if (kept === undefined) return NOT_KEPT
    const isUsable = this.#options.clock.nowUs() < kept.usableUntilUs
    return isUsable ? kept.addresses : kept.error ?? NOT_KEPT
  }

  readonly #keep = (name: string, answer: NameAnswer): void => {
    const nowUs = this.#options.clock.nowUs()
    switch (answer.kind) {
      case 'found': {
        const addresses = ordered(answer.addresses, this.#options.families())
        return this.#kept.found(name, addresses, answer.ttlMs, nowUs)
      }
      case 'failed':
        return this.#kept.failed(name, noAnswer(`${answer.detail}: ${name}`), nowUs)
      case 'none':
        return this.#kept.none(name, noAddress(`${answer.detail}: ${name}`), nowUs)
      default:
        return unreachable(answer)
    }
  }

  /** The first family's addresses, starting with another one each time; the others likewise. */
  #rotated(found: readonly string[]): LookupAddress[] {
    const addresses = found.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }))
    const first = addresses[0]?.family
    const turn = this.#rotation++
    return [
      ...rotated(addresses.filter(({ family }) => family === first), turn),
      ...rotated(addresses.filter(({ family }) => family !== first), turn),
    ]
  }
}

/** ([1, 2, 3], 4) → [2, 3, 1]. */
function rotated<Item>(items: readonly Item[], turn: number): Item[] {
  const at = items.length === 0 ? 0 : turn % items.length
  return [...items.slice(at), ...items.slice(0, at)]
}

/** Calls it later: a socket does not expect the result while it calls `lookup`. */
function soon(call: () => void): undefined {
  queueMicrotask(call)
}
