// Model: finished jobs in three arrays, oldest first, with the bytes that each should still have.
// Method: random ends, pauses, early removals and giving up, with results of all sizes and a bound
// on their bytes from nothing to plenty; after each step counts, times, records and order agree.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeTemplate } from '../../shards/codec.ts'
import { type DecodedTemplate, splitTemplate } from '../../shards/decoded-templates.ts'
import { Finished } from '../../shards/finished.ts'
import { JobLog } from '../../shards/job-log.ts'
import { JobRecords } from '../../shards/job-records.ts'
import {
  JOB_CANCELLED, JOB_COMPLETED, JOB_FAILED, JOB_FREE, JOB_WATCHED, JobSlots,
} from '../../shards/job-slots.ts'
import { EXPIRED_PER_TURN_MAX } from '../../shards/limits.ts'
import type { Prng } from '../../shards/prng.ts'
import { StatsWriter, readStats } from '../../shards/stats.ts'
import { type StoredResult, resultBytes } from '../../shards/stored-result.ts'
import { Templates } from '../../shards/templates.ts'
import { type JobSlot, type Micros, NONE, msToUs } from '../../shards/units.ts'
import { oneShard } from '../support/shard-memory.ts'
import { Swarm, forEachSeed } from '../support/swarm.ts'

const RUNS = 300
const STEPS = 200
const JOBS = 30
const COMPLETED_TTL_MS = 1000
const FAILED_TTL_MS = 5000
const STATE_OF = {
  completed: JOB_COMPLETED, failed: JOB_FAILED, cancelled: JOB_CANCELLED,
} as const
/** From the cheapest loss to the dearest. */
const GIVE_UP_ORDER = ['cancelled', 'failed', 'completed'] as const

interface ModelJob {
  readonly slot: JobSlot
  readonly expiresUs: number
  readonly status: StoredResult['status']
  readonly responseStatus: number
  readonly isWatched: boolean
  readonly template: DecodedTemplate
  /** What its record should say; undefined once it is gone. */
  result: StoredResult | undefined
  /** The bound on bytes has cost it something already. */
  wasCut: boolean
}

const bytesOf = (job: ModelJob): number =>
  job.result === undefined ? 0
    : encodeTemplate(job.template).length + resultBytes(job.result)

class Run {
  readonly #prng: Prng
  readonly #jobs: JobSlots
  readonly #records: JobRecords
  readonly #log: JobLog
  readonly #newFinished: () => Finished
  #finished: Finished
  readonly #stats: Float64Array
  readonly #bytesMax: number
  readonly #unwatched: JobSlot[] = []
  #model: ModelJob[] = []
  #nowUs = 1_000_000 as Micros
  #next = 0
  #cuts = 0
  #keysLost = 0

