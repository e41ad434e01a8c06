// The judge finds each kind of broken promise in a ledger, and none where an end of the server
// excuses what was seen.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Micros } from '../../shards/base/units.ts'
import { type Execution, type Job, type Target, primerJob } from './jobs.ts'
import { type Figures, type JudgeOptions, judge } from './judge.ts'
import { Ledger } from './ledger.ts'
import { WINDOW_US } from './window.ts'

const SECOND_US = 1_000_000
const OPTIONS: JudgeOptions =
  { lagUs: 0, releasedUs: Infinity, setAside: new Set(), memorySurvives: false }

/** A ledger that is written by hand: times in seconds. */
class Story {
  readonly ledger = new Ledger()

  job(target: Target = 'fast', parts: Partial<Job> = {}): Job {
    const { ledger } = this
    const job = { ...primerJob(ledger.nextNumber, target), ...parts }
    ledger.jobs.push(job)
    ledger.noteAccepted(job, `id-${job.number}`, false)
    job.acceptedUs = 0
    return job
  }

  /** @param end NaN for a request that was cut off. */
  executed(job: Job, begin: number, end = begin, parts: Partial<Execution> = {}): this {
    job.executions.push({
      jobId: String(job.jobId), attempt: job.executions.length + 1, status: 200,
      beginUs: begin * SECOND_US as Micros, endUs: end * SECOND_US, ...parts,
    })
    return this
  }

  end(from: number, until: number): this {
    this.ledger.noteOutage({
      settledUs: from * SECOND_US - WINDOW_US, fromUs: from * SECOND_US as Micros,
      untilUs: until * SECOND_US as Micros,
    })
    return this
  }

  judged(options: Partial<JudgeOptions> = {}): Figures & { broken: readonly string[] } {
    const figures = judge(this.ledger, { ...OPTIONS, ...options })
    return { ...figures, broken: this.ledger.breaches.map(({ promise }) => promise) }
  }
}

