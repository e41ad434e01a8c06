// A simulated network behind the transport's interface: requests are sent on connections, and
// answers arrive at times that the seed decides, or never. It identifies jobs by the headers that
// they carry. The project's own classes decide how many connections there may be, and how much
// memory responses may hold.

import { AssertionError } from 'node:assert'
import { Prng } from '../../shards/base/prng.ts'
import { KIND_RECEIVER } from '../../shards/memory/layout.ts'
import { CONNECTS_LOOK_EVERY_MS } from '../../shards/memory/socket-limits.ts'
import { ConnectionRoom } from '../../shards/transport/connection-room.ts'
import {
  BytesHeld, ResponseMemory, type ResponseReader,
} from '../../shards/transport/response-memory.ts'
import {
  LINE_NO_CONNECTION, type Line, type OutgoingRequest, type Transport,
  type TransportEvents,
} from '../../shards/transport/transport.ts'
import { drawAnswer } from './answers.ts'
import type { EventLog } from './event-log.ts'
import { FakeConnections } from './fake-connections.ts'
import type { Attempt, Doubt, Ending, Observer, SimJob } from './observations.ts'
import { Outages } from './outages.ts'
import type { Place, Scenario } from './scenario.ts'
import type { VirtualTime } from './virtual-time.ts'

/** The longest time until a request is written, and how often it is written at once. */
const WRITTEN_US_MAX = 3000
const WRITTEN_AT_ONCE = 0.2
/** How long responses block sends once they fill their memory. */
const CHOKED_US = 10_000

/** The name of the rule that refuses addresses. */
export const RULE = 'deny 10.0.0.0/8'

/** What the network needs. */
export interface NetworkParts {
  readonly scenario: Scenario
  readonly time: VirtualTime
  readonly prng: Prng
  readonly log: EventLog
  readonly observers: readonly Observer[]
  readonly jobById: (id: string) => SimJob | undefined
}

/** The network of all shards; each has a transport of its own on it. */
export class FakeNetwork {
  readonly parts: NetworkParts
  readonly outages: Outages
  readonly #placeOf: ReadonlyMap<string, number>
  readonly #rules: Prng
  #healthy = false

  constructor(parts: NetworkParts) {
    this.parts = parts
    this.outages = new Outages(parts.time, parts.prng)
    this.#rules = new Prng(parts.scenario.seed ^ 0x4e1e5)
    this.#placeOf = new Map(parts.scenario.places.map(({ origin }, place) => [origin, place]))
  }

  /** No more faults: every answer is a quick 200 that asks for a fast pace. */
  get healthy(): boolean {
    return this.#healthy
  }

  set healthy(isHealthy: boolean) {
    this.#healthy = isHealthy
    if (isHealthy) this.outages.end()
  }

