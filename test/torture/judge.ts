// Compares what callers were promised with what the upstreams and the receiver saw. Knows nothing
// of the server: a run's ledger is all that it reads.

import { type PacedSend, assertPromiseAcrossPaces } from '../support/pace-promise.ts'
import {
  type Execution, type Job, PACES, type Target, isDoomed, isFinal, isSerial,
} from './jobs.ts'
import { type Ledger, type Outage, name } from './ledger.ts'

/** What a run came to. */
export interface Figures {
  readonly accepted: number
  /** Accepted jobs that an upstream has seen. */
  readonly sent: number
  /** Requests that upstreams have seen. */
  readonly executions: number
  /** Executions of what had been answered, or cut off: in flight when the server ended. */
  readonly repeated: number
  /** The same, with no such excuse. */
  readonly repeatedWrongly: number
  /** Accepted, not cancelled, and never executed to its end. */
  readonly lost: number
  /** Jobs set aside since two threads ended with them in hand; reported as failed. */
  readonly setAside: number
  readonly cancelled: number
  /** Cancelled shortly before the server ended, and executed all the same. */
  readonly cancelsUndone: number
  /**
   * Sent to an upstream, and gone with the server before their callers had an answer: submitted
   * again, they were other jobs.
   */
  readonly sentUnheld: number
  readonly webhooks: number
  readonly webhooksRepeated: number
  /** Of the repeated executions, how long before the end the latest excused one was answered. */
  readonly answeredBeforeMsMax: number
}

/** What is known besides the ledger. */
export interface JudgeOptions {
  /** How late the notes may be. */
  readonly lagUs: number
  readonly releasedUs: number
  /** Ids of jobs that the server reports as set aside. */
  readonly setAside: ReadonlySet<string>
  /** The memory outlives the ends, so an attempt that was cut off counts. */
  readonly memorySurvives: boolean
}

/** What a send may be delayed by on its way to an upstream's notes, the process's lag apart. */
const JITTER_US = 150_000
/**
 * The same for a send that waits for a new connection, while others overtake it on old ones: the
 * server's own lag is in it, of which nothing is known here. Strict order is for `glacier` to show.
 */
const CONNECTING_US = 5_000_000

/** Judges a run whose server has sent everything; breaches are added to the ledger. */
export function judge(ledger: Ledger, options: JudgeOptions): Figures {
  const repeats = new RepeatJudge(ledger, options)
  let lost = 0
  let sent = 0
  let executions = 0
  let cancelled = 0
  let cancelsUndone = 0
  let sentUnheld = 0
  for (const job of ledger.jobs) {
    job.executions.sort((one, other) => one.beginUs - other.beginUs)
    executions += job.executions.length
    if (job.executions.length > 0) sent += 1
    if (!Number.isNaN(job.cancelledUs)) cancelled += 1
    repeats.look(job)
    if (isSentUnheld(ledger, job, options)) sentUnheld += 1
    if (isCancelUndone(ledger, job)) cancelsUndone += 1
    if (isLost(ledger, job, options)) lost += 1
  }
  lookAtOrder(ledger, options)
  lookAtOverlaps(ledger)
  lookAtPaces(ledger, options)
  return {
    accepted: ledger.accepted, sent, executions, lost, cancelled, cancelsUndone, sentUnheld,
    repeated: repeats.excused, repeatedWrongly: repeats.wrong,
    answeredBeforeMsMax: repeats.answeredBeforeUsMax / 1000, setAside: options.setAside.size,
    ...lookAtWebhooks(ledger, options),
  }
}

// --- executions ---

/** Whether an outage explains that what was executed is executed again. */
export const excuse = (
  outages: readonly Outage[], first: Execution, second: Execution,
): Outage | undefined => outages.find(({ fromUs, settledUs, untilUs }) =>
  first.beginUs <= untilUs && second.beginUs >= fromUs &&
  (Number.isNaN(first.endUs) || first.endUs >= settledUs))

class RepeatJudge {
  excused = 0
  wrong = 0
  answeredBeforeUsMax = 0
  readonly #ledger: Ledger
  readonly #memorySurvives: boolean

  constructor(ledger: Ledger, { memorySurvives }: JudgeOptions) {
    this.#ledger = ledger
    this.#memorySurvives = memorySurvives
  }

