// Shards that are handed over to new threads, at any turn, with requests in flight, by the old
// thread's baton: over 60 seeds every guarantee holds, and nothing is sent twice or lost; over 40,
// threads crash as well. And the checkers detect parts that hand over less than they should.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Attempts } from '../../shards/job/attempts.ts'
import { Finished } from '../../shards/job/finished.ts'
import { Settlement } from '../../shards/job/settlement.ts'
import { Watchers } from '../../shards/job/watchers.ts'
import { Wheel } from '../../shards/memory/wheel.ts'
import { Lanes } from '../../shards/pace/lanes.ts'
import { Pacer } from '../../shards/pace/pacer.ts'
import { RoundRobin } from '../../shards/pace/round-robin.ts'
import { JobSlots } from '../../shards/store/job-slots.ts'
import { Segments } from '../../shards/store/segments.ts'
import { Templates } from '../../shards/store/templates.ts'
import { RelayedTransport } from '../../shards/transport/relayed-transport.ts'
import { SEED } from '../support/swarm.ts'
import { runSeed } from './run-seed.ts'
import { testSeeds, testSomebodyObjects } from './seeds.ts'
import './verify-on.ts'

test('a seed with reloads gives the same run, to the byte', () => {
  const first = runSeed(SEED, 3, undefined, ['reloads'])
  assert.deepEqual(runSeed(SEED, 3, undefined, ['reloads']), first)
  assert.notEqual(runSeed(SEED, 3).digest, first.digest)
})

testSeeds('notice nothing of a reload', { seeds: 40, perTest: 20 }, ['reloads'])
testSeeds('survive reloads and deaths', { seeds: 20, perTest: 20 }, ['reloads', 'deaths'])

// Damage to the cleaner and the sweep for overdue jobs shows late; property tests cover them.
const parts: readonly { prototype: object }[] = [
  Attempts, Finished, JobSlots, Lanes, Pacer, Segments, Settlement, Templates, RoundRobin, Watchers,
  Wheel,
]
for (const part of parts) {
  const { name } = part as unknown as { name: string }
  testSomebodyObjects(
    `${name} takes nothing over`, { part, method: 'takeOver', damage: () => {} }, ['reloads'])
}

testSomebodyObjects('the old thread is not listened to',
  { part: RelayedTransport, method: 'receiveFrom', damage: () => {} }, ['reloads'])
