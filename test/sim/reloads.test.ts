// Shards that change threads while they live, at any turn, with requests in flight, by the baton
// of the old thread: over 60 seeds no promise is broken, nothing is sent twice or lost; over 40,
// threads die as well. And does somebody object when a part hands over less than it should?

import './verify-on.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Attempts } from '../../shards/attempts.ts'
import { Finished } from '../../shards/finished.ts'
import { JobSlots } from '../../shards/job-slots.ts'
import { Lanes } from '../../shards/lanes.ts'
import { Pacer } from '../../shards/pacer.ts'
import { RelayedTransport } from '../../shards/relayed-transport.ts'
import { Segments } from '../../shards/segments.ts'
import { Settlement } from '../../shards/settlement.ts'
import { Templates } from '../../shards/templates.ts'
import { TurnLists } from '../../shards/turn-lists.ts'
import { Watchers } from '../../shards/watchers.ts'
import { Wheel } from '../../shards/wheel.ts'
import { SEED } from '../support/swarm.ts'
import { describeFailure, runSeed } from './run-seed.ts'
import type { Trouble } from './scenario.ts'
import { firstObjection, testDamaged } from './saboteur.ts'

const SEEDS = 60
const SEEDS_WITH_DEATHS = 40
const SEEDS_PER_TEST = 20
const SABOTAGED_SEEDS_MAX = 40

/** One shard and three by turns. */
const shardsOf = (seed: number): number => seed % 2 === 0 ? 1 : 3

function testSeeds(title: string, seeds: number, troubles: readonly Trouble[]): void {
  for (let from = SEED; from < SEED + seeds; from += SEEDS_PER_TEST) {
    test(`seeds ${from} to ${from + SEEDS_PER_TEST - 1} ${title}`, () => {
      for (let seed = from; seed < from + SEEDS_PER_TEST; seed++) {
        try {
          runSeed(seed, shardsOf(seed), undefined, troubles)
        } catch (error) {
          assert.fail(describeFailure(error))
        }
      }
    })
  }
}

test('a seed with reloads gives the same run, to the byte', () => {
  const first = runSeed(SEED, 3, undefined, ['reloads'])
  assert.deepEqual(runSeed(SEED, 3, undefined, ['reloads']), first)
  assert.notEqual(runSeed(SEED, 3).digest, first.digest)
})

testSeeds('notice nothing of a reload', SEEDS, ['reloads'])
testSeeds('survive reloads and deaths', SEEDS_WITH_DEATHS, ['reloads', 'deaths'])

// The cleaner and the sweep for overdue jobs are slow to be missed; the property tests see to them.
const parts: readonly { prototype: object }[] = [
  Attempts, Finished, JobSlots, Lanes, Pacer, Segments, Settlement, Templates, TurnLists, Watchers,
  Wheel,
]
for (const part of parts) {
  const { name } = part as unknown as { name: string }
  testDamaged(`somebody objects when ${name} takes nothing over`,
    { part, method: 'takeOver', damage: () => {} }, () => {
      const objection = firstObjection(SEED, SABOTAGED_SEEDS_MAX,
        (seed) => runSeed(seed, shardsOf(seed), undefined, ['reloads']))
      assert.notEqual(objection, 'nobody')
    })
}

testDamaged('somebody objects when the old thread is not listened to',
  { part: RelayedTransport, method: 'receiveFrom', damage: () => {} }, () => {
    assert.notEqual(firstObjection(SEED, SABOTAGED_SEEDS_MAX,
      (seed) => runSeed(seed, shardsOf(seed), undefined, ['reloads'])), 'nobody')
  })
