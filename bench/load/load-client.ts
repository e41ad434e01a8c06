// The load generator's heart: many connections, either each sending its next job when the last
// one is answered (closed loop), or jobs leaving at set times whatever the server does (open
// loop). In the open loop a latency counts from when the job should have left, so that a server
// that stalls cannot hide it by holding the generator up.

import { type ConnectionOwner, LoadConnection } from './load-connection.ts'
import type { LoadPlan, LoadProgress, LoadResult } from './load-plan.ts'
import { LoadTally } from './load-tally.ts'
import {
  patch, type RequestPattern, requestPattern, type Shape, shapeChooser, shapesOf,
} from './payloads.ts'

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
  readonly #tally: LoadTally
  #recordedFromMs = 0
  /** Open loop: jobs that are due found no connection with room, and go on with the next answer. */
  #starved = false
  /** The pump looks again in the event loop's next turn. */
  #pumping = false
  /** Nobody ever wakes who waits for it. */
  readonly #nap = new Int32Array(new SharedArrayBuffer(4))

  constructor(plan: LoadPlan) {
    this.#plan = plan
    this.#tally = new LoadTally(plan)
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
    await Promise.all(Array.from({ length: this.#plan.connections }, () => this.#open()))
    await this.#tally.run(() => this.#begin(), onProgress)
    for (const connection of this.#connections) connection.close()
    return this.#tally.result()
  }

  onAnswer(_connection: LoadConnection, status: number, startedMs: number): void {
    const tally = this.#tally
    tally.answered += 1
    if (startedMs >= this.#recordedFromMs) {
      tally.latency.record((performance.now() - startedMs) * 1000)
    }
    tally.count(status, 1)
  }

  onAnswersEnd(connection: LoadConnection): void {
    if (this.#plan.rate === undefined) this.#fill(connection)
    else this.#makeFree(connection)
    this.#tally.endIfDone()
  }

  onBroken(connection: LoadConnection, reason: string, lost: number): void {
    this.#connections.delete(connection)
    const tally = this.#tally
    tally.lost += lost
    // A server that breaks connections again and again ends the load, not the generator.
    if (!tally.fail(reason)) tally.end()
    else if (!tally.isEnded && tally.startMs > 0) this.#reopen()
    tally.endIfDone()
  }

  async #open(): Promise<LoadConnection> {
    const connection = await LoadConnection.open(this.#plan.address, this, this.#plan.depth)
    this.#connections.add(connection)
    this.#makeFree(connection)
    return connection
  }

  #makeFree(connection: LoadConnection): void {
    if (connection.hasRoom && !this.#free.includes(connection)) this.#free.push(connection)
    if (this.#starved) this.#pumpSoon()
  }

  #reopen(): void {
    this.#open().then((connection) => {
      if (this.#plan.rate === undefined) this.#fill(connection)
    }, () => { /* open() has told onBroken */ })
  }

  // --- sending ---

  #begin(): void {
    const { rate, unrecordedSeconds } = this.#plan
    this.#recordedFromMs = this.#tally.startMs + unrecordedSeconds * 1000
    if (rate === undefined) for (const connection of this.#connections) this.#fill(connection)
    else this.#pump()
  }

  /** Closed loop: as many requests as there is room for, in one write. */
  #fill(connection: LoadConnection): void {
    if (this.#tally.isEnded || !connection.hasRoom) return
    const several = this.#plan.depth > 1
    if (several) connection.cork()
    while (connection.hasRoom && this.#tally.sent < this.#plan.requests) {
      this.#send(connection, performance.now())
    }
    if (several) connection.uncork()
  }

  #send(connection: LoadConnection, startedMs: number): void {
    const { accounts, firstAccount, firstSequence, payload } = this.#plan
    const index = this.#tally.sent++
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
  #pump(): void {
    const rate = this.#plan.rate as number
    if (this.#tally.isEnded) return this.#tally.endIfDone()
    const dueOf = (index: number): number => this.#tally.startMs + (index * 1000) / rate
    for (let sends = 0; sends < CATCH_UP_JOBS_MAX; sends++) {
      const nowMs = performance.now()
      const dueMs = dueOf(this.#tally.sent)
      if (this.#tally.sent >= this.#plan.requests || dueMs > nowMs) {
        this.#starved = false
        break
      }
      const connection = this.#free.shift()
      if (connection === undefined) {
        // Looking again at once would take a core from the server that is behind.
        this.#starved = true
        return
      }
      if (!connection.hasRoom) continue
      if (!this.#starved && dueMs >= this.#recordedFromMs) {
        this.#tally.lateness.record((nowMs - dueMs) * 1000)
      }
      this.#send(connection, dueMs)
      if (connection.hasRoom) this.#free.push(connection)
    }
    // A timer would be a millisecond coarse, which is what is to be measured; and spinning would
    // take a whole core from a server on the same machine, which no caller elsewhere does.
    const untilDueMs = dueOf(this.#tally.sent) - performance.now()
    if (untilDueMs > NAP_MS_MIN) Atomics.wait(this.#nap, 0, 0, Math.min(untilDueMs, NAP_MS_MAX))
    this.#pumpSoon()
  }

  #pumpSoon(): void {
    if (this.#pumping) return
    this.#pumping = true
    setImmediate(() => {
      this.#pumping = false
      this.#pump()
    })
  }
}
