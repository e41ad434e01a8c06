// The addresses of host names, for sockets that are about to connect.
// Thread: shard. Memory: names that are kept and look-ups under way; both are bounded.
// Never: blocks the thread or takes one of the pool's, so that a name whose server is silent is
// waited for by those alone who want that name.
//
// An address is used as long as its answer says. When it then cannot be found anew because no name
// server answers, it is used on for a while (RFC 8767), and asked for again in the background; when
// a name server says that there is none, it is not.

import type { LookupAddress } from 'node:dns'
import { type LookupFunction, isIPv6 } from 'node:net'
import { unreachable } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { type Families, ordered } from './families.ts'
import { type KeptName, KeptNames } from './kept-names.ts'
import { Lookups, NO_ACCOUNT } from './lookups.ts'
import { NameError, noAddress, noAnswer } from './name-error.ts'
import type { NameAnswer, NameSource } from './name-source.ts'

/** What a Resolver is made with. */
export interface ResolverOptions {
  readonly source: NameSource
  /** One of its own, for a clock has one wake. */
  readonly clock: Clock
  readonly families: () => Families
}

/** Is told the addresses, at least one, or why there are none. */
type Hear = (found: readonly string[] | NameError) => void

const CROWDED = noAnswer('too many connections wait for the name')
/** Other names took its place at once. */
const NOT_KEPT = noAnswer('too many names are looked up')
const IN_BACKGROUND = (): void => {}

/** The names of one shard. */
export class Resolver {
  readonly #options: ResolverOptions
  readonly #kept = new KeptNames()
  readonly #lookups: Lookups
  /** Whose attempt the next call of `lookup` is for. */
  #account = NO_ACCOUNT
  /** Gives up what `lookup` was last called for. */
  #giveUp: (() => void) | undefined
  /** Sockets to one host begin with its addresses in turn. */
  #turn = 0

  constructor(options: ResolverOptions) {
    this.#options = options
    const { source, clock } = options
    this.#lookups = new Lookups({ source, clock, keep: this.#keep })
  }

  /** For the `lookup` of a socket. */
  readonly lookup: LookupFunction = (name, { all }, callback) => {
    this.#giveUp = this.find(name, (found) => {
      if (found instanceof NameError) return callback(found, [])
      const addresses = this.#inTurn(found)
      const [first] = addresses
      if (all === true || first === undefined) callback(null, addresses)
      else callback(null, first.address, first.family)
    }, this.#account)
  }

  /** To be said before `connect`, since a socket calls `lookup` before that returns. */
  expectFor(account: number): void {
    this.#account = account
  }

  /**
   * Takes what gives up the last call of `lookup`, if anything is to be given up. A socket calls
   * it before `connect` returns, and has no other way to say that it is gone.
   */
  takeGiveUp(): (() => void) | undefined {
    const giveUp = this.#giveUp
    this.#giveUp = undefined
    return giveUp
  }

  /**
   * Tells the name's addresses, after this has returned.
   * @param account whose look-up it is, if there has to be one.
   * @returns what gives up waiting, or undefined when there is nothing to wait for.
   */
  find(name: string, hear: Hear, account = NO_ACCOUNT): (() => void) | undefined {
    const { source, clock, families } = this.#options
    const known = source.known(name)
    if (known !== undefined) return soon(() => hear(ordered(known, families())))
    const nowUs = clock.nowUs()
    const kept = this.#kept.use(name)
    if (kept !== undefined && nowUs < kept.freshUntilUs) return soon(() => hear(kept.addresses))
    const isFailed = kept !== undefined && nowUs < kept.failedUntilUs
    if (kept?.error !== undefined && nowUs < kept.usableUntilUs) {
      if (!isFailed && !this.#lookups.has(name)) this.#lookups.join(name, IN_BACKGROUND)
      return soon(() => hear(kept.addresses))
    }
    if (isFailed) return soon(() => hear(kept.error ?? NOT_KEPT))
    const waiter = (): void => hear(this.#resultOf(name))
    if (!this.#lookups.join(name, waiter, account)) return soon(() => hear(CROWDED))
    return () => this.#lookups.leave(name, waiter)
  }

  /** What is kept of the name while it holds; undefined too for one that nobody need be asked. */
  fresh(name: string): KeptName | undefined {
    const kept = this.#kept.get(name)
    return kept !== undefined && this.#options.clock.nowUs() < kept.freshUntilUs ? kept : undefined
  }

  /** Whether the name is one that changes with the answers of name servers. */
  isAsked(name: string): boolean {
    return this.#options.source.known(name) === undefined
  }

  /** Gives up all look-ups; nobody is told. */
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

  /** Those of the first family, begun with another one each time, then the others likewise. */
  #inTurn(found: readonly string[]): LookupAddress[] {
    const addresses = found.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }))
    const first = addresses[0]?.family
    const turn = this.#turn++
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

/** A socket expects no answer while it asks. */
function soon(tell: () => void): undefined {
  queueMicrotask(tell)
}
