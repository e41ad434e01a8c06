// Model: finished jobs in an array, oldest first, with the bytes that each should still have and
// when it came to have them; whose turn it is to give way is as heaviest.ts says.
// Method: random ends of random users' jobs, pauses, early removals and giving up, with results of
// all sizes and a bound on their bytes from nothing to plenty; after each step counts, times,
// records and order agree.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { type JobSlot, type Micros, NONE, msToUs } from '../../../../shards/base/units.ts'
import { Finished } from '../../../../shards/job/finished.ts'
import { Heaviest } from '../../../../shards/memory/heaviest.ts'
import { EXPIRED_PER_TURN_MAX } from '../../../../shards/memory/limits.ts'
import {
  BODY_GIVEN_UP_BYTES_MIN, FAILED_RESULT_WORTH, KEY_WORTH, RESULT_USERS_COUNT,
} from '../../../../shards/memory/result-limits.ts'
import { StatsWriter, readStats } from '../../../../shards/memory/stats.ts'
import { type DecodedTemplate, splitTemplate } from '../../../../shards/store/decoded-templates.ts'
import { JobLog } from '../../../../shards/store/job-log.ts'
import { JobRecords } from '../../../../shards/store/job-records.ts'
import {
  JOB_CANCELLED, JOB_COMPLETED, JOB_FAILED, JOB_FREE, JOB_WATCHED, JobSlots,
} from '../../../../shards/store/job-slots.ts'
import { type StoredResult, resultBytes } from '../../../../shards/store/stored-result.ts'
import { Templates } from '../../../../shards/store/templates.ts'
import { encodeTemplate } from '../../../../shards/wire/codec.ts'
import { oneShard } from '../../../support/shard-memory.ts'
import { Swarm, forEachSeed } from '../../../support/swarm.ts'

const RUNS = 300
const STEPS = 200
const JOBS = 30
const COMPLETED_TTL_MS = 1000
const FAILED_TTL_MS = 5000
const STATE_OF = {
  completed: JOB_COMPLETED, failed: JOB_FAILED, cancelled: JOB_CANCELLED,
} as const
const STATUSES = ['cancelled', 'failed', 'completed'] as const
/** Of the same age by worth the cancelled job comes first, and so on. */
const RESULT_WORTHS = { cancelled: 1, failed: FAILED_RESULT_WORTH, completed: 1 } as const
const JOB_WORTHS = { cancelled: 1, failed: 1, completed: KEY_WORTH } as const
const USERS = [1, 2, RESULT_USERS_COUNT + 2, 3] as const

interface ModelJob {
  readonly slot: JobSlot
  readonly user: number
  readonly finishedUs: number
  readonly expiresUs: number
  readonly status: StoredResult['status']
  readonly responseStatus: number
  readonly isWatched: boolean
  readonly template: DecodedTemplate
  readonly templateBytes: number
  /** What its record should say; undefined once it is gone. */
  result: StoredResult | undefined
  /** When it was finished, or lost its record. */
  formedAt: number
}

const hasBody = ({ result }: ModelJob): boolean =>
  (result?.body?.length ?? 0) >= BODY_GIVEN_UP_BYTES_MIN

