// The connections to one origin: which is free, how many more are made, when the last is gone.
// Thread: shard. Memory: one entry per connection; their number is bounded.
// Never: opens a socket, sets a timer, or knows what a request is.
// Last used, first used again: few connections stay warm, and the surplus of a burst idles out.
//
// Nobody waits in here. Whoever finds no connection free says how many would be of use, and is told
// once one is free or there is room for another.
//
// Few are made at once: making one keeps this thread and the upstream busy for longer than most
// requests do altogether. A burst that opened one for each of its sends would hold up the very
// responses that free the others, and the next burst would be the larger for it. So
// CONNECTIONS_MAKING_MIN may always be in the making, and one more for each that was made before a
// quarter of the others became free: an upstream that is slow to answer, and does need a thousand,
// gets twice as many with each round trip. (The slow start of TCP, RFC 5681, with a connection for
// a segment.)
//
// One that stalls in the making says little about the next, which may reach another address, or
// another machine behind it (RFC 8305). So CONNECTIONS_STALLED_MAX are passed over in these counts,
// two made in the place of each, and they are used should they be made after all.

import { VERIFY, assert } from '../base/assert.ts'
import { CONNECTIONS_MAKING_MIN, CONNECTIONS_STALLED_MAX } from '../memory/socket-limits.ts'

/** An upstream of which less than one in so many connections became free meanwhile is slow. */
const SLOW_PART = 4

/** A connection as its pool sees it; it serves one request at a time. */
export interface PooledConnection {
  /** Its place among the idle ones, or -1; written by the pool alone. */
  idleIndex: number
  /** It is being made; written by the pool alone. */
  inTheMaking: boolean
  /** It is being made, and passed over for others; written by the pool alone. */
  isStalled: boolean
  /** How often any connection of the pool had become free when it was begun; by the pool alone. */
  openedAfter: number
  /** Ends it, with what it is doing; resolves when its socket is closed. */
  destroy(): Promise<void>
}

/** What a pool is made with. */
export interface PoolOptions<Connection> {
  /** How many connections there may be at once, 1 or more. */
  readonly connectionsMax: number
  /** Begins to make one more connection; undefined where there is no room for it elsewhere. */
  readonly open: () => Connection | undefined
  /** One has been given up, whatever it was doing; its place elsewhere is free. */
  readonly onEnded: () => void
  /** A connection is free, or one may be asked for, and somebody had asked. */
  readonly onFree: () => void
  /** No connection is left: the pool may be forgotten. */
  readonly onEmpty: () => void
}

/** The connections to one origin, at most `connectionsMax`. */
export class OriginPool<Connection extends PooledConnection> {
  readonly #options: PoolOptions<Connection>
  readonly #connections = new Set<Connection>()
  readonly #idle: Connection[] = []
  /** How many, free or being made, would be of use to who has asked; 0 when nobody waits. */
  #wanted = 0
  /** Of the connections, those being made, but for those that stall. */
  #making = 0
  #stalled = 0
  /** How many of those there may be. */
  #makingMax = CONNECTIONS_MAKING_MIN
  /** How often a connection became free. */
  #releases = 0

  constructor(options: PoolOptions<Connection>) {
    assert(options.connectionsMax >= 1, 'a pool without connections serves nobody')
    this.#options = options
  }

  /** Connections, idle and at work and being made. */
  get connectionCount(): number {
    return this.#connections.size
  }

  /** Connections that are open and idle. */
  get freeCount(): number {
    return this.#idle.length
  }

  /** Whether a connection is open, idle or at work: the origin can be reached. */
  get isReached(): boolean {
    return this.#connections.size > this.#making + this.#stalled
  }

  /** Whether somebody waits for a connection. */
  get isWanted(): boolean {
    return this.#wanted > 0
  }

  /** A free connection, which is at work from now on; there must be one. */
  take(): Connection {
    const connection = this.#idle.pop()
    assert(connection !== undefined, 'no connection is free')
    connection.idleIndex = -1
    if (VERIFY) this.#verify()
    return connection
  }

  /** Sees to it that `count` are free or being made, as far as limits allow; onFree follows. */
  want(count: number): void {
    this.#wanted = Math.max(this.#wanted, count)
    this.#openWanted()
    if (VERIFY) this.#verify()
  }

  /** The connection's socket is open. */
  made(connection: Connection): void {
    assert(connection.inTheMaking, 'a connection is made twice')
    this.#endMaking(connection)
    const freed = this.#releases - connection.openedAfter
    const isSlow = freed * SLOW_PART < this.#connections.size
    this.#makingMax = isSlow ? this.#makingMax + 1 : CONNECTIONS_MAKING_MIN
    this.#enterIdle(connection)
  }

