// What callers see of a job, from its slot and its records, and when the records are gone.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  type JobSlot, type Micros, type Millis, NONE, type UpstreamSlot,
} from '../../../../shards/base/units.ts'
import { JobSnapshots, showResult } from '../../../../shards/job/job-snapshot.ts'
import { Lanes } from '../../../../shards/pace/lanes.ts'
import { JobLog } from '../../../../shards/store/job-log.ts'
import { JobRecords } from '../../../../shards/store/job-records.ts'
import {
  JOB_CANCELLED, JOB_COMPLETED, JOB_FAILED, JOB_IN_FLIGHT, JOB_QUEUED, JOB_RETRYING, JobSlots,
} from '../../../../shards/store/job-slots.ts'
import type { StoredResult } from '../../../../shards/store/stored-result.ts'
import { Templates } from '../../../../shards/store/templates.ts'
import { type Template, encodeTemplate } from '../../../../shards/wire/codec.ts'
import { encodeJob } from '../../../support/encode-job.ts'
import { oneShard } from '../../../support/shard-memory.ts'
import { templateSource } from '../../../support/template-source.ts'

const CREATED_MS = 1_700_000_000_000
const STORED: StoredResult = {
  createdAtMs: CREATED_MS, status: 'completed', responseStatus: 200, reason: null, body: null,
  truncated: false,
}
const TEMPLATE: Template = {
  userId: 'u', url: 'http://a.test/x', method: 'PUT', headers: ['X-A', 'b'], webhookUrl: null,
  receiver: NONE,
}

describe('a result', () => {
  it('is shown with no more than it has', () => {
    assert.deepEqual(showResult({ ...STORED, status: 'cancelled', responseStatus: 0 }),
      { status: 'cancelled' })
    const failed = { ...STORED, status: 'failed', responseStatus: 0, reason: 'timeout' } as const
    assert.deepEqual(showResult(failed), { status: 'failed', reason: 'timeout' })
    assert.deepEqual(showResult({ ...STORED, body: new Uint8Array(0) }),
      { status: 'completed', response_status: 200, body: '' })
  })

  it('shows text as text, and any other bytes as base64', () => {
    const show = (body: Uint8Array) => showResult({ ...STORED, body })
    assert.equal(show(Buffer.from('grüße 😀')).body, 'grüße 😀')
    assert.equal(show(Uint8Array.of(0)).body, '\0')
    assert.deepEqual(show(Uint8Array.of(0xc3)), {
      status: 'completed', response_status: 200, body_base64: 'ww==',
    })
    const part = Buffer.from('..inner..').subarray(2, 7)
    assert.equal(show(part).body, 'inner', 'a view is shown as far as it goes')
  })

  it('says when a part of it is missing', () => {
    assert.equal(showResult({ ...STORED, truncated: true }).truncated, true)
    assert.equal('truncated' in showResult(STORED), false)
  })
})

/** One job in a lane of its own, with a record as the intake stores it. */
class Setting {
  readonly jobs: JobSlots
  readonly records: JobRecords
  readonly views: JobSnapshots
  readonly lanes: Lanes

  constructor() {
    const memory = oneShard()
    this.jobs = new JobSlots(memory)
    const log = new JobLog(memory, { recover: false })
    this.records = new JobRecords(
      log, this.jobs, new Templates(memory, log, { recover: false }))
    this.lanes = new Lanes(memory, this.jobs)
    this.views = new JobSnapshots(this.jobs, this.records, this.lanes,
      (atUs) => (CREATED_MS + atUs / 1000) as Millis)
  }

  add(number: number): JobSlot {
    const slot = this.jobs.take(
      { route: 1, idHigh: 2, idLow: number, keyHigh: 3, keyLow: number, owner: 0 })
    this.jobs.beginState(slot, JOB_QUEUED)
    const template = encodeTemplate(TEMPLATE)
    const job = encodeJob({ createdAtMs: CREATED_MS, executeBeforeMs: 0, body: Buffer.from('b') })
    const source = Buffer.concat([template, job])
    assert.ok(this.records.storeJob(
      slot, templateSource(source), 0, template.length, source.length, 7))
    const lane = this.lanes.find(1, 1, 0 as UpstreamSlot, 1, 1 as Micros)
    this.jobs.at.lane[slot] = lane
    this.lanes.place(lane, slot, false)
    this.lanes.link(lane, slot, false)
    return slot
  }
}

describe('a job', () => {
  it('is shown in each of its states', () => {
    const { jobs, records, views, add } = bound(new Setting())
    add(1)
    const slot = add(2)
    const common = { url: TEMPLATE.url, method: TEMPLATE.method, created_at: CREATED_MS }
    assert.deepEqual(views.show(slot), { ...common, status: 'queued', attempts: 0, position: 2 })
    assert.equal(views.result(slot), undefined)
    jobs.setState(slot, JOB_IN_FLIGHT, 3)
    assert.deepEqual(views.show(slot), { ...common, status: 'in_flight', attempts: 3 })
    jobs.setState(slot, JOB_RETRYING)
    jobs.at.timeUs[slot] = 5000
    assert.deepEqual(views.show(slot),
      { ...common, status: 'queued', attempts: 3, retry_at: CREATED_MS + 5 })
    jobs.setState(slot, JOB_COMPLETED)
    const template = records.readTemplate(slot)
    assert.ok(records.storeResult(slot, template, { ...STORED, body: Buffer.from('ok') }))
    const result = { status: 'completed', response_status: 200, body: 'ok' }
    assert.deepEqual(views.show(slot), { ...common, status: 'completed', attempts: 3, result })
    assert.deepEqual(views.result(slot), result)
  })

  it('is shown by its slot alone when its record is gone', () => {
    for (const [state, status] of [
      [JOB_COMPLETED, 'completed'], [JOB_FAILED, 'failed'], [JOB_CANCELLED, 'cancelled'],
    ] as const) {
      const { jobs, records, views, add } = bound(new Setting())
      const slot = add(1)
      jobs.setState(slot, state, 2)
      jobs.setResponseStatus(slot, state === JOB_CANCELLED ? 0 : 502)
      records.free(slot)
      const result = state === JOB_CANCELLED
        ? { status, truncated: true }
        : { status, truncated: true, response_status: 502 }
      assert.deepEqual(views.show(slot), { status, attempts: 2, result })
      assert.deepEqual(views.result(slot), result)
    }
  })
})

/** The setting's parts, for a test that names them one by one. */
const bound = (setting: Setting) => ({
  jobs: setting.jobs, records: setting.records, views: setting.views,
  add: (number: number) => setting.add(number),
})