  /** The places that the rules of a new thread refuse. */
  drawRefused(): ReadonlySet<number> {
    const { places, refusals } = this.parts.scenario
    return new Set([...places.keys()].filter(() => this.#rules.chance(refusals)))
  }

  /** The slot of an origin; asserts that it exists. */
  placeOf(origin: string): number {
    const place = this.#placeOf.get(origin)
    if (place === undefined) throw new AssertionError({ message: `no such origin: ${origin}` })
    return place
  }

  jobOf(headers: readonly string[]): SimJob {
    const id = headers[headers.indexOf('X-Sluice-Job-Id') + 1] ?? ''
    const job = this.parts.jobById(id)
    if (job === undefined) throw new AssertionError({ message: `no job has the id '${id}'` })
    return job
  }
}

/** A response that has arrived: its whole body after its head, and later its end. */
class FakeResponse implements ResponseReader {
  bytes = 0
  isPaused = false
  /** Set when its end arrived while it was paused. */
  onResume: (() => void) | undefined

  resume(): void {
    this.isPaused = false
    this.onResume?.()
  }
}

/** A request in flight, and the connections that it uses one of. */
interface Flight {
  readonly attempt: Attempt
  readonly connections: FakeConnections
  readonly response: FakeResponse
}

/** One shard's transport. */
export class FakeTransport implements Transport {
  readonly #network: FakeNetwork
  readonly #shard: number
  /** When the shard's thread is free to receive an event. */
  readonly #freeAtUs: () => number
  /** Runs something in the shard's thread, which may crash in it. */
  readonly #alive: (run: () => void) => void
  readonly #flights = new Map<number, Flight>()
  /** By place. */
  readonly #connections = new Map<number, FakeConnections>()
  /** Places that no connection may be opened to while there are faults. */
  readonly #refused: ReadonlySet<number>
  readonly room: ConnectionRoom
  readonly memory: ResponseMemory
  readonly #memoryBytes: number
  #isLookPlanned = false
  #events: TransportEvents | undefined
  /** Events that the thread has received, or caused, since it was last at rest. */
  #unsettled: { attempt: Attempt; what: Doubt }[] = []

  constructor(
    network: FakeNetwork, shard: number, freeAtUs: () => number,
    alive: (run: () => void) => void,
  ) {
    this.#network = network
    this.#refused = network.drawRefused()
    this.#shard = shard
    this.#freeAtUs = freeAtUs
    this.#alive = alive
    const { scenario: { limits: { responseBytesMax }, sockets }, time } = network.parts
    const soon = (run: () => void): void => this.#later(0, run)
    this.room = new ConnectionRoom({
      connectionsMax: sockets.connectionsMax, soon, nextTurn: soon,
      clock: {
        nowUs: () => time.nowUs(),
        wakeAt: (atUs, wake) => this.#later(atUs - time.nowUs(), wake),
      },
    })
    this.#memoryBytes = sockets.responseBytesMax
    this.memory = new ResponseMemory(responseBytesMax, (to) => this.#tellRoom(to),
      this.#memoryBytes)
  }

  get inFlight(): number {
    return this.#flights.size
  }

  start(events: TransportEvents): void {
    this.#events = events
  }

  lineTo(to: number): Line {
    return this.#connections.get(to)?.line() ?? LINE_NO_CONNECTION
  }

  connect(to: number, origin: string, count: number, timeoutMs: number, account: number): void {
    this.#checkOrigin(to, origin)
    const known = this.#connections.get(to)
    const connections = known ?? this.#connectionsTo(to)
    this.#connections.set(to, connections)
    connections.want(count, timeoutMs, account)
  }

  send(attemptId: number, to: number, request: OutgoingRequest): void {
    const { prng, scenario } = this.#network.parts
    this.#checkOrigin(to, request.origin)
    const connections = this.#connections.get(to)
    if (connections === undefined) throw new AssertionError({ message: 'sent without connections' })
    connections.take()
    if (this.#flights.has(attemptId)) throw new AssertionError({ message: 'an attempt sent twice' })
    const attempt = this.#attemptAt(to, request)
    this.#flights.set(attemptId, { attempt, connections, response: new FakeResponse() })
    for (const observer of this.#network.parts.observers) observer.sent?.(attempt)
    this.#begin(attemptId, attempt)
    const chokes = !this.#network.healthy && prng.chance(scenario.lateness.chokeChance)
    if (chokes) this.#choke(connections)
  }

  #attemptAt(place: number, request: OutgoingRequest): Attempt {
    const { log, prng, scenario, time } = this.#network.parts
    const isWebhook = scenario.places[place]?.start.kind === KIND_RECEIVER
    const job = this.#network.jobOf(request.headers)
    const number = Number(request.headers[request.headers.indexOf('X-Sluice-Attempt') + 1])
    const attempt: Attempt = {
      job, shard: this.#shard, place, isWebhook, number, sentUs: time.nowUs(),
      headers: request.headers, body: request.body, method: request.method, path: request.path,
      answer: drawAnswer(prng, scenario, place, this.#network.healthy, time), isWritten: false,
      headHeard: false,
    }
    const { status, failure } = attempt.answer
    log.add(`s${this.#shard} send ${isWebhook ? 'hook' : 'job'} ${job.number}#${number} ` +
      `to ${place} → ${status} ${failure ?? ''}`)
    return attempt
  }

  /** Decides what happens to a request: it is written and answered, or returned. */
  #begin(attemptId: number, attempt: Attempt): void {
    const { prng, scenario } = this.#network.parts
    const { endAfterUs, failure, headAfterUs, status } = attempt.answer
    const { reach } = scenario.places[attempt.place] as Place
    const withinUs = Math.min(headAfterUs, endAfterUs, WRITTEN_US_MAX)
    if (!this.#network.healthy && prng.chance(reach.returns)) {
      return this.#later(prng.below(withinUs + 1), () => this.#return(attemptId, attempt))
    }
    if (status !== 0) this.#later(headAfterUs, () => this.#head(attemptId, attempt))
    if (failure !== 'silent') this.#later(endAfterUs, () => this.#end(attemptId, attempt))
    if (failure === 'request_refused') return
    if (prng.chance(WRITTEN_AT_ONCE)) return this.#noteWritten(attemptId, attempt)
    this.#later(prng.below(withinUs + 1), () => this.#write(attemptId, attempt))
  }

  /** Within the turn that sends it. */
  #noteWritten(attemptId: number, attempt: Attempt): void {
    const { log, observers } = this.#network.parts
    attempt.isWritten = true
    log.add(`s${this.#shard} write ${attempt.job.number}#${attempt.number}`)
    for (const observer of observers) observer.written?.(attempt)
    this.#unsettled.push({ attempt, what: 'written' })
    this.#events?.written(attemptId)
  }

  /** Later, often only after the shard is at rest. */
  #write(attemptId: number, attempt: Attempt): void {
    if (!this.#isInFlight(attemptId, attempt) || attempt.isWritten) return
    this.#alive(() => this.#noteWritten(attemptId, attempt))
    this.settle()
  }

  #return(attemptId: number, attempt: Attempt): void {
    const flight = this.#flights.get(attemptId)
    if (flight?.attempt !== attempt) return
    const { log, observers } = this.#network.parts
    this.#remove(attemptId, flight)
    log.add(`s${this.#shard} return ${attempt.job.number}#${attempt.number}`)
    for (const observer of observers) observer.returned?.(attempt)
    this.#unsettled.push({ attempt, what: 'returned' })
    flight.connections.release(true)
    this.#alive(() => this.#events?.returned(attemptId))
    this.settle()
  }

  abort(attemptId: number): void {
    const flight = this.#flights.get(attemptId)
    if (flight === undefined) throw new AssertionError({ message: 'an unknown attempt aborted' })
    this.#forget(attemptId, flight, 'timeout')
    flight.connections.release(true)
  }

  forget(to: number): void {
    this.#connections.get(to)?.end()
    this.#connections.delete(to)
  }

  forgetAll(): void {
    this.#endConnections()
  }

  #connectionsTo(place: number): FakeConnections {
    const { outages, parts: { log, observers, prng, scenario, time } } = this.#network
    const tellFree = (): void => this.#events?.free(place)
    return new FakeConnections({
      place, time, prng, outages, reach: (scenario.places[place] as Place).reach,
      room: this.room, memory: this.memory, held: new BytesHeld(place),
      faults: () => !this.#network.healthy, isRefused: this.#refused.has(place),
      later: (delayUs, run) => this.#later(delayUs, run),
      tellFree: (isWithin) => isWithin ? tellFree() : this.#alive(tellFree),
      tellUnreachable: (reason) => {
        log.add(`s${this.#shard} unreachable ${place} ${reason}`)
        for (const observer of observers) observer.unreachable?.(this.#shard, place, reason)
        const detail = reason === 'address_refused' ? RULE : 'made up'
        this.#alive(() => this.#events?.unreachable(place, reason, detail))
      },
    })
  }

  #checkOrigin(to: number, origin: string): void {
    if (this.#network.placeOf(origin) === to) return
    throw new AssertionError({ message: `${origin} is not the origin of ${to}` })
  }

  /** The thread has ended, and its sockets with it. */
  die(): void {
    const { observers } = this.#network.parts
    const attempts = [...this.#flights.values()].map(({ attempt }) => attempt)
    this.#flights.clear()
    this.#endConnections()
    this.#events = undefined // nothing is notified any more
    for (const { attempt, what } of this.#unsettled) {
      for (const observer of observers) observer.doubted?.(attempt, what)
    }
    for (const attempt of attempts) {
      for (const observer of observers) observer.lost?.(attempt)
    }
  }

  /** Ends everything in flight together with an old thread, which has handed over the shard. */
  breakOff(): void {
    this.#endConnections()
    for (const [id, flight] of this.#flights) this.#forget(id, flight, 'connection_error')
  }

  #endConnections(): void {
    for (const connections of this.#connections.values()) connections.end()
    this.#connections.clear()
  }

  /** The thread is at rest: it has stored everything that it has received. */
  settle(): void {
    this.#unsettled = []
  }

  async close(): Promise<void> {}

  /** Runs after that delay, or when the shard's thread is free again after it. */
  #later(delayUs: number, run: () => void): void {
    const { time } = this.#network.parts
    const tryToRun = (): void => {
      const freeAtUs = this.#freeAtUs()
      if (freeAtUs > time.nowUs()) time.at(freeAtUs, tryToRun)
      else run()
    }
    time.after(delayUs, tryToRun)
  }

  #isInFlight(attemptId: number, attempt: Attempt): boolean {
    return this.#flights.get(attemptId)?.attempt === attempt
  }

  #head(attemptId: number, attempt: Attempt): void {
    this.#write(attemptId, attempt)
    if (!this.#isInFlight(attemptId, attempt)) return
    const { log, observers } = this.#network.parts
    attempt.headHeard = true
    log.add(`s${this.#shard} head ${attempt.job.number}#${attempt.number} of ${attempt.place} ` +
      JSON.stringify(attempt.answer.said))
    for (const observer of observers) observer.headHeard?.(attempt)
    this.#unsettled = [{ attempt, what: 'head' }]
    this.#alive(() =>
      this.#events?.head(attemptId, attempt.answer.status, attempt.answer.headers))
    this.settle()
    this.#arrive(attemptId, attempt)
  }

  /** Takes memory for the body: without enough for all of it, it is cut off there. */
  #arrive(attemptId: number, attempt: Attempt): void {
    const flight = this.#flights.get(attemptId)
    if (flight?.attempt !== attempt) return
    const { connections: { held }, response } = flight
    const { body } = attempt.answer
    response.bytes = Math.min(body.length, this.memory.bytesMaxFrom(0))
    this.memory.add(held, response, response.bytes)
    if (response.bytes < body.length) {
      attempt.answer = {
        ...attempt.answer, body: body.subarray(0, response.bytes), truncated: true,
        failure: undefined,
      }
      return this.#end(attemptId, attempt)
    }
    if (this.memory.mayGoOn(held, response)) return
    response.isPaused = true
    this.#lookLater()
  }

  /** Responses of a place fill their memory for a while. */
  #choke(connections: FakeConnections): void {
    const bytes = Math.ceil((this.#memoryBytes - this.memory.usedBytes) / 2) + 1
    const reader = { resume: () => {} }
    this.memory.add(connections.held, reader, bytes)
    this.#later(CHOKED_US, () => this.memory.settle(connections.held, reader, bytes))
  }

  /** A response that may continue, and does not let another continue instead. */
  #lookLater(): void {
    if (this.#isLookPlanned) return
    this.#isLookPlanned = true
    this.#later(CONNECTS_LOOK_EVERY_MS * 1000, () => {
      this.#isLookPlanned = false
      this.memory.look()
      if ([...this.#flights.values()].some(({ response }) => response.isPaused)) this.#lookLater()
    })
  }

  /** Not within the call that has made the room, which may be the thread's own. */
  #tellRoom(to: number): void {
    this.#later(0, () => {
      if (this.#connections.has(to)) this.#alive(() => this.#events?.free(to))
    })
  }