  /** The connection takes too long in the making: others are made beside it, if any may be. */
  passOver(connection: Connection): void {
    assert(connection.inTheMaking && !connection.isStalled, 'passed over without cause')
    if (this.#stalled === CONNECTIONS_STALLED_MAX) return
    connection.isStalled = true
    this.#making -= 1
    this.#stalled += 1
    // Who waits may have asked for one when nothing stalled.
    if (this.#wanted > 0) this.#wanted = Math.max(this.#wanted, 2 * this.#stalled)
    this.#openWanted()
    if (VERIFY) this.#verify()
  }

  /** The connection has served its request, and can serve another. */
  release(connection: Connection): void {
    assert(connection.idleIndex === -1, 'an idle connection is released')
    assert(this.#connections.has(connection), 'a connection is released that is not here')
    assert(!connection.inTheMaking, 'a connection is released that is being made')
    this.#releases += 1
    this.#enterIdle(connection)
  }

  /** Ends a connection that is at work or being made. */
  drop(connection: Connection): void {
    assert(connection.idleIndex === -1, 'an idle connection is dropped')
    this.#end(connection)
    this.#openWanted()
    this.#tellIfEmpty()
  }

  /** Ends a connection that is idle, because its socket is gone. */
  lost(connection: Connection): void {
    if (connection.idleIndex === -1) return
    this.#unidle(connection)
    this.#end(connection)
    this.#openWanted()
    this.#tellIfEmpty()
  }

  /** Ends the connection that has been idle longest; false when none is. */
  endLongestIdle(): boolean {
    const connection = this.#idle[0]
    if (connection === undefined) return false
    this.lost(connection)
    return true
  }

  /** There is room elsewhere again; whoever waits here may have what open() refused. */
  retry(): void {
    this.#openWanted()
  }

  /** Who waited is told otherwise, and asks again if need be. */
  forgetWanted(): void {
    this.#wanted = 0
  }

  /** Ends the idle connections. */
  closeIdle(): void {
    while (this.#idle.length > 0) {
      const connection = this.take()
      this.#end(connection)
    }
    this.#tellIfEmpty()
  }

  /** Ends all connections; resolves when the sockets are closed. */
  async close(): Promise<void> {
    this.#wanted = 0
    const ended = [...this.#connections].map((connection) => connection.destroy())
    for (const connection of this.#connections) {
      connection.idleIndex = -1
      connection.inTheMaking = false
      connection.isStalled = false
    }
    this.#connections.clear()
    this.#idle.length = 0
    this.#making = 0
    this.#stalled = 0
    await Promise.all(ended)
  }

  get #mayOpen(): boolean {
    return this.#connections.size < this.#options.connectionsMax &&
      this.#making < this.#makingMax
  }

  #openWanted(): void {
    while (this.#idle.length + this.#making < this.#wanted && this.#mayOpen) {
      const connection = this.#options.open()
      if (connection === undefined) return
      this.#connections.add(connection)
      connection.inTheMaking = true
      connection.openedAfter = this.#releases
      this.#making += 1
    }
  }

  #enterIdle(connection: Connection): void {
    connection.idleIndex = this.#idle.length
    this.#idle.push(connection)
    if (VERIFY) this.#verify()
    if (this.#wanted === 0) return
    this.#wanted = 0
    this.#options.onFree()
  }

  #end(connection: Connection): void {
    const known = this.#connections.delete(connection)
    assert(known, 'a connection is ended that is not here')
    if (connection.inTheMaking) this.#endMaking(connection)
    void connection.destroy()
    this.#options.onEnded()
  }

  #endMaking(connection: Connection): void {
    connection.inTheMaking = false
    if (connection.isStalled) this.#stalled -= 1
    else this.#making -= 1
    connection.isStalled = false
  }

  #unidle(connection: Connection): void {
    const last = this.#idle.pop()
    assert(last !== undefined, 'an idle connection is not among the idle')
    if (last !== connection) {
      this.#idle[connection.idleIndex] = last
      last.idleIndex = connection.idleIndex
    }
    connection.idleIndex = -1
  }

  #tellIfEmpty(): void {
    if (VERIFY) this.#verify()
    if (this.#connections.size === 0 && this.#wanted === 0) this.#options.onEmpty()
  }

  #verify(): void {
    assert(this.#connections.size <= this.#options.connectionsMax, 'too many connections')
    let making = 0
    let stalled = 0
    for (const connection of this.#connections) {
      if (connection.isStalled) stalled += 1
      else if (connection.inTheMaking) making += 1
    }
    assert(making === this.#making, 'a connection being made is miscounted')
    assert(stalled === this.#stalled, 'a connection that stalls is miscounted')
    this.#idle.forEach((connection, at) => {
      assert(!connection.inTheMaking, 'an idle connection is being made')
      assert(connection.idleIndex === at, 'an idle connection does not know its place')
      assert(this.#connections.has(connection), 'an idle connection is not here')
    })
  }
}
