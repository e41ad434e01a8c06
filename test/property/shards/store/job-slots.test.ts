// Model: a Map from slot to what a job's facts should be, and one from key to the slot that has it.
// Method: random takes, releases, freed keys and changes of every packed field at its ends, with
// ids and keys that share their words, on tables that fill up; after each step both must agree.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { type JobSlot, NONE } from '../../../../shards/base/units.ts'
import type { ShardViews } from '../../../../shards/memory/layout.ts'
import { RETRIES_UNLIMITED } from '../../../../shards/memory/limits.ts'
import {
  JOB_CANCELLED, JOB_COMPLETED, JOB_FAILED, JOB_FREE, JOB_HOLDS_KEY,
  JOB_IN_FLIGHT, JOB_WEBHOOK_PENDING, JOB_QUEUED, JOB_RETRYING, JOB_WATCHED, type JobIdentity,
  JobSlots,
} from '../../../../shards/store/job-slots.ts'
import { STATUS_OF_STATE } from '../../../../shards/wire/contract.ts'
import { RETRIES_MAX } from '../../../../src/base/limits.ts'
import { oneShard } from '../../../support/shard-memory.ts'
import { Swarm, forEachSeed } from '../../../support/swarm.ts'

const RUNS = 300
const STEPS = 300
const STATES = [
  JOB_QUEUED, JOB_IN_FLIGHT, JOB_RETRYING, JOB_COMPLETED, JOB_FAILED, JOB_CANCELLED,
]
const FLAGS = [JOB_WEBHOOK_PENDING, JOB_WATCHED]
const ATTEMPTS_MAX = 65_535
const DELIVERIES_MAX = 255

interface ModelJob {
  readonly identity: JobIdentity
  state: number
  attempts: number
  deliveries: number
  responseStatus: number
  retries: number
  readonly flags: Set<number>
}

const idOf = ({ route, idHigh, idLow }: JobIdentity): string => `${route}/${idHigh}/${idLow}`
/** Whoever submitted it, a tenant's key is the same. */
const keyOf = ({ keyHigh, keyLow, owner, route }: JobIdentity): string =>
  `${owner & 0xffff}/${route}/${keyHigh}/${keyLow}`
const OWNERS = [0, 7, 0xffff, 0x1_0007, 0xffff_0007, 0xffff_ffff]

class Run {
  readonly #prng: Prng
  readonly #views: ShardViews
  #slots: JobSlots
  readonly #slotsMax: number
  readonly #words: readonly number[]
  readonly #jobs = new Map<JobSlot, ModelJob>()
  readonly #keys = new Map<string, JobSlot>()

  constructor(prng: Prng) {
    this.#prng = prng
    this.#slotsMax = prng.between(1, 20)
    this.#views = oneShard({ jobsMax: this.#slotsMax })
    this.#slots = new JobSlots(this.#views)
    this.#words = prng.chance(0.5) ? [0, 1, 0xffffffff] : [1, 2, 3, 4, 5, 6, 7, 8]
  }

