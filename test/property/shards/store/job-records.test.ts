// Model: a Map from slot to what its job's record must say: template, job or result.
// Method: random jobs with few templates in fewer slots, ends, losses of bodies, releases, cleaning
// and deaths of the thread; after each step each record is read. So a template's slot is soon
// another's, and what was decoded before must not be taken for what is there now.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { type JobSlot, NONE, type TemplateSlot } from '../../../../shards/base/units.ts'
import type { ShardViews } from '../../../../shards/memory/layout.ts'
import { TEMPLATE_PER_RESULT_BYTES_MAX } from '../../../../shards/memory/limits.ts'
import { DecodedTemplates, splitTemplate } from '../../../../shards/store/decoded-templates.ts'
import { JobLog } from '../../../../shards/store/job-log.ts'
import { JobRecords } from '../../../../shards/store/job-records.ts'
import { JOB_COMPLETED, JOB_QUEUED, JobSlots } from '../../../../shards/store/job-slots.ts'
import type { StoredResult } from '../../../../shards/store/stored-result.ts'
import { Templates } from '../../../../shards/store/templates.ts'
import { type Template, encodeTemplate } from '../../../../shards/wire/codec.ts'
import { encodeJob } from '../../../support/encode-job.ts'
import { oneShard } from '../../../support/shard-memory.ts'
import { Swarm, forEachSeed } from '../../../support/swarm.ts'
import { templateSource } from '../../../support/template-source.ts'

const RUNS = 200
const STEPS = 200
const JOBS = 24
const CREATED_MS = 1_700_000_000_000

interface ModelJob {
  readonly slot: JobSlot
  readonly template: Template
  readonly createdAtMs: number
  readonly body: Buffer | null
  result: StoredResult | undefined
}

const drawBody = (prng: Prng): Buffer | null =>
  prng.chance(0.3) ? null : Buffer.alloc(prng.below(600), prng.below(256))

function drawTemplate(prng: Prng, number: number): Template {
  const hasWebhook = prng.chance(0.5)
  return {
    userId: `user-${number}`, url: `https://a${number}.test/${'p'.repeat(prng.below(40))}?q=ü`,
    method: prng.pick(['GET', 'POST']),
    headers: prng.chance(0.3) ? [] : ['X-Long', 'v'.repeat(prng.below(1500))],
    webhookUrl: hasWebhook ? `http://hooks.test:8080/done/${number}` : null,
    receiver: hasWebhook ? number : NONE,
  }
}

interface Parts {
  readonly log: JobLog
  readonly templates: Templates
  readonly records: JobRecords
}

function attach(views: ShardViews, jobs: JobSlots, recover: boolean): Parts {
  const log = new JobLog(views, { recover })
  const templates = new Templates(views, log, { recover })
  return { log, templates, records: new JobRecords(log, jobs, templates) }
}

class Run {
  readonly #prng: Prng
  readonly #views: ShardViews
  readonly #jobs: JobSlots
  readonly #templates: readonly Template[]
  readonly #model: ModelJob[] = []
  #parts: Parts
  #next = 0

  constructor(prng: Prng) {
    this.#prng = prng
    this.#views = oneShard({ jobsMax: JOBS, segmentsMax: 24, templatesMax: prng.between(1, 6) })
    this.#jobs = new JobSlots(this.#views)
    this.#templates = Array.from({ length: prng.between(1, 10) }, (_, at) => drawTemplate(prng, at))
    this.#parts = attach(this.#views, this.#jobs, false)
  }

  add(): void {
    if (this.#jobs.isFull) return
    const number = this.#next++
    const place = this.#prng.below(this.#templates.length)
    const template = this.#templates[place] as Template
    const createdAtMs = CREATED_MS + number
    const body = drawBody(this.#prng)
    const head = encodeTemplate(template)
    const source = Buffer.concat([head, encodeJob({ createdAtMs, executeBeforeMs: 0, body })])
    const slot = this.#jobs.take(
      { route: 1, idHigh: 0, idLow: number, keyHigh: 0, keyLow: number, owner: 0 })
    this.#jobs.beginState(slot, JOB_QUEUED)
    assert.ok(this.#parts.records.storeJob(
      slot, templateSource(source), 0, head.length, source.length, place))
    this.#model.push({ slot, template, createdAtMs, body, result: undefined })
  }

