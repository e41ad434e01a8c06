// The core of the load generator: many connections, either each sending its next job when the
// previous one is answered (closed loop), or jobs sent at scheduled times whatever the server does
// (open loop). In an open loop, a latency is measured from the scheduled time, so that a server
// that stalls cannot hide it by delaying the generator (coordinated omission).

import { type ConnectionOwner, LoadConnection } from './load-connection.ts'
import type { LoadPlan, LoadProgress, LoadResult } from './load-plan.ts'
import { LoadTally } from './load-tally.ts'
import {
  patch, type RequestPattern, requestPattern, type Shape, shapeChooser, shapesOf,
} from './payloads.ts'

/** An open loop that is behind yields after so many jobs. */
const CATCH_UP_JOBS_MAX = 256
/** Open loop: the generator sleeps between jobs, which delays the reading of answers by so much. */
const NAP_MS_MAX = 0.05
const NAP_MS_MIN = 0.01

/** Runs one load over connections of its own. */
export class LoadClient implements ConnectionOwner {
  readonly #plan: LoadPlan
  readonly #patterns: RequestPattern[] = []
  readonly #shapes: readonly Shape[]
  readonly #nextShape: () => Shape
  readonly #connections = new Set<LoadConnection>()
  /** Open loop: connections with room, in order. */
  readonly #free: LoadConnection[] = []
  readonly #tally: LoadTally
  #recordedFromMs = 0
  /** Open loop: due jobs found no connection with room; continues with the next answer. */
  #starved = false
  /** The pump runs again in the next iteration of the event loop. */
  #pumping = false
  /** A word that is never notified, for sleeping in Atomics.wait. */
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
    // A server that keeps breaking connections ends the load, not the generator.
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

  /** Closed loop: sends as many requests as there is room for, in one write. */
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

  /** Open loop: sends what is due, and runs again in the next iteration of the event loop. */
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
        // Polling would take a core from the server that is behind.
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
    // A timer has a resolution of 1 ms, too coarse for what is measured; busy-waiting would take a
    // core from a server on the same machine, which a remote caller does not.
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
