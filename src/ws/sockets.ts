// All sockets: who may open one, what they leave unread together, and the end of each.

import {
  FRAME_OVERHEAD_BYTES, MESSAGE_JOBS_MAX, REF_BYTES_MAX, SOCKET_BACKLOG_BYTES_MAX,
  SOCKET_BACKLOGS_BYTES_MAX, SOCKET_WATCHED_MAX, SOCKET_WINDOW_JOBS, SOCKETS_MAX,
} from '../../shards/limits.ts'
import type { Audience } from '../audience.ts'
import type { ErrorCode } from '../errors.ts'
import { Exchange } from '../http/exchange.ts'
import { asksIsolation } from '../http/isolation.ts'
import type {
  HttpApp, HttpRequest, UpgradableResponse, UpgradeContext, WebSocketBehavior,
} from '../http/uws.ts'
import type { Questions } from '../questions.ts'
import type { Submissions } from '../submissions.ts'
import { PROTOCOL } from './protocol.ts'
import { JobSocket, type SocketData, type SocketHost } from './socket.ts'

const CLOSE_TOO_LARGE = 1009
const CLOSE_GOING_AWAY = 1001

/** What sockets need of the front door. */
export interface SocketsParts {
  readonly submissions: Submissions
  readonly questions: Questions
  readonly audience: Audience
  readonly version: string
  readonly bodyBytesMax: number
  /** Without a byte, before a socket is closed. */
  readonly idleMs: number
  readonly isOpen: () => boolean
  readonly countInvalid: () => void
  readonly unavailable: (exchange: Exchange, code: ErrorCode) => void
}

/** The sockets that are open. */
export class Sockets implements SocketHost {
  readonly submissions: Submissions
  readonly questions: Questions
  readonly audience: Audience
  readonly countInvalid: () => void
  readonly #parts: SocketsParts
  readonly #frameBytesMax: number
  readonly #sockets = new Set<JobSocket>()
  /** Sockets with answers that have not been sent. */
  #toFlush: JobSocket[] = []
  #backlogsBytes = 0

  constructor(parts: SocketsParts) {
    this.#parts = parts
    this.submissions = parts.submissions
    this.questions = parts.questions
    this.audience = parts.audience
    this.countInvalid = parts.countInvalid
    this.#frameBytesMax = parts.bodyBytesMax + FRAME_OVERHEAD_BYTES
  }

  get count(): number {
    return this.#sockets.size
  }

  /** What all clients together have not taken yet. */
  get unreadBytes(): number {
    return this.#backlogsBytes
  }

  /** Adds the path to an application. */
  addRoute(app: HttpApp): void {
    app.ws('/ws', this.#behavior())
  }

  /** Sends all answers that are gathered: once a turn, not once a job. */
  flush(): void {
    if (this.#toFlush.length === 0) return
    const sockets = this.#toFlush
    this.#toFlush = []
    for (const socket of sockets) socket.flush()
  }

  /** Says goodbye to every client. */
  closeAll(): void {
    for (const socket of this.#sockets) socket.end(CLOSE_GOING_AWAY, 'the server is stopping')
  }

  // --- what a socket asks ---

  flushSoon(socket: JobSocket): void {
    this.#toFlush.push(socket)
  }

  mayBuffer(socket: JobSocket, bytes: number): boolean {
    return socket.backlogBytes + bytes <= SOCKET_BACKLOG_BYTES_MAX &&
      this.#backlogsBytes + bytes <= SOCKET_BACKLOGS_BYTES_MAX
  }

  noteBacklog(change: number): void {
    this.#backlogsBytes += change
  }

  // --- what the library tells ---

  #behavior(): WebSocketBehavior<SocketData> {
    return {
      // Twice what is allowed, so that what is a little over it can be said goodbye to.
      maxPayloadLength: 2 * this.#frameBytesMax,
      // The limits on what is unread are kept here, with a warning; this one is never met.
      maxBackpressure: SOCKET_BACKLOGS_BYTES_MAX,
      closeOnBackpressureLimit: true,
      idleTimeout: Math.ceil(this.#parts.idleMs / 1000),
      sendPingsAutomatically: true,
      upgrade: (response, request, context) => this.#upgrade(response, request, context),
      open: (handle) => {
        const data = handle.getUserData()
        data.socket = new JobSocket(handle, this, data.isolate)
        this.#sockets.add(data.socket)
        data.socket.tell(this.#hello())
      },
      message: (handle, message, isBinary) => {
        if (message.byteLength > this.#frameBytesMax) {
          this.#parts.countInvalid()
          return handle.end(CLOSE_TOO_LARGE, `a frame has at most ${this.#frameBytesMax} bytes`)
        }
        handle.getUserData().socket?.hear(Buffer.from(message), isBinary)
        this.flush()
      },
      drain: (handle) => handle.getUserData().socket?.drained(),
      close: (handle) => {
        const { socket } = handle.getUserData()
        if (socket === undefined) return
        this.#sockets.delete(socket)
        socket.closed()
      },
    }
  }

  #upgrade(response: UpgradableResponse, request: HttpRequest, context: UpgradeContext): void {
    const protocols = request.getHeader('sec-websocket-protocol').split(',')
    const exchange = (): Exchange => new Exchange(response, false)
    if (!this.#parts.isOpen()) return this.#parts.unavailable(exchange(), 'draining')
    if (this.count >= SOCKETS_MAX) return this.#parts.unavailable(exchange(), 'overloaded')
    if (!protocols.some((name) => name.trim() === PROTOCOL)) {
      return exchange().sendError('unsupported_protocol',
        `the subprotocol ${PROTOCOL} has to be offered`)
    }
    if (!isSameOrigin(request.getHeader('origin'), request.getHeader('host'))) {
      return exchange().sendError('forbidden_origin',
        'a page of another origin may not open a socket')
    }
    const data: SocketData = { isolate: asksIsolation(request), socket: undefined }
    response.upgrade(data, request.getHeader('sec-websocket-key'), PROTOCOL,
      request.getHeader('sec-websocket-extensions'), context)
  }

  #hello(): object {
    const { bodyBytesMax, idleMs, version } = this.#parts
    return {
      type: 'hello', protocol: PROTOCOL, version, window: SOCKET_WINDOW_JOBS,
      limits: {
        jobs_per_message: MESSAGE_JOBS_MAX, frame_bytes: this.#frameBytesMax,
        body_bytes: bodyBytesMax, ref_bytes: REF_BYTES_MAX, watched_jobs: SOCKET_WATCHED_MAX,
        unread_bytes: SOCKET_BACKLOG_BYTES_MAX, idle_s: Math.ceil(idleMs / 1000),
      },
    }
  }
}

/**
 * Browsers let any page open a socket to any host, this machine's own included, but say which page
 * it was; everybody else says nothing.
 */
function isSameOrigin(origin: string, host: string): boolean {
  return origin === '' || URL.parse(origin)?.host === host
}