  finish(): void {
    const job = this.#pick((other) => other.result === undefined)
    if (job === undefined) return
    job.result = {
      createdAtMs: job.createdAtMs, status: this.#prng.pick(['completed', 'failed']),
      responseStatus: 200, reason: null, body: drawBody(this.#prng), truncated: false,
    }
    this.#jobs.setState(job.slot, JOB_COMPLETED)
    this.#store(job, job.result)
  }

  dropBody(): void {
    const job = this.#pick((other) => other.result !== undefined)
    if (job?.result === undefined) return
    job.result = { ...job.result, body: null, truncated: true }
    this.#store(job, job.result)
  }

  release(): void {
    const job = this.#pick(() => true)
    if (job === undefined) return
    this.#parts.records.free(job.slot)
    this.#jobs.release(job.slot)
    this.#model.splice(this.#model.indexOf(job), 1)
  }

  clean(): void {
    this.#parts.log.clean(this.#prng.pick([1, 8192]), this.#parts.records)
    this.#parts.log.makeRoom(4000, this.#parts.records)
  }

  /** The thread dies: all that it knew besides the slots is found again in the log. */
  die(): void {
    this.#parts = attach(this.#views, this.#jobs, true)
    const { log, records, templates } = this.#parts
    log.recover(records)
    for (const { slot } of this.#model) records.recoverReference(slot)
    templates.finishRecovery()
  }

  check(): void {
    const { log, records } = this.#parts
    for (const { slot, template, createdAtMs, body, result } of this.#model) {
      const read = records.readTemplate(slot)
      // The result of a job whose template is not shared keeps neither user nor headers.
      const isRest = result !== undefined && read.userId === ''
      assert.deepEqual(read, splitTemplate(
        isRest ? { ...template, userId: '', headers: [] } : template))
      assert.equal(records.createdAtMs(slot), createdAtMs)
      assert.equal(records.hasResult(slot), result !== undefined)
      if (result === undefined) {
        const job = records.readJob(slot)
        assert.deepEqual(job.body && Buffer.from(job.body), body)
      } else assert.deepEqual(records.readResult(slot), result)
    }
    log.verify(records)
  }

  drain(): void {
    while (this.#model.length > 0) this.release()
    assert.equal(this.#parts.templates.used, 0, 'a template is referred to by nobody')
    assert.equal(this.#parts.log.liveBytes, 0)
  }

  #store(job: ModelJob, result: StoredResult): void {
    const { records } = this.#parts
    const template = records.readTemplate(job.slot)
    assert.ok(records.storeResult(job.slot, template, result), 'room is left')
  }

  #pick(isWanted: (job: ModelJob) => boolean): ModelJob | undefined {
    const wanted = this.#model.filter(isWanted)
    return wanted.length === 0 ? undefined : this.#prng.pick(wanted)
  }
}

test('records say what was stored, whatever becomes of slots, templates and thread', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(prng, 'add', ['finish', 'dropBody', 'release', 'clean', 'die'])
    for (let step = 0; step < STEPS; step++) {
      run[swarm.next()]()
      run.check()
    }
    run.drain()
  })
})

