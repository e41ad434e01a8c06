// The table of requests in flight: an attempt for each, with the data for its end and its deadline.
// Thread: shard. Memory: private arrays, IN_FLIGHT_PER_SHARD_MAX long.
// Never: sends, aborts or decides a verdict; transport and dispatcher do.
// An attempt's number is reused once released, so it must have no event after that.

import { assert } from '../base/assert.ts'
import { type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot } from '../base/units.ts'
import {
  EXPIRED_PER_TURN_MAX, IN_FLIGHT_MINIMUM, IN_FLIGHT_PER_SHARD_MAX, IN_FLIGHT_RESERVE,
  WEBHOOKS_IN_FLIGHT_PER_MILLE_MAX,
} from '../memory/limits.ts'
import { SHARD_POOLS } from '../memory/pools.ts'
import { Share, type ShareRules } from '../memory/share.ts'
import { Wheel } from '../memory/wheel.ts'
import type { Charge } from '../pace/lane-budgets.ts'
import type { UnwrittenSends } from '../pace/unwritten.ts'
import type { DecodedTemplate } from '../store/decoded-templates.ts'

/** The kind of an attempt: at a job, or at the delivery of its webhook. */
export const ATTEMPT_JOB = 0
export const ATTEMPT_WEBHOOK = 1

/** The request is written or over. */
export const UNCOUNTED = 0
/** The request is about to be written, and counted so. */
const ABOUT = 1

/** The requests in flight, one array per field: attempt numbers and their data. */
export interface AttemptsBaton {
  readonly attemptId: Uint32Array
  readonly kind: Uint8Array
  readonly slot: Uint32Array
  readonly lane: Uint32Array
  readonly upstream: Uint32Array
  readonly status: Uint16Array
  readonly retryAfterMs: Float64Array
  readonly createdAtMs: Float64Array
  readonly deadlineUs: Float64Array
  readonly intervalNs: Uint32Array
  readonly accountQueue: Uint8Array
  readonly writing: Uint8Array
}

/** Attempts of one shard's requests in flight. */
export class Attempts {
  readonly slot: Uint32Array
  readonly lane: Uint32Array
  readonly upstream: Uint32Array
  readonly kind: Uint8Array
  /** The response's status once its headers are here, else 0. */
  readonly status: Uint16Array
  /** The Retry-After of the response, in ms; 0 for none. */
  readonly retryAfterMs: Float64Array
  /** For an attempt at a job: when the job was created, in Unix ms. */
  readonly createdAtMs: Float64Array
  /** The attempt's charge: the budget's interval when the send was decided, in ns. */
  readonly intervalNs: Uint32Array
  /** The budget's base after the charge; NaN if a predecessor began the attempt. */
  readonly spentUs: Float64Array
  /** 1 where that budget is an account queue. */
  readonly accountQueue: Uint8Array
  /** Whether the request is about to be written, and counted so: UNCOUNTED or ABOUT. */
  readonly writing: Uint8Array
  /** For an attempt at a job: its template. */
  readonly #templates: (DecodedTemplate | undefined)[]
  /** Whether the attempt's deadline is in the wheel. */
  readonly #armed: Uint8Array
  readonly #unwritten: UnwrittenSends
  readonly #permits: Share
  readonly #free: Uint32Array
  #freeCount: number
  #jobsInFlight = 0
  /** The pool for webhooks: a part of the attempts, of which each receiver has a share. */
  readonly #webhooks: Share
  readonly #deadlineUs: Float64Array
  readonly #deadlines: Wheel