describe('the judge', () => {
  it('finds an accepted job that was never sent, or given up', () => {
    const story = new Story()
    story.job()
    story.executed(story.job('fast', { failures: 1 }), 1, 1, { status: 503 })
    story.executed(story.job('fast', { failures: Infinity }), 1, 1, { status: 503 })
    const { broken, lost, sent } = story.judged()
    assert.deepEqual([lost, sent], [2, 2])
    assert.deepEqual(broken, ['accepted means sent', 'accepted means sent'])
  })

  it('does not miss jobs that were cancelled or set aside', () => {
    const story = new Story()
    story.job('glacier', { cancelTried: true, cancelledUs: 5 })
    story.job()
    const { broken, cancelled } = story.judged({ setAside: new Set(['id-1']) })
    assert.deepEqual(broken, [])
    assert.equal(cancelled, 1)
  })

  it('excuses a repetition of what was in flight at an end, and shortly before', () => {
    const story = new Story().end(10, 11)
    story.executed(story.job(), 9.5, NaN).executed(story.ledger.jobs[0] as Job, 11.5)
    story.executed(story.job(), 9.2, 9.3).executed(story.ledger.jobs[1] as Job, 11.5)
    const { answeredBeforeMsMax, broken, repeated, repeatedWrongly } = story.judged()
    assert.deepEqual([repeated, repeatedWrongly], [2, 0])
    assert.deepEqual(broken, [])
    assert.equal(Math.round(answeredBeforeMsMax), 700)
  })

  it('finds a repetition of what had been answered before, or with no end at all', () => {
    const story = new Story().end(10, 11)
    const settled = story.job()
    story.executed(settled, 5, 5.1).executed(settled, 11.5)
    const later = story.job()
    story.executed(later, 12, 12.1).executed(later, 13)
    const { broken, repeated, repeatedWrongly } = story.judged()
    assert.deepEqual([repeated, repeatedWrongly], [0, 2])
    assert.deepEqual(new Set(broken), new Set(['a key runs once']))
  })

  it('excuses no repetition of what a webhook has told', () => {
    const story = new Story().end(10, 11)
    const told = story.job()
    story.executed(told, 9.5, 9.6).executed(told, 11.5)
    story.ledger.noteTold('id-0', 'completed', 9.7 * SECOND_US as Micros)
    const failed = story.job('fast', { failures: 2 })
    story.executed(failed, 9.5, 9.6, { status: 503 }).executed(failed, 11.5, 11.6)
    story.ledger.noteTold('id-1', 'completed', 12 * SECOND_US as Micros)
    const { broken, repeated, repeatedWrongly } = story.judged()
    assert.deepEqual([repeated, repeatedWrongly], [0, 1])
    assert.deepEqual(broken, ['a key runs once'])
  })

  it('finds attempts that are counted wrongly', () => {
    const story = new Story().end(10, 11)
    const flaky = story.job('fast', { failures: 1 })
    story.executed(flaky, 1, 1, { status: 503 }).executed(flaky, 2, 2, { attempt: 3 })
    const again = story.job()
    story.executed(again, 10, NaN).executed(again, 12, 12, { attempt: 1 })
    assert.deepEqual(story.judged().broken, ['attempts are counted'])
    assert.deepEqual(new Story().judged().broken, [])
    story.ledger.breaches.length = 0
    assert.equal(story.judged({ memorySurvives: true }).broken.length, 2)
  })

  it('finds two ids for one key', () => {
    const story = new Story()
    const job = story.job()
    story.ledger.noteAccepted(job, 'id-0', true)
    assert.deepEqual(story.ledger.breaches, [])
    story.ledger.noteAccepted(job, 'id-0', false)
    story.ledger.noteAccepted(job, 'another', true)
    story.executed(job, 1, 1, { jobId: 'another' })
    assert.deepEqual(story.judged().broken,
      ['one key, one job', 'one key, one job', 'one key, one job'])
  })

  it('excuses an id that was never told, since the server ended before it could', () => {
    const story = new Story().end(10, 11)
    const job = story.job('fast')
    job.acceptedUs = 12 * SECOND_US
    story.executed(job, 9.9, 9.9, { jobId: 'gone' }).executed(job, 12, 12, { attempt: 1 })
    const { broken, repeated, sentUnheld } = story.judged()
    assert.deepEqual([broken, repeated, sentUnheld], [[], 1, 1])
    assert.ok(story.judged({ memorySurvives: true }).broken.includes('one key, one job'))
  })

  it('finds a wrong order in an account, and only there', () => {
    const story = new Story()
    const [first, second, other] = [story.job(), story.job(), story.job('fast', { account: 1 })]
    story.executed(first, 15).executed(second, 3).executed(other, 1)
    assert.deepEqual(story.judged().broken, ['in the order of the calls'])
  })

  it('finds requests at once where one is allowed', () => {
    const story = new Story()
    story.executed(story.job('glacier'), 1, 6).executed(story.job('glacier'), 5, 7)
    assert.deepEqual(story.judged().broken, ['never more at once than allowed'])
  })

  it('finds sends ahead of a pace, of an account where it has one of its own', () => {
    const story = new Story()
    story.executed(story.job('glacier'), 1).executed(story.job('glacier'), 2.7)
    for (const account of [0, 1]) story.executed(story.job('apart', { account }), 4)
    assert.deepEqual(story.judged().broken, ['never ahead of the pace'])
    assert.deepEqual(story.judged({ releasedUs: 2 * SECOND_US }).broken.length, 1,
      'after the release there is no pace to keep')
  })

  it('finds webhooks that never came, or told something else', () => {
    const story = new Story()
    for (let job = 0; job < 3; job++) story.executed(story.job('fast', { wantsWebhook: true }), job)
    story.ledger.noteTold('id-1', 'failed')
    story.ledger.noteTold('id-2', 'completed')
    story.ledger.noteTold('id-2', 'completed')
    const { broken, webhooks, webhooksRepeated } = story.judged()
    assert.deepEqual(broken, ['webhooks at least once', 'webhooks at least once'])
    assert.deepEqual([webhooks, webhooksRepeated], [2, 1])
  })

  it('finds what was cancelled and sent all the same', () => {
    const story = new Story().end(10, 11)
    const parts = { cancelTried: true, account: 1 }
    story.executed(story.job('fast', { ...parts, cancelledUs: 2 * SECOND_US }), 12)
    story.executed(story.job('fast', { ...parts, cancelledUs: 9.5 * SECOND_US }), 12)
    const { broken, cancelsUndone } = story.judged()
    assert.deepEqual(broken, ['what is cancelled is not sent'])
    assert.equal(cancelsUndone, 1)
  })

  it('finds bodies that are not as they were sent', () => {
    const { ledger } = new Story()
    const job = primerJob(0, 'fast')
    ledger.jobs.push(job)
    ledger.noteExecution('0:', 'id-0', 1, 0 as Micros)
    assert.equal(ledger.breachCount, 0)
    ledger.noteExecution('0:?', 'id-0', 1, 0 as Micros)
    ledger.noteExecution('7:', 'id-7', 1, 0 as Micros)
    assert.equal(ledger.breachCount, 2)
  })
})