/** Records of two jobs with one template, of which headers are so many characters. */
function twoJobs(headerLength: number) {
  const views = oneShard()
  const jobs = new JobSlots(views)
  const { templates, records } = attach(views, jobs, false)
  const head = encodeTemplate({
    userId: 'u', url: 'http://a.test/x', method: 'GET', headers: ['X', 'v'.repeat(headerLength)],
    webhookUrl: null, receiver: NONE,
  })
  const job = encodeJob({ createdAtMs: 1, executeBeforeMs: 0, body: null })
  const source = Buffer.concat([head, job])
  const slots = [1, 2, 3].map((idLow) => {
    const slot = jobs.take({ route: 1, idHigh: 0, idLow, keyHigh: 0, keyLow: idLow, owner: 0 })
    jobs.beginState(slot, JOB_QUEUED)
    assert.ok(records.storeJob(slot, templateSource(source), 0, head.length, source.length, 5))
    return slot
  })
  const finish = (slot: JobSlot): void => {
    assert.ok(records.storeResult(slot, records.readTemplate(slot), {
      createdAtMs: 1, status: 'completed', responseStatus: 200, reason: null, body: null,
      truncated: false,
    }))
  }
  // The first job came when the template was new, so it keeps its own.
  return { records, templates, finish, slots: slots.slice(1) as [JobSlot, JobSlot] }
}

test('a result keeps its job\'s small template, and sixteen bytes besides', () => {
  const { records, templates, finish, slots } = twoJobs(100)
  for (const slot of slots) finish(slot)
  assert.equal(templates.used, 1)
  for (const slot of slots) {
    assert.equal(records.bytesOf(slot), 16)
    assert.equal(records.readTemplate(slot).headers.length, 2)
    records.free(slot)
  }
  assert.equal(templates.used, 0)
})

test('a result does not keep a template that is large for the few that share it', () => {
  const { records, templates, finish, slots } = twoJobs(3 * TEMPLATE_PER_RESULT_BYTES_MAX)
  const [first, second] = slots
  finish(first)
  assert.equal(templates.used, 1, 'the other job waits with it')
  assert.equal(records.readTemplate(first).headers.length, 0)
  finish(second)
  assert.equal(templates.used, 0)
  assert.equal(records.readTemplate(second).url, 'http://a.test/x')
})

test('templates are remembered in few places, until forgotten or now and then replaced', () => {
  const decoded = new DecodedTemplates(2)
  const [first, second] = ['a', 'b'].map((name) => splitTemplate({
    userId: name, url: `http://${name}.test/p?q`, method: 'GET', headers: [],
    webhookUrl: `https://hook.test/${name}`, receiver: 1,
  }))
  assert.ok(first !== undefined && second !== undefined)
  assert.deepEqual([first.origin, first.path, first.webhookOrigin, first.webhookPath],
    ['http://a.test', '/p?q', 'https://hook.test', '/a'])
  const slot = (number: number): TemplateSlot => number as TemplateSlot
  decoded.keep(slot(1), first)
  assert.equal(decoded.find(slot(1)), first)
  assert.equal(decoded.find(slot(3)), undefined)
  decoded.forget(slot(3))
  assert.equal(decoded.find(slot(1)), first)
  let tries = 0
  for (; decoded.find(slot(3)) === undefined; tries++) decoded.keep(slot(3), second)
  assert.ok(tries > 4, `pushed another out at once, in ${tries} tries`)
  assert.ok(tries <= 16, `was not remembered in ${tries} tries`)
  assert.equal(decoded.find(slot(1)), undefined)
  decoded.forget(slot(3))
  assert.equal(decoded.find(slot(3)), undefined)
})

test('more templates used in turn than there are places leave most of them in place', () => {
  const places = 64
  const decoded = new DecodedTemplates(places)
  const template = splitTemplate({
    userId: 'a', url: 'http://a.test/', method: 'GET', headers: [], webhookUrl: null, receiver: 1,
  })
  let found = 0
  const [inTurn, rounds] = [places * 2, 50]
  for (let use = 0; use < inTurn * rounds; use++) {
    const slot = use % inTurn as TemplateSlot
    if (decoded.find(slot) === undefined) decoded.keep(slot, template)
    else found += 1
  }
  assert.ok(found > inTurn * rounds / 3, `found ${found} of ${inTurn * rounds}`)
})