const bytesOf = (job: ModelJob): number =>
  job.result === undefined ? 0
    : job.templateBytes + resultBytes(job.result)

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
  #bytes = new Heaviest(RESULT_USERS_COUNT, BODY_GIVEN_UP_BYTES_MIN)
  #counts = new Heaviest(RESULT_USERS_COUNT, 1)
  #changes = 0
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
    const { bytes, counts } = { bytes: this.#bytes, counts: this.#counts }
    this.#bytes = new Heaviest(RESULT_USERS_COUNT, BODY_GIVEN_UP_BYTES_MIN)
    this.#bytes.takeOver(bytes.handOver())
    this.#counts = new Heaviest(RESULT_USERS_COUNT, 1)
    this.#counts.takeOver(counts.handOver())
  }

  add(): void {
    if (this.#jobs.isFull) return
    const status = this.#prng.pick(STATUSES)
    const route = this.#prng.pick(USERS)
    const slot = this.#jobs.take(
      { route, idHigh: 0, idLow: this.#next, keyHigh: 0, keyLow: this.#next++, owner: 0 })
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
    const job: ModelJob = {
      slot, status, responseStatus, isWatched, template,
      templateBytes: encodeTemplate(template).length, user: route % RESULT_USERS_COUNT,
      finishedUs: this.#nowUs, expiresUs: this.#nowUs + msToUs(ttlMs),
      result: isStored ? result : undefined, formedAt: this.#changes++,
    }
    this.#model.push(job)
    this.#count(job, 1)
    while (this.#bytesSum() > this.#bytesMax) this.#giveUpResult()
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
    const own = this.#model.filter(({ user }) => user === this.#counts.first)
    const spare = this.#oldest(own, JOB_WORTHS)
    assert.equal(this.#finished.giveUpOldest(this.#nowUs), spare !== undefined)
    if (spare?.status === 'completed') this.#keysLost++
    this.#forget((job) => job === spare)
  }

  giveUpResult(): void {
    assert.equal(this.#finished.giveUpResult(this.#nowUs), this.#bytesSum() > 0)
    if (this.#bytesSum() > 0) this.#giveUpResult()
  }

  clean(): void {
    this.#log.clean(8192, this.#records)
  }

  check(): void {
    const finished = this.#finished
    assert.equal(finished.count, this.#model.length)
    assert.equal(finished.nextUs(), Math.min(...this.#model.map((job) => job.expiresUs)))
    for (const job of this.#model) {
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
    assert.equal(finished.resultBytes, this.#bytesSum())
    assert.ok(finished.resultBytes <= this.#bytesMax, 'results take more than they may')
    const stats = readStats(this.#stats)
    assert.equal(stats.resultsGivenUp, this.#cuts)
    assert.equal(stats.keysGivenUp, this.#keysLost)
    this.#log.verify(this.#records)
  }

  #bytesSum(): number {
    return this.#model.reduce((bytes, job) => bytes + bytesOf(job), 0)
  }

  /** The twin: the body of the oldest of who has most, or its record. */
  #giveUpResult(): void {
    const own = this.#model.filter(({ user }) => user === this.#bytes.first)
    const job = this.#oldest(own.filter(({ result }) => result !== undefined), RESULT_WORTHS)
    assert.ok(job?.result !== undefined, 'nothing left to give up')
    const isWhole = hasBody(job)
    const before = bytesOf(job)
    if (isWhole) {
      this.#cuts++
      job.result = { ...job.result, body: null, truncated: true }
      return this.#bytes.add(job.user, bytesOf(job) - before)
    }
    this.#count(job, -1)
    job.result = undefined
    job.formedAt = this.#changes++
    this.#count(job, 1)
  }

  /** Of the first with a record and without one of each status, the oldest by worth. */
  #oldest(
    jobs: readonly ModelJob[], worths: Readonly<Record<StoredResult['status'], number>>,
  ): ModelJob | undefined {
    const firsts = [false, true].flatMap((isRecorded) => STATUSES.flatMap((status) =>
      jobs.filter((job) => job.status === status && (job.result !== undefined) === isRecorded)
        .toSorted((one, other) => one.formedAt - other.formedAt).slice(0, 1)))
    const ageOf = ({ finishedUs, status }: ModelJob): number =>
      (this.#nowUs - finishedUs) / worths[status]
    return firsts.toSorted((one, other) =>
      ageOf(other) - ageOf(one) || worths[one.status] - worths[other.status])[0]
  }

  #count(job: ModelJob, sign: number): void {
    this.#counts.add(job.user, sign)
    this.#bytes.add(job.user, sign * bytesOf(job))
  }

  /** What is forgotten is unwatched first, and its slot and key are free. */
  #forget(isForgotten: (job: ModelJob) => boolean): void {
    const gone = this.#model.filter(isForgotten)
    this.#model = this.#model.filter((job) => !isForgotten(job))
    const inOrder = STATUSES.toReversed().flatMap((status) =>
      gone.filter((job) => job.status === status))
    for (const job of inOrder) {
      assert.equal(this.#jobs.state(job.slot), JOB_FREE)
      this.#count(job, -1)
    }
    assert.equal(this.#jobs.used, this.#model.length)
    const watched = gone.filter((job) => job.isWatched).map((job) => job.slot)
    assert.deepEqual(this.#unwatched.splice(0).toSorted(), watched.toSorted())
  }
}

test('finished jobs are kept and given up as in a sorted list', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(prng, 'add',
      ['pause', 'expire', 'remove', 'giveUp', 'giveUpResult', 'clean', 'handOver'])
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
    const slot = jobs.take({ route: 1, idHigh: 0, idLow, keyHigh: 0, keyLow: idLow, owner: 0 })
    jobs.beginState(slot, JOB_COMPLETED)
    finished.add(slot, 0 as Micros)
  }
  finished.expire(1000 as Micros)
  assert.equal(finished.count, 10)
  assert.equal(finished.nextUs(), 1000, 'the rest is due')
  finished.expire(1000 as Micros)
  assert.equal(finished.count, 0)
  assert.equal(finished.giveUpOldest(1000 as Micros), false)
})
