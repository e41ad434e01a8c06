// The connections to one origin: which is free, who waits for one, when the last is gone.
// Thread: shard. Memory: one entry per connection and per waiting attempt; both are bounded.
// Never: opens a socket, sets a timer, or knows what an attempt is.
// Last used, first used again: few connections stay warm, and the surplus of a burst idles out.

import { VERIFY, assert } from './assert.ts'

/** A connection as its pool sees it; it serves one attempt at a time. */
export interface PooledConnection<Attempt> {
  /** Its place among the idle ones, or -1; written by the pool alone. */
  idleIndex: number
  /** Starts an attempt, whose failure must not be told before this has returned. */
  begin(attempt: Attempt): void
  /** Ends it, with what it is doing; resolves when its socket is closed. */
  destroy(): Promise<void>
}

/** What a pool is made with. */
export interface PoolOptions<Connection> {
  /** How many connections there may be at once, 1 or more. */
  readonly connectionsMax: number
  /** Makes one more connection; it need not be connected yet. */
  readonly open: () => Connection
  /** No connection is left and nobody waits: the pool may be forgotten. */
  readonly onEmpty: () => void
}

/** The connections to one origin, at most `connectionsMax`, and the attempts that wait. */
export class OriginPool<Attempt, Connection extends PooledConnection<Attempt>> {
  readonly #options: PoolOptions<Connection>
  readonly #connections = new Set<Connection>()
  readonly #idle: Connection[] = []
  /** In order of arrival; a set, so that a withdrawal costs no search. */
  readonly #waiting = new Set<Attempt>()

  constructor(options: PoolOptions<Connection>) {
    assert(options.connectionsMax >= 1, 'a pool without connections serves nobody')
    this.#options = options
  }

  /** Connections, idle and at work. */
  get connectionCount(): number {
    return this.#connections.size
  }

  /** Attempts that wait for a connection. */
  get waitingCount(): number {
    return this.#waiting.size
  }

  /** Starts the attempt on an idle or a new connection, or lets it wait for one. */
  begin(attempt: Attempt): void {
    const connection = this.#idle.pop()
    if (connection !== undefined) {
      connection.idleIndex = -1
      connection.begin(attempt)
    } else if (this.#connections.size < this.#options.connectionsMax) {
      this.#open().begin(attempt)
    } else {
      this.#waiting.add(attempt)
    }
    if (VERIFY) this.#verify()
  }

  /** Takes back an attempt that waits; false when it does not. */
  withdraw(attempt: Attempt): boolean {
    return this.#waiting.delete(attempt)
  }

  /** The connection has served its attempt, and can serve another. */
  release(connection: Connection): void {
    assert(connection.idleIndex === -1, 'an idle connection is released')
    assert(this.#connections.has(connection), 'a connection is released that is not here')
    const next = this.#nextWaiting()
    if (next !== undefined) {
      connection.begin(next)
    } else {
      connection.idleIndex = this.#idle.length
      this.#idle.push(connection)
    }
    if (VERIFY) this.#verify()
  }

  /** Ends a connection that is at work; whoever waits gets a new one in its place. */
  drop(connection: Connection): void {
    assert(connection.idleIndex === -1, 'an idle connection is dropped')
    this.#end(connection)
    const next = this.#nextWaiting()
    if (next !== undefined) this.#open().begin(next)
    this.#tellIfEmpty()
  }

  /** Ends a connection that is at work, and starts the attempt on a new one in its place. */
  replace(connection: Connection, attempt: Attempt): void {
    assert(connection.idleIndex === -1, 'an idle connection is replaced')
    this.#end(connection)
    this.#open().begin(attempt)
  }

  /** The connection has lost its socket: an idle one is given up, one at work opens another. */
  lost(connection: Connection): void {
    if (connection.idleIndex === -1) return
    this.#unidle(connection)
    this.#end(connection)
    this.#tellIfEmpty()
  }

  /** Ends the idle connections. */
  closeIdle(): void {
    let connection = this.#idle.pop()
    while (connection !== undefined) {
      connection.idleIndex = -1
      this.#end(connection)
      connection = this.#idle.pop()
    }
    this.#tellIfEmpty()
  }

  /** Ends all connections and forgets who waits; resolves when the sockets are closed. */
  async close(): Promise<void> {
    this.#waiting.clear()
    const ended = [...this.#connections].map((connection) => connection.destroy())
    this.#connections.clear()
    for (const connection of this.#idle) connection.idleIndex = -1
    this.#idle.length = 0
    await Promise.all(ended)
  }

  #open(): Connection {
    const connection = this.#options.open()
    this.#connections.add(connection)
    return connection
  }

  #end(connection: Connection): void {
    const known = this.#connections.delete(connection)
    assert(known, 'a connection is ended that is not here')
    void connection.destroy()
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

  #nextWaiting(): Attempt | undefined {
    for (const attempt of this.#waiting) {
      this.#waiting.delete(attempt)
      return attempt
    }
    return undefined
  }

  #tellIfEmpty(): void {
    if (VERIFY) this.#verify()
    if (this.#connections.size === 0) this.#options.onEmpty()
  }

  #verify(): void {
    assert(this.#connections.size <= this.#options.connectionsMax, 'too many connections')
    assert(this.#waiting.size === 0 || this.#connections.size === this.#options.connectionsMax,
      'an attempt waits though a connection may be opened')
    assert(this.#waiting.size === 0 || this.#idle.length === 0, 'who waits could be served')
    this.#idle.forEach((connection, at) => {
      assert(connection.idleIndex === at, 'an idle connection does not know its place')
      assert(this.#connections.has(connection), 'an idle connection is not here')
    })
  }
}