  look(job: Job): void {
    for (const [at, execution] of job.executions.entries()) {
      const before = job.executions[at - 1]
      if (before === undefined) continue
      // Whoever has been told of an outcome was told of the last one, whatever happened since.
      const isTold = this.#isTold(execution)
      const outage = isTold ? undefined : excuse(this.#ledger.outages, before, execution)
      this.#lookAtAttempts(job, before, execution, outage !== undefined)
      // A failed attempt is followed by another, outage or not.
      if (!isTold && !isFinal(job, before) && !Number.isNaN(before.endUs)) continue
      if (outage !== undefined) {
        this.excused += 1
        const beforeUs = outage.fromUs - before.endUs
        if (beforeUs > this.answeredBeforeUsMax) this.answeredBeforeUsMax = beforeUs
        continue
      }
      this.wrong += 1
      this.#ledger.breach('a key runs once', `${name(job)} was ${this.#story(before)}, and was ` +
        `executed again ${ms(execution.beginUs - before.beginUs)} ms after it had begun` +
        (isTold ? ', though its webhook had come' : ''))
    }
  }

  #isTold({ beginUs, jobId }: Execution): boolean {
    const told = this.#ledger.told.get(jobId)
    return told !== undefined && told.firstUs < beginUs
  }

  #lookAtAttempts(job: Job, before: Execution, execution: Execution, isExcused: boolean): void {
    const step = execution.attempt - before.attempt
    // An attempt in between may have been cut off before it came here.
    const mayMiss = this.#ledger.outages.some(({ fromUs, untilUs }) =>
      untilUs >= before.beginUs && fromUs <= execution.beginUs)
    const least = isExcused && !this.#memorySurvives ? 0 : 1
    if (step >= least && (step <= 1 || mayMiss)) return
    this.#ledger.breach('attempts are counted', `${name(job)} came with attempt ` +
      `${execution.attempt} of ${execution.jobId} after attempt ${before.attempt} ` +
      `of ${before.jobId}`)
  }

  #story({ beginUs, endUs, status }: Execution): string {
    const { outages } = this.#ledger
    const next = outages.find(({ fromUs }) => fromUs > beginUs)
    const last = outages.findLast(({ fromUs }) => fromUs <= beginUs)
    return [
      Number.isNaN(endUs) ? 'cut off' : `answered ${status} after ${ms(endUs - beginUs)} ms`,
      ...(next === undefined ? [] : [`begun ${ms(next.fromUs - beginUs)} ms before an end`]),
      ...(last === undefined ? [] : [`begun ${ms(beginUs - last.untilUs)} ms after one`]),
    ].join(', ')
  }
}

/**
 * Executed under an id that no caller was told: excused if the memory went with the server before
 * the answer.
 */
function isSentUnheld(ledger: Ledger, job: Job, { memorySurvives }: JudgeOptions): boolean {
  const strangers = job.executions.filter(({ jobId }) => jobId !== job.jobId)
  if (strangers.length === 0 || job.jobId === undefined) return false
  const isExcused = !memorySurvives && strangers.every(({ beginUs, endUs }) =>
    ledger.outages.some(({ fromUs, settledUs, untilUs }) => beginUs <= untilUs &&
      job.acceptedUs >= fromUs && (Number.isNaN(endUs) || endUs >= settledUs)))
  if (isExcused) return true
  ledger.breach('one key, one job', `${name(job)} was executed as ${strangers[0]?.jobId}`)
  return false
}

/** Executed though cancelled: excused, as an execution is, shortly before an end. */
function isCancelUndone(ledger: Ledger, job: Job): boolean {
  const { cancelledUs, executions } = job
  const after = executions.find(({ beginUs }) => beginUs > cancelledUs)
  if (after === undefined) return false
  const isExcused = ledger.outages.some(({ fromUs, settledUs }) =>
    cancelledUs >= settledUs && after.beginUs >= fromUs)
  if (isExcused) return true
  ledger.breach('what is cancelled is not sent',
    `${name(job)} was sent ${ms(after.beginUs - cancelledUs)} ms after its cancelling`)
  return false
}

function isLost(ledger: Ledger, job: Job, { setAside }: JudgeOptions): boolean {
  const isOwed = job.jobId !== undefined && !job.cancelTried && !setAside.has(job.jobId)
  if (!isOwed) return false
  const last = job.executions.at(-1)
  if (last !== undefined && isFinal(job, last) && !Number.isNaN(last.endUs)) return false
  const outage = ledger.outages.find(({ fromUs }) => fromUs > job.acceptedUs)
  const when = outage === undefined ? 'after the last end'
    : `${ms(outage.fromUs - job.acceptedUs)} ms before an end`
  ledger.breach('accepted means sent', `${name(job)} was accepted ${when} and ` +
    (last === undefined ? 'never sent' : `given up after ${job.executions.length} attempts, ` +
      `the last with ${Number.isNaN(last.endUs) ? 'no answer' : last.status}`))
  return true
}

