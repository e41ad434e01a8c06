// The checks of tokens that are under way. Few are verified at once; the others wait for their
// turn, clients in turn, and each client has a share, so that nobody's forged tokens keep out the
// new tokens of others.

import { Share } from '../../shards/memory/share.ts'
import { JWT_CHECKS_ALPHA, JWT_CHECKS_AT_ONCE, JWT_CHECKS_MAX } from '../base/limits.ts'

/** Admits checks, and gives them turns. A client is a number that stands for its address. */
export class TokenChecks {
  readonly #share =
    new Share({ name: 'token checks', bound: JWT_CHECKS_MAX, alpha: JWT_CHECKS_ALPHA })
  /** By client; no zeros. */
  readonly #held = new Map<number, number>()
  /** By client, in the order of their next turns; no empty ones. */
  readonly #waiting = new Map<number, (() => void)[]>()
  #turns = 0

  /** Admits a check, which ends with leave(); false: there are too many, or too many of its. */
  enter(client: number): boolean {
    const held = this.#held.get(client) ?? 0
    if (!this.#share.mayTake(held, 1)) return false
    this.#share.adopt(1)
    this.#held.set(client, held + 1)
    return true
  }

  leave(client: number): void {
    this.#share.give(1)
    const held = this.#held.get(client) as number
    if (held > 1) this.#held.set(client, held - 1)
    else this.#held.delete(client)
  }

  /** Does the work of an admitted check when it is its turn. The work must not reject. */
  async inTurn<Result>(client: number, work: () => Promise<Result>): Promise<Result> {
    if (this.#turns < JWT_CHECKS_AT_ONCE) this.#turns++
    else await this.#turn(client)
    const result = await work()
    this.#passTurn()
    return result
  }

  #turn(client: number): Promise<void> {
    return new Promise((resolve) => {
      const line = this.#waiting.get(client)
      if (line === undefined) this.#waiting.set(client, [resolve])
      else line.push(resolve)
    })
  }

  #passTurn(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#turns--
      return
    }
    const [client, line] = next
    const begin = line.shift()
    this.#waiting.delete(client)
    if (line.length > 0) this.#waiting.set(client, line)
    begin?.()
  }
}
