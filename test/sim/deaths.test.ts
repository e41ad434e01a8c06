// Shard threads that crash between any two of their stores, repeatedly, even during recovery: over
// 50 seeds every guarantee holds, except those about the attempt that was lost. And the checkers
// detect recoveries that leave something out.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnswerWriter } from '../../shards/job/answer-writer.ts'
import { Intake } from '../../shards/job/intake.ts'
import { Settlement } from '../../shards/job/settlement.ts'
import { CrashNotes } from '../../shards/memory/crash-notes.ts'
import { Lanes } from '../../shards/pace/lanes.ts'
import { Pacer } from '../../shards/pace/pacer.ts'
import { SharedBudgets } from '../../shards/pace/shared-budget.ts'
import { JobSlots } from '../../shards/store/job-slots.ts'
import { SEED } from '../support/swarm.ts'
import { runSeed } from './run-seed.ts'
import { type Method, firstObjection, testDamaged } from './saboteur.ts'
import { shardsOf, testSeeds, testSomebodyObjects } from './seeds.ts'
import './verify-on.ts'

const SABOTAGED_SEEDS_MAX = 60

test('a seed with deaths gives the same run, to the byte', () => {
  const first = runSeed(SEED, 3, undefined, ['deaths'])
  assert.deepEqual(runSeed(SEED, 3, undefined, ['deaths']), first)
  assert.notEqual(runSeed(SEED, 3).digest, first.digest)
})

// One shard or three, not both: counting every store is slow.
testSeeds('survive the deaths of their threads', { seeds: 50, perTest: 50 }, ['deaths'])

test('a cancellation that was refused is not done by the next thread', () => {
  // Found among 10,000 seeds: no longer in flight after the crash, the job was cancelled after all.
  assert.ok(runSeed(2_003_647, 1, undefined, ['deaths']).jobs > 0)
})

function sabotage(
  name: string, part: { prototype: object }, method: string, damage: Method, objection: RegExp,
): void {
  testDamaged(`somebody objects when ${name}`, { part, method, damage }, () => {
    assert.match(firstObjection(SEED, SABOTAGED_SEEDS_MAX,
      (seed) => runSeed(seed, shardsOf(seed), undefined, ['deaths'])), objection)
  })
}

const nothing = (): void => {}

sabotage('permits of the dead are not given back', SharedBudgets, 'recover', nothing, /^drain$/)
sabotage('retries of the dead are forgotten', Settlement, 'adoptWait', nothing, /^drain$/)
sabotage('lanes do not take turns again', Pacer, 'recover', nothing, /^drain$|not in the wheel/)
sabotage('lines are linked in no order', Lanes, 'place',
  function (this: Lanes, lane: never, slot: never): void {
    // As before, except that the place is not a fact.
    this.at.nextOrder[lane as number] = 0
    void slot
  }, /^order$/)
sabotage('an answer that did not go out counts', AnswerWriter, 'recover', nothing,
  /^(answers|drain)$/)
sabotage('an answer that went out does not', CrashNotes, 'hasAnswered', () => false,
  /answered twice|^keys$|^ledger$/)
for (const [name, part, method] of [
  ['webhooks of the dead are not counted', Settlement, 'adoptPending'],
  ['ids and keys are not found again', JobSlots, 'index'],
  ['a request in hand is not looked for', Intake, 'recover'],
] as const) testSomebodyObjects(name, { part, method, damage: nothing }, ['deaths'])
