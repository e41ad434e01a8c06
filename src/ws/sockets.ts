// All WebSockets: admission, their unread bytes in total, and their end.

import type { KeyUsage } from '../access/key-usage.ts'
import { isSameOrigin } from '../access/local-hosts.ts'
import { isValid, NOT_VALID, type Principal } from '../access/principal.ts'
import {
  AccountShare, type HeldTable, makeHeldTable, type PoolContext,
} from '../base/account-share.ts'
import type { ClientBytes } from '../base/client-bytes.ts'
import { type ErrorCode, limitReached } from '../base/errors.ts'
import { JobHasher } from '../base/hash.ts'
import {
  MESSAGE_JOBS_MAX, REF_BYTES_MAX, SOCKET_BACKLOG_BYTES_MAX, SOCKET_WATCHED_MAX, SOCKET_WINDOW_JOBS,
  SOCKETS_MAX,
} from '../base/limits.ts'
import { DOOR_POOLS } from '../base/pools.ts'
import type { Questions } from '../engine/questions.ts'
import { asksAccountQueue } from '../http/account-queue.ts'
import { addressKey, type ClientAddresses } from '../http/client-address.ts'
import { Exchange } from '../http/exchange.ts'
import { frameTiers, heldByFrame } from '../http/frame-tiers.ts'
import type { SocketData, SocketOwner } from '../http/server.ts'
import type {
  HttpRequest, UpgradableResponse, UpgradeContext, WebSocketHandle,
} from '../http/uws.ts'
import type { Submissions } from '../submit/submissions.ts'
import type { Watches } from '../submit/watches.ts'
import { PROTOCOL } from './protocol.ts'
import { JobSocket, type OpenSocket, type SocketHost, type SocketState } from './socket.ts'

const CLOSE_TOO_LARGE = 1009
const CLOSE_GOING_AWAY = 1001
const CLOSE_POLICY = 1008
const CLOSE_RESTART = 1012
const RESTART = 'another process takes over; come again'

/** What sockets need of the front door. */
export interface SocketsParts {
  readonly submissions: Submissions
  readonly questions: Questions
  readonly watches: Watches
  readonly pool: ClientBytes
  readonly keyUsage: KeyUsage
  readonly context: PoolContext
  readonly addresses: ClientAddresses
  readonly secret: Uint8Array
  readonly version: string
  readonly bodyBytesMax: number
  /** How long a socket may be silent before it is closed. */
  readonly idleMs: number
  readonly isOpen: () => boolean
  readonly countInvalid: () => void
  /** Counts an upgrade that the key's own limit refuses. */
  readonly countKeyRefused: () => void
  readonly unavailable: (exchange: Exchange, code: ErrorCode) => void
}

/** Takes over sockets. */
export interface SocketAdopter extends SocketOwner {
  adopt(state: SocketState): void
}

/** All sockets, as plain data. */
export interface SocketTable {
  readonly open: Set<OpenSocket>
  /** By the key of the client's address. */
  readonly held: HeldTable
  /** Bytes that all clients together have not read yet. */
  unreadBytes: number
  /** Bytes that the pool counts for unfinished frames. */
  framesBytes: number
  /** Sockets with answers that have not been sent. */
  toFlush: OpenSocket[]
  /** A take-over is in progress: messages are ignored, and clients will repeat them there. */
  isLeaving: boolean
  /** The present owner, which gets new sockets. */
  owner: SocketAdopter | undefined
}

/** A table without sockets. */
export const makeSocketTable = (): SocketTable =>
  ({
    open: new Set(), held: makeHeldTable(SOCKETS_MAX), unreadBytes: 0, framesBytes: 0,
    toFlush: [], isLeaving: false, owner: undefined,
  })

/** The open sockets. */
export class Sockets implements SocketHost, SocketAdopter {
  readonly submissions: Submissions
  readonly questions: Questions
  readonly watches: Watches
  readonly countInvalid: () => void
  readonly spareAnswers: Buffer[] = []
  readonly #parts: SocketsParts
  readonly #table: SocketTable
  readonly #tiers: readonly number[]
  readonly #share: AccountShare
  readonly #hasher: JobHasher

