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
import { runSeed } from './run-seed.ts'
import { testSeeds, testSomebodyObjects } from './seeds.ts'

test('a seed with reloads gives the same run, to the byte', () => {
  const first = runSeed(SEED, 3, undefined, ['reloads'])
  assert.deepEqual(runSeed(SEED, 3, undefined, ['reloads']), first)
  assert.notEqual(runSeed(SEED, 3).digest, first.digest)
})

testSeeds('notice nothing of a reload', { seeds: 60, perTest: 20 }, ['reloads'])
testSeeds('survive reloads and deaths', { seeds: 40, perTest: 20 }, ['reloads', 'deaths'])

// The cleaner and the sweep for overdue jobs are slow to be missed; the property tests see to them.
const parts: readonly { prototype: object }[] = [
  Attempts, Finished, JobSlots, Lanes, Pacer, Segments, Settlement, Templates, TurnLists, Watchers,
  Wheel,
]
for (const part of parts) {
  const { name } = part as unknown as { name: string }
  testSomebodyObjects(
    `${name} takes nothing over`, { part, method: 'takeOver', damage: () => {} }, ['reloads'])
}

testSomebodyObjects('the old thread is not listened to',
  { part: RelayedTransport, method: 'receiveFrom', damage: () => {} }, ['reloads'])
