// Tests the checkers: each case damages one part of the engine as a bug might, and names the
// checker that must detect it within a few seeds. A checker that detects nothing is useless.

import assert from 'node:assert/strict'
import { type JobSlot, NONE } from '../../shards/base/units.ts'
import { Finished } from '../../shards/job/finished.ts'
import { Overdue } from '../../shards/job/overdue.ts'
import { Settlement } from '../../shards/job/settlement.ts'
import { Watchers } from '../../shards/job/watchers.ts'
import { Lanes } from '../../shards/pace/lanes.ts'
import { Pacer } from '../../shards/pace/pacer.ts'
import { SharedBudgets } from '../../shards/pace/shared-budget.ts'
import { Engine } from '../../shards/shard/engine.ts'
import { JobLog } from '../../shards/store/job-log.ts'
import { JobRecords } from '../../shards/store/job-records.ts'
import { JOB_FAILED, JobSlots } from '../../shards/store/job-slots.ts'
import { SEED } from '../support/swarm.ts'
import { CONTESTS, runContest } from './fairness.ts'
import { runSeed } from './run-seed.ts'
import { type Method, firstObjection, testDamaged } from './saboteur.ts'
import './verify-on.ts'

const SEEDS_MAX = 60

function sabotage(
  name: string, part: { prototype: object }, method: string, damage: Method, checker: string,
): void {
  testDamaged(`${checker} objects when ${name}`, { part, method, damage }, () => {
    assert.equal(firstObjection(SEED, SEEDS_MAX, (seed) => runSeed(seed, 3)), checker)
  })
}

const nothing = (): void => {}

sabotage('limits on requests in flight are ignored', SharedBudgets, 'tryTake',
  function (this: SharedBudgets, upstream: never) {
    this.countInFlight(upstream)
    return true
  }, 'in flight')
sabotage('a budget is not charged', SharedBudgets, 'trySpend', () => true, 'pace')
sabotage('Retry-After does not hold the budget', Pacer, 'holdUntil', nothing, 'pace')
sabotage('a line is last in, first out', Lanes, 'link',
  ((link) => function (this: Lanes, lane: never, slot: never): void {
    link.call(this, lane, slot, true)
  })(Lanes.prototype.link), 'order')
sabotage('what is written late does not count', Pacer, 'written', nothing, 'pace')
sabotage('a free connection wakes nobody', Pacer, 'lineFree', nothing, 'drain')
sabotage('a place out of reach costs several attempts', Pacer, 'lineFailed',
  ((lineFailed) => function (this: Pacer, upstream: never): void {
    for (let times = 0; times < 5; times++) lineFailed.call(this, upstream)
  })(Pacer.prototype.lineFailed), 'ledger')
sabotage('a job whose address is refused is retried', Engine, 'unreachable',
  ((unreachable) => function (this: Engine, to: number, reason: never, detail: string): void {
    const told = reason === 'address_refused' ? 'dns_error' : reason
    unreachable.call(this, to, told, detail)
  })(Engine.prototype.unreachable), 'ledger')
sabotage('the rule that refuses an address is not named', Engine, 'unreachable',
  ((unreachable) => function (this: Engine, to: number, reason: never): void {
    unreachable.call(this, to, reason, '')
  })(Engine.prototype.unreachable), 'results')
sabotage('what was returned is last in its line', Lanes, 'link',
  ((link) => function (this: Lanes, lane: never, slot: never): void {
    link.call(this, lane, slot, false)
  })(Lanes.prototype.link), 'order')
sabotage('accounts that share a lane take no turns', Lanes, 'next',
  function (this: Lanes, lane: never) {
    return this.first(lane)
  }, 'turns')
sabotage('keys are forgotten', JobSlots, 'findByKey', () => NONE, 'keys')
sabotage('tenants have their keys in common', JobSlots, 'findByKey',
  ((findByKey) => function (
    this: JobSlots, _tenant: number, ...key: [route: number, high: number, low: number]
  ) {
    const holders = [0, 1, 7, 8, 65_535].map((tenant) => findByKey.call(this, tenant, ...key))
    return holders.find((slot) => slot !== NONE) ?? NONE
  })(JobSlots.prototype.findByKey) as Method, 'keys')
sabotage('keys of failed jobs are kept', JobSlots, 'freeKey',
  ((freeKey) => function (this: JobSlots, slot: JobSlot): void {
    // A job that is forgotten must have a time, and free its key, or the slot is indexed twice.
    const ends = this.state(slot) === JOB_FAILED && this.at.timeUs[slot] === Infinity
    if (!ends) freeKey.call(this, slot)
  })(JobSlots.prototype.freeKey) as Method, 'keys')
sabotage('nobody is told of the end', Watchers, 'finished', nothing, 'answers')
sabotage('finished jobs are forgotten at once', Finished, 'isExpired', () => true, 'answers')
sabotage('a webhook is sent once only', Settlement, 'redeliverAt', nothing, 'drain')
sabotage('retries are lost', Settlement, 'retryAt', nothing, 'drain')
sabotage('a bell is not heard', Engine, 'hasWork', () => false, 'drain')
sabotage('account queues cannot be switched', SharedBudgets, 'switchAccountQueues', () => false,
  'account queues')
sabotage('execute_before is ignored', Overdue, 'isOverdue', () => false, 'ledger')
sabotage('the log says that it is full', JobLog, 'admits', () => false, 'memory')
sabotage('bodies are lost', JobRecords, 'storeResult',
  ((store) => function (
    this: JobRecords, slot: never, template: never, result: { body: unknown },
  ): unknown {
    return store.call(this, slot, template, { ...result, body: null } as never)
  })(JobRecords.prototype.storeResult), 'results')

testDamaged('fairness objects when shards do not wait for each other',
  { part: SharedBudgets, method: 'mayGo', damage: () => true }, () => {
    const [first] = CONTESTS.filter(({ name }) => name === '5 in flight')
    assert.ok(first !== undefined)
    assert.throws(() => runContest(first, SEED, 3, false), { checker: 'fairness' })
  })
