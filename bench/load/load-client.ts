// The load generator's heart: many connections, either each sending its next job when the last
// one is answered (closed loop), or jobs leaving at set times whatever the server does (open
// loop). In the open loop a latency counts from when the job should have left, so that a server
// that stalls cannot hide it by holding the generator up.

import { type EncodedLatency, LatencyRecorder } from './latency.ts'
import { type ConnectionOwner, LoadConnection } from './load-connection.ts'
import {
  type PayloadSettings, type Profile, type RequestPattern, type Shape, patch, requestPattern,
  shapeChooser, shapesOf,
} from './payloads.ts'

/** One load. It ends with its requests or its seconds, whichever come first. */
export interface LoadPlan {
  readonly address: { readonly host: string; readonly port: number }
  readonly payload: PayloadSettings
  readonly profile: Profile
  readonly connections: number
  /** Requests at once on each connection. */
  readonly depth: number
  /** Jobs go to accounts in turn: firstAccount, … firstAccount + accounts - 1, and again. */
  readonly accounts: number
  readonly firstAccount: number
  /** The number in the first job's key; each next one is one more. */
  readonly firstSequence: number
  readonly requests: number
  readonly seconds: number
  /** Per second, for an open loop; undefined for a closed one. */
  readonly rate: number | undefined
  /** Jobs that should leave in the first so many seconds are sent; their latency is not kept. */
  readonly unrecordedSeconds: number
  /** The load ends early with so many answers of 429. */
  readonly refusalsMax: number
  /** Jobs in a message over WebSocket; left out for HTTP. */
  readonly batch?: number
}

/** How the load went so far. */
export interface LoadProgress {
  readonly seconds: number
  readonly accepted: number
}

/** How the load went. */
export interface LoadResult {
  /** From the first request until the load ended; stragglers came in later. */
  readonly seconds: number
  readonly sent: number
  /** 201 within `seconds`. */
  readonly acceptedInTime: number
  /** Answers by status, stragglers included. */
  readonly statuses: Readonly<Record<string, number>>
  readonly unanswered: number
  /** Accepted jobs per second over time, up to each point's second. */
  readonly overTime: readonly (readonly [seconds: number, perSecond: number])[]
  /** What broke connections, in words; at most a few. */
  readonly failures: readonly string[]
  readonly latency: EncodedLatency
  /** Open loop: how late the generator itself was, where it did not wait for the server. */
  readonly lateness: EncodedLatency
}

const STATUS_ACCEPTED = 201
const STATUS_REFUSED = 429
/** How long answers are waited for once the load has ended. */
const STRAGGLERS_MS_MAX = 15_000
const FAILURES_MAX = 20
const PROGRESS_EVERY_MS = 200
const PROGRESS_POINTS_MAX = 512
/** Checked between two jobs of an open loop that is behind. */
const CATCH_UP_JOBS_MAX = 256
/** Open loop: between jobs the generator sleeps, and hears answers later by so much at most. */
const NAP_MS_MAX = 0.05
const NAP_MS_MIN = 0.01

/** Runs one load over connections of its own. */
export class LoadClient implements ConnectionOwner {
  readonly #plan: LoadPlan
  readonly #patterns: RequestPattern[] = []
  readonly #shapes: readonly Shape[]
  readonly #nextShape: () => Shape
  readonly #connections = new Set<LoadConnection>()
  /** Open loop: connections in the order in which they got room. */
  readonly #free: LoadConnection[] = []
  readonly #latency = new LatencyRecorder()
  readonly #lateness = new LatencyRecorder()
  readonly #statuses = new Map<number, number>()
  readonly #failures: string[] = []
  readonly #drained = Promise.withResolvers<void>()
  #startMs = 0
  #recordedFromMs = 0
  #endMs = 0
  #ended = false
  #sent = 0
  #answered = 0
  #unanswered = 0
  #acceptedInTime = 0
  /** Open loop: jobs that are due found no connection with room. */
  #starved = false
  #progressPoints: LoadProgress[] = []
  /** Nobody ever wakes who waits for it. */
  readonly #nap = new Int32Array(new SharedArrayBuffer(4))

  constructor(plan: LoadPlan) {
    this.#plan = plan
    this.#shapes = shapesOf(plan.profile)
    this.#nextShape = shapeChooser(plan.profile)
    for (const shape of this.#shapes) {
      for (let upstream = 0; upstream < plan.payload.upstreams.length; upstream++) {
        this.#patterns.push(requestPattern(plan.payload, shape, upstream))
      }
    }
  }

