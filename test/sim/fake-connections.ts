// The made-up connections of one transport to one place: how many are open and idle, being made, at
// work. The seed draws how long one takes to make, whether it can be made, and when it is lost.

import { AssertionError } from 'node:assert'
import type { Prng } from '../../shards/prng.ts'
import { CONNECTIONS_MAKING_MIN } from '../../shards/socket-limits.ts'
import {
  type FailureReason, LINE_FREE, LINE_NO_CONNECTION, LINE_NO_MEMORY, type Line,
} from '../../shards/transport.ts'
import type { Outages } from './outages.ts'
import type { Reach } from './scenario.ts'
import type { VirtualTime } from './virtual-time.ts'

/** How long responses hold up what is sent, once they fill their memory. */
const CHOKED_US = 10_000
/** How often a connection is there before whoever has asked for it has heard the answer. */
const AT_ONCE = 0.02
/** An idle connection is lost after 10^low … 10^high microseconds. */
const IDLE_LOW = 2
const IDLE_HIGH = 6.6
const REASONS: readonly FailureReason[] = [
  'connection_error', 'timeout', 'dns_error', 'tls_error',
]

/** What connections need of the transport that they belong to. */
export interface ConnectionsParts {
  readonly place: number
  readonly reach: Reach
  readonly time: VirtualTime
  readonly prng: Prng
  readonly outages: Outages
  /** Whether anything may fail now. */
  readonly faults: () => boolean
  /** Runs something at that delay, when the thread is free. */
  readonly later: (delayUs: number, run: () => void) => void
  /** @param isWithin within a call of the thread. */
  readonly tellFree: (isWithin: boolean) => void
  readonly tellUnreachable: (reason: FailureReason) => void
}

/** Connections to one place. */
export class FakeConnections {
  readonly #parts: ConnectionsParts
  #free = 0
  #making = 0
  #atWork = 0
  /** How many were asked for by who waits; 0 when nobody does. */
  #wanted = 0
  #timeoutUs = 0
  #chokedUntilUs = 0
  #isMemoryAwaited = false
  #isOver = false

  constructor(parts: ConnectionsParts) {
    this.#parts = parts
    parts.outages.add(parts.place, this)
  }

  /** What a request would find; whoever finds no memory is told once there is some. */
  line(): Line {
    if (this.#free === 0) return LINE_NO_CONNECTION
    if (this.#parts.time.nowUs() >= this.#chokedUntilUs) return LINE_FREE
    this.#isMemoryAwaited = true
    return LINE_NO_MEMORY
  }

  want(count: number, timeoutMs: number): void {
    const { outages, place, prng, reach } = this.#parts
    this.#wanted = Math.max(this.#wanted, count)
    this.#timeoutUs = timeoutMs * 1000
    if (this.#parts.faults() && prng.chance(reach.outages)) outages.begin(place)
    const isNear = this.#hasRoom && !outages.isOut(place) && prng.chance(AT_ONCE)
    if (isNear) this.#enterIdle(true)
    else this.#makeWanted()
  }

  /** A request takes a free connection. */
  take(): void {
    if (this.line() !== LINE_FREE) {
      throw new AssertionError({ message: 'sent without a free connection' })
    }
    this.#free--
    this.#atWork++
  }

  /** The request is over, and its connection free or lost. */
  release(isLost: boolean): void {
    this.#atWork--
    if (this.#isOver) return
    const { prng, reach } = this.#parts
    if (isLost || this.#parts.faults() && prng.chance(reach.closes)) this.#makeWanted()
    else this.#enterIdle(false)
  }

  /** Responses fill their memory for a while. */
  choke(): void {
    const { time } = this.#parts
    this.#chokedUntilUs = time.nowUs() + CHOKED_US
    this.#later(CHOKED_US, () => {
      if (!this.#isMemoryAwaited || time.nowUs() < this.#chokedUntilUs) return
      this.#isMemoryAwaited = false
      this.#parts.tellFree(false)
    })
  }

  /** An outage has begun: what idles is lost. */
  loseIdle(): void {
    this.#later(0, () => {
      this.#free = 0
      this.#makeWanted()
    })
  }

  /** The thread is gone, or the place is forgotten: nothing more is told. */
  end(): void {
    this.#isOver = true
    this.#parts.outages.remove(this.#parts.place, this)
  }

  get #hasRoom(): boolean {
    return this.#free + this.#making + this.#atWork < this.#parts.reach.connectionsMax
  }

  #makeWanted(): void {
    while (this.#free + this.#making < this.#wanted && this.#hasRoom &&
      this.#making < CONNECTIONS_MAKING_MIN) this.#make()
  }

  #make(): void {
    const { prng, reach, time } = this.#parts
    const { connectHigh, connectLow } = reach
    const deadlineUs = time.nowUs() + this.#timeoutUs
    const fails = this.#parts.faults() && prng.chance(reach.fails)
    const reason = fails ? prng.pick(REASONS) : undefined
    const takesUs = Math.round(10 ** (connectLow + prng.unit() * (connectHigh - connectLow)))
    const isLate = reason === 'timeout' || takesUs > this.#timeoutUs
    this.#making++
    this.#later(isLate ? this.#timeoutUs : takesUs,
      () => this.#finish(deadlineUs, isLate ? 'timeout' : reason))
  }

  /** An attempt to connect comes to its end, unless the place is out and says nothing. */
  #finish(deadlineUs: number, reason: FailureReason | undefined): void {
    const { outages, place, time } = this.#parts
    const nowUs = time.nowUs()
    if (reason !== undefined) return this.#fail(reason)
    if (!outages.isOut(place)) {
      this.#making--
      return this.#enterIdle(false)
    }
    if (outages.isRefusing(place)) return this.#fail('connection_error')
    if (nowUs >= deadlineUs) return this.#fail('timeout')
    const atUs = Math.min(outages.untilUs(place), deadlineUs)
    this.#later(atUs - nowUs, () => this.#finish(deadlineUs, undefined))
  }

  #fail(reason: FailureReason): void {
    this.#making--
    if (this.#wanted === 0) return
    this.#wanted = 0
    this.#parts.tellUnreachable(reason)
  }

  #enterIdle(isWithin: boolean): void {
    const { prng, reach } = this.#parts
    this.#free++
    if (prng.chance(reach.idlesOut)) {
      this.#later(Math.round(10 ** (IDLE_LOW + prng.unit() * (IDLE_HIGH - IDLE_LOW))), () => {
        if (this.#free > 0) this.#free--
        this.#makeWanted()
      })
    }
    if (this.#wanted === 0) return
    this.#wanted = 0
    this.#parts.tellFree(isWithin)
  }

  #later(delayUs: number, run: () => void): void {
    this.#parts.later(delayUs, () => {
      if (!this.#isOver) run()
    })
  }
}
