// The counts that all kinds of generators have in common: sends, answers, progress over time, and
// the end of a load, after its requests, its seconds or too many refusals and the late answers.

import { LatencyRecorder } from './latency.ts'
import type { LoadPlan, LoadProgress, LoadResult } from './load-plan.ts'

const STATUS_ACCEPTED = 201
const STATUS_REFUSED = 429
/** How long to wait for late answers once the load has ended. */
const STRAGGLERS_MS_MAX = 15_000
const PROGRESS_EVERY_MS = 200
const PROGRESS_POINTS_MAX = 512
/** After more broken connections, the load is aborted. */
const FAILURES_MAX = 20

/** The counts of one load. */
export class LoadTally {
  readonly latency = new LatencyRecorder()
  readonly lateness = new LatencyRecorder()
  sent = 0
  answered = 0
  /** Requests on connections that broke; their answers are not awaited. */
  lost = 0
  readonly #plan: LoadPlan
  readonly #statuses = new Map<number, number>()
  readonly #failures: string[] = []
  readonly #drained = Promise.withResolvers<void>()
  #progressPoints: LoadProgress[] = []
  #startMs = 0
  #endMs = 0
  #isEnded = false
  #acceptedInTime = 0

  constructor(plan: LoadPlan) {
    this.#plan = plan
  }

  /** 0 before run(). */
  get startMs(): number {
    return this.#startMs
  }

  /** Whether nothing more must be sent. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** Runs until the last late answer. @param begin sends the first jobs. */
  async run(begin: () => void, onProgress: (progress: LoadProgress) => void): Promise<void> {
    this.#startMs = performance.now()
    const end = setTimeout(() => this.end(), this.#plan.seconds * 1000)
    const progress = setInterval(() => onProgress(this.#noteProgress()), PROGRESS_EVERY_MS)
    begin()
    await this.#drained.promise
    clearTimeout(end)
    clearInterval(progress)
  }

  /** Counts jobs that were answered with a status. */
  count(status: number, jobs: number): void {
    const count = (this.#statuses.get(status) ?? 0) + jobs
    this.#statuses.set(status, count)
    if (status === STATUS_ACCEPTED && !this.#isEnded) this.#acceptedInTime += jobs
    if (status === STATUS_REFUSED && count >= this.#plan.refusalsMax) this.end()
  }

  /** Counts a broken connection. @returns false when there were too many to continue. */
  fail(reason: string): boolean {
    if (this.#failures.length < FAILURES_MAX) this.#failures.push(reason)
    return this.#failures.length < FAILURES_MAX
  }

  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#endMs = performance.now()
    setTimeout(() => this.#drained.resolve(), STRAGGLERS_MS_MAX).unref()
    this.endIfDone()
  }

  /** Call it after answers: the last one ends the load, or the wait after its end. */
  endIfDone(): void {
    const isAnswered = this.answered + this.lost >= this.sent
    if (!this.#isEnded && this.sent >= this.#plan.requests && isAnswered) this.end()
    if (this.#isEnded && isAnswered) this.#drained.resolve()
  }

  /** Ends the load without waiting for late answers. */
  giveUp(): void {
    this.end()
    this.#drained.resolve()
  }

  result(): LoadResult {
    return {
      seconds: (this.#endMs - this.#startMs) / 1000,
      sent: this.sent,
      acceptedInTime: this.#acceptedInTime,
      statuses: Object.fromEntries(this.#statuses),
      unanswered: this.sent - this.answered,
      failures: this.#failures,
      overTime: this.#progressPoints.map(({ seconds, accepted }, index) => {
        const before = this.#progressPoints[index - 1] ?? { seconds: 0, accepted: 0 }
        return [seconds, (accepted - before.accepted) / (seconds - before.seconds)]
      }),
      latency: this.latency.encode(),
      lateness: this.lateness.encode(),
    }
  }

  /** A long load keeps fewer of its points. */
  #noteProgress(): LoadProgress {
    const untilMs = this.#isEnded ? this.#endMs : performance.now()
    const progress = {
      seconds: (untilMs - this.#startMs) / 1000, accepted: this.#acceptedInTime,
    }
    if (!this.#isEnded) this.#progressPoints.push(progress)
    if (this.#progressPoints.length > PROGRESS_POINTS_MAX) {
      this.#progressPoints = this.#progressPoints.filter((_point, index) => index % 2 === 1)
    }
    return progress
  }
}
