// The made-up connections of one transport to one place: how many are open and idle, being made, at
// work. The seed draws how long one takes to make, whether it can be made, and when it is lost. How
// many there may be, of those of all places, is the project's own decision.

import { AssertionError } from 'node:assert'
import type { Prng } from '../../shards/base/prng.ts'
import { CONNECTIONS_MAKING_MIN } from '../../shards/memory/socket-limits.ts'
import type { FailureReason } from '../../shards/signals/response.ts'
import type { RoomTaker } from '../../shards/transport/connect-queue.ts'
import type { ConnectionRoom } from '../../shards/transport/connection-room.ts'
import type { BytesHeld, ResponseMemory } from '../../shards/transport/response-memory.ts'
import {
  type Line, LINE_FREE, LINE_NO_CONNECTION, LINE_NO_MEMORY,
} from '../../shards/transport/transport.ts'
import type { Outages } from './outages.ts'
import type { Reach } from './scenario.ts'
import type { VirtualTime } from './virtual-time.ts'

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
  readonly room: ConnectionRoom
  readonly memory: ResponseMemory
  /** What responses hold that come over them. */
  readonly held: BytesHeld
  /** Whether anything may fail now. */
  readonly faults: () => boolean
  /** Runs something at that delay, when the thread is free. */
  readonly later: (delayUs: number, run: () => void) => void
  /** @param isWithin within a call of the thread. */
  readonly tellFree: (isWithin: boolean) => void
  readonly tellUnreachable: (reason: FailureReason) => void
}

/** Connections to one place. */
export class FakeConnections implements RoomTaker {
  readonly #parts: ConnectionsParts
  #free = 0
  #making = 0
  #atWork = 0
  /** How many were asked for by who waits; 0 when nobody does. */
  #wanted = 0
  #timeoutUs = 0
  #account = 0
  #isOver = false

  constructor(parts: ConnectionsParts) {
    this.#parts = parts
    parts.outages.add(parts.place, this)
  }

  /** What a request would find; whoever finds no memory is told once there is some. */
  line(): Line {
    if (this.#free === 0) return LINE_NO_CONNECTION
    const { held, memory } = this.#parts
    if (!memory.isOver(held)) return LINE_FREE
    memory.await(held)
    return LINE_NO_MEMORY
  }

  get connectionCount(): number {
    return this.#free + this.#making + this.#atWork
  }

  get held(): BytesHeld {
    return this.#parts.held
  }

  endLongestIdle(): boolean {
    if (this.#free === 0) return false
    this.#free--
    this.#parts.room.give(this)
    return true
  }

  retry(): void {
    this.#makeWanted()
  }

  want(count: number, timeoutMs: number, account: number): void {
    this.#account = account
    const { outages, place, prng, reach } = this.#parts
    this.#wanted = Math.max(this.#wanted, count)
    this.#timeoutUs = timeoutMs * 1000
    if (this.#parts.faults() && prng.chance(reach.outages)) outages.begin(place)
    const isNear = this.#hasRoom && !outages.isOut(place) && prng.chance(AT_ONCE)
    if (isNear && this.#mayOpen()) this.#enterIdle(true)
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
    const { prng, reach, room } = this.#parts
    this.#atWork--
    if (!this.#isOver && !isLost && !(this.#parts.faults() && prng.chance(reach.closes))) {
      return this.#enterIdle(false)
    }
    room.give(this)
    if (!this.#isOver) this.#makeWanted()
  }

  /** An outage has begun: what idles is lost. */
  loseIdle(): void {
    this.#later(0, () => {
      this.#closeIdle()
      this.#makeWanted()
    })
  }

  #closeIdle(): void {
    while (this.endLongestIdle());
  }

  /** The thread is gone, or the place is forgotten: nothing more is told. */
  end(): void {
    const { held, outages, place, room } = this.#parts
    this.#isOver = true
    outages.remove(place, this)
    held.isAwaited = false
    room.leave(this)
    this.#closeIdle()
    while (this.#making > 0) this.#endMaking()
  }

  get #hasRoom(): boolean {
    return this.connectionCount < this.#parts.reach.connectionsMax
  }

  #mayOpen(): boolean {
    return this.#parts.room.take(this, this.#account, this.#parts.time.nowUs())
  }

  /** One that is being made has come to nothing. */
  #endMaking(): void {
    this.#making--
    this.#parts.room.give(this)
  }

  #makeWanted(): void {
    while (this.#free + this.#making < this.#wanted && this.#hasRoom &&
      this.#making < CONNECTIONS_MAKING_MIN && this.#mayOpen()) this.#make()
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
    this.#endMaking()
    if (this.#wanted === 0) return
    this.#wanted = 0
    this.#parts.tellUnreachable(reason)
  }

  #enterIdle(isWithin: boolean): void {
    const { prng, reach } = this.#parts
    this.#free++
    if (prng.chance(reach.idlesOut)) {
      this.#later(Math.round(10 ** (IDLE_LOW + prng.unit() * (IDLE_HIGH - IDLE_LOW))), () => {
        this.endLongestIdle()
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
