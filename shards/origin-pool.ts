// The connections to one origin: which is free, who waits for one, when the last is gone.
// Thread: shard. Memory: one entry per connection and per waiting attempt; both are bounded.
// Never: opens a socket, sets a timer, or knows what an attempt is.
// Last used, first used again: few connections stay warm, and the surplus of a burst idles out.
//
// Few are made at once: making one keeps this thread and the upstream busy for longer than most
// requests do altogether. A burst that opened one for each of its sends would hold up the very
// responses that free the others, and the next burst would be the larger for it. So whoever finds
// none free waits for the first that is, made or freed. CONNECTIONS_MAKING_MIN may always be in the
// making, and one more for each that was made before a quarter of the others became free: an
// upstream that is slow to answer, and does need a thousand, gets twice as many with each round
// trip. (The slow start of TCP, RFC 5681, with a connection for a segment.)

import { VERIFY, assert } from './assert.ts'
import { CONNECTIONS_MAKING_MIN } from './limits.ts'
import { WaitingLine } from './waiting-line.ts'

/** An upstream of which less than one in so many connections became free meanwhile is slow. */
const SLOW_PART = 4

/** A connection as its pool sees it; it serves one attempt at a time. */
export interface PooledConnection<Attempt> {
  /** Its place among the idle ones, or -1; written by the pool alone. */
  idleIndex: number
  /** It counts as one being made; written by the pool alone. */
  inTheMaking: boolean
  /** How often any connection of the pool had become free when it was opened; by the pool alone. */
  openedAfter: number
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
  readonly #waiting = new WaitingLine<Attempt>()
  /** Of the connections, those being made. */
  #making = 0
  /** How many of those there may be. */
  #makingMax = CONNECTIONS_MAKING_MIN
  /** How often a connection became free. */
  #releases = 0

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
    return this.#waiting.length
  }

  /** Starts the attempt on an idle or a new connection, or lets it wait for one. */
  begin(attempt: Attempt): void {
    const connection = this.#idle.pop()
    if (connection !== undefined) {
      connection.idleIndex = -1
      connection.begin(attempt)
    } else if (this.#mayOpen) {
      this.#open().begin(attempt)
    } else {
      this.#waiting.join(attempt)
    }
    if (VERIFY) this.#verify()
  }

  /** The connection's socket is open; of those that wait, one may get a new one. */
  made(connection: Connection): void {
    if (!connection.inTheMaking) return // made again, under the attempt that found it closed
    connection.inTheMaking = false
    this.#making -= 1
    const freed = this.#releases - connection.openedAfter
    const isSlow = freed * SLOW_PART < this.#connections.size
    this.#makingMax = isSlow ? this.#makingMax + 1 : CONNECTIONS_MAKING_MIN
    this.#openForWaiting()
    if (VERIFY) this.#verify()
  }

  /** Takes back an attempt that waits; false when it does not. */
  withdraw(attempt: Attempt): boolean {
    return this.#waiting.leave(attempt)
  }

  /** The connection has served its attempt, and can serve another. */
  release(connection: Connection): void {
    assert(connection.idleIndex === -1, 'an idle connection is released')
    assert(this.#connections.has(connection), 'a connection is released that is not here')
    assert(!connection.inTheMaking, 'a connection is released that is being made')
    this.#releases += 1
    const next = this.#waiting.next()
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
    this.#openForWaiting()
    this.#tellIfEmpty()
  }

  /** Ends a connection that is at work, and begins the attempt once more. */
  replace(connection: Connection, attempt: Attempt): void {
    assert(connection.idleIndex === -1, 'an idle connection is replaced')
    this.#end(connection)
    this.begin(attempt)
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
    for (const connection of this.#connections) {
      connection.idleIndex = -1
      connection.inTheMaking = false
    }
    this.#connections.clear()
    this.#idle.length = 0
    this.#making = 0
    await Promise.all(ended)
  }

  get #mayOpen(): boolean {
    return this.#connections.size < this.#options.connectionsMax &&
      this.#making < this.#makingMax
  }

  #open(): Connection {
    const connection = this.#options.open()
    this.#connections.add(connection)
    connection.inTheMaking = true
    connection.openedAfter = this.#releases
    this.#making += 1
    return connection
  }

  #openForWaiting(): void {
    while (this.#waiting.length > 0 && this.#mayOpen) {
      this.#open().begin(this.#waiting.next() as Attempt)
    }
  }

  #end(connection: Connection): void {
    const known = this.#connections.delete(connection)
    assert(known, 'a connection is ended that is not here')
    if (connection.inTheMaking) {
      connection.inTheMaking = false
      this.#making -= 1
    }
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

  #tellIfEmpty(): void {
    if (VERIFY) this.#verify()
    if (this.#connections.size === 0) this.#options.onEmpty()
  }

  #verify(): void {
    assert(this.#connections.size <= this.#options.connectionsMax, 'too many connections')
    assert(this.#waiting.length === 0 || !this.#mayOpen,
      'an attempt waits though a connection may be opened')
    assert(this.#waiting.length === 0 || this.#idle.length === 0, 'who waits could be served')
    let making = 0
    for (const connection of this.#connections) if (connection.inTheMaking) making += 1
    assert(making === this.#making, 'a connection being made is miscounted')
    this.#idle.forEach((connection, at) => {
      assert(!connection.inTheMaking, 'an idle connection is being made')
      assert(connection.idleIndex === at, 'an idle connection does not know its place')
      assert(this.#connections.has(connection), 'an idle connection is not here')
    })
  }
}