  /** Another thread goes on. */
  handOver(): void {
    const baton = structuredClone(this.#slots.handOver())
    this.#slots = new JobSlots(this.#views)
    this.#slots.takeOver(baton)
  }

  take(): void {
    const word = () => this.#prng.pick(this.#words)
    const identity = {
      route: word(), idHigh: word(), idLow: word(), keyHigh: word(), keyLow: word(),
      owner: this.#prng.pick(OWNERS),
    }
    // The owner has looked for both before; ids do not repeat, a key has one holder.
    for (const job of this.#jobs.values()) if (idOf(job.identity) === idOf(identity)) return
    if (this.#keys.has(keyOf(identity)) || this.#slots.isFull) return
    const slot = this.#slots.take(identity)
    assert.ok(slot < this.#slotsMax && !this.#jobs.has(slot), 'a slot was given out twice')
    this.#slots.beginState(slot, JOB_QUEUED)
    this.#slots.setRetriesMax(slot, 0)
    this.#slots.setResponseStatus(slot, 0)
    assert.equal(this.#slots.at.location[slot], NONE)
    assert.equal(this.#slots.at.timeUs[slot], Infinity)
    this.#keys.set(keyOf(identity), slot)
    this.#jobs.set(slot, {
      identity, state: JOB_QUEUED, attempts: 0, deliveries: 0, responseStatus: 0, retries: 0,
      flags: new Set(),
    })
  }

  release(): void {
    const [slot, job] = this.#draw() ?? []
    if (slot === undefined || job === undefined) return
    this.#slots.release(slot)
    this.#forgetKey(slot, job)
    this.#jobs.delete(slot)
    assert.equal(this.#slots.state(slot), JOB_FREE)
  }

  freeKey(): void {
    const [slot, job] = this.#draw() ?? []
    if (slot === undefined || job === undefined) return
    this.#slots.freeKey(slot)
    this.#forgetKey(slot, job)
  }

  change(): void {
    const [slot, job] = this.#draw() ?? []
    if (slot === undefined || job === undefined) return
    job.state = this.#prng.pick(STATES)
    if (this.#prng.chance(0.5)) {
      this.#slots.setState(slot, job.state)
    } else {
      const attempts = this.#prng.pick([0, 1, 7, ATTEMPTS_MAX, ATTEMPTS_MAX + 1])
      job.attempts = Math.min(attempts, ATTEMPTS_MAX)
      this.#slots.setState(slot, job.state, attempts)
    }
  }

  changeOutcome(): void {
    const [slot, job] = this.#draw() ?? []
    if (slot === undefined || job === undefined) return
    job.retries = this.#prng.between(RETRIES_UNLIMITED, RETRIES_MAX)
    this.#slots.setRetriesMax(slot, job.retries)
    job.responseStatus = this.#prng.pick([0, 200, 599, 65_535])
    this.#slots.setResponseStatus(slot, job.responseStatus)
    const deliveries = this.#prng.pick([0, 1, 5, DELIVERIES_MAX, DELIVERIES_MAX + 1])
    job.deliveries = Math.min(deliveries, DELIVERIES_MAX)
    this.#slots.setDeliveries(slot, deliveries)
  }

  changeFlag(): void {
    const [slot, job] = this.#draw() ?? []
    if (slot === undefined || job === undefined) return
    const flag = this.#prng.pick(FLAGS)
    const on = this.#prng.chance(0.5)
    this.#slots.setFlag(slot, flag, on)
    if (on) job.flags.add(flag)
    else job.flags.delete(flag)
  }

  check(): void {
    const slots = this.#slots
    assert.equal(slots.used, this.#jobs.size)
    assert.equal(slots.isFull, this.#jobs.size === this.#slotsMax)
    assert.ok(slots.highWater <= this.#slotsMax)
    for (const [slot, job] of this.#jobs) {
      const { route, idHigh, idLow, keyHigh, keyLow, owner } = job.identity
      assert.ok(slot < slots.highWater)
      assert.equal(slots.findById(route, idHigh, idLow), slot)
      assert.equal(slots.at.owner[slot], owner)
      const tenant = slots.tenant(slot)
      assert.equal(tenant, owner & 0xffff)
      assert.equal(slots.findByKey(tenant, route, keyHigh, keyLow),
        this.#keys.get(keyOf(job.identity)) ?? NONE)
      assert.equal(slots.findByKey(8, route, keyHigh, keyLow), NONE)
      assert.equal(
        slots.hasFlag(slot, JOB_HOLDS_KEY), this.#keys.get(keyOf(job.identity)) === slot)
      for (const flag of FLAGS) assert.equal(slots.hasFlag(slot, flag), job.flags.has(flag))
      assert.deepEqual({
        state: slots.state(slot), status: slots.status(slot), attempts: slots.attempts(slot),
        deliveries: slots.deliveries(slot), responseStatus: slots.responseStatus(slot),
        retries: slots.retriesMax(slot),
      }, {
        state: job.state, status: STATUS_OF_STATE[job.state], attempts: job.attempts,
        deliveries: job.deliveries, responseStatus: job.responseStatus, retries: job.retries,
      })
    }
    const [route, high, low] = [this.#prng.pick(this.#words), 9, this.#prng.pick(this.#words)]
    assert.equal(slots.findById(route, high, low), NONE)
    assert.equal(slots.findByKey(0, route, high, low), NONE)
  }

  #forgetKey(slot: JobSlot, job: ModelJob): void {
    const key = keyOf(job.identity)
    if (this.#keys.get(key) === slot) this.#keys.delete(key)
  }

  #draw(): [JobSlot, ModelJob] | undefined {
    return this.#jobs.size === 0 ? undefined : this.#prng.pick([...this.#jobs])
  }
}

test('job slots know what a map knows', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(
      prng, 'take',
      ['release', 'freeKey', 'change', 'changeOutcome', 'changeFlag', 'handOver'])
    for (let step = 0; step < STEPS; step++) {
      run[swarm.next()]()
      run.check()
    }
  })
})

test('every number of retries survives the packing, beside every flag', () => {
  const slots = new JobSlots(oneShard())
  const slot = slots.take({ route: 1, idHigh: 2, idLow: 3, keyHigh: 4, keyLow: 5, owner: 0 })
  slots.beginState(slot, JOB_QUEUED)
  for (let retries = RETRIES_UNLIMITED; retries <= RETRIES_MAX; retries++) {
    slots.setRetriesMax(slot, retries)
    slots.setResponseStatus(slot, 599)
    for (const flag of FLAGS) slots.setFlag(slot, flag, retries % 2 === 0)
    assert.equal(slots.retriesMax(slot), retries)
    assert.equal(slots.responseStatus(slot), 599)
    assert.ok(slots.hasFlag(slot, JOB_HOLDS_KEY))
  }
})

test('misuse is told', () => {
  const slots = new JobSlots(oneShard({ jobsMax: 1 }))
  const identity = { route: 1, idHigh: 2, idLow: 3, keyHigh: 4, keyLow: 5, owner: 0 }
  const slot = slots.take(identity)
  slots.beginState(slot, JOB_QUEUED)
  assert.throws(() => slots.take(identity), /no job slot is free/)
  slots.release(slot)
  assert.throws(() => slots.release(slot), /released twice/)
})