  /** Connects, runs the load, waits for stragglers, closes. Rejects when it cannot connect. */
  async run(onProgress: (progress: LoadProgress) => void): Promise<LoadResult> {
    const { connections, seconds, rate } = this.#plan
    await Promise.all(Array.from({ length: connections }, () => this.#open()))
    this.#startMs = performance.now()
    this.#recordedFromMs = this.#startMs + this.#plan.unrecordedSeconds * 1000
    const end = setTimeout(() => this.#end(), seconds * 1000)
    const progress = setInterval(() => onProgress(this.#notedProgress()), PROGRESS_EVERY_MS)
    if (rate === undefined) for (const connection of this.#connections) this.#fill(connection)
    else this.#pump(rate)
    await this.#drained.promise
    clearTimeout(end)
    clearInterval(progress)
    for (const connection of this.#connections) connection.close()
    return this.#result()
  }

  onAnswer(_connection: LoadConnection, status: number, startedMs: number): void {
    this.#answered += 1
    if (startedMs >= this.#recordedFromMs) {
      this.#latency.record((performance.now() - startedMs) * 1000)
    }
    const count = (this.#statuses.get(status) ?? 0) + 1
    this.#statuses.set(status, count)
    if (status === STATUS_ACCEPTED && !this.#ended) this.#acceptedInTime += 1
    if (status === STATUS_REFUSED && count >= this.#plan.refusalsMax) this.#end()
  }

  onAnswersEnd(connection: LoadConnection): void {
    if (this.#plan.rate === undefined) this.#fill(connection)
    else if (connection.hasRoom && !this.#free.includes(connection)) this.#free.push(connection)
    this.#endIfDone()
  }

  onBroken(connection: LoadConnection, reason: string, lost: number): void {
    this.#connections.delete(connection)
    this.#unanswered += lost
    if (this.#failures.length < FAILURES_MAX) this.#failures.push(reason)
    // A server that breaks connections again and again ends the load, not the generator.
    if (this.#failures.length >= FAILURES_MAX) this.#end()
    else if (!this.#ended && this.#startMs > 0) this.#reopen()
    this.#endIfDone()
  }

  async #open(): Promise<LoadConnection> {
    const connection = await LoadConnection.open(this.#plan.address, this, this.#plan.depth)
    this.#connections.add(connection)
    this.#free.push(connection)
    return connection
  }

  #reopen(): void {
    this.#open().then((connection) => {
      if (this.#plan.rate === undefined) this.#fill(connection)
    }, () => { /* open() has told onBroken */ })
  }

  // --- sending ---

  /** Closed loop: as many requests as there is room for, in one write. */
  #fill(connection: LoadConnection): void {
    if (this.#ended || !connection.hasRoom) return
    const several = this.#plan.depth > 1
    if (several) connection.cork()
    while (connection.hasRoom && this.#sent < this.#plan.requests) {
      this.#send(connection, performance.now())
    }
    if (several) connection.uncork()
  }

  #send(connection: LoadConnection, startedMs: number): void {
    const { accounts, firstAccount, firstSequence, payload } = this.#plan
    const index = this.#sent++
    const account = firstAccount + (index % accounts)
    const shape = this.#shapes.length === 1 ? 0 : this.#shapes.indexOf(this.#nextShape())
    const upstreams = payload.upstreams.length
    const place = shape * upstreams + (account % upstreams)
    const pattern = this.#patterns[place] as RequestPattern
    const bytes = connection.bytesFor(place, pattern.bytes)
    patch(bytes, pattern, account, firstSequence + index)
    connection.send(bytes, startedMs)
  }

  /** Open loop: sends what is due, and looks again in the event loop's next turn. */
  #pump(rate: number): void {
    if (this.#ended) return this.#endIfDone()
    const dueOf = (index: number): number => this.#startMs + (index * 1000) / rate
    for (let sends = 0; sends < CATCH_UP_JOBS_MAX; sends++) {
      const nowMs = performance.now()
      const dueMs = dueOf(this.#sent)
      if (this.#sent >= this.#plan.requests || dueMs > nowMs) {
        this.#starved = false
        break
      }
      const connection = this.#free.shift()
      if (connection === undefined) {
        this.#starved = true
        break
      }
      if (!connection.hasRoom) continue
      if (!this.#starved && dueMs >= this.#recordedFromMs) {
        this.#lateness.record((nowMs - dueMs) * 1000)
      }
      this.#send(connection, dueMs)
      if (connection.hasRoom) this.#free.push(connection)
    }
    // A timer would be a millisecond coarse, which is what is to be measured; and spinning would
    // take a whole core from a server on the same machine, which no caller elsewhere does.
    const untilDueMs = dueOf(this.#sent) - performance.now()
    if (untilDueMs > NAP_MS_MIN) Atomics.wait(this.#nap, 0, 0, Math.min(untilDueMs, NAP_MS_MAX))
    setImmediate(() => this.#pump(rate))
  }

  // --- ending ---

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#endMs = performance.now()
    setTimeout(() => this.#drained.resolve(), STRAGGLERS_MS_MAX).unref()
    this.#endIfDone()
  }

  #endIfDone(): void {
    const isAnswered = this.#answered + this.#unanswered >= this.#sent
    if (!this.#ended && this.#sent >= this.#plan.requests && isAnswered) this.#end()
    if (this.#ended && isAnswered) this.#drained.resolve()
  }

  #progress(): LoadProgress {
    const untilMs = this.#ended ? this.#endMs : performance.now()
    return { seconds: (untilMs - this.#startMs) / 1000, accepted: this.#acceptedInTime }
  }

  /** A long load keeps fewer and fewer of its points. */
  #notedProgress(): LoadProgress {
    const progress = this.#progress()
    if (!this.#ended) this.#progressPoints.push(progress)
    if (this.#progressPoints.length > PROGRESS_POINTS_MAX) {
      this.#progressPoints = this.#progressPoints.filter((_point, index) => index % 2 === 1)
    }
    return progress
  }

  #overTime(): LoadResult['overTime'] {
    return this.#progressPoints.map(({ seconds, accepted }, index) => {
      const before = this.#progressPoints[index - 1] ?? { seconds: 0, accepted: 0 }
      return [seconds, (accepted - before.accepted) / (seconds - before.seconds)]
    })
  }

  #result(): LoadResult {
    return {
      seconds: (this.#endMs - this.#startMs) / 1000,
      sent: this.#sent,
      acceptedInTime: this.#acceptedInTime,
      statuses: Object.fromEntries(this.#statuses),
      unanswered: this.#sent - this.#answered,
      failures: this.#failures,
      overTime: this.#overTime(),
      latency: this.#latency.encode(),
      lateness: this.#lateness.encode(),
    }
  }
}
