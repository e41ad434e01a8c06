// How often a shard was told that it cannot reach a place. Each time may cost one attempt of a job
// that waits there, which is counted without any visible request; at most one.

import type { FailureReason } from '../../../shards/signals/response.ts'
import { promise } from '../violation.ts'

const CHECKER = 'ledger'

interface Told {
  readonly atUs: number[]
  readonly reasons: Set<string>
  /** Attempts that are known to have been counted without a request. */
  spent: number
}

/** The ledger of attempts without a request. */
export class Unreached {
  readonly #told = new Map<string, Told>()

  tell(shard: number, place: number, reason: FailureReason, nowUs: number): void {
    const told = this.#at(shard, place)
    told.atUs.push(nowUs)
    told.reasons.add(reason)
  }

  /** How often that happened so far. */
  count(shard: number, place: number): number {
    return this.#at(shard, place).atUs.length
  }

  /** Attempts that are known to be due to it; later jobs may account for the rest. */
  spentOf(shard: number, place: number): number {
    return this.#at(shard, place).spent
  }

  /** The time of the `number`th such event, from 1; undefined if there were fewer. */
  timeOf(shard: number, place: number, number: number): number | undefined {
    return this.#at(shard, place).atUs[number - 1]
  }

  /** Whether the shard was ever told that about the place, for that reason. */
  knows(shard: number, place: number, reason: string): boolean {
    return this.#at(shard, place).reasons.has(reason)
  }

  /** So many attempts were counted without a request. @param excused with another cause. */
  spend(shard: number, place: number, attempts: number, excused: number): void {
    const told = this.#at(shard, place)
    told.spent += Math.max(0, attempts - excused)
    promise(told.spent <= told.atUs.length, CHECKER, () =>
      `${told.spent} attempts at ${place} failed unsent, though it was out of shard ${shard}'s ` +
      `reach ${told.atUs.length} times`)
  }

  #at(shard: number, place: number): Told {
    const name = `${shard} ${place}`
    let told = this.#told.get(name)
    if (told === undefined) {
      told = { atUs: [], reasons: new Set(), spent: 0 }
      this.#told.set(name, told)
    }
    return told
  }
}
