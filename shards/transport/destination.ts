// One destination of the transport: its connections, their events, and its responses' memory.
// Thread: shard. Memory: an entry per connection that is opening or not yet used.
// Never: sends, sets a timer, or knows of other destinations, except for the shared pool.

import type { Clock } from '../base/clock.ts'
import { NO_ACCOUNT } from '../dns/lookups.ts'
import { FAILURE_DETAIL_LENGTH_MAX } from '../memory/limits.ts'
import {
  CONNECTIONS_UNUSED_LOST_MAX, CONNECTION_IDLE_MS_DEFAULT, CONNECT_STALLED_MS,
} from '../memory/socket-limits.ts'
import type { FailureReason } from '../signals/response.ts'
import { failureReason, isShortage } from '../signals/verdict.ts'
import { ClientConnection, type ConnectionOwner } from './client-connection.ts'
import type { ConnectionRoom } from './connection-room.ts'
import type { Connect } from './name-connector.ts'
import { OriginPool } from './origin-pool.ts'
import { Reading } from './read-scheduler.ts'
import { BytesHeld } from './response-memory.ts'
import type { AttemptPath } from './wire-attempt.ts'

/** What the destinations of one transport share. */
export interface DestinationsShared {
  readonly clock: Clock
  readonly connect: Connect
  readonly room: ConnectionRoom
  readonly connectionsPerOriginMax: number
  readonly connectTimeoutMs: number
  /** Destinations with connections, or to be checked for another reason. */
  readonly open: Set<Destination>
  free(to: number): void
  unreachable(to: number, reason: FailureReason, detail: string): void
}

/** One destination. */
export class Destination implements AttemptPath, ConnectionOwner {
  readonly held: BytesHeld
  readonly reading = new Reading()
  readonly origin: string
  readonly pool: OriginPool<ClientConnection>
  isForgotten = false
  readonly #to: number
  readonly #shared: DestinationsShared
  /** Connections that are opening, or were unused at the last check. */
  readonly #young = new Set<ClientConnection>()
  #timeoutMs = 0
  /** The account that wanted connections last. */
  #account = NO_ACCOUNT
  /** Connections in a row that were lost before they were used. */
  #lostUnused = 0
  /** The system lacked resources for a connection; opening is retried at the next look(). */
  #isStarved = false

  constructor(to: number, origin: string, shared: DestinationsShared) {
    this.#to = to
    this.origin = origin
    this.#shared = shared
    this.held = new BytesHeld(to)
    this.pool = new OriginPool<ClientConnection>({
      connectionsMax: shared.connectionsPerOriginMax,
      open: () => this.#open(),
      onEnded: () => shared.room.give(this.pool),
      onFree: () => shared.free(to),
      onEmpty: () => this.#empty(),
    })
  }

  want(count: number, timeoutMs: number, account: number): void {
    this.#timeoutMs = timeoutMs
    this.#account = account
    this.pool.want(count)
  }

  /** No further events of the destination; connections in use finish their requests. */
  forget(): void {
    this.isForgotten = true
    this.held.isAwaited = false
    this.#isStarved = false
    this.#shared.room.leave(this.pool)
    this.pool.forgetWanted()
    for (const connection of this.#young) if (connection.inTheMaking) this.#drop(connection)
    this.pool.closeIdle()
  }

  /** Closes connections not open or not used in time; retries after a lack of resources. */
  look(nowMs: number): void {
    for (const connection of this.#young) {
      if (connection.isUsed) this.#young.delete(connection)
      else if (connection.deadlineMs <= nowMs) this.#dropYoung(connection)
      else if (isStalling(connection, nowMs)) this.pool.passOver(connection)
    }
    if (!this.#isStarved) return
    this.#isStarved = false
    this.pool.retry()
    if (this.pool.connectionCount === 0) this.#shared.open.delete(this)
  }

  // --- events of its connections ---

  /** The stall time starts after the look-up, since the next connection would wait for it, too. */
  begun(connection: ClientConnection): void {
    connection.stallsAtMs = this.#nowMs() + CONNECT_STALLED_MS
    this.#shared.room.calling()
  }

  made(connection: ClientConnection): void {
    connection.deadlineMs = this.#nowMs() + CONNECTION_IDLE_MS_DEFAULT
    this.pool.made(connection)
  }

  notMade(connection: ClientConnection, error: Error): void {
    if (isShortage(error)) {
      this.#isStarved = true
      return this.#drop(connection)
    }
    this.#fail(connection, failureReason(error), error.message)
  }

  /** A connection in use notifies its request, which notifies this. */
  lost(connection: ClientConnection): void {
    if (connection.idleIndex === -1) return
    this.#young.delete(connection)
    this.pool.lost(connection)
    if (!connection.isUsed) this.#countLost()
  }

  // --- events of its attempts ---

  answered(): void {
    this.#lostUnused = 0
  }

  lostUnused(connection: ClientConnection): void {
    this.#drop(connection)
    this.#countLost()
  }

  #countLost(): void {
    if (++this.#lostUnused <= CONNECTIONS_UNUSED_LOST_MAX || !this.pool.isWanted) return
    this.#lostUnused = 0
    this.#notifyUnreachable('connection_error', 'connections are closed before they are used')
  }

  #dropYoung(connection: ClientConnection): void {
    if (connection.inTheMaking) {
      // If other connections have reached the origin, waiters will get one of those.
      if (this.pool.isReached) return this.#drop(connection)
      return this.#fail(connection, 'timeout', 'the connection was not made in time')
    }
    this.#young.delete(connection)
    this.pool.lost(connection)
  }

  #fail(connection: ClientConnection, reason: FailureReason, detail: string): void {
    const isAwaited = this.pool.isWanted
    this.pool.forgetWanted()
    this.#drop(connection)
    if (isAwaited) this.#notifyUnreachable(reason, detail)
  }

  #drop(connection: ClientConnection): void {
    this.#young.delete(connection)
    this.pool.drop(connection)
  }

  #notifyUnreachable(reason: FailureReason, detail: string): void {
    this.pool.forgetWanted()
    this.#shared.unreachable(this.#to, reason, detail.slice(0, FAILURE_DETAIL_LENGTH_MAX))
  }

  #open(): ClientConnection | undefined {
    if (this.#isStarved) return undefined
    const { clock, connect, connectTimeoutMs, open, room } = this.#shared
    const nowUs = clock.nowUs()
    if (!room.take(this.pool, this.#account, nowUs)) return undefined
    open.add(this)
    const connection = new ClientConnection(this.origin, connect, this, this.#account)
    connection.deadlineMs = nowUs / 1000 + Math.min(this.#timeoutMs, connectTimeoutMs)
    this.#young.add(connection)
    return connection
  }

  #empty(): void {
    this.#young.clear()
    if (!this.#isStarved) this.#shared.open.delete(this)
  }

  #nowMs(): number {
    return this.#shared.clock.nowUs() / 1000
  }
}

const isStalling = ({ inTheMaking, isStalled, stallsAtMs }: ClientConnection, nowMs: number) =>
  inTheMaking && !isStalled && stallsAtMs <= nowMs
