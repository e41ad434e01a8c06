// The connections to one origin: which are free, how many more to open, when the last is closed.
// Thread: shard. Memory: one entry per connection; their number is bounded.
// Never: opens a socket, sets a timer, or knows what a request is.
// Last in, first out: few connections stay warm, and those opened for a burst time out.
//
// There is no queue here. A caller that finds no free connection says how many it could use, and is
// notified once one is free or there is room for another.
//
// Few are opened at once: opening one keeps this thread and the upstream busy for longer than most
// whole requests. A burst that opened one for each of its sends would delay the very responses that
// free the others, and make the next burst larger. So CONNECTIONS_MAKING_MIN may always be opening,
// and one more for each that was opened before a quarter of the others became free: an upstream
// that responds slowly, and does need a thousand, gets twice as many with each round trip. (TCP
// slow start, RFC 5681, with a connection for a segment.)
//
// A connection that stalls while opening says little about the next, which may reach another
// address, or another machine behind it (RFC 8305). So up to CONNECTIONS_STALLED_MAX stalled ones
// are not counted as opening, two are opened in place of each, and if they open later, they are
// used.

import { VERIFY, assert } from '../base/assert.ts'
import { CONNECTIONS_MAKING_MIN, CONNECTIONS_STALLED_MAX } from '../memory/socket-limits.ts'

/** An upstream is slow if less than one in this many connections became free while one opened. */
const SLOW_PART = 4

/** A connection as its pool sees it, for one request at a time. Only the pool writes the fields. */
export interface PooledConnection {
  /** Its index among the idle ones, or -1. */
  idleIndex: number
  /** It is opening. */
  inTheMaking: boolean
  /** It is opening, but no longer counted as such. */
  isStalled: boolean
  /** The pool's count of releases when it began to open. */
  openedAfter: number
  /** Closes it, and whatever it is doing; resolves when its socket is closed. */
  destroy(): Promise<void>
}

/** Options of a pool. */
export interface PoolOptions<Connection> {
  /** The most connections at once, 1 or more. */
  readonly connectionsMax: number
  /** Begins to open a connection; undefined if a limit outside of this pool forbids it. */
  readonly open: () => Connection | undefined
  /** A connection has been closed, whatever it was doing, and no longer counts elsewhere. */
  readonly onEnded: () => void
  /** A connection is free, and a caller had asked for one. */
  readonly onFree: () => void
  /** No connection is left: the pool may be forgotten. */
  readonly onEmpty: () => void
}

/** The connections to one origin, at most `connectionsMax`. */
export class OriginPool<Connection extends PooledConnection> {
  readonly #options: PoolOptions<Connection>
  readonly #connections = new Set<Connection>()
  readonly #idle: Connection[] = []
  /** How many, free or opening, the callers could use; 0 when none waits. */
  #wanted = 0
  /** Connections that are opening, without stalled ones. */
  #making = 0
  #stalled = 0
  /** The limit of #making. */
  #makingMax = CONNECTIONS_MAKING_MIN
  /** Number of times that a connection became free. */
  #releases = 0

  constructor(options: PoolOptions<Connection>) {
    assert(options.connectionsMax >= 1, 'a pool that may have no connections')
    this.#options = options
  }

  /** Connections, idle, in use and opening. */
  get connectionCount(): number {
    return this.#connections.size
  }

  /** Connections that are open and idle. */
  get freeCount(): number {
    return this.#idle.length
  }

  /** Whether a connection is open, idle or in use: the origin can be reached. */
  get isReached(): boolean {
    return this.#connections.size > this.#making + this.#stalled
  }

  /** Whether a caller waits for a connection. */
  get isWanted(): boolean {
    return this.#wanted > 0
  }

  /** Takes a free connection, which is then in use; there must be one. */
  take(): Connection {
    const connection = this.#idle.pop()
    assert(connection !== undefined, 'no connection is free')
    connection.idleIndex = -1
    if (VERIFY) this.#verify()
    return connection
  }

  /** Ensures that `count` are free or opening, as far as limits allow; onFree follows. */
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

  /** The connection takes too long to open: others are opened in addition, if limits allow. */
  passOver(connection: Connection): void {
    assert(connection.inTheMaking && !connection.isStalled, 'passed over without cause')
    if (this.#stalled === CONNECTIONS_STALLED_MAX) return
    connection.isStalled = true
    this.#making -= 1
    this.#stalled += 1
    // The caller may have asked for only one while none was stalled.
    if (this.#wanted > 0) this.#wanted = Math.max(this.#wanted, 2 * this.#stalled)
    this.#openWanted()
    if (VERIFY) this.#verify()
  }

  /** The connection has completed its request and can be reused. */
  release(connection: Connection): void {
    assert(connection.idleIndex === -1, 'an idle connection is released')
    assert(this.#connections.has(connection), 'a connection is released that is not here')
    assert(!connection.inTheMaking, 'a connection is released that is being made')
    this.#releases += 1
    this.#enterIdle(connection)
  }

  /** Closes a connection that is in use or opening. */
  drop(connection: Connection): void {
    assert(connection.idleIndex === -1, 'an idle connection is dropped')
    this.#end(connection)
    this.#openWanted()
    this.#notifyIfEmpty()
  }

  /** Closes an idle connection whose socket is lost; ignored if it is not idle. */
  lost(connection: Connection): void {
    if (connection.idleIndex === -1) return
    this.#unidle(connection)
    this.#end(connection)
    this.#openWanted()
    this.#notifyIfEmpty()
  }

  /** Closes the connection that has been idle longest; false when none is idle. */
  endLongestIdle(): boolean {
    const connection = this.#idle[0]
    if (connection === undefined) return false
    this.lost(connection)
    return true
  }

  /** A limit outside of this pool allows more again: opens what open() refused. */
  retry(): void {
    this.#openWanted()
  }

  /** Forgets the waiting callers, which are notified otherwise and ask again if necessary. */
  forgetWanted(): void {
    this.#wanted = 0
  }

  /** Closes the idle connections. */
  closeIdle(): void {
    while (this.#idle.length > 0) {
      const connection = this.take()
      this.#end(connection)
    }
    this.#notifyIfEmpty()
  }

  /** Closes all connections; resolves when the sockets are closed. */
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

  #notifyIfEmpty(): void {
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
