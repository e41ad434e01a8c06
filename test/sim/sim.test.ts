// The simulator as part of the suite: a run is reproducible exactly, 50 seeds with one shard and
// with three keep every guarantee, and shares are fair.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SEED } from '../support/swarm.ts'
import { CONTESTS, jainIndex, runContest } from './fairness.ts'
import { runSeed } from './run-seed.ts'
import { testSeeds } from './seeds.ts'
import './verify-on.ts'

const SHARD_COUNTS = [1, 3]

for (const shards of SHARD_COUNTS) {
  test(`a seed gives the same run with ${shards} shards, to the byte`, () => {
    const first = runSeed(SEED, shards)
    const second = runSeed(SEED, shards)
    assert.ok(first.lines > 100, `only ${first.lines} events`)
    assert.deepEqual(second, first)
    assert.notEqual(runSeed(SEED + 1, shards).digest, first.digest)
  })
}

testSeeds('break no promise', { seeds: 50, perTest: 50 }, [], () => SHARD_COUNTS)

for (const contest of CONTESTS) {
  for (const shards of SHARD_COUNTS) {
    test(`turns are fair at ${contest.name} on ${shards} shards`, () => {
      for (const noisy of [false, true]) runContest(contest, SEED, shards, noisy)
    })
  }
}

test("Jain's index is 1 for equal shares and 1/n when one takes all", () => {
  assert.equal(jainIndex([3, 3]), 1)
  assert.equal(jainIndex([1, 0]), 0.5)
  assert.equal(jainIndex([0, 0, 0, 7]), 0.25)
  assert.equal(jainIndex([]), 1)
})
