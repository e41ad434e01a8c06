// Detects open connections to addresses that their host's name no longer has.
// Thread: shard. Memory: one entry per open connection to a name.
// Never: closes a connection: its owner knows when it is idle.

import type { Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { type Micros, msToUs } from '../base/units.ts'
import { LOOKUPS_FOLLOWING_MAX, NAME_FOLLOW_EVERY_MS } from '../memory/name-limits.ts'
import type { Resolver } from './resolver.ts'

/** A name with open connections. */
interface Entry {
  readonly sockets: Map<Socket, () => void>
  /** The addresses against which the sockets were last checked. */
  checked: readonly string[] | undefined
  cancel: (() => void) | undefined
}

/** The connections of one shard. */
export class Moves {
  readonly #resolver: Resolver
  readonly #clock: Clock
  readonly #names = new Map<string, Entry>()
  #asking = 0

  /** @param clock not shared, since a clock has only one wake-up. */
  constructor(resolver: Resolver, clock: Clock) {
    this.#resolver = resolver
    this.#clock = clock
  }

  /** Calls `moved` when the name's answer no longer has the socket's address, until it closes. */
  follow(name: string, socket: Socket, moved: () => void): void {
    if (socket.destroyed || !this.#resolver.isAsked(name)) return
    let entry = this.#names.get(name)
    if (entry === undefined) {
      entry = { sockets: new Map(), checked: undefined, cancel: undefined }
      this.#names.set(name, entry)
      if (this.#names.size === 1) this.#arm()
    }
    entry.sockets.set(socket, moved)
    socket.once('close', () => this.#leave(name, socket))
  }

  #leave(name: string, socket: Socket): void {
    const entry = this.#names.get(name)
    if (entry?.sockets.delete(socket) !== true || entry.sockets.size > 0) return
    this.#names.delete(name)
    if (entry.cancel !== undefined) this.#answered(entry, entry.cancel)
    if (this.#names.size === 0) this.#clock.wakeAt(Infinity as Micros, () => {})
  }

  #arm(): void {
    const atUs = this.#clock.nowUs() + msToUs(NAME_FOLLOW_EVERY_MS)
    this.#clock.wakeAt(atUs as Micros, () => {
      for (const [name, entry] of this.#names) this.#checkName(name, entry)
      if (this.#names.size > 0) this.#arm()
    })
  }

  #checkName(name: string, entry: Entry): void {
    const addresses = this.#resolver.fresh(name)?.addresses
    if (addresses !== undefined) return this.#check(entry, addresses)
    if (entry.cancel !== undefined || this.#asking >= LOOKUPS_FOLLOWING_MAX) return
    const cancel = this.#resolver.find(name, () => {
      if (entry.cancel !== undefined) this.#answered(entry, () => {})
      const found = this.#resolver.fresh(name)?.addresses
      if (found !== undefined) this.#check(entry, found)
    })
    if (cancel === undefined) return // the next check reads the result
    entry.cancel = cancel
    this.#asking += 1
  }

  #answered(entry: Entry, cancel: () => void): void {
    entry.cancel = undefined
    this.#asking -= 1
    cancel()
  }

  #check(entry: Entry, addresses: readonly string[]): void {
    if (entry.checked === addresses) return
    entry.checked = addresses
    for (const [socket, moved] of entry.sockets) {
      const { remoteAddress } = socket
      if (remoteAddress !== undefined && !addresses.includes(remoteAddress)) moved()
    }
  }
}