  constructor(nowUs: Micros, unwritten: UnwrittenSends, count: number = IN_FLIGHT_PER_SHARD_MAX) {
    this.#unwritten = unwritten
    this.#permits = new Share(permitRules(count))
    this.slot = new Uint32Array(count).fill(NONE)
    this.lane = new Uint32Array(count)
    this.upstream = new Uint32Array(count)
    this.kind = new Uint8Array(count)
    this.status = new Uint16Array(count)
    this.retryAfterMs = new Float64Array(count)
    this.createdAtMs = new Float64Array(count)
    this.#templates = new Array<DecodedTemplate | undefined>(count).fill(undefined)
    this.#armed = new Uint8Array(count)
    this.intervalNs = new Uint32Array(count)
    this.spentUs = new Float64Array(count)
    this.accountQueue = new Uint8Array(count)
    this.writing = new Uint8Array(count)
    this.#free = Uint32Array.from({ length: count }, (_, index) => count - 1 - index)
    this.#freeCount = count
    this.#webhooks = new Share({
      name: SHARD_POOLS.webhooksInFlight.name, alpha: SHARD_POOLS.webhooksInFlight.alpha,
      bound: Math.ceil((count * WEBHOOKS_IN_FLIGHT_PER_MILLE_MAX) / 1000),
    })
    this.#deadlineUs = new Float64Array(count)
    this.#deadlines = new Wheel({
      next: new Uint32Array(count), prev: new Uint32Array(count), dueUs: this.#deadlineUs,
    }, nowUs)
  }

  /** The state that a successor starts from. Without templates, which it reads with the jobs. */
  handOver(): AttemptsBaton {
    const attemptId = Uint32Array.from(this.slot.keys())
      .filter((other) => this.slot[other] !== NONE)
    const of = (values: { readonly [attemptId: number]: number }) =>
      (_: number, at: number): number => values[attemptId[at] as number] as number
    const { length } = attemptId
    return {
      attemptId, kind: new Uint8Array(length).map(of(this.kind)),
      slot: attemptId.map(of(this.slot)),
      lane: attemptId.map(of(this.lane)), upstream: attemptId.map(of(this.upstream)),
      status: new Uint16Array(length).map(of(this.status)),
      retryAfterMs: new Float64Array(length).map(of(this.retryAfterMs)),
      createdAtMs: new Float64Array(length).map(of(this.createdAtMs)),
      deadlineUs: new Float64Array(length).map(of(this.#deadlineUs)),
      intervalNs: attemptId.map(of(this.intervalNs)),
      accountQueue: new Uint8Array(length).map(of(this.accountQueue)),
      writing: new Uint8Array(length).map(of(this.writing)),
    }
  }

  /**
   * Requests in flight keep their attempt numbers, so those are not reused before they have ended.
   */
  takeOver(baton: AttemptsBaton): void {
    assert(this.inFlight === 0, 'attempts in use take over from others')
    const kept = new Set(baton.attemptId)
    const free = this.#free.filter((attemptId) => !kept.has(attemptId))
    this.#free.set(free)
    this.#freeCount = free.length
    this.#unwritten.clear()
    for (const [at, attemptId] of baton.attemptId.entries()) {
      this.#occupy(attemptId, baton.kind[at] as number, baton.slot[at] as JobSlot,
        baton.lane[at] as LaneSlot, baton.upstream[at] as UpstreamSlot,
        baton.deadlineUs[at] as Micros)
      this.status[attemptId] = baton.status[at] as number
      this.retryAfterMs[attemptId] = baton.retryAfterMs[at] as number
      this.createdAtMs[attemptId] = baton.createdAtMs[at] as number
      this.intervalNs[attemptId] = baton.intervalNs[at] as number
      this.spentUs[attemptId] = NaN
      this.accountQueue[attemptId] = baton.accountQueue[at] as number
      if (baton.writing[at] === ABOUT) this.#expectWrite(attemptId)
    }
  }

  get inFlight(): number {
    return this.slot.length - this.#freeCount
  }

  /** The part of `inFlight` that are attempts at jobs, not deliveries of webhooks. */
  get jobsInFlight(): number {
    return this.#jobsInFlight
  }

  /** Whether an upstream that has `held` requests in flight here may have another. */
  mayTake(held: number): boolean {
    return this.#permits.mayTake(held, 1)
  }

  /** Whether a receiver that has `held` webhooks in flight here may have another. */
  mayDeliver(held: number): boolean {
    return this.#webhooks.mayTake(held, 1) && this.mayTake(held)
  }

  /**
   * Allocates an attempt with this charge, which must end by `deadlineUs`; asserts that there is a
   * free one.
   */
  take(
    kind: number, slot: JobSlot, lane: LaneSlot, upstream: UpstreamSlot, deadlineUs: Micros,
    charge: Charge,
  ): number {
    assert(this.#freeCount > 0, 'more attempts in flight than attemptIds')
    const attemptId = this.#free[--this.#freeCount] as number
    this.#occupy(attemptId, kind, slot, lane, upstream, deadlineUs)
    this.intervalNs[attemptId] = charge.intervalNs
    this.spentUs[attemptId] = charge.spentUs
    this.accountQueue[attemptId] = charge.accountQueue ? 1 : 0
    this.#expectWrite(attemptId)
    return attemptId
  }

  #occupy(
    attemptId: number, kind: number, slot: JobSlot, lane: LaneSlot, upstream: UpstreamSlot,
    deadlineUs: Micros,
  ): void {
    this.#permits.adopt(1)
    this.kind[attemptId] = kind
    if (kind === ATTEMPT_JOB) this.#jobsInFlight++
    else this.#webhooks.adopt(1)
    this.slot[attemptId] = slot
    this.lane[attemptId] = lane
    this.upstream[attemptId] = upstream
    this.status[attemptId] = 0
    this.retryAfterMs[attemptId] = 0
    this.#deadlines.schedule(attemptId, deadlineUs)
    this.#armed[attemptId] = 1
  }

  /** Keeps the data for the job's result, so that its record need not be read again at the end. */
  remember(attemptId: number, template: DecodedTemplate, createdAtMs: number): void {
    this.#templates[attemptId] = template
    this.createdAtMs[attemptId] = createdAtMs
  }

  /** The template from remember(); undefined if a predecessor began the attempt. */
  templateOf(attemptId: number): DecodedTemplate | undefined {
    return this.#templates[attemptId]
  }

  /** The attempt's charge. */
  chargeOf(attemptId: number): Charge {
    return {
      accountQueue: this.accountQueue[attemptId] === 1,
      intervalNs: this.intervalNs[attemptId] as number, spentUs: this.spentUs[attemptId] as number,
    }
  }

  /** The part of the charge that counts as unwritten, in ns. */
  unwrittenNs(attemptId: number): number {
    return this.writing[attemptId] === UNCOUNTED ? 0 : this.intervalNs[attemptId] as number
  }

  /** The request is written, or will not be. */
  settleWrite(attemptId: number): void {
    if (this.writing[attemptId] === UNCOUNTED) return
    this.writing[attemptId] = UNCOUNTED
    this.#countWrite(attemptId, -(this.intervalNs[attemptId] as number))
  }

  #expectWrite(attemptId: number): void {
    this.writing[attemptId] = ABOUT
    this.#countWrite(attemptId, this.intervalNs[attemptId] as number)
  }

  #countWrite(attemptId: number, intervalNs: number): void {
    this.#unwritten.add(this.lane[attemptId] as LaneSlot, this.upstream[attemptId] as UpstreamSlot,
      this.accountQueue[attemptId] === 1, intervalNs)
  }

  /** Frees an attempt and cancels its deadline, unless that has fired. */
  release(attemptId: number): void {
    assert(this.slot[attemptId] !== NONE, 'an attempt was released twice')
    if (this.#armed[attemptId] === 1) this.#deadlines.cancel(attemptId)
    this.#armed[attemptId] = 0
    this.settleWrite(attemptId)
    this.#permits.give(1)
    if (this.kind[attemptId] === ATTEMPT_JOB) this.#jobsInFlight--
    else this.#webhooks.give(1)
    this.slot[attemptId] = NONE
    this.#templates[attemptId] = undefined
    this.#free[this.#freeCount++] = attemptId
  }

  /** Calls `expired` for attempts whose deadline has passed; it must release each. */
  advance(nowUs: Micros, expired: (attemptId: number) => void): boolean {
    return this.#deadlines.advance(nowUs, (attemptId) => {
      this.#armed[attemptId] = 0
      expired(attemptId)
    }, EXPIRED_PER_TURN_MAX) > 0
  }

  nextUs(): Micros {
    return this.#deadlines.nextUs()
  }
}

/** A small table, as in tests, has no reserve. */
const permitRules = (count: number): ShareRules => ({
  name: SHARD_POOLS.inFlight.name, bound: count, alpha: SHARD_POOLS.inFlight.alpha,
  minimum: IN_FLIGHT_MINIMUM,
  reserve: count === IN_FLIGHT_PER_SHARD_MAX ? IN_FLIGHT_RESERVE : 0,
})
