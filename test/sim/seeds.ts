// Tests over many seeds: that every guarantee holds for all of them, and that a checker detects a
// damaged part of the engine within a few.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SEED } from '../support/swarm.ts'
import { describeFailure, runSeed } from './run-seed.ts'
import { type Damage, firstObjection, testDamaged } from './saboteur.ts'
import type { Trouble } from './scenario.ts'

const SABOTAGED_SEEDS_MAX = 40

/** One shard and three, alternating. */
export const shardsOf = (seed: number): number => seed % 2 === 0 ? 1 : 3

/** How many seeds from the base seed on are run, divided into tests. */
export interface SeedRange {
  readonly seeds: number
  readonly perTest: number
}

/**
 * One test for each `perTest` seeds. @param title what the seeds do.
 * @param countsOf the numbers of shards that each seed is run with.
 */
export function testSeeds(
  title: string, { perTest, seeds }: SeedRange, troubles: readonly Trouble[] = [],
  countsOf: (seed: number) => readonly number[] = (seed) => [shardsOf(seed)],
): void {
  for (let from = SEED; from < SEED + seeds; from += perTest) {
    test(`seeds ${from} to ${from + perTest - 1} ${title}`, () => {
      for (let seed = from; seed < from + perTest; seed++) {
        for (const shards of countsOf(seed)) runOrExplain(seed, shards, troubles)
      }
    })
  }
}

/** Any checker may be the one that detects it. */
export function testSomebodyObjects(
  title: string, damage: Damage, troubles: readonly Trouble[],
): void {
  testDamaged(`somebody objects when ${title}`, damage, () => {
    assert.notEqual(firstObjection(SEED, SABOTAGED_SEEDS_MAX,
      (seed) => runSeed(seed, shardsOf(seed), undefined, troubles)), 'nobody')
  })
}

function runOrExplain(seed: number, shards: number, troubles: readonly Trouble[]): void {
  try {
    runSeed(seed, shards, undefined, troubles)
  } catch (error) {
    assert.fail(describeFailure(error))
  }
}
