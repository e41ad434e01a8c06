// The requests in flight: a token for each, with what its end will need, and its deadline.
// Thread: shard. Memory: arrays of its own, IN_FLIGHT_PER_SHARD_MAX long.
// Never: sends, aborts or judges; transport and dispatcher do.
// A token is given out again once released, so nothing may be heard of it after that.

import { assert } from './assert.ts'
import type { DecodedTemplate } from './decoded-templates.ts'
import { EXPIRED_PER_TURN_MAX, IN_FLIGHT_PER_SHARD_MAX } from './limits.ts'
import { type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot } from './units.ts'
import { Wheel } from './wheel.ts'

/** What a token stands for: an attempt at a job, or at the delivery of its webhook. */
export const ATTEMPT_JOB = 0
export const ATTEMPT_WEBHOOK = 1

/** Tokens of one shard's requests in flight. */
export class Attempts {
  readonly slot: Uint32Array
  readonly lane: Uint32Array
  readonly upstream: Uint32Array
  readonly kind: Uint8Array
  /** The response's status once its headers are here, else 0. */
  readonly status: Uint16Array
  /** What Retry-After asked for, in ms; 0 for nothing. */
  readonly retryAfterMs: Float64Array
  /** Of an attempt at a job: when that came, in Unix ms. */
  readonly createdAtMs: Float64Array
  /** Of an attempt at a job: its template. */
  readonly #templates: (DecodedTemplate | undefined)[]
  /** Whether the token's deadline is in the wheel. */
  readonly #armed: Uint8Array
  readonly #free: Uint32Array
  #freeCount: number
  #jobsInFlight = 0
  readonly #deadlines: Wheel

  constructor(nowUs: Micros, count: number = IN_FLIGHT_PER_SHARD_MAX) {
    this.slot = new Uint32Array(count)
    this.lane = new Uint32Array(count)
    this.upstream = new Uint32Array(count)
    this.kind = new Uint8Array(count)
    this.status = new Uint16Array(count)
    this.retryAfterMs = new Float64Array(count)
    this.createdAtMs = new Float64Array(count)
    this.#templates = new Array<DecodedTemplate | undefined>(count).fill(undefined)
    this.#armed = new Uint8Array(count)
    this.#free = Uint32Array.from({ length: count }, (_, index) => count - 1 - index)
    this.#freeCount = count
    this.#deadlines = new Wheel({
      next: new Uint32Array(count), prev: new Uint32Array(count), dueUs: new Float64Array(count),
    }, nowUs)
  }

  get inFlight(): number {
    return this.slot.length - this.#freeCount
  }

  /** Those of `inFlight` that are attempts at jobs, not deliveries of webhooks. */
  get jobsInFlight(): number {
    return this.#jobsInFlight
  }

  get isFull(): boolean {
    return this.#freeCount === 0
  }

  /** A token for an attempt that must end by `deadlineUs`; asserts that one is free. */
  take(
    kind: number, slot: JobSlot, lane: LaneSlot, upstream: UpstreamSlot, deadlineUs: Micros,
  ): number {
    assert(this.#freeCount > 0, 'more attempts in flight than tokens')
    const token = this.#free[--this.#freeCount] as number
    this.kind[token] = kind
    if (kind === ATTEMPT_JOB) this.#jobsInFlight++
    this.slot[token] = slot
    this.lane[token] = lane
    this.upstream[token] = upstream
    this.status[token] = 0
    this.retryAfterMs[token] = 0
    this.#deadlines.schedule(token, deadlineUs)
    this.#armed[token] = 1
    return token
  }

  /** Keeps what the job's result will say, so that the end need not read its record again. */
  remember(token: number, template: DecodedTemplate, createdAtMs: number): void {
    this.#templates[token] = template
    this.createdAtMs[token] = createdAtMs
  }

  /** What remember() was given; asserts that it was. */
  templateOf(token: number): DecodedTemplate {
    const template = this.#templates[token]
    assert(template !== undefined, 'an attempt at a job without its template')
    return template
  }

  /** Gives a token back and disarms its deadline, unless that is what ended it. */
  release(token: number): void {
    assert(this.slot[token] !== NONE, 'a token was released twice')
    if (this.#armed[token] === 1) this.#deadlines.cancel(token)
    this.#armed[token] = 0
    if (this.kind[token] === ATTEMPT_JOB) this.#jobsInFlight--
    this.slot[token] = NONE
    this.#templates[token] = undefined
    this.#free[this.#freeCount++] = token
  }

  /** Hands over the tokens whose deadline has passed; the listener must release each. */
  advance(nowUs: Micros, expired: (token: number) => void): boolean {
    return this.#deadlines.advance(nowUs, (token) => {
      this.#armed[token] = 0
      expired(token)
    }, EXPIRED_PER_TURN_MAX) > 0
  }

  nextUs(): Micros {
    return this.#deadlines.nextUs()
  }
}
