// Parking: lanes and upstreams that wait for something other than a time: for the shard, for a
// permit, or for a connection; and attempts that must fail since no connection can be made.
// Thread: shard. Memory: one list for each condition, in the wheel of the pacer.
// Never: knows what a gate depends on, decides what may send, or loses a wake-up: an item that is
// unparked and does not use what it was unparked for must wake the next (wakeNext).

import { assert } from '../base/assert.ts'
import type { UpstreamSlot } from '../base/units.ts'
import type { MemberWheel } from '../memory/wheel.ts'
import {
  GATE_CONNECTION, GATE_HOLD, GATE_MEMORY, GATE_OPEN, GATE_SHARD_PERMIT, type Gate,
} from './gates.ts'

/** The list of what waits for GATE_HOLD. */
const HOLD = 0
/** Then a list for each upstream's connections, and one for its permits of the shard. */
const lineOf = (upstream: UpstreamSlot): number => 1 + upstream

/** Number of parking lists that the wheel needs. */
export const parkingLists = (upstreamsMax: number): number => 1 + 2 * upstreamsMax

/** The parked items of one shard. */
export class Parking {
  readonly #wheel: MemberWheel
  readonly #upstreamsMax: number
  /** Upstreams that wait for permits of the shard, served round robin. */
  readonly #forPermits = new Set<UpstreamSlot>()
  /** By upstream: the number of next attempts that fail since no connection could be made. */
  readonly #failing: Uint16Array
  /** By upstream: items parked for a connection, at most; some may have left the list since. */
  readonly #atLine: Uint32Array

  constructor(wheel: MemberWheel, upstreamsMax: number) {
    this.#wheel = wheel
    this.#upstreamsMax = upstreamsMax
    this.#failing = new Uint16Array(upstreamsMax)
    this.#atLine = new Uint32Array(upstreamsMax)
  }

  /** Parks an item of the upstream at the gate; false if the gate is open. */
  parkAt(gate: Gate, item: number, upstream: UpstreamSlot): boolean {
    if (gate === GATE_OPEN) return false
    if (gate === GATE_HOLD) this.#park(item, HOLD)
    else if (gate === GATE_SHARD_PERMIT) {
      this.#forPermits.add(upstream)
      this.#park(item, this.#permitsOf(upstream))
    } else {
      assert(gate === GATE_CONNECTION || gate === GATE_MEMORY, 'nothing is parked at that gate')
      this.#park(item, lineOf(upstream))
      this.#atLine[upstream] = this.atLine(upstream) + 1
    }
    return true
  }

  /** A connection is free, or more may be opened: the upstream's first waiter is checked again. */
  lineFree(upstream: UpstreamSlot): void {
    const left = this.atLine(upstream)
    if (left === 0) return
    this.#atLine[upstream] = this.#wheel.unpark(lineOf(upstream)) ? left - 1 : 0
  }

  /** Items waiting for a connection to the upstream: exact, or too high if some left otherwise. */
  atLine(upstream: UpstreamSlot): number {
    return this.#atLine[upstream] as number
  }

  /** No connection could be made: the next attempt of the upstream's first waiter fails. */
  lineFailed(upstream: UpstreamSlot): void {
    if (!this.#wheel.hasParked(lineOf(upstream))) return
    this.addFailing(upstream)
    this.lineFree(upstream)
  }

  /** An attempt has ended: wakes one waiter of its upstream, and one of the next upstream. */
  permitFree(upstream: UpstreamSlot): void {
    if (this.#forPermits.size === 0) return
    this.#wheel.unpark(this.#permitsOf(upstream))
    for (const other of this.#forPermits) {
      this.#forPermits.delete(other)
      if (this.#wheel.unpark(this.#permitsOf(other))) {
        this.#forPermits.add(other) // behind the others
        return
      }
    }
  }

  /** An unparked item has used what it waited for, or does not need it: wakes the next waiter. */
  wakeNext(upstream: UpstreamSlot): void {
    this.lineFree(upstream)
    this.permitFree(upstream)
  }

  /** The state behind GATE_HOLD has changed: those who wait for it are checked again. */
  holdChanged(): void {
    this.#wheel.unparkAll(HOLD)
  }

  /** Unparks everything. */
  unparkAll(): void {
    const lists = parkingLists(this.#upstreamsMax)
    for (let list = 0; list < lists; list++) this.#wheel.unparkAll(list)
    this.#atLine.fill(0)
  }

  /** Whether the upstream's next attempt must fail for lack of a connection; consumes one count. */
  takeFailing(upstream: UpstreamSlot): boolean {
    const failing = this.#failing[upstream] as number
    if (failing > 0) this.#failing[upstream] = failing - 1
    return failing > 0
  }

  addFailing(upstream: UpstreamSlot): void {
    this.#failing[upstream] = (this.#failing[upstream] as number) + 1
  }

  /** Clears the state of an upstream without waiting lanes. */
  forget(upstream: UpstreamSlot): void {
    this.#failing[upstream] = 0
    this.#atLine[upstream] = 0
    this.#forPermits.delete(upstream)
  }

  #permitsOf(upstream: UpstreamSlot): number {
    return 1 + this.#upstreamsMax + upstream
  }

  #park(item: number, list: number): void {
    if (this.#wheel.has(item)) this.#wheel.cancel(item)
    this.#wheel.park(item, list)
  }
}