  constructor(prng: Prng) {
    this.#prng = prng
    const views = oneShard({ jobsMax: JOBS, segmentsMax: 24 })
    this.#jobs = new JobSlots(views)
    this.#log = new JobLog(views, { recover: false })
    const templates = new Templates(views, this.#log, { recover: false })
    this.#records = new JobRecords(this.#log, this.#jobs, templates)
    this.#stats = views.stats
    this.#bytesMax = prng.pick([0, 300, 3000, 20_000])
    const stats = new StatsWriter(views.stats)
    this.#newFinished = () => new Finished(this.#jobs, this.#records, stats, {
      completedTtlMs: COMPLETED_TTL_MS, failedTtlMs: FAILED_TTL_MS,
      resultBytesMax: this.#bytesMax, unwatch: (slot) => { this.#unwatched.push(slot) },
    })
    this.#finished = this.#newFinished()
  }

  /** Another thread goes on. */
  handOver(): void {
    const baton = structuredClone(this.#finished.handOver())
    this.#finished = this.#newFinished()
    this.#finished.takeOver(baton)
  }

  add(): void {
    if (this.#jobs.isFull) return
    const status = this.#prng.pick(GIVE_UP_ORDER)
    const slot = this.#jobs.take(
      { route: 1, idHigh: 0, idLow: this.#next, keyHigh: 0, keyLow: this.#next++ })
    this.#jobs.beginState(slot, STATE_OF[status])
    const responseStatus = status === 'cancelled' ? 0 : this.#prng.pick([0, 200, 404])
    this.#jobs.setResponseStatus(slot, responseStatus)
    const isWatched = this.#prng.chance(0.3)
    this.#jobs.setFlag(slot, JOB_WATCHED, isWatched)
    const template = splitTemplate({
      userId: '', url: 'http://a.test/'.padEnd(this.#prng.between(14, 400), 'u'), method: 'GET',
      headers: [], webhookUrl: null, receiver: NONE,
    })
    const result: StoredResult = {
      createdAtMs: 1_700_000_000_000, status, responseStatus, reason: null, truncated: false,
      body: this.#prng.chance(0.7) ? Buffer.alloc(this.#prng.below(2000), this.#next) : null,
    }
    // Now and then an outcome for which the log had no room at all.
    const isStored = this.#prng.chance(0.9)
    if (isStored) assert.ok(this.#records.storeResult(slot, template, result), 'room is left')
    this.#finished.add(slot, this.#nowUs)
    const ttlMs = status === 'failed' ? FAILED_TTL_MS : COMPLETED_TTL_MS
    this.#model.push({
      slot, status, responseStatus, isWatched, template, wasCut: false,
      result: isStored ? result : undefined,
      expiresUs: this.#nowUs + msToUs(ttlMs),
    })
    this.#boundBytes()
  }

  pause(): void {
    this.#nowUs = (this.#nowUs + msToUs(this.#prng.below(1500))) as Micros
  }

  expire(): void {
    this.#finished.expire(this.#nowUs)
    this.#forget((job) => job.expiresUs <= this.#nowUs)
  }

  remove(): void {
    if (this.#model.length === 0) return
    const { slot } = this.#prng.pick(this.#model)
    this.#finished.remove(slot)
    this.#forget((job) => job.slot === slot)
  }

  giveUp(): void {
    const [first] = this.#inGiveUpOrder()
    assert.equal(this.#finished.giveUpOldest(), first !== undefined)
    if (first?.status === 'completed') this.#keysLost++
    this.#forget((job) => job === first)
  }

  clean(): void {
    this.#log.clean(8192, this.#records)
  }

  check(): void {
    const finished = this.#finished
    assert.equal(finished.count, this.#model.length)
    assert.equal(finished.nextUs(), Math.min(...this.#model.map((job) => job.expiresUs)))
    let bytesSum = 0
    for (const job of this.#model) {
      bytesSum += bytesOf(job)
      assert.equal(this.#records.bytesOf(job.slot), bytesOf(job))
      assert.equal(finished.isExpired(job.slot, this.#nowUs), job.expiresUs <= this.#nowUs)
      assert.equal(this.#jobs.status(job.slot), job.status)
      assert.equal(this.#jobs.responseStatus(job.slot), job.responseStatus)
      if (job.result !== undefined) {
        const kept = this.#records.readResult(job.slot)
        assert.deepEqual({ ...kept, body: kept.body && Buffer.from(kept.body) }, job.result)
        assert.deepEqual(this.#records.readTemplate(job.slot), job.template)
      }
    }
    assert.equal(finished.resultBytes, bytesSum)
    assert.ok(bytesSum <= this.#bytesMax, 'results take more than they may')
    const stats = readStats(this.#stats)
    assert.equal(stats.resultsGivenUp, this.#cuts)
    assert.equal(stats.keysGivenUp, this.#keysLost)
    this.#log.verify(this.#records)
  }

  /** The twin of the bound: bodies first, then what is left of the records. */
  #boundBytes(): void {
    const sum = () => this.#model.reduce((bytes, job) => bytes + bytesOf(job), 0)
    while (sum() > this.#bytesMax) {
      const ordered = this.#inGiveUpOrder()
      const uncut = ordered.find((job) => !job.wasCut && job.result !== undefined)
      const job = uncut ?? ordered.find((other) => other.result !== undefined)
      assert.ok(job?.result !== undefined, 'nothing left to give up')
      if (uncut !== undefined) this.#cuts++
      job.result = uncut === undefined || job.result.body === null
        ? undefined
        : { ...job.result, body: null, truncated: true }
      job.wasCut = true
    }
  }

  #inGiveUpOrder(): ModelJob[] {
    return GIVE_UP_ORDER.flatMap((status) => this.#model.filter((job) => job.status === status))
  }

  /** What is forgotten is unwatched first, and its slot and key are free. */
  #forget(isForgotten: (job: ModelJob) => boolean): void {
    const gone = this.#model.filter(isForgotten)
    this.#model = this.#model.filter((job) => !isForgotten(job))
    for (const { slot } of gone) assert.equal(this.#jobs.state(slot), JOB_FREE)
    assert.equal(this.#jobs.used, this.#model.length)
    const watched = gone.filter((job) => job.isWatched).map((job) => job.slot)
    assert.deepEqual(this.#unwatched.splice(0).toSorted(), watched.toSorted())
  }
}

test('finished jobs are kept and given up as in a sorted list', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(prng, 'add',
      ['pause', 'expire', 'remove', 'giveUp', 'clean', 'handOver'])
    for (let step = 0; step < STEPS; step++) {
      run[swarm.next()]()
      run.check()
    }
  })
})

test('a turn forgets a bounded number of jobs', () => {
  const jobsMax = EXPIRED_PER_TURN_MAX + 10
  const views = oneShard({ jobsMax })
  const jobs = new JobSlots(views)
  const log = new JobLog(views, { recover: false })
  const records = new JobRecords(log, jobs, new Templates(views, log, { recover: false }))
  const finished = new Finished(jobs, records, new StatsWriter(views.stats), {
    completedTtlMs: 1, failedTtlMs: 1, resultBytesMax: 0, unwatch: () => {},
  })
  for (let number = 0; number < jobsMax; number++) {
    const idLow = Math.imul(number, 0x9e3779b1) >>> 0
    const slot = jobs.take({ route: 1, idHigh: 0, idLow, keyHigh: 0, keyLow: idLow })
    jobs.beginState(slot, JOB_COMPLETED)
    finished.add(slot, 0 as Micros)
  }
  finished.expire(1000 as Micros)
  assert.equal(finished.count, 10)
  assert.equal(finished.nextUs(), 1000, 'the rest is due')
  finished.expire(1000 as Micros)
  assert.equal(finished.count, 0)
  assert.equal(finished.giveUpOldest(), false)
})
