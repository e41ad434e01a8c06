// A process with a journal that is killed between any two of its commits, repeatedly: over 200
// seeds every guarantee that was given holds, nothing that the journal has as finished is done
// again, and the journal's content equals the memory's. And the checkers detect what is left out.

import { AnswerWriter } from '../../shards/job/answer-writer.ts'
import { Arrivals } from '../../shards/job/arrivals.ts'
import { Marks } from '../../shards/memory/dirty-pages.ts'
import { RingWriter } from '../../shards/memory/ring.ts'
import { Lanes } from '../../shards/pace/lanes.ts'
import { JobSlots } from '../../shards/store/job-slots.ts'
import type { Method } from './saboteur.ts'
import { testSeeds, testSomebodyObjects } from './seeds.ts'
import './verify-on.ts'

testSeeds('survive kills of the process', { seeds: 50, perTest: 50 }, ['kills'])
testSeeds('survive deaths of threads that keep a journal', { seeds: 50, perTest: 50 },
  ['journal', 'deaths'])

function sabotage(name: string, part: { prototype: object }, method: string, damage: Method): void {
  testSomebodyObjects(name, { part, method, damage }, ['kills'])
}

const nothing = (): void => {}

sabotage('changes of jobs are not marked', JobSlots, 'touch', nothing)
sabotage('changes of lanes are not marked', Lanes, 'touch', nothing)
sabotage('new records are not marked', Marks, 'segmentGrew', nothing)
sabotage('a segment that is used anew is taken for what it was', Marks, 'segmentTaken', nothing)

sabotage('what is given back is not forgotten', Arrivals, 'forget', nothing)
sabotage('what is withdrawn is handled all the same', RingWriter, 'withdraw', () => true)

const { count } = Object.getOwnPropertyDescriptors(Arrivals.prototype)
const { add, enter } = Arrivals.prototype
sabotage('jobs are sent before the journal has them', Arrivals, 'add',
  function (this: Arrivals, slot: never, nowUs: never): void {
    add.call(this, slot, nowUs)
    enter.call(this, count.get?.call(this) as number, nowUs)
  })

const { accepted } = AnswerWriter.prototype
sabotage('answers do not wait for the journal', AnswerWriter, 'accepted',
  function (this: AnswerWriter, request: never): boolean {
    const isDone = accepted.call(this, request)
    this.publish(this.position)
    return isDone
  })