  #end(attemptId: number, attempt: Attempt): void {
    const { failure, body, truncated } = attempt.answer
    if (failure === 'silent') return
    if (failure !== 'request_refused') this.#write(attemptId, attempt)
    const flight = this.#flights.get(attemptId)
    if (flight?.attempt !== attempt) return
    if (failure === undefined && flight.response.isPaused) {
      flight.response.onResume = () => this.#later(0, () => this.#end(attemptId, attempt))
      return
    }
    this.#forget(attemptId, flight, failure ?? 'response')
    // The connection may be free before or after the end of its request is reported.
    const isEarly = this.#network.parts.prng.chance(0.5)
    if (isEarly) flight.connections.release(failure !== undefined)
    this.#alive(() => {
      if (failure === undefined) this.#events?.end(attemptId, Uint8Array.from(body), truncated)
      else this.#events?.failed(attemptId, failure, 'made up')
    })
    if (!isEarly) flight.connections.release(failure !== undefined)
    this.settle()
  }

  #forget(attemptId: number, flight: Flight, ending: Ending): void {
    const { log, observers } = this.#network.parts
    const { attempt } = flight
    this.#remove(attemptId, flight)
    this.#unsettled.push({ attempt, what: 'end' })
    log.add(`s${this.#shard} end ${attempt.job.number}#${attempt.number} ${ending}`)
    for (const observer of observers) observer.ended?.(attempt, ending)
  }

  #remove(attemptId: number, { connections, response }: Flight): void {
    this.#flights.delete(attemptId)
    this.memory.settle(connections.held, response, response.bytes)
  }
}
