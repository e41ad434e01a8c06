// A made-up network behind the words of the transport: requests go out at a time, answers come
// back at times that the seed draws, or never. It knows jobs by the headers that they carry.

import { AssertionError } from 'node:assert'
import { KIND_RECEIVER } from '../../shards/layout.ts'
import { RESPONSE_BUFFER_BYTES_MAX } from '../../shards/limits.ts'
import type { OutgoingRequest, Transport, TransportEvents } from '../../shards/transport.ts'
import { drawAnswer } from './answers.ts'
import type { EventLog } from './event-log.ts'
import type { Attempt, Ending, Observer, SimJob } from './observations.ts'
import type { Scenario } from './scenario.ts'
import type { Prng } from '../../shards/prng.ts'
import type { VirtualTime } from './virtual-time.ts'

const CHOKED_US = 10_000
/** How long it takes at most until a request is written, and how often it waits for that. */
const WRITTEN_US_MAX = 3000
const WAITS = 0.2

/** What the network needs of its surroundings. */
export interface NetworkParts {
  readonly scenario: Scenario
  readonly time: VirtualTime
  readonly prng: Prng
  readonly log: EventLog
  readonly observers: readonly Observer[]
  readonly jobById: (id: string) => SimJob | undefined
}

/** The network that all shards share; each has a transport of its own on it. */
export class FakeNetwork {
  readonly parts: NetworkParts
  readonly #placeOf: ReadonlyMap<string, number>
  /** No more faults: every answer is a quick 200 that asks for a fast pace. */
  healthy = false

  constructor(parts: NetworkParts) {
    this.parts = parts
    this.#placeOf = new Map(parts.scenario.places.map(({ origin }, place) => [origin, place]))
  }

  /** The slot of an origin; asserts that there is one. */
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

/** One shard's transport. */
export class FakeTransport implements Transport {
  readonly #network: FakeNetwork
  readonly #shard: number
  /** When the shard's thread is free to hear of something. */
  readonly #freeAtUs: () => number
  /** Runs something of the shard's thread, which may not survive it. */
  readonly #alive: (run: () => void) => void
  readonly #attempts = new Map<number, Attempt>()
  #events: TransportEvents | undefined
  #chokedUntilUs = 0
  /** What the thread was told of, or did itself, since it last came to rest. */
  #unsettled: { attempt: Attempt; what: 'head' | 'end' }[] = []

  constructor(
    network: FakeNetwork, shard: number, freeAtUs: () => number,
    alive: (run: () => void) => void,
  ) {
    this.#network = network
    this.#shard = shard
    this.#freeAtUs = freeAtUs
    this.#alive = alive
  }

  /** Above the limit for short times when the seed says so: no send may start then. */
  get bufferedBytes(): number {
    return this.#network.parts.time.nowUs() < this.#chokedUntilUs
      ? RESPONSE_BUFFER_BYTES_MAX + 1
      : 0
  }

  get inFlight(): number {
    return this.#attempts.size
  }

  start(events: TransportEvents): void {
    this.#events = events
  }

