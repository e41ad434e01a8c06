// Which open connections lead where their host's name no longer points to.
// Thread: shard. Memory: one entry per open connection to a name.
// Never: closes a connection: whoever opened it knows when it is at rest.

import type { Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { type Micros, msToUs } from '../base/units.ts'
import { LOOKUPS_FOLLOWING_MAX, NAME_FOLLOW_EVERY_MS } from '../memory/name-limits.ts'
import type { Resolver } from './resolver.ts'

/** A name with open connections. */
interface Followed {
  readonly sockets: Map<Socket, () => void>
  /** The addresses that the sockets were last held against. */
  checked: readonly string[] | undefined
  giveUp: (() => void) | undefined
}

/** The connections of one shard. */
export class Moves {
  readonly #resolver: Resolver
  readonly #clock: Clock
  readonly #names = new Map<string, Followed>()
  #asking = 0

  /** @param clock one of its own, for a clock has one wake. */
  constructor(resolver: Resolver, clock: Clock) {
    this.#resolver = resolver
    this.#clock = clock
  }

  /** Calls `moved` when the name's answer no longer has the socket's address, until it closes. */
  follow(name: string, socket: Socket, moved: () => void): void {
    if (socket.destroyed || !this.#resolver.isAsked(name)) return
    let followed = this.#names.get(name)
    if (followed === undefined) {
      followed = { sockets: new Map(), checked: undefined, giveUp: undefined }
      this.#names.set(name, followed)
      if (this.#names.size === 1) this.#arm()
    }
    followed.sockets.set(socket, moved)
    socket.once('close', () => this.#leave(name, socket))
  }

  #leave(name: string, socket: Socket): void {
    const followed = this.#names.get(name)
    if (followed?.sockets.delete(socket) !== true || followed.sockets.size > 0) return
    this.#names.delete(name)
    if (followed.giveUp !== undefined) this.#answered(followed, followed.giveUp)
    if (this.#names.size === 0) this.#clock.wakeAt(Infinity as Micros, () => {})
  }

  #arm(): void {
    const atUs = this.#clock.nowUs() + msToUs(NAME_FOLLOW_EVERY_MS)
    this.#clock.wakeAt(atUs as Micros, () => {
      for (const [name, followed] of this.#names) this.#look(name, followed)
      if (this.#names.size > 0) this.#arm()
    })
  }

  #look(name: string, followed: Followed): void {
    const addresses = this.#resolver.fresh(name)?.addresses
    if (addresses !== undefined) return this.#check(followed, addresses)
    if (followed.giveUp !== undefined || this.#asking >= LOOKUPS_FOLLOWING_MAX) return
    const giveUp = this.#resolver.find(name, () => {
      if (followed.giveUp !== undefined) this.#answered(followed, () => {})
      const found = this.#resolver.fresh(name)?.addresses
      if (found !== undefined) this.#check(followed, found)
    })
    if (giveUp === undefined) return // the next look sees what becomes of it
    followed.giveUp = giveUp
    this.#asking += 1
  }

  #answered(followed: Followed, giveUp: () => void): void {
    followed.giveUp = undefined
    this.#asking -= 1
    giveUp()
  }

  #check(followed: Followed, addresses: readonly string[]): void {
    if (followed.checked === addresses) return
    followed.checked = addresses
    for (const [socket, moved] of followed.sockets) {
      const { remoteAddress } = socket
      if (remoteAddress !== undefined && !addresses.includes(remoteAddress)) moved()
    }
  }
}
