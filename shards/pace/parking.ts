// Who waits for something other than a time: for the shard, for a permit, or for an upstream's
// line; and whose attempts fail since no connection can be made.
// Thread: shard. Memory: a list for each thing that is waited for, in the wheel of the pacer.
// Never: knows what a gate depends on, decides who may send, or leaves anybody parked at a gate
// that nobody is going to open: whoever is let go and does not use it passes it on.

import { assert } from '../base/assert.ts'
import type { UpstreamSlot } from '../base/units.ts'
import type { MemberWheel } from '../memory/wheel.ts'
import {
  GATE_CONNECTION, GATE_HOLD, GATE_MEMORY, GATE_OPEN, GATE_SHARD_PERMIT, type Gate,
} from './gates.ts'

/** Where those wait who are held with the whole shard. */
const HOLD = 0
/** Then a list for each upstream's line, and one for each upstream's permits of the shard. */
const lineOf = (upstream: UpstreamSlot): number => 1 + upstream

/** How many parking lists a wheel needs. */
export const parkingLists = (upstreamsMax: number): number => 1 + 2 * upstreamsMax

/** What waits at the gates of one shard. */
export class Parking {
  readonly #wheel: MemberWheel
  readonly #upstreamsMax: number
  /** Upstreams that wait for permits, in turn. */
  readonly #forPermits = new Set<UpstreamSlot>()
  /** Of each upstream, how many attempts fail for want of a connection before others may go. */
  readonly #failing: Uint16Array
  /** Of each upstream, how many were parked at its line since nobody was; some may have left. */
  readonly #atLine: Uint32Array

  constructor(wheel: MemberWheel, upstreamsMax: number) {
    this.#wheel = wheel
    this.#upstreamsMax = upstreamsMax
    this.#failing = new Uint16Array(upstreamsMax)
    this.#atLine = new Uint32Array(upstreamsMax)
  }

  /** Parks what waits for the upstream at the gate; false if that is open. */
  parkAt(gate: Gate, item: number, upstream: UpstreamSlot): boolean {
    if (gate === GATE_OPEN) return false
    if (gate === GATE_HOLD) this.#park(item, HOLD)
    else if (gate === GATE_SHARD_PERMIT) {
      this.#forPermits.add(upstream)
      this.#park(item, this.#permitsOf(upstream))
    } else {
      assert(gate === GATE_CONNECTION || gate === GATE_MEMORY, 'nobody is parked at that gate')
      this.#park(item, lineOf(upstream))
      this.#atLine[upstream] = this.atLine(upstream) + 1
    }
    return true
  }

  /** The upstream's line is free, or more may be asked of it: whoever waits first looks again. */
  lineFree(upstream: UpstreamSlot): void {
    const left = this.atLine(upstream)
    if (left === 0) return
    this.#atLine[upstream] = this.#wheel.unpark(lineOf(upstream)) ? left - 1 : 0
  }

  /** How many wait for the upstream's line: exact, or too high if some have left it otherwise. */
  atLine(upstream: UpstreamSlot): number {
    return this.#atLine[upstream] as number
  }

  /** No connection could be made: the attempt of whoever waits first has failed. */
  lineFailed(upstream: UpstreamSlot): void {
    if (!this.#wheel.hasParked(lineOf(upstream))) return
    this.addFailing(upstream)
    this.lineFree(upstream)
  }

  /** An attempt of the upstream has ended: one of its own looks again, and one whose turn it is. */
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

  /** What was let go has been used, or is not needed: there may be more of it for the next. */
  wakeNext(upstream: UpstreamSlot): void {
    this.lineFree(upstream)
    this.permitFree(upstream)
  }

  /** What held the whole shard has changed: those who wait for it look again. */
  holdChanged(): void {
    this.#wheel.unparkAll(HOLD)
  }

  /** Lets everybody look again. */
  unparkAll(): void {
    const lists = parkingLists(this.#upstreamsMax)
    for (let list = 0; list < lists; list++) this.#wheel.unparkAll(list)
    this.#atLine.fill(0)
  }

  /** Whether the next attempt fails for want of a connection; it is counted off. */
  takeFailing(upstream: UpstreamSlot): boolean {
    const failing = this.#failing[upstream] as number
    if (failing > 0) this.#failing[upstream] = failing - 1
    return failing > 0
  }

  addFailing(upstream: UpstreamSlot): void {
    this.#failing[upstream] = (this.#failing[upstream] as number) + 1
  }

  /** Nothing waits for the upstream any more. */
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