  constructor(parts: SocketsParts, table: SocketTable) {
    this.#parts = parts
    this.#table = table
    this.submissions = parts.submissions
    this.questions = parts.questions
    this.watches = parts.watches
    this.countInvalid = parts.countInvalid
    this.#tiers = frameTiers(parts.bodyBytesMax)
    this.#share = new AccountShare(DOOR_POOLS.sockets, SOCKETS_MAX, table.held, parts.context)
    this.#hasher = new JobHasher(parts.secret)
  }

  get count(): number {
    return this.#table.open.size
  }

  /** Bytes that all clients together have not read yet. */
  get unreadBytes(): number {
    return this.#table.unreadBytes
  }

  /**
   * Makes this the owner: of new sockets, and of its predecessor's, at once if they are idle, else
   * at the first message that finds them idle.
   */
  takeOver(): void {
    this.#table.owner = this
    // A copy, since sockets that are taken over are added to the set again.
    const before = [...this.#table.open]
    for (const socket of before) this.#takeOn(socket)
  }

  /** Sends all collected answers: once per event-loop iteration, not once per job. */
  flush(): void {
    if (this.#table.toFlush.length === 0) return
    const sockets = this.#table.toFlush
    this.#table.toFlush = []
    for (const socket of sockets) socket.flush()
  }

  /** Closes the sockets of keys that are no longer valid. */
  closeInvalid(nowMs: number): void {
    for (const socket of this.#table.open) {
      if (!isValid(socket.principal, nowMs)) socket.end(CLOSE_POLICY, NOT_VALID.error)
    }
  }

  /** Closes every socket: the server is stopping. */
  closeAll(): void {
    for (const socket of this.#table.open) socket.end(CLOSE_GOING_AWAY, 'the server is stopping')
  }

  /** Closes every socket and asks its client to reconnect. */
  restartAll(): void {
    for (const socket of this.#table.open) socket.end(CLOSE_RESTART, RESTART)
  }

  // --- for sockets ---

  flushSoon(socket: JobSocket): void {
    this.#table.toFlush.push(socket)
  }

  mayBuffer(socket: JobSocket, bytes: number): boolean {
    const { backlogBytes } = socket
    return (backlogBytes === 0 || backlogBytes + bytes <= SOCKET_BACKLOG_BYTES_MAX) &&
      this.#parts.pool.mayTake(backlogBytes, bytes)
  }

  noteBacklog(change: number): void {
    this.#table.unreadBytes += change
    if (change > 0) this.#parts.pool.adopt(change)
    else this.#parts.pool.give(-change)
  }

  // --- events of the library ---

  opened(handle: WebSocketHandle<SocketData>): void {
    const data = handle.getUserData()
    const socket = new JobSocket(handle, this)
    data.socket = socket
    this.#table.open.add(socket)
    socket.tell(this.#hello(data.frameBytesMax))
    if (this.#table.isLeaving) socket.end(CLOSE_RESTART, RESTART)
  }

  heard(handle: WebSocketHandle<SocketData>, message: ArrayBuffer, isBinary: boolean): void {
    if (this.#table.isLeaving) return
    if (this.#table.owner !== this) {
      const socket = socketOf(handle)
      const { owner } = this.#table
      if (socket !== undefined && owner !== undefined && this.#takeOn(socket, owner)) {
        return owner.heard(handle, message, isBinary)
      }
    }
    const { frameBytesMax } = handle.getUserData()
    if (message.byteLength > frameBytesMax) {
      this.#parts.countInvalid()
      return handle.end(CLOSE_TOO_LARGE, `a frame has at most ${frameBytesMax} bytes`)
    }
    socketOf(handle)?.hear(Buffer.from(message), isBinary)
    this.flush()
  }

  drained(handle: WebSocketHandle<SocketData>): void {
    socketOf(handle)?.drained()
  }

  closed(handle: WebSocketHandle<SocketData>): void {
    const socket = socketOf(handle)
    if (socket === undefined) return
    const frameBytes = heldByFrame(handle.getUserData().frameBytesMax)
    this.#table.framesBytes -= frameBytes
    this.#parts.pool.give(frameBytes)
    this.#table.open.delete(socket)
    const { address, principal } = handle.getUserData()
    this.#share.give(address)
    this.#parts.keyUsage.add(principal.key, 'sockets', -1)
    socket.closed()
  }

  adopt(state: SocketState): void {
    const data = state.handle.getUserData()
    const socket = new JobSocket(state.handle, this, state)
    data.owner = this
    data.socket = socket
    this.#table.open.add(socket)
  }

  /** Decides about an upgrade request; false when another tier's route must be tried. */
  upgrade(
    response: UpgradableResponse, request: HttpRequest, context: UpgradeContext, tier: number,
    principal: Principal,
  ): boolean {
    const client = this.#parts.addresses.of(response.getRemoteAddress(), request)
    const address = this.#hasher.user(0, addressKey(client)).route
    const refusal = this.#refusal(request, address, principal)
    if (refusal !== undefined) {
      refusal(new Exchange(response, false))
      return true
    }
    if (tier !== this.#tier()) return false
    const frameBytesMax = this.#tiers[tier] as number
    const data: SocketData = {
      principal, wantsAccountQueue: asksAccountQueue(request), frameBytesMax, address, owner: this,
      socket: undefined,
    }
    this.#share.take(address)
    this.#parts.keyUsage.add(principal.key, 'sockets', 1)
    this.#table.framesBytes += heldByFrame(frameBytesMax)
    this.#parts.pool.adopt(heldByFrame(frameBytesMax))
    response.upgrade(data, request.getHeader('sec-websocket-key'), PROTOCOL,
      request.getHeader('sec-websocket-extensions'), context)
    return true
  }

  /** A function that answers why no socket is opened; undefined when one is. */
  #refusal(request: HttpRequest, address: number, { key, limits }: Principal):
    ((exchange: Exchange) => void) | undefined {
    const { isOpen, unavailable } = this.#parts
    const protocols = request.getHeader('sec-websocket-protocol').split(',')
    if (!isOpen()) return (exchange) => unavailable(exchange, 'draining')
    const current = this.#parts.keyUsage.count(key, 'sockets')
    if (current >= limits.sockets) {
      return (exchange) => {
        this.#parts.countKeyRefused()
        exchange.denied(0, limitReached('key_sockets', limits.sockets, current))
      }
    }
    if (this.#share.refusal(address) !== undefined) {
      return (exchange) => unavailable(exchange, 'overloaded')
    }
    if (!protocols.some((name) => name.trim() === PROTOCOL)) {
      return (exchange) => exchange.sendError('unsupported_protocol',
        `the subprotocol ${PROTOCOL} has to be offered`)
    }
    if (!isSameOrigin(request.getHeader('origin'), request.getHeader('host'))) {
      return (exchange) => exchange.sendError('forbidden_origin',
        'a page of another origin may not open a socket')
    }
    return undefined
  }

  /** The tier of a new socket: by the share that the frames of all sockets have of the pool. */
  #tier(): number {
    const { pool } = this.#parts
    const { framesBytes } = this.#table
    const bytes = this.#tiers.map(heldByFrame)
    // Large frames get half of what all may have, so that smaller ones can follow.
    if (pool.mayTake(2 * framesBytes, bytes[0] as number)) return 0
    return pool.mayTake(framesBytes, bytes[1] as number) ? 1 : 2
  }

  /** Hands an idle socket over to another owner. */
  #takeOn(socket: OpenSocket, owner: SocketAdopter = this): boolean {
    const state = socket.handOver()
    if (state === undefined) return false
    this.#table.open.delete(socket)
    owner.adopt(state)
    return true
  }

  #hello(frameBytesMax: number): object {
    const { bodyBytesMax, idleMs, version } = this.#parts
    return {
      type: 'hello', protocol: PROTOCOL, version, window: SOCKET_WINDOW_JOBS,
      limits: {
        jobs_per_message: MESSAGE_JOBS_MAX, frame_bytes: frameBytesMax,
        body_bytes: bodyBytesMax, ref_bytes: REF_BYTES_MAX, watched_jobs: SOCKET_WATCHED_MAX,
        unread_bytes: SOCKET_BACKLOG_BYTES_MAX, idle_s: Math.ceil(idleMs / 1000),
      },
    }
  }
}

/** The socket object of a handle. */
const socketOf = (handle: WebSocketHandle<SocketData>): JobSocket | undefined =>
  handle.getUserData().socket as JobSocket | undefined
