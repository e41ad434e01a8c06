// The load generator over WebSocket: batches of MessagePack jobs, in a closed loop that keeps each
// socket's window full. A latency is that of a batch: from its frame to the last of its answers.

import { decodeUntrusted } from '../../shards/wire/codec.ts'
import { ERRORS } from '../../src/base/errors.ts'
import type { LoadPlan, LoadProgress, LoadResult } from './load-plan.ts'
import { LoadTally } from './load-tally.ts'
import { shapeChooser } from './payloads.ts'
import { SocketConnection, type SocketOwner } from './socket-connection.ts'
import { type Frame, enqueueFrame, patchJob, readAllAccepted, refOf } from './socket-frames.ts'

const STATUS_ACCEPTED = 201
const STATUS_DUPLICATE = 200

/** An unanswered frame. */
interface Flight {
  readonly frame: Frame
  readonly startedMs: number
  unanswered: number
}

/** One socket and its unanswered frames; refs number its jobs. */
class Lane {
  readonly connection: SocketConnection
  /** By ref divided by the jobs per frame. */
  readonly flights = new Map<number, Flight>()
  readonly spare: Frame[] = []
  window = 0
  refs = 0
  unanswered = 0

  constructor(connection: SocketConnection) {
    this.connection = connection
  }
}

/** Runs one load over sockets of its own. */
export class SocketLoad implements SocketOwner {
  readonly #plan: LoadPlan
  readonly #batch: number
  readonly #lanes = new Map<SocketConnection, Lane>()
  readonly #nextShape: ReturnType<typeof shapeChooser>
  readonly #tally: LoadTally

  /** @param batch jobs per frame. */
  constructor(plan: LoadPlan, batch: number) {
    this.#plan = plan
    this.#batch = batch
    this.#tally = new LoadTally(plan)
    this.#nextShape = shapeChooser(plan.profile)
  }

  /** Connects, runs the load, waits for late answers, closes. Rejects when it cannot connect. */
  async run(onProgress: (progress: LoadProgress) => void): Promise<LoadResult> {
    const { address, connections } = this.#plan
    await Promise.all(Array.from({ length: connections }, async () => {
      const connection = await SocketConnection.open(address, this)
      // Bytes that arrived with the answer to the upgrade have been handled already.
      this.#laneOf(connection)
    }))
    await this.#tally.run(() => {
      for (const lane of this.#lanes.values()) this.#fill(lane)
    }, onProgress)
    for (const connection of this.#lanes.keys()) connection.close()
    return this.#tally.result()
  }

  onMessage(connection: SocketConnection, message: Buffer, isBinary: boolean): void {
    const lane = this.#laneOf(connection)
    if (isBinary) this.#answers(lane, message)
    else this.#hear(lane, message)
    this.#fill(lane)
    this.#tally.endIfDone()
  }

  onBroken(connection: SocketConnection, reason: string): void {
    this.#lanes.delete(connection)
    if (!this.#tally.fail(reason) || this.#lanes.size === 0) this.#tally.giveUp()
  }

  #laneOf(connection: SocketConnection): Lane {
    let lane = this.#lanes.get(connection)
    if (lane === undefined) this.#lanes.set(connection, lane = new Lane(connection))
    return lane
  }

  /** The only text message is the hello, which has the window. */
  #hear(lane: Lane, message: Buffer): void {
    const { window } = JSON.parse(message.toString()) as { readonly window?: number }
    lane.window = window ?? lane.window
  }

  // --- sending ---

  #fill(lane: Lane): void {
    if (this.#tally.isEnded || this.#tally.startMs === 0) return
    while (lane.unanswered + this.#batch <= lane.window && this.#tally.sent < this.#plan.requests) {
      this.#send(lane)
    }
  }

  #send(lane: Lane): void {
    const { accounts, firstAccount, firstSequence } = this.#plan
    const frame = lane.spare.pop() ?? this.#makeFrame()
    for (let job = 0; job < this.#batch; job++) {
      const index = this.#tally.sent++
      patchJob(frame, job, lane.refs + job, firstAccount + (index % accounts),
        firstSequence + index)
    }
    lane.flights.set(lane.refs / this.#batch,
      { frame, startedMs: performance.now(), unanswered: this.#batch })
    lane.refs += this.#batch
    lane.unanswered += this.#batch
    lane.connection.send(frame.bytes)
  }

  #makeFrame(): Frame {
    const { payload } = this.#plan
    return enqueueFrame(payload, this.#batch, this.#nextShape,
      (job) => job % payload.upstreams.length)
  }

  // --- answers ---

  #answers(lane: Lane, message: Buffer): void {
    let accepted = 0
    const isAll = readAllAccepted(message, (ref) => {
      accepted++
      this.#answer(lane, ref)
    })
    if (isAll) return this.#tally.count(STATUS_ACCEPTED, accepted)
    const decoded = decodeUntrusted(message)
    const { jobs = [] } = (decoded.ok ? decoded.value : {}) as {
      readonly jobs?: readonly Readonly<Record<string, unknown>>[]
    }
    for (const { ref, code, duplicate } of jobs) {
      this.#answer(lane, refOf(ref))
      this.#tally.count(duplicate === true ? STATUS_DUPLICATE : statusOf(code), 1)
    }
  }

  #answer(lane: Lane, ref: number): void {
    const place = Math.floor(ref / this.#batch)
    const flight = lane.flights.get(place)
    if (flight === undefined) return
    this.#tally.answered++
    lane.unanswered--
    if (--flight.unanswered > 0) return
    lane.flights.delete(place)
    lane.spare.push(flight.frame)
    this.#tally.latency.record((performance.now() - flight.startedMs) * 1000)
  }
}

/** The HTTP status of an error code. */
const statusOf = (code: unknown): number =>
  (ERRORS as Readonly<Record<string, { readonly status: number }>>)[String(code)]?.status ?? 201