// --- order and pace ---

/** First executions of an account at an upstream come in the order of its calls. */
function lookAtOrder(ledger: Ledger, { lagUs }: JudgeOptions): void {
  const latest = new Map<string, { job: Job, first: Execution }>()
  for (const job of ledger.jobs) {
    const first = job.executions[0]
    if (first === undefined) continue
    const line = `${job.account} ${job.target}`
    const earlier = latest.get(line)
    if (earlier === undefined || earlier.first.beginUs <= first.beginUs) {
      latest.set(line, { job, first })
      continue
    }
    const aheadUs = earlier.first.beginUs - first.beginUs
    // Where one has to be answered before the next is sent, nothing can overtake on its way.
    const jitterUs = isSerial(job.target) ? 0 : CONNECTING_US + 2 * lagUs
    // Sent in the right order, of which the first did not arrive before the end.
    const isExcused = !isSerial(job.target) &&
      ledger.outages.some(({ fromUs, settledUs, untilUs }) => first.beginUs <= untilUs &&
        first.beginUs >= settledUs && earlier.first.beginUs >= fromUs)
    if (aheadUs <= jitterUs || isExcused) continue
    ledger.breach('in the order of the calls',
      `${name(job)} came ${ms(aheadUs)} ms before ${name(earlier.job)}, which was sent earlier`)
  }
}

/** An upstream that takes one request at once gets one at once, but for what an end cut off. */
function lookAtOverlaps(ledger: Ledger): void {
  const executions = ledger.jobs.filter(({ target }) => isSerial(target))
    .flatMap((job) => job.executions.map((execution) => ({ job, execution })))
    .sort((one, other) => one.execution.beginUs - other.execution.beginUs)
  for (const [at, { job, execution }] of executions.entries()) {
    const before = executions[at - 1]
    if (before === undefined || !(before.execution.endUs > execution.beginUs)) continue
    if (excuse(ledger.outages, before.execution, execution) !== undefined) continue
    const earlyUs = before.execution.endUs - execution.beginUs
    ledger.breach('never more at once than allowed',
      `${name(job)} came ${ms(earlyUs)} ms before ${name(before.job)} was answered`)
  }
}

/** No upstream, and no account of `apart`, is sent to ahead of its pace. */
function lookAtPaces(ledger: Ledger, { lagUs, releasedUs }: JudgeOptions): void {
  const budgets = new Map<string, { target: Target, timesUs: number[] }>()
  for (const job of ledger.jobs) {
    const budget = job.target === 'apart' ? `account ${job.account} at apart` : job.target
    const sends = budgets.get(budget) ?? { target: job.target, timesUs: [] }
    budgets.set(budget, sends)
    for (const { beginUs } of job.executions) {
      if (beginUs < releasedUs) sends.timesUs.push(beginUs)
    }
  }
  for (const [budget, { target, timesUs }] of budgets) {
    timesUs.sort((one, other) => one - other)
    const sends: PacedSend[] = timesUs.map((atUs) => ({ atUs, pacePerSecond: PACES[target] }))
    try {
      assertPromiseAcrossPaces(sends, JITTER_US + 2 * lagUs)
    } catch (error) {
      ledger.breach('never ahead of the pace', `${budget}: ${(error as Error).message}, where ` +
        `${ms(JITTER_US + 2 * lagUs)} ms are allowed for the way`)
    }
  }
}

// --- webhooks ---

function lookAtWebhooks(ledger: Ledger, { setAside }: JudgeOptions):
  Pick<Figures, 'webhooks' | 'webhooksRepeated'> {
  let webhooks = 0
  let webhooksRepeated = 0
  for (const job of ledger.jobs) {
    if (!job.wantsWebhook || job.jobId === undefined) continue
    const told = ledger.told.get(job.jobId)
    if (told !== undefined) {
      webhooks += 1
      webhooksRepeated += Math.max(0, told.deliveries - (job.webhookFails ? 2 : 1))
    }
    // A cancelled job has no outcome to tell of.
    if (job.executions.length === 0 || setAside.has(job.jobId)) continue
    const expected = isDoomed(job) ? 'failed' : 'completed'
    if (told === undefined) {
      ledger.breach('webhooks at least once', `nobody was told of ${name(job)}`)
    } else if (!told.statuses.has(expected) || told.statuses.size > 1) {
      ledger.breach('webhooks at least once', `${name(job)} was told of as ` +
        [...told.statuses].join(' and '))
    }
  }
  return { webhooks, webhooksRepeated }
}

const ms = (us: number): string => (us / 1000).toFixed(0)
