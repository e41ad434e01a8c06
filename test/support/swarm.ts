// Seeds for model tests: many runs, each with its own seed, which a failure names, and operation
// weights drawn from it, with some operations disabled (swarm testing).

import assert from 'node:assert/strict'
import { Prng } from '../../shards/base/prng.ts'

/** The first seed: SLUICE_SEED, else a constant. */
export const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261_122)

/** Runs `run` with the seeds SEED … SEED + runs - 1; a failure names its seed. */
export function forEachSeed(runs: number, run: (prng: Prng, seed: number) => void): void {
  for (let seed = SEED; seed < SEED + runs; seed++) {
    try {
      run(new Prng(seed), seed)
    } catch (error) {
      assert.fail(`SLUICE_SEED=${seed}: ${error instanceof Error ? error.stack : String(error)}`)
    }
  }
}

/** Draws operations at random, with weights that the seed decides. */
export class Swarm<Operation extends string> {
  readonly #prng: Prng
  readonly #operations: readonly Operation[]
  readonly #weights: readonly number[]
  readonly #sum: number

  /** @param always is never disabled, so that a run does something. */
  constructor(prng: Prng, always: Operation, others: readonly Operation[]) {
    this.#prng = prng
    this.#operations = [always, ...others]
    this.#weights = this.#operations.map((operation) =>
      operation === always || prng.chance(0.75) ? prng.between(1, 20) : 0)
    this.#sum = this.#weights.reduce((sum, weight) => sum + weight, 0)
  }

  next(): Operation {
    let left = this.#prng.below(this.#sum)
    let at = 0
    while (left >= (this.#weights[at] as number)) left -= this.#weights[at++] as number
    return this.#operations[at] as Operation
  }
}