  send(token: number, request: OutgoingRequest): void {
    const { time, prng, log, observers, scenario } = this.#network.parts
    const place = this.#network.placeOf(request.origin)
    const isWebhook = scenario.places[place]?.start.kind === KIND_RECEIVER
    const job = this.#network.jobOf(request.headers)
    const number = Number(request.headers[request.headers.indexOf('X-Sluice-Attempt') + 1])
    const attempt: Attempt = {
      job, shard: this.#shard, place, isWebhook, number, sentUs: time.nowUs(),
      headers: request.headers, body: request.body, method: request.method, path: request.path,
      answer: drawAnswer(prng, scenario, place, this.#network.healthy, time), headHeard: false,
    }
    const { status, failure } = attempt.answer
    log.add(`s${this.#shard} send ${isWebhook ? 'hook' : 'job'} ${job.number}#${number} ` +
      `to ${place} → ${status} ${failure ?? ''}`)
    if (this.#attempts.has(token)) throw new AssertionError({ message: 'a token sent twice' })
    this.#attempts.set(token, attempt)
    for (const observer of observers) observer.sent?.(attempt)
    this.#write(token, attempt)
    if (status !== 0) this.#later(attempt.answer.headAfterUs, () => this.#head(token, attempt))
    if (failure !== 'silent') {
      this.#later(attempt.answer.endAfterUs, () => this.#end(token, attempt))
    }
    if (!this.#network.healthy && prng.chance(scenario.lateness.chokeChance)) {
      this.#chokedUntilUs = time.nowUs() + CHOKED_US
    }
  }

  /** The request is written a little later, often only after the shard has come to rest. */
  #write(token: number, attempt: Attempt): void {
    const { prng } = this.#network.parts
    const { headAfterUs, endAfterUs } = attempt.answer
    const withinUs = Math.min(headAfterUs, endAfterUs, WRITTEN_US_MAX)
    if (prng.chance(WAITS)) this.#events?.waiting(token)
    this.#later(prng.below(withinUs + 1), () => {
      if (this.#attempts.get(token) === attempt && !attempt.headHeard) {
        this.#alive(() => this.#events?.written(token))
      }
    })
  }

  abort(token: number): void {
    const attempt = this.#attempts.get(token)
    if (attempt === undefined) throw new AssertionError({ message: 'an unknown token aborted' })
    this.#forget(token, attempt, 'timeout')
  }

  forget(): void {}

  /** The thread has ended, and its sockets with it. */
  die(): void {
    const { observers } = this.#network.parts
    const attempts = [...this.#attempts.values()]
    this.#attempts.clear()
    for (const { attempt, what } of this.#unsettled) {
      for (const observer of observers) observer.doubted?.(attempt, what)
    }
    for (const attempt of attempts) {
      for (const observer of observers) observer.lost?.(attempt)
    }
  }

  /** All that is in flight ends with the thread that holds it, which is no more the shard's. */
  breakOff(): void {
    for (const [token, attempt] of this.#attempts) {
      this.#forget(token, attempt, 'connection_error')
    }
  }

  /** The thread has come to rest: what it has heard so far, it has taken in. */
  settle(): void {
    this.#unsettled = []
  }

  async close(): Promise<void> {}

  /** Runs at that delay, or when the shard's thread is free again after it. */
  #later(delayUs: number, run: () => void): void {
    const { time } = this.#network.parts
    const tryToRun = (): void => {
      const freeAtUs = this.#freeAtUs()
      if (freeAtUs > time.nowUs()) time.at(freeAtUs, tryToRun)
      else run()
    }
    time.after(delayUs, tryToRun)
  }

  #head(token: number, attempt: Attempt): void {
    if (this.#attempts.get(token) !== attempt) return
    const { log, observers } = this.#network.parts
    attempt.headHeard = true
    log.add(`s${this.#shard} head ${attempt.job.number}#${attempt.number} of ${attempt.place} ` +
      JSON.stringify(attempt.answer.said))
    for (const observer of observers) observer.headHeard?.(attempt)
    this.#unsettled = [{ attempt, what: 'head' }]
    this.#alive(() =>
      this.#events?.head(token, attempt.answer.status, attempt.answer.headers))
    this.settle()
  }

  #end(token: number, attempt: Attempt): void {
    if (this.#attempts.get(token) !== attempt) return
    const { failure, body, truncated } = attempt.answer
    if (failure === undefined) {
      this.#forget(token, attempt, 'response')
      this.#alive(() => this.#events?.end(token, Uint8Array.from(body), truncated))
      this.settle()
    } else if (failure !== 'silent') {
      this.#forget(token, attempt, failure)
      this.#alive(() => this.#events?.failed(token, failure, 'made up'))
      this.settle()
    }
  }

  #forget(token: number, attempt: Attempt, ending: Ending): void {
    const { log, observers } = this.#network.parts
    this.#attempts.delete(token)
    this.#unsettled.push({ attempt, what: 'end' })
    log.add(`s${this.#shard} end ${attempt.job.number}#${attempt.number} ${ending}`)
    for (const observer of observers) observer.ended?.(attempt, ending)
  }
}
