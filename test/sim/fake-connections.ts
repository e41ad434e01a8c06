// The simulated connections of one transport to one place: how many are idle, being opened, or in
// use. The seed decides how long opening one takes, whether it succeeds, and when one is lost. The
// project's own code decides how many there may be.

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

/** How often a connection is ready before the call that requested it returns. */
const AT_ONCE = 0.02
/** An idle connection is lost after 10^low … 10^high microseconds. */
const IDLE_LOW = 2
const IDLE_HIGH = 6.6
const REASONS: readonly FailureReason[] = [
  'connection_error', 'timeout', 'dns_error', 'tls_error',
]

/** What connections need of their transport. */
export interface ConnectionsParts {
  readonly place: number
  readonly reach: Reach
  readonly time: VirtualTime
  readonly prng: Prng
  readonly outages: Outages
  readonly room: ConnectionRoom
  readonly memory: ResponseMemory
  /** Memory held by responses that arrive over them. */
  readonly held: BytesHeld
  /** Whether faults may happen now. */
  readonly faults: () => boolean
  /** While faults may happen, none may be opened. */
  readonly isRefused: boolean
  /** Runs something after that delay, when the thread is free. */
  readonly later: (delayUs: number, run: () => void) => void
  /** @param isWithin during a call by the thread. */
  readonly tellFree: (isWithin: boolean) => void
  readonly tellUnreachable: (reason: FailureReason) => void
}

/** The connections to one place. */
export class FakeConnections implements RoomTaker {
  readonly #parts: ConnectionsParts
  #free = 0
  #making = 0
  #atWork = 0
  /** Connections requested by waiting jobs; 0 for none. */
  #wanted = 0
  #timeoutUs = 0
  #account = 0
  #isOver = false

  constructor(parts: ConnectionsParts) {
    this.#parts = parts
    parts.outages.add(parts.place, this)
  }

  /** The state for a request; if there is no memory, it is notified once there is. */
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
    const mayOpen = this.#hasRoom && !this.#isRefused && !outages.isOut(place)
    const isNear = mayOpen && prng.chance(AT_ONCE)
    if (isNear && this.#mayOpen()) this.#enterIdle(true)
    else this.#makeWanted()
  }

  /** A request uses a free connection. */
  take(): void {
    if (this.line() !== LINE_FREE) {
      throw new AssertionError({ message: 'sent without a free connection' })
    }
    this.#free--
    this.#atWork++
  }

  /** The request has ended; its connection is free or lost. */
  release(isLost: boolean): void {
    const { prng, reach, room } = this.#parts
    this.#atWork--
    if (!this.#isOver && !isLost && !(this.#parts.faults() && prng.chance(reach.closes))) {
      return this.#enterIdle(false)
    }
    room.give(this)
    if (!this.#isOver) this.#makeWanted()
  }

  /** An outage begins: idle connections are lost. */
  loseIdle(): void {
    this.#later(0, () => {
      this.#closeIdle()
      this.#makeWanted()
    })
  }

  #closeIdle(): void {
    while (this.endLongestIdle());
  }

  /** The thread has ended, or the place is forgotten: no more notifications. */
  end(): void {
    const { held, outages, place, room } = this.#parts
    this.#isOver = true
    outages.remove(place, this)
    held.isAwaited = false
    room.leave(this)
    this.#closeIdle()
    while (this.#making > 0) this.#endMaking()
  }

  get #isRefused(): boolean {
    return this.#parts.isRefused && this.#parts.faults()
  }

  get #hasRoom(): boolean {
    return this.connectionCount < this.#parts.reach.connectionsMax
  }

  #mayOpen(): boolean {
    return this.#parts.room.take(this, this.#account, this.#parts.time.nowUs())
  }

  /** An attempt to connect has failed. */
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
    this.#making++
    if (this.#isRefused) {
      return this.#later(Math.min(takesUs, this.#timeoutUs), () => this.#fail('address_refused'))
    }
    const isLate = reason === 'timeout' || takesUs > this.#timeoutUs
    this.#later(isLate ? this.#timeoutUs : takesUs,
      () => this.#finish(deadlineUs, isLate ? 'timeout' : reason))
  }

  /** Ends an attempt to connect, unless the place is out and does not respond. */
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
