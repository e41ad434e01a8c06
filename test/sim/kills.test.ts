// A journalled process that is killed between any two of its commits, again and again: over 200
// seeds nobody who was promised something is left without it, nothing that the journal knows to be
// over is done again, and what the journal holds is what the memory holds. And do the checkers see
// it when something is left out?

import './verify-on.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JobSlots } from '../../shards/job-slots.ts'
import { Lanes } from '../../shards/lanes.ts'
import { Marks } from '../../shards/marks.ts'
import { OutcomeWriter } from '../../shards/outcome-writer.ts'
import { SEED } from '../support/swarm.ts'
import { describeFailure, runSeed } from './run-seed.ts'
import { type Method, firstObjection, testDamaged } from './saboteur.ts'
import type { Trouble } from './scenario.ts'

const SEEDS = 200
const SEEDS_PER_TEST = 50
const SABOTAGED_SEEDS_MAX = 40

const shardsOf = (seed: number): number => seed % 2 === 0 ? 1 : 3

function survive(name: string, first: number, count: number, troubles: readonly Trouble[]): void {
  for (let from = first; from < first + count; from += SEEDS_PER_TEST) {
    const to = Math.min(from + SEEDS_PER_TEST, first + count)
    test(`seeds ${from} to ${to - 1} survive ${name}`, () => {
      for (let seed = from; seed < to; seed++) {
        try {
          runSeed(seed, shardsOf(seed), undefined, troubles)
        } catch (error) {
          assert.fail(describeFailure(error))
        }
      }
    })
  }
}

survive('kills of the process', SEED, SEEDS, ['kills'])
survive('deaths of threads that keep a journal', SEED, 50, ['journal', 'deaths'])

function sabotage(name: string, part: { prototype: object }, method: string, damage: Method): void {
  testDamaged(`somebody objects when ${name}`, { part, method, damage }, () => {
    const objection = firstObjection(SEED, SABOTAGED_SEEDS_MAX,
      (seed) => runSeed(seed, shardsOf(seed), undefined, ['kills']))
    assert.notEqual(objection, 'nobody')
  })
}

const nothing = (): void => {}

sabotage('changes of jobs are not marked', JobSlots, 'touch', nothing)
sabotage('changes of lanes are not marked', Lanes, 'touch', nothing)
sabotage('new records are not marked', Marks, 'segmentGrew', nothing)
sabotage('a segment that is used anew is taken for what it was', Marks, 'segmentTaken', nothing)

const { accepted } = OutcomeWriter.prototype
sabotage('answers do not wait for the journal', OutcomeWriter, 'accepted',
  function (this: OutcomeWriter, request: never): boolean {
    const isDone = accepted.call(this, request)
    this.publish(this.position)
    return isDone
  })
